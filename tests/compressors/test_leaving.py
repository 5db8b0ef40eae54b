"""Dense layers that `prune` and `hashing` leave are named with the reason."""

import pytest

from mlbench.compression.chain import parse_chain
from mlbench.contracts import Context, Form
from mlbench.system.progress import Silent
from mlbench.testing import NETWORKS, samples_for


@pytest.mark.parametrize(
    ("chain", "left"),
    [
        ("prune(0.5,smallest=384)", {"answers": "fewer than 384 weights"}),
        ("hashing(8)", {"dense2": "layers=all takes it too", "answers": "layers=all takes it too"}),
        ("hashing(12,layers=all)", {"answers": "fewer than 24 inputs"}),
    ],
)
def test_dense_layers_that_are_left_are_named_with_the_reason(chain, left):
    network = NETWORKS["sequential"](7)
    context = Context(samples_for(network, 20, 3), 7, Silent())
    form = parse_chain(chain).compressors[0].compress(Form(network), context)
    told = {change.layer: change.note for change in form.changes}
    assert all(reason in told[layer] for layer, reason in left.items())
    assert "dense1" in told
