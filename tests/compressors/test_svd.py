"""SVD of dense layers: smaller, exact where nothing is cut, refused where nothing is won."""

import numpy as np
import pytest
import tf_keras

from mlbench.compression.chain import parse_chain
from mlbench.contracts import Context, Form
from mlbench.errors import RefusedCompressionError, UsageError
from mlbench.networks import graph
from mlbench.system.progress import Silent
from tests.conftest import TINY
from tests.fitted import fitted, points_of


@pytest.fixture(scope="module")
def network(sampled):
    return fitted(TINY, sampled)


def _compress(text, network, faces):
    compressor = parse_chain(text).compressors[0]
    return compressor.compress(Form(network), Context(faces.take(slice(0, 64)), 7, Silent()))


def test_the_factors_stay_apart_and_the_network_shrinks(network, sampled):
    form = _compress("svd(rank=4)", network, sampled)
    names = [layer.name for layer in form.network.layers]
    assert {"dense1_a", "dense1_b", "dense2_a", "dense2_b", "dense3_a", "dense3_b"} <= set(names)
    assert form.network.count_params() < network.count_params()
    assert form.network.input_shape == network.input_shape
    assert form.network.output_shape == network.output_shape
    assert sum(c.parameters_before - c.parameters_after for c in form.changes) == (
        network.count_params() - form.network.count_params()
    )


def test_the_given_network_is_not_changed(network, sampled):
    before = [weight.copy() for weight in network.get_weights()]
    _compress("svd(rank=2)", network, sampled)
    assert all((a == b).all() for a, b in zip(before, network.get_weights(), strict=True))


@pytest.mark.parametrize("of", ["responses", "weights"])
def test_the_largest_rank_that_saves_is_nearly_exact_on_a_low_rank_network(network, sampled, of):
    planted = graph.copy(network)
    kernel, bias = planted.get_layer("dense1").get_weights()
    u, s, v = np.linalg.svd(kernel, full_matrices=False)
    planted.get_layer("dense1").set_weights([(u[:, :3] * s[:3]) @ v[:3], bias])
    form = _compress(f"svd(rank=3/24/24,of={of})", planted, sampled)
    assert [change.rank for change in form.changes] == [(3,), (), ()]
    wanted = points_of(planted, sampled)
    assert wanted.std(axis=0).mean() > 0.5
    np.testing.assert_allclose(points_of(form.network, sampled), wanted, rtol=0, atol=0.01)


def test_a_target_size_is_kept(network, sampled):
    form = _compress("svd(target=20KB)", network, sampled)
    assert 16_000 < form.network.count_params() * 4 <= 20_000


def test_by_default_a_layer_of_few_units_stays_as_it_is(network, sampled):
    inputs = network.input
    answers = tf_keras.layers.Dense(10, name="classes")(network.get_layer("dense1").output)
    form = _compress("svd", tf_keras.Model(inputs, answers), sampled)
    kept = {change.layer: change.rank for change in form.changes}
    assert kept["classes"] == ()
    assert kept["dense1"]


def test_energy_keeps_that_much(network, sampled):
    form = _compress("svd(energy=0.9)", network, sampled)
    assert all(change.energy >= 0.9 for change in form.changes if change.rank)


def test_what_would_not_be_smaller_is_refused_with_the_numbers(network, sampled):
    with pytest.raises(RefusedCompressionError, match=r"dense1: rank 32 takes .* numbers, the layer"):
        _compress("svd(rank=32/24/24)", network, sampled)


def test_an_unreachable_target_names_the_smallest(network, sampled):
    with pytest.raises(RefusedCompressionError, match="the smallest is"):
        _compress("svd(target=1KB)", network, sampled)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("svd(rank=500)", "above the rank"),
        ("svd(rank=33/24/24)", "above the rank"),
        ("svd(rank=3/4)", "2 ranks"),
    ],
)
def test_ranks_that_cannot_be_are_refused(network, sampled, text, told):
    with pytest.raises(UsageError, match=told):
        _compress(text, network, sampled)
