"""Slimming: dead, constant and duplicate units go at no loss, the least important first."""

import numpy as np

from mlbench.compression.chain import parse_chain
from mlbench.compressors.slim import remove_units
from mlbench.contracts import Context, Form
from mlbench.networks import building
from mlbench.system.progress import Silent
from mlbench.training.loop import predict
from tests.conftest import TINY
from tests.fitted import fitted


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
    before, after = (predict(n, sampled.images[200:]) for n in (network, form.network))
    spread = before.std(axis=0).mean()
    assert spread > 0.5
    assert np.abs(after - before).mean() < 0.4 * spread  # answers alike for all faces: 0.75


def test_it_composes_with_factorised_networks(sampled):
    network = building.build(TINY, 7)
    first, second = parse_chain("svd(rank=8)+slim(0.5)").compressors
    context = Context(sampled.take(slice(0, 64)), 7, Silent())
    form = second.compress(first.compress(Form(network), context), context)
    assert form.network.get_layer("dense1_a").kernel.shape[-1] == 4
    assert form.network.output_shape == (None, 136)
