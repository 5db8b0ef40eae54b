"""Slimming: dead, constant and duplicate units go at no loss, the least important first."""

import numpy as np
import pytest
import tf_keras

from mlbench.compression.chain import parse_chain
from mlbench.compressors.slim import remove_units
from mlbench.contracts import Context, Form
from mlbench.errors import RefusedCompressionError
from mlbench.faces.landmarks import Landmarks
from mlbench.networks import building, graph
from mlbench.networks.channels import channels_of
from mlbench.system.progress import Silent
from mlbench.testing import NETWORKS, samples_for
from tests.conftest import TINY
from tests.fitted import fitted, points_of


def _statistics(values):
    return values.mean(axis=0), np.cov(values.T, bias=True)


def test_constant_and_duplicate_units_go_at_no_loss(rng):
    values = rng.standard_normal((500, 6))
    values[:, 4] = 3.0
    values[:, 5] = -2 * values[:, 0] + 1
    weights = rng.standard_normal((1, 6, 3))
    weights[0, 5] *= 0.01  # of the two that tell the same, this one matters less
    mean, covariance = _statistics(values)
    found = remove_units(weights, mean[None], covariance, 4)
    assert list(found.kept) == [0, 1, 2, 3]
    expected = values @ weights[0]
    np.testing.assert_allclose(values[:, found.kept] @ found.weights[0] + found.shift, expected, atol=0.02)


def test_the_least_important_units_go(rng):
    values = rng.standard_normal((500, 5)) * [1, 10, 1, 1, 0.1]
    weights = np.ones((1, 5, 2))
    weights[0, 2] = 5
    mean, covariance = _statistics(values)
    assert set(remove_units(weights, mean[None], covariance, 2).kept) == {1, 2}


def test_layers_shrink_and_the_answers_hardly_move(sampled):
    network = fitted(TINY, sampled)
    [step] = parse_chain("slim(0.25)").compressors
    form = step.compress(Form(network), Context(sampled.take(slice(0, 200)), 7, Silent()))
    widths = {layer.name: layer.kernel.shape[-1] for layer in form.network.layers if hasattr(layer, "kernel")}
    assert widths == {"conv1": 3, "conv2": 3, "conv3": 6, "dense1": 24, "dense2": 18, "dense3": 136}
    before, after = (points_of(n, sampled.take(slice(200, None))) for n in (network, form.network))
    spread = before.std(axis=0).mean()
    assert spread > 0.5
    assert np.abs(after - before).mean() < 0.4 * spread  # answers alike for all faces: 0.75


def test_it_composes_with_factorised_networks(sampled):
    network = building.build(TINY, Landmarks(), sampled, 7)
    first, second = parse_chain("svd(rank=8)+slim(0.5)").compressors
    context = Context(sampled.take(slice(0, 64)), 7, Silent())
    form = second.compress(first.compress(Form(network), context), context)
    assert form.network.get_layer("dense1_a").kernel.shape[-1] == 4
    assert form.network.output_shape == (None, 136)


@pytest.mark.parametrize("name", NETWORKS)
def test_dead_channels_go_at_no_loss_on_any_graph(name):
    """Half of each group's channels are made constant: whatever ties and carries them, nothing is lost but at edges."""
    network = NETWORKS[name](7)
    samples = samples_for(network, 120, 3)
    for group in channels_of(network).groups:
        gone = np.arange(group.size) % 2 == 1
        for member in (*group.makers, *group.carriers):
            layer = network.get_layer(member.layer)
            kill = (member.channels >= 0) & gone[member.channels]
            layer.set_weights([_without(weight, kill) for weight in layer.get_weights()])
    [step] = parse_chain("slim(0.5)").compressors
    form = step.compress(Form(network), Context(samples, 7, Silent()))
    assert not [change.note for change in form.changes if not change.rank]
    assert form.network.count_params() < 0.7 * network.count_params()
    found = graph.answers_of(form.network, graph.encoded(form.network, samples))
    for before, after in zip(graph.answers_of(network, graph.encoded(network, samples)), found, strict=True):
        assert np.abs(after - before).max() < 1e-3 * np.abs(before).max()


def _without(weight, kill):
    """Weights of a maker or carrier with nothing for some channels, which then are zero everywhere."""
    axis = -2 if weight.shape[-1] == 1 and weight.ndim == 4 and len(kill) > 1 else -1
    keep = np.expand_dims(~kill, tuple(range(weight.ndim))[:axis] if axis == -1 else (0, 1, 3))
    return (weight * keep).astype(np.float32)


def test_tied_channels_go_together_and_answers_stay_near():
    network = NETWORKS["residual"](7)
    samples = samples_for(network, 200, 3)
    [step] = parse_chain("slim(0.25)").compressors
    form = step.compress(Form(network), Context(samples, 7, Silent()))
    widths = {layer.name: layer.kernel.shape[-1] for layer in form.network.layers if hasattr(layer, "kernel")}
    assert widths["stem"] == widths["first_b"] == 9
    assert widths["second_way"] == widths["second_b"] == 12
    # Normalisations take up what their convolutions, which have no bias, would have to add.
    assert not any(form.network.get_layer(name).use_bias for name in ("first_a", "second_a", "second_way"))
    [before], [after] = (
        graph.answers_of(net, graph.encoded(net, samples)) for net in (network, form.network)
    )
    assert np.abs(after - before).mean() < before.std(axis=0).mean()


def test_what_stays_whole_is_named_and_a_network_of_such_is_refused():
    given = tf_keras.Input((16, 16, 1), name="image")
    x = tf_keras.layers.Conv2D(4, 3, name="first")(given)
    x = tf_keras.layers.LayerNormalization(name="norm")(x)
    hidden = tf_keras.layers.Dense(8, activation="relu", name="hidden")(tf_keras.layers.Flatten()(x))
    network = tf_keras.Model(given, tf_keras.layers.Dense(2, name="answers")(hidden))
    context = Context(samples_for(network, 60, 3), 7, Silent())
    form = parse_chain("slim(0.5)").compressors[0].compress(Form(network), context)
    notes = {change.layer: change.note for change in form.changes}
    assert notes["hidden"] == "4 of 8 units stay"
    assert "norm (LayerNormalization) mixes" in notes["first"]
    with pytest.raises(RefusedCompressionError, match=r"no unit to remove.*first: norm \(LayerNorm"):
        parse_chain("slim(0.5,layers=conv)").compressors[0].compress(Form(network), context)
