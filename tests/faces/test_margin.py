"""The crop's margin: data, networks and files say it, follow it, and never disagree."""

import re
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mlbench.compression.chain import Chain
from mlbench.compression.delivery import export
from mlbench.compression.stages import ChainSetup, compress
from mlbench.contracts.samples import joined as joined_samples
from mlbench.data.split import split
from mlbench.device_runners.android import live
from mlbench.device_runners.host_worker import Worker
from mlbench.errors import UsageError
from mlbench.export.artifacts import require_fitting
from mlbench.export.notes import notes_of
from mlbench.faces.appearance import AppearanceModel
from mlbench.faces.appearance_fit import fit
from mlbench.faces.dataset import CROP, Faces, joined, read_npz, write_npz
from mlbench.faces.detection import Box, crop
from mlbench.faces.face_network import FaceNetwork
from mlbench.faces.files import iter_faces, read_faces, write_faces
from mlbench.faces.landmarks import IMAGE, Landmarks, samples_of
from mlbench.faces.preparation import Options, prepare
from mlbench.faces.tracking import Rules
from mlbench.runs import pipeline
from mlbench.runs.measuring import Measuring, _pipeline
from mlbench.runs.steps import measure_files
from mlbench.system.progress import Silent
from mlbench.training.baselines import Material, baseline_named, require_apart, train_baseline
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.conftest import TINY

_TASK = Landmarks()
_TRAINING = TrainingOptions(epochs=1, batch=30, threads=1)


@pytest.fixture(scope="module")
def wide():
    """Sampled faces that show a fifth more."""
    return AppearanceModel.load().sample(60, seed=3, margin=1.2)


def test_a_file_keeps_the_margin_and_one_of_1_is_as_it_was(tmp_path, wide):
    write_npz(wide, tmp_path / "wide.npz")
    assert read_faces(tmp_path / "wide.npz").margin == 1.2
    assert [part.margin for part in iter_faces(tmp_path / "wide.npz", 40)] == [1.2, 1.2]
    assert joined([wide, wide.take(slice(3))]).margin == 1.2
    write_npz(replace(wide, margin=1.0), tmp_path / "exact.npz")
    with np.load(tmp_path / "exact.npz") as file:
        assert "margin" not in file
    assert read_npz(tmp_path / "exact.npz").margin == 1


@pytest.mark.parametrize(
    "margin", [np.array([1.2]), np.array("1.2"), np.array(0.0), np.array(np.nan), np.array(9)]
)
def test_a_margin_that_is_none_is_one_sentence(tmp_path, wide, margin):
    few = wide.take(slice(2))
    np.savez(tmp_path / "bad.npz", images=few.images, points=few.points, margin=margin)
    with pytest.raises(UsageError, match=r"bad.npz: margin is no number of 0.5 to 4;"):
        read_npz(tmp_path / "bad.npz")


def test_what_cannot_keep_or_follow_a_margin_refuses_it(tmp_path, wide, sampled_faces):
    with pytest.raises(UsageError, match=r"cannot keep the margin of 1.2"):
        write_faces(wide, tmp_path / "wide.csv")
    with pytest.raises(UsageError, match=r"cannot keep --margin 1.2"):
        prepare([tmp_path], tmp_path / "wide.csv", Options(margin=1.2), Silent())
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match=r"margins of 1 and 1.2 cannot be joined"):
        joined([wide, sampled_faces])
    with pytest.raises(UsageError, match=r"differ in shape, scale or margin"):
        joined_samples([samples_of(wide), samples_of(sampled_faces)])
    with pytest.raises(UsageError, match=r"margin of 1, not of 1.2"):
        fit(wide)
    with pytest.raises(UsageError, match=r"margin of 2: give one of 0.8 to 1.25"):
        AppearanceModel.load().sample(1, margin=2)


def test_a_sampled_face_with_a_margin_is_the_same_face_smaller(wide):
    exact = AppearanceModel.load().sample(60, seed=3)
    centre = (CROP - 1) / 2
    seen = (np.abs(exact.points - centre) < centre - 1).all(axis=2)  # those outside are found by another way
    np.testing.assert_allclose((wide.points[seen] - centre) * 1.2, exact.points[seen] - centre, atol=1.0)
    side = CROP / 1.2  # of the box in the wide crop
    inner = cv2.getRectSubPix(wide.images[0], (round(side), round(side)), (centre, centre))
    again = cv2.resize(inner, (CROP, CROP)).astype(float)
    assert np.corrcoef(again[8:-8, 8:-8].ravel(), exact.images[0][8:-8, 8:-8].ravel())[0, 1] > 0.9


def test_prepared_faces_keep_the_margin_they_were_cut_with(tmp_path, photograph):
    pytest.importorskip("dlib")
    prepare([photograph[0]], tmp_path / "faces.npz", Options(margin=1.2, workers=1), Silent())
    assert read_npz(tmp_path / "faces.npz").margin == 1.2


def test_the_margin_is_part_of_the_fingerprint_and_1_is_as_before(wide):
    found = {margin: samples_of(replace(wide, margin=margin)) for margin in (1.0, 1.2)}
    assert found[1.0].fingerprint != found[1.2].fingerprint
    assert found[1.2].margins == {IMAGE: 1.2}
    assert found[1.0].margins == {}
    assert "margin" not in repr(found[1.0].encodings)


@pytest.fixture(scope="module")
def setup(wide, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        samples = samples_of(wide)
        material = Material(_TASK, samples, split(samples, "shuffled", 7))
        yield ChainSetup(material, TuningOptions(sampled=8), Silent())


@pytest.fixture(scope="module")
def baseline(setup):
    return train_baseline(TINY, setup.material, _TRAINING, Silent())


@pytest.fixture(scope="module")
def model(setup, baseline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return folder / export(compress(baseline, Chain(()), setup), "tiny", "none", setup, folder).path


def test_a_network_says_the_margin_that_it_learnt_from_and_is_tuned_on_it(setup, baseline, model):
    assert notes_of(model).margins == {IMAGE: 1.2}
    assert baseline_named(baseline.folder.name, _TASK).margins == {IMAGE: 1.2}
    tuned_on = setup.tuning_samples()
    assert len(tuned_on) == len(setup.material.train) + 8
    assert tuned_on.margins == {IMAGE: 1.2}


def test_samples_of_another_margin_are_refused_by_file_baseline_and_run(
    setup, baseline, model, sampled_faces
):
    exact = samples_of(sampled_faces)
    with pytest.raises(
        UsageError, match=rf"{re.escape(str(model))} is for a margin of 1.2 .*the samples have 1:"
    ):
        require_fitting(model, _TASK, exact)
    other = Material(_TASK, exact, split(exact, "shuffled", 7))
    with pytest.raises(
        UsageError, match=r"learnt from inputs with a margin of 1.2, those of this run have 1:"
    ):
        require_apart(baseline, other)
    with pytest.raises(UsageError, match=r"Test set other: its inputs differ in name, shape, type or margin"):
        pipeline._require_alike("other", exact, setup.material)
    plain = train_baseline(TINY, other, _TRAINING, Silent())
    with pytest.raises(
        UsageError, match=r"learnt from inputs with a margin of 1, those of this run have 1.2:"
    ):
        require_apart(plain, setup.material)
    assert live.settings_of(FaceNetwork.of(model), Rules())["network"] == {"margin": 1.2, "points": 0}


def test_a_file_without_a_margin_refuses_samples_that_have_one(model, tmp_path, wide):
    from mlbench.export.notes import Notes, with_notes

    plain = tmp_path / "plain.tflite"
    plain.write_bytes(with_notes(model.read_bytes(), Notes()))
    with pytest.raises(UsageError, match=r"is for a margin of 1 .*the samples have 1.2:"):
        require_fitting(plain, _TASK, samples_of(wide))


def test_a_file_is_measured_on_samples_and_frames_that_are_cut_as_it_asks(model, tmp_path):
    measuring = Measuring(min_count=1, min_seconds=0, pipeline=False, gallery=False)
    record = measure_files([model], _TASK, (), measuring, tmp_path, (), Silent()).record
    assert record.encodings[IMAGE].margin == 1.2
    assert record.measurements[0].failure is None
    for margin in (1.0, 1.2):
        tests = {"test": _TASK.sample_cut({IMAGE: margin}, 2, 7)}
        made = _pipeline(SimpleNamespace(pipeline=_TASK.pipeline), tests, measuring)
        assert made.margin == margin


def test_a_photograph_is_cropped_as_the_file_asks(model):
    grey = np.random.default_rng(7).integers(0, 256, (300, 300), np.uint8)
    network, box = FaceNetwork.of(model), Box(100, 100, 100, 100)
    assert network.margin == 1.2
    found = network.look(grey, box)
    as_cut = replace(network, notes=replace(network.notes, margins={})).look(grey, box.scaled(1.2))
    np.testing.assert_allclose(found.points, as_cut.points)
    assert found.presence is None
    assert found.shown


@pytest.mark.parametrize("box", [(30, 20, 60, 60), (0, 0, 50, 50), (140, 60, 60, 60), (10, 41, 81, 81)])
@pytest.mark.parametrize("margin", [1.0, 1.2, 0.75, 3.0])
def test_the_pipeline_that_is_measured_cuts_as_crops_are_cut(box, margin):
    frame = np.random.default_rng(7).integers(0, 256, (120, 200), np.uint8)
    worker = SimpleNamespace(_pipeline={"margin": margin}, _cv2=cv2)
    cut = Worker._cut(worker, frame, Box(*box))
    assert cut.shape == (round(box[2] * margin),) * 2
    if cut.shape[0] < CROP:  # enlarged, as the worker always resizes
        resized = cv2.resize(cut, (CROP, CROP), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(resized, crop(frame, Box(*box), margin)[0])


def test_the_command_samples_with_a_margin(tmp_path, command_line):
    out = tmp_path / "faces.npz"
    assert command_line("faces", "sample", "--count", 2, "--margin", 1.2, "--out", out)[0] == 0
    assert isinstance(read_npz(out), Faces)
    assert read_npz(out).margin == 1.2
    code, _, told = command_line("faces", "sample", "--count", 2, "--margin", 3, "--out", tmp_path / "no.npz")
    assert code == 2
    assert "cannot be sampled with a margin of 3" in told
    assert not (tmp_path / "no.npz").exists()
