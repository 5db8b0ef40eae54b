"""Tuning that pauses: it goes on to the weights of an uninterrupted one, and is never taken for a finished one."""

import numpy as np
import pytest

from mlbench.compression.chain import parse_chain
from mlbench.compression.stages import ChainSetup, compress, stages_ahead
from mlbench.networks import storage
from mlbench.system.progress import Silent
from mlbench.training import loop
from mlbench.training.baselines import train_baseline
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.conftest import TINY
from tests.materials import material_of

_TUNING = TuningOptions(epochs=3, batch=64, threads=1)


@pytest.fixture
def setup(cache, sampled):
    return ChainSetup(material_of(sampled), _TUNING, Silent())


@pytest.fixture
def baseline(setup):
    return train_baseline(TINY, setup.material, TrainingOptions(epochs=1, batch=64, threads=1), Silent())


@pytest.fixture
def epochs_run(monkeypatch):
    """The numbers of the epochs that are trained, in order."""
    run, train = [], loop._train_epoch
    monkeypatch.setattr(loop, "_train_epoch", lambda *given: run.append(given[-2]) or train(*given))
    return run


def _weights(compressed):
    return [weight.copy() for weight in compressed.network().get_weights()]


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["svd(rank=8)", "prune(smallest=10,sparsity=0.5)"])
def test_a_tuning_that_paused_ends_with_the_weights_of_an_uninterrupted_one(
    chain, setup, baseline, epochs_run, tmp_path, monkeypatch
):
    steps = parse_chain(chain)
    paused = [compress(baseline, steps, setup, epochs) for epochs in (0, 1, 2, None)]
    assert epochs_run == [1, 2, 3]
    assert [len(one.stages[-1].history) for one in paused] == [0, 2, 3, 4]
    assert len({one.folder for one in paused}) == 4
    assert not list(tmp_path.rglob("checkpoint.npz"))
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "another"))
    at_once = compress(baseline, steps, setup)
    assert at_once.key == paused[-1].key
    for resumed, uninterrupted in zip(_weights(paused[-1]), _weights(at_once), strict=True):
        assert np.array_equal(resumed, uninterrupted)
    same = {"validation", "epoch", "loss", "learning_rate"}
    assert [epoch.model_dump(include=same) for epoch in paused[-1].stages[-1].history] == [
        epoch.model_dump(include=same) for epoch in at_once.stages[-1].history
    ]


@pytest.mark.slow
def test_fewer_epochs_after_more_give_what_they_would_have_given_before(
    setup, baseline, tmp_path, monkeypatch
):
    steps = parse_chain("svd(rank=8)")
    compress(baseline, steps, setup)
    later = compress(baseline, steps, setup, 1)
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "another"))
    before = compress(baseline, steps, setup, 1)
    for one, other in zip(_weights(later), _weights(before), strict=True):
        assert np.array_equal(one, other)


def test_epochs_are_spent_in_order_and_what_stands_on_a_pause_has_a_key_of_its_own(setup):
    steps = parse_chain("slim(0.5,epochs=2)+svd(rank=8)+dynamic")
    whole = stages_ahead("baseline", steps, setup)
    assert [(one.epochs, one.of, one.complete) for one in whole] == [(2, 2, True), (3, 3, True), (0, 0, True)]
    assert stages_ahead("baseline", steps, setup, 5) == whole
    part = stages_ahead("baseline", steps, setup, 3)
    assert [(one.epochs, one.complete) for one in part] == [(2, True), (1, False), (0, True)]
    assert part[0] == whole[0]
    assert part[1].whole == whole[1].key
    untuned = stages_ahead("baseline", steps, setup, 0)
    keys = {one.key for found in (whole, part, untuned) for one in found}
    assert len(keys) == 8


def test_what_pauses_can_be_loaded(setup, baseline):
    paused = compress(baseline, parse_chain("svd(rank=8)"), setup, 1)
    assert storage.load(paused.folder).count_params() == paused.stages[-1].parameters
