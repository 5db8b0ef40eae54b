"""The networks that come along: what their records say holds of the files, and names find them."""

import re
import shutil

import numpy as np
import pytest

from mlbench import plugins
from mlbench.boxes import Box
from mlbench.errors import UsageError
from mlbench.export import ready_models
from mlbench.export.artifacts import answers, require_fitting
from mlbench.faces.dataset import CROP
from mlbench.faces.face_network import FaceNetwork
from mlbench.faces.landmarks import IMAGE, POINTS, Landmarks

NAMES = sorted(ready_models.paths())
_KIB = 1024
_LARGEST = {"basic": 96 * _KIB, "compact_small": 48 * _KIB}  # bytes; of others 128 KiB


@pytest.fixture(scope="module")
def models():
    return {model.name: model for model in ready_models.models()}


def test_there_is_one_of_each_variant_and_two_that_answer_presence():
    assert set(NAMES) == {"basic", "two_pool", "one_pool", "compact", "compact_small"}
    told = {name for name, path in ready_models.paths().items() if FaceNetwork.of(path).answers_presence}
    assert told == {"compact", "compact_small"}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_small_and_its_record_tells_where_it_comes_from(models, name):
    model = models[name]
    assert model.artifact.variant == name.removesuffix("_small")
    assert model.path.stat().st_size == model.artifact.file_bytes <= _LARGEST.get(name, 128 * _KIB)
    assert model.record.stages[model.artifact.id][0].history
    assert {"test", "faces_dev", "human_dev", "human_dev:human"} <= {
        scores.test_set for scores in model.scores
    }


@pytest.mark.parametrize("name", NAMES)
def test_its_record_shows_nobody_and_no_place(models, name):
    assert models[name].record.gallery is None
    text = models[name].path.with_suffix(".json").read_text(encoding="utf-8")
    # Neither a path from the root nor one that climbs, on any system.
    assert not re.search(r'"(/|[A-Za-z]:\\|[^"]*\.\./)', text)


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_the_landmarks_of_sampled_faces(models, name):
    faces = Landmarks().sample(150, 2026)
    network, whole = FaceNetwork.of(models[name].path), Box(0, 0, CROP, CROP)
    looks = [network.look(image, whole) for image in faces.inputs[IMAGE]]
    error = np.abs(np.stack([look.points for look in looks]) - faces.targets[POINTS]).mean()
    recorded = next(scores for scores in models[name].scores if scores.test_set == "test")
    # Its own test split is of such faces and of portraits: the error is of the same size, not the same.
    assert error < 1.3 * recorded.metrics["mae"].high


def test_files_of_two_tasks_are_measured_for_what_both_answer(models):
    faces, whole = Landmarks().sample(5, 2026), Box(0, 0, CROP, CROP)
    path = models["compact"].path
    require_fitting(path, Landmarks(), faces)
    looks = [FaceNetwork.of(path).look(image, whole).points for image in faces.inputs[IMAGE]]
    found = Landmarks().answers(answers(path, faces))
    np.testing.assert_allclose(found[POINTS], looks, atol=1e-3)


def test_a_name_is_a_file_and_a_path_stays_one(tmp_path):
    assert ready_models.file_named("basic") == ready_models.paths()["basic"]
    assert ready_models.file_named("runs/net.tflite").name == "net.tflite"
    with pytest.raises(UsageError, match='no model "baisc"; did you mean "basic"'):
        ready_models.file_named("baisc")


def test_a_file_that_its_record_does_not_know_is_refused(tmp_path, monkeypatch):
    path = ready_models.paths()["basic"]
    shutil.copy(path.with_suffix(".json"), tmp_path / "basic.json")
    (tmp_path / "basic.tflite").write_bytes(path.read_bytes() + b"\0")
    monkeypatch.setattr(plugins, "names", lambda kind: ["here"])
    monkeypatch.setattr(plugins, "load", lambda kind, name: tmp_path)
    with pytest.raises(UsageError, match="not one of the files that"):
        ready_models.models()
