"""No sample crosses a split: not by tuning faces, calibration, teachers, starts or sampled sets."""

from pathlib import Path

import numpy as np
import pytest

from mlbench.compression.stages import Bench
from mlbench.errors import UsageError
from mlbench.faces import frames
from mlbench.faces.appearance import AppearanceModel
from mlbench.faces.dataset import Faces, split_faces
from mlbench.faces.overlap import Seen, overlaps, without
from mlbench.runs import pipeline
from mlbench.runs.measuring import Measuring
from mlbench.system.progress import Silent
from mlbench.training import baselines
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.conftest import TINY
from tests.test_measuring import ARTIFACT

_ONE_EPOCH = TrainingOptions(epochs=1, batch=64, threads=1, augment=False)


def _keys(faces: Faces) -> set[bytes]:
    return set(faces.image_keys.tolist())


def _held(faces, split):
    return _keys(faces.take(np.concatenate([split.validation, split.test])))


@pytest.mark.parametrize("purpose", ["sampled", "tuning"])
def test_no_tuning_face_is_one_that_the_split_keeps_back(purpose):
    """With the seed of the run's faces; also where they are the very ones that tuning would sample."""
    faces = AppearanceModel.load().sample(100, seed=7, purpose=purpose)
    split = split_faces(faces, seed=7)
    bench = Bench(faces, split, TuningOptions(seed=7, sampled_faces=100), Silent())
    learnt = bench.tuning_faces()
    assert _keys(learnt).isdisjoint(_held(faces, split))
    more = 100 if purpose == "sampled" else len(split.train)
    assert len(learnt) == len(split.train) + more


def test_calibration_is_of_the_training_split(sampled):
    split = split_faces(sampled, seed=7)
    calibration = Bench(sampled, split, TuningOptions(), Silent()).calibration()
    assert _keys(calibration) <= _keys(sampled.take(split.train))


def test_faces_sampled_for_one_purpose_are_none_of_another():
    model = AppearanceModel.load()
    purposes = ["sampled", "tuning", "test", "frame"]
    found = [_keys(model.sample(6, seed=seed, purpose=purpose)) for purpose in purposes for seed in (7, 8)]
    assert len(set.union(*found)) == 8 * 6


def test_a_frames_face_is_none_that_is_trained_on():
    shown = frames._face(0, 7, None)
    assert (shown != AppearanceModel.load().sample(1, seed=7).images[0]).any()


def test_measuring_tests_on_no_face_that_any_run_trains_on(monkeypatch, tmp_path):
    class Met(Exception):  # noqa: N818
        pass

    def measure(artifacts, folder, sets, *_):
        raise Met(sets)

    monkeypatch.setattr(pipeline, "measure", measure)
    monkeypatch.setattr(pipeline.files_of, "artifact_of", lambda path: ARTIFACT)
    with pytest.raises(Met) as met:
        pipeline.measure_files([Path("a.tflite")], [], Measuring(seed=7), tmp_path, (), Silent())
    (tested,) = met.value.args[0].values()
    for seed in (7, 8):
        assert _keys(tested).isdisjoint(_keys(AppearanceModel.load().sample(len(tested), seed=seed)))


@pytest.fixture
def of_seed_8(sampled, cache):
    """A finished baseline with another test split, and this run's split."""
    other = baselines.train_baseline(TINY, sampled, split_faces(sampled, seed=8), _ONE_EPOCH, Silent())
    return baselines.baseline_named(other.folder.name), split_faces(sampled, seed=7)


def test_a_start_that_has_seen_test_faces_is_refused(sampled, of_seed_8):
    start, split = of_seed_8
    with pytest.raises(UsageError, match=f"{start.folder.name} has seen .* test and .* validation faces"):
        baselines.train_baseline(TINY, sampled, split, _ONE_EPOCH, Silent(), start)


def test_a_teacher_that_has_seen_test_faces_is_refused(sampled, of_seed_8):
    teacher, split = of_seed_8
    bench = Bench(sampled, split, TuningOptions(teacher=teacher.folder.name), Silent())
    with pytest.raises(UsageError, match=f"{teacher.folder.name} has seen"):
        bench.teacher(teacher)


def test_what_a_start_has_seen_is_seen_by_what_started_from_it(sampled, of_seed_8):
    start, split = of_seed_8
    faces = AppearanceModel.load().sample(60, seed=99)
    own = split_faces(faces, seed=7)
    grown = baselines.train_baseline(TINY, faces, own, _ONE_EPOCH, Silent(), start)  # other faces are no leak
    with pytest.raises(UsageError, match="has seen"):
        baselines.require_apart(grown, sampled, split)
    baselines.require_apart(grown, faces, own)


def test_faces_are_known_by_their_images_alone(sampled):
    few = sampled.take(slice(0, 10))
    other = Faces(few.images[3:5], few.points[:2] + 1, np.array(["x", "y"]))
    assert without(few, other).names.tolist() == [*few.names[:3], *few.names[5:]]
    assert without(few, sampled.take(slice(10, 20))) is few


def test_what_a_test_set_shares_with_training_is_told(sampled):
    names = np.array([f"Person_{chr(97 + row // 12)}_{row:04}.jpg" for row in range(len(sampled))])
    faces = Faces(sampled.images, sampled.points, names)
    split = split_faces(faces, seed=7)
    seen = Seen.of(faces, split)
    tested = set(faces.persons[split.test])
    own, whole = faces.take(split.test), faces
    photos = Faces(255 - faces.images, faces.points, names)
    strangers = Faces(photos.images, faces.points, np.array([f"{row:06}.jpg" for row in range(300)]))
    told = overlaps(seen, {"own": own, "whole": whole, "photos": photos, "strangers": strangers})
    shared = f"{25 - len(tested)} of its 25 persons"
    assert [text.partition(":")[0] for text in told] == ["Test set whole", "Test set photos"]
    assert f"{len(split.train)} of its 300 faces were trained on" in told[0]
    assert f"{len(split.validation)} of its 300 faces validated on" in told[0]
    assert shared in told[0]
    assert shared in told[1]
    assert "faces were" not in told[1]
