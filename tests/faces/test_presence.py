"""Presence: a second output that every step keeps, errors of landmarks that count faces alone, settings in the file."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mlbench import plugins
from mlbench.compression.chain import Chain
from mlbench.compression.delivery import export
from mlbench.compression.stages import ChainSetup, compress
from mlbench.contracts import ExportOptions, Precision
from mlbench.data.split import split
from mlbench.evaluation.metrics import figures, scores_of
from mlbench.export.artifacts import answers, described
from mlbench.export.convert import allowed_error
from mlbench.export.notes import Notes, notes_of, with_notes
from mlbench.export.written import file_of, written
from mlbench.faces.dataset import CROP
from mlbench.faces.landmarks import IMAGE, POINTS, Landmarks, samples_of
from mlbench.faces.presence import PRESENCE, THRESHOLD, Presence, platt, reliability, with_non_faces
from mlbench.networks import building, storage
from mlbench.networks.ports import predict
from mlbench.records import Scores
from mlbench.system.progress import Silent
from mlbench.testing.trials import Trial
from mlbench.training.baselines import Material, train_baseline
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.conftest import TINY

_TASK = Presence()

#: With convolutions of which there is something to save.
_WIDER = replace(TINY, blocks=(TINY.blocks[0], replace(TINY.blocks[1], filters=16), TINY.blocks[2]))


@pytest.fixture(scope="module")
def samples(sampled_faces):
    return with_non_faces(sampled_faces.take(slice(0, 60)))


def _built(seed):
    return building.build(_WIDER, _TASK, _TASK.sample(2, 7), seed)


def test_the_papers_networks_have_no_more_than_the_papers_layers(samples):
    faces = samples_of(_faces(samples))
    networks = [
        building.build(TINY, task, given, 7) for task, given in ((Landmarks(), faces), (_TASK, samples))
    ]
    assert [network.output_names for network in networks] == [["dense3"], [POINTS, PRESENCE]]
    alone, both = (network.count_params() for network in networks)
    assert alone == TINY.parameters
    assert both == alone + TINY.dense[-1] + 1
    for ours, theirs in zip(networks[0].get_weights(), networks[1].get_weights(), strict=False):
        np.testing.assert_array_equal(ours, theirs)


def _faces(samples):
    from mlbench.faces.dataset import Faces

    shown = samples.targets[PRESENCE] == 1
    return Faces(samples.inputs[IMAGE][shown], samples.targets[POINTS][shown], samples.ids[shown])


def test_faces_stay_as_they_are_and_each_crop_without_one_belongs_to_the_face_before_it(
    samples, sampled_faces
):
    given, shown = samples_of(sampled_faces.take(slice(0, 60))), samples.targets[PRESENCE] == 1
    assert shown.tolist() == [True, False] * 60
    assert samples.take(shown).keys.tolist() == given.keys.tolist()
    assert samples.groups[~shown].tolist() == given.groups.tolist()
    assert len(set(samples.keys.tolist())) == len(samples)
    found = split(samples, "shuffled", 7)
    assert not set(samples.groups[found.test]) & set(samples.groups[np.r_[found.train, found.validation]])


def test_equal_faces_give_equal_crops(samples, sampled_faces):
    again = with_non_faces(sampled_faces.take(slice(0, 60)))
    assert again.fingerprint == samples.fingerprint


def _answers(samples, off, odds, settings=None):
    outputs = {
        POINTS: samples.targets[POINTS].reshape(len(samples), -1) + off[:, None],
        PRESENCE: np.asarray(odds, np.float32)[:, None],
    }
    return _TASK.settled(outputs, settings or {})


def test_errors_of_landmarks_count_faces_and_shares_count_their_own_kind(samples):
    shown = samples.targets[PRESENCE] == 1
    odds = np.where(shown, 3.0, -3.0)
    odds[np.flatnonzero(shown)[:4]] = -1  # 4 of 60 faces lost
    odds[np.flatnonzero(~shown)[:3]] = 1  # 3 of 60 others let through
    found = _answers(samples, np.where(shown, 0.5, 40), odds)
    scores = scores_of(_TASK, ("a", "host", "test"), found, samples.targets, 7)
    told = {name: figure.value for name, figure in scores.metrics.items()}
    assert told["mae"] == pytest.approx(0.5, rel=1e-4)
    assert told["faces_lost"] == pytest.approx(4 / 60)
    assert told["refused"] == pytest.approx(57 / 60)
    assert all(figure.low <= figure.value <= figure.high for figure in scores.metrics.values())
    assert [value is None for value in scores.per_sample] == (~shown).tolist()
    assert Scores.model_validate_json(scores.model_dump_json()) == scores
    assert figures(_TASK, found, samples.targets)["mae"] == told["mae"]
    own = Landmarks().details({POINTS: found[POINTS][shown]}, {POINTS: samples.targets[POINTS][shown]})
    assert scores.details["by_landmark_px"] == tuple(own["by_landmark_px"])


@pytest.mark.parametrize("name", Landmarks.losses)
def test_the_loss_of_landmarks_is_that_of_the_faces_alone(samples, name):
    import tensorflow as tf

    rng, shown = np.random.default_rng(7), samples.targets[PRESENCE] == 1
    wanted = {key: tf.constant(v) for key, v in _TASK.wanted(samples.targets, _TASK.outputs(samples)).items()}
    points = tf.Variable(wanted[POINTS] + rng.normal(0, 2, wanted[POINTS].shape))
    odds = tf.zeros((len(samples), 1))
    with tf.GradientTape() as tape:
        loss = _TASK.loss(name, None)({POINTS: points, PRESENCE: odds}, wanted)
    alone = Landmarks().loss(name, None)({POINTS: points[shown]}, {POINTS: wanted[POINTS][shown]})
    assert float(loss) == pytest.approx(float(alone) + 3 * np.log(2), rel=1e-5)
    slope = tape.gradient(loss, points).numpy()
    assert np.abs(slope[shown]).max() > 0
    assert np.abs(slope[~shown]).max() == 0
    none = {key: values[~shown] for key, values in wanted.items()}
    assert np.isfinite(float(_TASK.loss(name, None)({POINTS: points[~shown], PRESENCE: odds[~shown]}, none)))


@pytest.mark.parametrize("name", plugins.names("compressors"))
def test_every_compressor_keeps_both_outputs(name):
    trial = Trial(plugins.load("compressors", name), _built)
    assert trial.shipped is not None, trial.outcome
    found = {output: (distance, allowed) for output, distance, allowed in trial.distances()}
    assert set(found) == {POINTS, PRESENCE}
    for output, (distance, allowed) in found.items():
        assert distance <= allowed, output


@pytest.mark.parametrize("name", plugins.names("precisions"))
def test_every_precision_keeps_both_outputs(tmp_path, name, samples):
    network, options = _built(7), ExportOptions(precision=name)
    storage.save(network, tmp_path)
    written(tmp_path, options, samples)
    precision: Precision = plugins.load("precisions", name)()
    found = answers(file_of(tmp_path, options), samples)
    for output, expected in predict(network, samples).items():
        assert np.abs(found[output] - expected).mean() <= allowed_error(precision, expected), output


def test_platts_scaling_finds_how_far_odds_are_from_chances():
    rng = np.random.default_rng(7)
    true = rng.normal(0, 2, 20_000)
    shown = rng.random(20_000) < 1 / (1 + np.exp(-true))
    slope, offset = platt(true / 3 + 1, shown)  # 3 (x - 1) would be right
    assert (slope, offset) == pytest.approx((3, -3), rel=0.05)
    assert all(np.isfinite(platt(np.where(shown, 50.0, -50.0), shown)))


def test_chances_that_are_right_have_no_calibration_error_and_wrong_ones_have_theirs():
    chances, shown = np.repeat([0.25, 0.75], 400), np.arange(800) % 4 < np.repeat([1, 3], 400)
    found = reliability(chances, shown)
    assert found["reliability_share"].tolist() == [0.25, 0.75]
    assert found["reliability_samples"].tolist() == [400, 400]
    assert found["calibration_error"] == pytest.approx([0])
    assert reliability(np.full(800, 0.9), shown)["calibration_error"] == pytest.approx([0.4])


def test_settings_lose_few_faces_of_validation_and_samples_of_one_kind_choose_none(samples):
    shown, rng = samples.targets[PRESENCE] == 1, np.random.default_rng(7)
    odds = np.where(shown, 2.0, -2.0) + rng.normal(0, 1, len(samples))
    outputs = {POINTS: np.zeros((len(samples), 136)), PRESENCE: odds[:, None]}
    settings = _TASK.settings(outputs, samples.targets)
    assert set(settings) == {"presence_slope", "presence_offset", "presence_threshold"}
    found = _TASK.settled(outputs, settings)
    assert (found[PRESENCE][shown] < found[THRESHOLD][shown]).sum() == 0  # 1 of 60 would be over LOST
    assert (found[PRESENCE][~shown] < found[THRESHOLD][~shown]).mean() > 0.5
    assert (
        _TASK.settings({key: v[shown] for key, v in outputs.items()}, {PRESENCE: np.ones(shown.sum())}) == {}
    )


def test_where_faces_and_others_are_far_apart_the_threshold_lies_half_way(samples):
    shown = samples.targets[PRESENCE] == 1
    outputs = {
        POINTS: np.zeros((len(samples), 136)),
        PRESENCE: np.where(shown, 8.0, -1.0)[:, None],
    }
    settings = _TASK.settings(outputs, samples.targets)
    told = _TASK.settled({POINTS: np.zeros((2, 136)), PRESENCE: np.array([[3.4], [3.6]])}, settings)
    assert (told[PRESENCE] >= told[THRESHOLD]).tolist() == [False, True]


@pytest.fixture(scope="module")
def setup(samples, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield ChainSetup(Material(_TASK, samples, split(samples, "shuffled", 7)), TuningOptions(), Silent())


def test_a_file_holds_the_settings_that_validation_chose(setup, tmp_path):
    training = TrainingOptions(epochs=1, batch=30, threads=1)
    baseline = train_baseline(TINY, setup.material, training, Silent())
    artifact = export(compress(baseline, Chain(()), setup), "tiny", "none", setup, tmp_path)
    path = tmp_path / artifact.path
    validation = setup.material.validation
    chosen = _TASK.settings(answers(path, validation), validation.targets)
    assert artifact.settings == chosen
    assert chosen["presence_slope"] != 1
    assert notes_of(path) == Notes(chosen)
    again = described(path)
    assert (again.settings, again.sha256, again.file_bytes) == (
        chosen,
        artifact.sha256,
        artifact.file_bytes,
    )


def test_the_notes_of_a_file_are_read_as_they_were_written_and_go_again(tmp_path):
    network, path = _built(7), tmp_path / "file.tflite"
    storage.save(network, tmp_path)
    written(tmp_path, ExportOptions(), _TASK.sample(4, 7))
    plain = file_of(tmp_path, ExportOptions()).read_bytes()
    assert with_notes(plain, Notes()) == plain
    notes = Notes({"threshold": 0.25}, {IMAGE: 1.2})
    path.write_bytes(with_notes(with_notes(plain, Notes({"other": 1.0})), notes))
    assert notes_of(path) == notes
    assert b"other" not in path.read_bytes()
    path.write_bytes(with_notes(path.read_bytes(), Notes()))
    assert notes_of(path) == Notes()
    assert json.loads(notes.text()) == {"settings": {"threshold": 0.25}, "margins": {IMAGE: 1.2}}


def test_what_shows_no_face_is_shown_without_points(samples):
    row = int(np.flatnonzero(samples.targets[PRESENCE] == 0)[0])
    assert not _TASK.picture(samples, row).points
    assert _TASK.picture(samples, row - 1).points
    found = _answers(samples, np.zeros(len(samples)), np.where(samples.targets[PRESENCE] == 1, 5, -5))
    assert _TASK.picture_of_answer(found, row).points == ()
    assert "no face" in _TASK.picture_of_answer(found, row).text
    assert len(_TASK.picture_of_answer(found, row - 1).points) == 68
    assert samples.inputs[IMAGE].shape[1:] == (CROP, CROP)
