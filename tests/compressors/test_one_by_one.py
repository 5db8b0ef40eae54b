"""Networks of which one layer alone is compressed."""

import numpy as np
import pytest

from mlbench import plugins
from mlbench.contracts import Context, Form
from mlbench.networks import graph
from mlbench.system.progress import Silent
from mlbench.testing.networks import NETWORKS, samples_for


@pytest.mark.parametrize("technique", ["svd", "tucker", "slim", "int8", "int4"])
def test_one_layer_alone_gets_smaller_and_the_others_keep_their_weights(technique):
    network = NETWORKS["residual"](7)
    step = plugins.load("compressors", technique)()
    context = Context(samples_for(network, 40, 3), 7, Silent())
    found = list(step.one_by_one(Form(network), context, (2.0, 4.0)))
    assert {name for one in found for name in one.layers} <= {x.name for x in network.layers}
    assert len({(one.layers, one.asked) for one in found}) == len(found) > 1
    for one in found:
        assert one.ratio >= one.asked * 0.9  # whole units stay
        same = [
            layer.name
            for layer in graph.layers_with_kernel(network)
            if any(layer.name == other.name for other in one.network.layers)
            and np.array_equal(layer.get_weights()[0], one.network.get_layer(layer.name).get_weights()[0])
        ]
        assert not set(one.layers) & set(same)
        assert len(same) >= 3
