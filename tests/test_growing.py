"""A variant that starts from another one's weights: the same function where it can be, near it where not."""

import numpy as np
import pytest
import tf_keras

from mlbench.contracts import Block, Variant
from mlbench.errors import UsageError
from mlbench.faces.landmarks import POINTS, Landmarks
from mlbench.networks import building
from mlbench.networks.growing import grown
from mlbench.networks.ports import predict
from mlbench.system.progress import Silent
from mlbench.training import baselines
from mlbench.training.options import TrainingOptions
from tests.materials import material_of

layers = tf_keras.layers

_BLOCKS = (Block(4, 3, pool=True), Block(4, 2, pool=True), Block(6, 2, pool=True))
COARSE = Variant("coarse", "three pools", blocks=_BLOCKS, dense=(20, 12))
FINE = Variant("fine", "two pools", blocks=(Block(4, 3, pool=False), *_BLOCKS[1:]), dense=(20, 12))


@pytest.fixture(scope="module")
def material(sampled):
    return material_of(sampled)


@pytest.fixture(scope="module")
def trained(material, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        options = TrainingOptions(epochs=25, batch=16, rate=3e-3, augment=False, threads=1)
        yield baselines.train_baseline(COARSE, material, options, Silent())


def _answers(network, sampled):
    return predict(network, sampled.take(slice(0, 60)))[POINTS]


def _grown(variant, trained, sampled, seed=7):
    return grown(building.build(variant, Landmarks(), sampled, seed), trained.network())


def test_the_same_variant_is_the_same_network(trained, sampled):
    network = _grown(COARSE, trained, sampled)
    assert (_answers(network, sampled) == _answers(trained.network(), sampled)).all()


def test_a_finer_map_starts_near_the_coarse_ones_answers(trained, sampled):
    """Near: much nearer than answering every face with the mean one."""
    wanted = _answers(trained.network(), sampled)
    found = _answers(_grown(FINE, trained, sampled), sampled)
    assert np.square(found - wanted).mean() < 0.5 * np.square(wanted - wanted.mean(axis=0)).mean()


def test_a_constant_map_gives_the_same_sums(trained, sampled):
    """Interpolation of the weights keeps their sum, but for what the maps' edges cut off."""
    coarse = trained.network().get_layer("dense1").kernel.numpy().reshape(11, 11, 6, -1)
    network = _grown(FINE, trained, sampled)
    fine = network.get_layer("dense1").kernel.numpy().reshape(22, 22, 6, -1)
    smooth = np.abs(coarse).sum(axis=(0, 1))
    assert (np.abs(fine.sum(axis=(0, 1)) - coarse.sum(axis=(0, 1))) < 0.15 * smooth).all()


def test_networks_of_other_filters_are_refused(trained, sampled):
    wide = Variant("wide", "", blocks=(Block(8, 3, pool=True), *_BLOCKS[1:]), dense=(20, 12))
    with pytest.raises(UsageError, match="wide cannot start from coarse: their layers conv1 differ"):
        _grown(wide, trained, sampled)


def test_networks_of_other_depths_are_refused(trained, sampled):
    deep = Variant("deep", "", blocks=_BLOCKS, dense=(20, 12, 12))
    with pytest.raises(UsageError, match="dense3"):
        _grown(deep, trained, sampled)


def test_a_baseline_starts_from_another_and_has_its_own_place(trained, material):
    options = TrainingOptions(epochs=1, batch=32, threads=1)
    start = baselines.baseline_named(f"coarse-{trained.key}", Landmarks())
    fine = baselines.train_baseline(FINE, material, options, Silent(), start)
    fresh = baselines.baseline_key(FINE, material, options)
    assert fine.key != fresh
    validation = material.validation
    first = predict(_grown(FINE, trained, material.samples, options.seed), validation)[POINTS]
    error = np.abs(first.reshape(-1, 68, 2) - validation.targets[POINTS]).mean()
    assert fine.history[0].validation["mae"] == pytest.approx(error, rel=1e-4)
    assert baselines.train_baseline(FINE, material, options, Silent(), start).reused


def test_a_name_that_is_not_there_is_told_with_the_nearest(trained):
    with pytest.raises(UsageError, match=f'no finished baseline "coarse".*coarse-{trained.key}'):
        baselines.baseline_named("coarse", Landmarks())


@pytest.mark.parametrize("name", ["", "..", "../baselines", "a/b"])
def test_a_name_is_not_a_path(trained, name):
    with pytest.raises(UsageError, match="no finished baseline"):
        baselines.baseline_named(name, Landmarks())


def _branched(pools, *, branch):
    """A network with normalisation, strides and `same` padding before its map, and a sum where asked."""
    given = tf_keras.Input((24, 24, 1), name="crop")
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="conv1")(given)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    if branch:
        x = layers.Add()([x, layers.Conv2D(4, 1, name="side")(x)])
    for _ in range(pools):
        x = layers.MaxPool2D(2)(x)
    answers = layers.Dense(5, name="answers")(layers.Flatten()(x))
    return tf_keras.Model(given, answers, name=f"pools{pools}")


def test_weights_pass_between_maps_of_graphs_on_one_path_and_nothing_else_is_guessed():
    coarse, fine = (_branched(pools, branch=False) for pools in (1, 0))
    coarse.get_layer("norm").set_weights([np.full(4, value, np.float32) for value in (2, 1, 0.5, 3)])
    network = grown(fine, coarse)
    assert [w.tolist() for w in network.get_layer("norm").get_weights()] == [
        [2] * 4,
        [1] * 4,
        [0.5] * 4,
        [3] * 4,
    ]
    sums = [net.get_layer("answers").kernel.numpy().sum(axis=0) for net in (coarse, network)]
    np.testing.assert_allclose(sums[1], sums[0], atol=0.15 * np.abs(coarse.get_layer("answers").kernel).sum())
    with pytest.raises(UsageError, match="answers differ in more than the pools"):
        grown(_branched(0, branch=True), _branched(1, branch=True))
