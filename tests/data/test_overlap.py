"""No sample crosses a split: not by tuning faces, calibration, teachers, starts or sampled sets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlbench.compression.stages import ChainSetup
from mlbench.contracts import Samples
from mlbench.data.overlap import Seen, overlaps, without
from mlbench.errors import UsageError
from mlbench.faces import frames
from mlbench.faces.appearance import AppearanceModel
from mlbench.faces.dataset import Faces
from mlbench.faces.landmarks import IMAGE, POINTS, Landmarks, samples_of
from mlbench.runs import steps
from mlbench.runs.measuring import Measuring
from mlbench.system.progress import Silent
from mlbench.training import baselines
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.conftest import TINY
from tests.materials import material_of
from tests.test_measuring import ARTIFACT

_ONE_EPOCH = TrainingOptions(epochs=1, batch=64, threads=1, augment=False)


def _keys(samples: Samples) -> set[bytes]:
    return set(samples.keys.tolist())


@pytest.mark.parametrize("purpose", ["data", "tuning"])
def test_no_tuning_face_is_one_that_the_split_keeps_back(purpose):
    """With the seed of the run's faces; also where they are the very ones that tuning would sample."""
    material = material_of(Landmarks().sample(100, 7, purpose))
    setup = ChainSetup(material, TuningOptions(seed=7, sampled=100), Silent())
    learnt = setup.tuning_samples()
    assert _keys(learnt).isdisjoint(_keys(material.held))
    more = 100 if purpose == "data" else len(material.train)
    assert len(learnt) == len(material.train) + more


def test_calibration_is_of_the_training_split(sampled):
    material = material_of(sampled)
    calibration = ChainSetup(material, TuningOptions(), Silent()).calibration()
    assert _keys(calibration) <= _keys(material.train)


def test_faces_sampled_for_one_purpose_are_none_of_another():
    model = AppearanceModel.load()
    purposes = ["sampled", "tuning", "test", "frame"]
    found = [
        _keys(samples_of(model.sample(6, seed=seed, purpose=purpose)))
        for purpose in purposes
        for seed in (7, 8)
    ]
    assert len(set.union(*found)) == 8 * 6


def test_a_frames_face_is_none_that_is_trained_on():
    shown = frames._face(0, 7, None)
    assert (shown != AppearanceModel.load().sample(1, seed=7).images[0]).any()


def test_measuring_tests_on_no_face_that_any_run_trains_on(monkeypatch, tmp_path):
    class Met(Exception):  # noqa: N818
        pass

    def measure(artifacts, folder, task, sets, *_):
        raise Met(sets)

    monkeypatch.setattr(steps, "measure", measure)
    monkeypatch.setattr(steps, "artifact_of", lambda path: ARTIFACT)
    monkeypatch.setattr(steps, "require_fitting", lambda *_: None)
    files, measuring = [Path("a.tflite")], Measuring(seed=7)
    with pytest.raises(Met) as met:
        steps.measure_files(files, Landmarks(), [], measuring, tmp_path, (), Silent())
    (tested,) = met.value.args[0].values()
    for seed in (7, 8):
        assert _keys(tested).isdisjoint(_keys(Landmarks().sample(len(tested), seed)))


@pytest.fixture
def of_seed_8(sampled, cache):
    """A finished baseline with another test split, and this run's material."""
    other = baselines.train_baseline(TINY, material_of(sampled, 8), _ONE_EPOCH, Silent())
    return baselines.baseline_named(other.folder.name, Landmarks()), material_of(sampled)


def test_a_start_that_has_seen_test_faces_is_refused(of_seed_8):
    start, material = of_seed_8
    with pytest.raises(UsageError, match=f"{start.folder.name} has seen .* test and .* validation samples"):
        baselines.train_baseline(TINY, material, _ONE_EPOCH, Silent(), start)


def test_a_teacher_that_has_seen_test_faces_is_refused(of_seed_8):
    teacher, material = of_seed_8
    setup = ChainSetup(material, TuningOptions(teacher=teacher.folder.name), Silent())
    with pytest.raises(UsageError, match=f"{teacher.folder.name} has seen"):
        setup.teacher(teacher)


def test_what_a_start_has_seen_is_seen_by_what_started_from_it(of_seed_8):
    start, material = of_seed_8
    own = material_of(Landmarks().sample(60, 99))
    grown = baselines.train_baseline(TINY, own, _ONE_EPOCH, Silent(), start)  # other faces are no leak
    with pytest.raises(UsageError, match="has seen"):
        baselines.require_apart(grown, material)
    baselines.require_apart(grown, own)


def test_samples_are_known_by_their_inputs_alone(sampled):
    few = sampled.take(slice(0, 10))
    targets = {POINTS: few.targets[POINTS][:2] + 1}
    other = replace(few.take(slice(3, 5)), targets=targets, ids=np.array(["x", "y"]))
    assert without(few, other).ids.tolist() == [*few.ids[:3], *few.ids[5:]]
    assert without(few, sampled.take(slice(10, 20))) is few


def test_what_a_test_set_shares_with_training_is_told(sampled):
    images, points = sampled.inputs[IMAGE], sampled.targets[POINTS]
    names = np.array([f"Person_{chr(97 + row // 12)}_{row:04}.jpg" for row in range(len(sampled))])
    whole = samples_of(Faces(images, points, names))
    split = material_of(whole).split
    seen = Seen.of(whole, split)
    tested = set(whole.groups[split.test])
    own = whole.take(split.test)
    photos = samples_of(Faces(255 - images, points, names))
    strangers = samples_of(Faces(255 - images, points, np.array([f"{row:06}.jpg" for row in range(300)])))
    told = overlaps(seen, {"own": own, "whole": whole, "photos": photos, "strangers": strangers})
    shared = f"{25 - len(tested)} of its 25 persons"
    assert [text.partition(":")[0] for text in told] == ["Test set whole", "Test set photos"]
    assert f"{len(split.train)} of its 300 samples were trained on" in told[0]
    assert f"{len(split.validation)} of its 300 samples validated on" in told[0]
    assert shared in told[0]
    assert shared in told[1]
    assert "samples were" not in told[1]
