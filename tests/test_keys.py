"""What names a finished step in the cache: all that decides it."""

from dataclasses import replace
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from mlbench import plugins
from mlbench.compression import stages
from mlbench.compression.chain import Chain
from mlbench.compression.stages import ChainSetup, stages_ahead
from mlbench.compressors.svd import Svd
from mlbench.data import split as splitting
from mlbench.faces.landmarks import Landmarks
from mlbench.system.progress import Silent
from mlbench.training import baselines
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.conftest import TINY
from tests.materials import material_of

_OPTIONS = TrainingOptions(epochs=1)


class Other(Svd):
    """A plug-in's compressor that keeps its parent's name."""


class Later(Svd):
    version = 99


Later.__qualname__, Later.__module__ = Svd.__qualname__, Svd.__module__


class _Dist(NamedTuple):
    name: str
    version: str


@pytest.fixture
def folder_of(cache, sampled):
    """The place in the cache of a stage, by what is changed about it."""
    usual = material_of(sampled)

    def find(compressor=None, material=usual, tuning=None):
        setup = ChainSetup(material, TuningOptions(**tuning or {}), Silent())
        return stages_ahead("before", Chain((compressor or Svd(),)), setup)[0].folder

    return find


def _key(material):
    return baselines.baseline_key(TINY, material, _OPTIONS)


def test_equal_inputs_of_other_names_do_not_share_a_baseline(sampled):
    renamed = replace(sampled, ids=np.array([f"{name}x" for name in sampled.ids]))
    assert _key(material_of(sampled)) != _key(material_of(renamed))


def test_equal_rows_of_other_groups_do_not_share_a_baseline(sampled):
    material = material_of(sampled)
    groups = np.array([f"{group}x" for group in sampled.groups])
    assert _key(replace(material, samples=replace(sampled, groups=groups))) != _key(material)


@pytest.mark.parametrize("what", ["version", "name"])
def test_a_task_and_its_version_are_in_the_keys(sampled, folder_of, monkeypatch, what):
    class Another(Landmarks):
        version = 2 if what == "version" else Landmarks.version

    if what == "version":
        Another.__qualname__, Another.__module__ = Landmarks.__qualname__, Landmarks.__module__
    usual = material_of(sampled)
    other = replace(usual, task=Another())
    assert _key(usual) != _key(other)
    assert folder_of() != folder_of(material=other)


def test_rows_of_a_split_are_in_the_key_not_its_rule_alone(sampled):
    seven, eight = (material_of(sampled, seed) for seed in (7, 8))
    assert seven.split.rule == eight.split.rule
    assert _key(seven) != _key(eight)


def test_the_rule_that_decides_a_split_has_its_version_in_the_key(sampled, monkeypatch):
    before = _key(material_of(sampled))
    monkeypatch.setattr(splitting, "SPLIT_VERSION", 99)
    assert _key(material_of(sampled)) != before


def test_library_versions_are_in_the_keys(sampled, monkeypatch, folder_of):
    before = _key(material_of(sampled)), folder_of()
    for module in (baselines, stages):
        monkeypatch.setattr(module, "versions", lambda *names: dict.fromkeys(names, "99"))
    after = _key(material_of(sampled)), folder_of()
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_a_compressor_that_keeps_its_parents_name_has_its_own_place(folder_of):
    assert Other.name == Svd.name
    assert len({folder_of(Svd()), folder_of(Other()), folder_of(Later())}) == 3


def test_the_version_of_a_compressors_package_is_in_its_place(folder_of, monkeypatch):
    def installed(version):
        dist = _Dist("a-package", version)
        point = SimpleNamespace(module="tests.anything", dist=dist)
        given = {"compressors": {"other": [point]}}
        monkeypatch.setattr(plugins, "_found", lambda kind: given.get(kind) or found(kind))
        return folder_of(Other())

    found = plugins._found
    monkeypatch.setattr(
        plugins, "_installed", plugins._installed.__wrapped__
    )  # packages change: none is kept

    assert installed("1.0") != installed("1.1")


def test_what_a_stage_works_with_is_in_its_place(folder_of, sampled, monkeypatch):
    from mlbench.faces.appearance import AppearanceModel

    usual, tuned = folder_of(), folder_of(tuning={"sampled": 5})
    assert folder_of() == usual
    places = {usual, tuned, folder_of(tuning={"seed": 8}), folder_of(material=material_of(sampled, 8))}
    monkeypatch.setattr(AppearanceModel, "load", lambda: SimpleNamespace(fingerprint="another"))
    assert folder_of() == usual
    places.add(folder_of(tuning={"sampled": 5}))
    assert len(places) == 5


def test_the_seed_of_the_calibration_is_in_the_place_of_what_is_not_tuned(folder_of):
    from mlbench.compression.chain import parse_chain

    (int8,) = parse_chain("int8").compressors
    assert not int8.needs_tuning
    assert folder_of(int8) != folder_of(int8, tuning={"seed": 8})
