"""A variant that starts from another one's weights: the same function where it can be, near it where not."""

import numpy as np
import pytest

from mlbench.contracts import Block, Variant
from mlbench.errors import UsageError
from mlbench.faces.dataset import split_faces
from mlbench.networks.growing import grown
from mlbench.system.progress import Silent
from mlbench.training import baselines
from mlbench.training.loop import predict
from mlbench.training.options import TrainingOptions

_BLOCKS = (Block(4, 3, pool=True), Block(4, 2, pool=True), Block(6, 2, pool=True))
COARSE = Variant("coarse", "three pools", blocks=_BLOCKS, dense=(20, 12))
FINE = Variant("fine", "two pools", blocks=(Block(4, 3, pool=False), *_BLOCKS[1:]), dense=(20, 12))


@pytest.fixture(scope="module")
def split(sampled):
    return split_faces(sampled, seed=7)


@pytest.fixture(scope="module")
def trained(sampled, split, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        options = TrainingOptions(epochs=25, batch=16, rate=3e-3, augment=False, threads=1)
        yield baselines.train_baseline(COARSE, sampled, split, options, Silent())


def _answers(network, sampled):
    return predict(network, sampled.images[:60])


def test_the_same_variant_is_the_same_network(trained, sampled):
    network = grown(COARSE, trained.network(), 7)
    assert (_answers(network, sampled) == _answers(trained.network(), sampled)).all()


def test_a_finer_map_starts_near_the_coarse_ones_answers(trained, sampled):
    """Near: much nearer than answering every face with the mean one."""
    wanted = _answers(trained.network(), sampled)
    found = _answers(grown(FINE, trained.network(), 7), sampled)
    assert np.square(found - wanted).mean() < 0.5 * np.square(wanted - wanted.mean(axis=0)).mean()


def test_a_constant_map_gives_the_same_sums(trained):
    """Interpolation of the weights keeps their sum, but for what the maps' edges cut off."""
    coarse = trained.network().get_layer("dense1").kernel.numpy().reshape(11, 11, 6, -1)
    network = grown(FINE, trained.network(), 7)
    fine = network.get_layer("dense1").kernel.numpy().reshape(22, 22, 6, -1)
    smooth = np.abs(coarse).sum(axis=(0, 1))
    assert (np.abs(fine.sum(axis=(0, 1)) - coarse.sum(axis=(0, 1))) < 0.15 * smooth).all()


def test_networks_of_other_filters_are_refused(trained):
    wide = Variant("wide", "", blocks=(Block(8, 3, pool=True), *_BLOCKS[1:]), dense=(20, 12))
    with pytest.raises(UsageError, match="wide cannot start from coarse: their layers conv1 differ"):
        grown(wide, trained.network(), 7)


def test_networks_of_other_depths_are_refused(trained):
    deep = Variant("deep", "", blocks=_BLOCKS, dense=(20, 12, 12))
    with pytest.raises(UsageError, match="dense3"):
        grown(deep, trained.network(), 7)


def test_a_baseline_starts_from_another_and_has_its_own_place(trained, sampled, split):
    options = TrainingOptions(epochs=1, batch=32, threads=1)
    start = baselines.baseline_named(f"coarse-{trained.key}")
    fine = baselines.train_baseline(FINE, sampled, split, options, Silent(), start)
    fresh = baselines.baseline_key(FINE, sampled, split, options)
    assert fine.key != fresh
    validation = sampled.take(split.validation)
    first = predict(grown(FINE, trained.network(), options.seed), validation.images)
    error = np.abs(first - validation.points).mean()
    assert fine.history[0].validation_mae_px == pytest.approx(error, rel=1e-4)
    assert baselines.train_baseline(FINE, sampled, split, options, Silent(), start).reused


def test_a_name_that_is_not_there_is_told_with_the_nearest(trained):
    with pytest.raises(UsageError, match=f'no finished baseline "coarse".*coarse-{trained.key}'):
        baselines.baseline_named("coarse")


@pytest.mark.parametrize("name", ["", "..", "../baselines", "a/b"])
def test_a_name_is_not_a_path(trained, name):
    with pytest.raises(UsageError, match="no finished baseline"):
        baselines.baseline_named(name)
