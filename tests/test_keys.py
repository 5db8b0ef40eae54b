"""What names a finished step in the cache: all that decides it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mlbench import plugins
from mlbench.compression import stages
from mlbench.compression.stages import Bench, Compressed
from mlbench.compressors.svd import Svd
from mlbench.contracts import ExportOptions
from mlbench.faces.dataset import Faces, split_faces
from mlbench.system.progress import Silent
from mlbench.training import baselines
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.conftest import TINY

_OPTIONS = TrainingOptions(epochs=1)


class Other(Svd):
    """A plug-in's compressor that keeps its parent's name."""


class Later(Svd):
    version = 2


Later.__qualname__, Later.__module__ = Svd.__qualname__, Svd.__module__


class _FoundError(Exception):
    pass


@pytest.fixture
def folder_of(monkeypatch, cache, sampled):
    """The place in the cache of a stage, by what is changed about it."""

    def stop(*arguments):
        raise _FoundError(arguments[-1])

    monkeypatch.setattr(stages, "_carry_out", stop)
    split = split_faces(sampled, seed=7)
    before = Compressed("before", Path(), ExportOptions(), ())

    def find(compressor=None, faces=sampled, split=split, tuning=None):
        bench = Bench(faces, split, TuningOptions(**tuning or {}), Silent())
        with pytest.raises(_FoundError) as found:
            stages._stage(compressor or Svd(), before, None, bench)
        return found.value.args[0]

    return find


def test_equal_images_of_other_names_do_not_share_a_baseline(sampled):
    renamed = Faces(sampled.images, sampled.points, np.array([f"{name}x" for name in sampled.names]))
    keys = [
        baselines.baseline_key(TINY, faces, split_faces(faces, seed=7), _OPTIONS)
        for faces in (sampled, renamed)
    ]
    assert keys[0] != keys[1]


def test_rows_of_a_split_are_in_the_key_not_its_rule_alone(sampled):
    splits = [split_faces(sampled, seed=seed) for seed in (7, 8)]
    assert splits[0].rule == splits[1].rule
    keys = {baselines.baseline_key(TINY, sampled, split, _OPTIONS) for split in splits}
    assert len(keys) == 2


@pytest.mark.parametrize("rule", ["SPLIT_VERSION", "PERSON_RULE"])
def test_a_rule_that_decides_a_split_has_its_version_in_the_key(sampled, monkeypatch, rule):
    from mlbench.faces import dataset

    split = split_faces(sampled, seed=7)
    before = baselines.baseline_key(TINY, sampled, split, _OPTIONS)
    monkeypatch.setattr(dataset, rule, 99)
    assert baselines.baseline_key(TINY, sampled, split, _OPTIONS) != before


def test_library_versions_are_in_the_keys(sampled, monkeypatch, folder_of):
    split = split_faces(sampled, seed=7)
    before = baselines.baseline_key(TINY, sampled, split, _OPTIONS), folder_of()
    for module in (baselines, stages):
        monkeypatch.setattr(module, "versions", lambda *names: dict.fromkeys(names, "99"))
    after = baselines.baseline_key(TINY, sampled, split, _OPTIONS), folder_of()
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_a_compressor_that_keeps_its_parents_name_has_its_own_place(folder_of):
    assert Other.name == Svd.name
    assert len({folder_of(Svd()), folder_of(Other()), folder_of(Later())}) == 3


def test_the_version_of_a_compressors_package_is_in_its_place(folder_of, monkeypatch):
    def installed(version):
        dist = SimpleNamespace(name="a-package", version=version)
        point = SimpleNamespace(module="tests.anything", dist=dist)
        monkeypatch.setattr(plugins, "_found", lambda kind: {"other": point})
        return folder_of(Other())

    assert installed("1.0") != installed("1.1")


def test_what_a_stage_works_with_is_in_its_place(folder_of, sampled, monkeypatch):
    from mlbench.faces.appearance import AppearanceModel

    usual, tuned = folder_of(), folder_of(tuning={"sampled_faces": 5})
    assert folder_of() == usual
    places = {usual, tuned, folder_of(tuning={"seed": 8}), folder_of(split=split_faces(sampled, seed=8))}
    monkeypatch.setattr(AppearanceModel, "load", lambda: SimpleNamespace(fingerprint="another"))
    assert folder_of() == usual
    places.add(folder_of(tuning={"sampled_faces": 5}))
    assert len(places) == 5


def test_the_seed_of_the_calibration_is_in_the_place_of_what_is_not_tuned(folder_of):
    from mlbench.compression.chain import parse_chain

    (int8,) = parse_chain("int8").compressors
    assert not int8.needs_tuning
    assert folder_of(int8) != folder_of(int8, tuning={"seed": 8})
