"""A photograph in, 68 points out, in the photograph's own pixels."""

import json

import cv2
import numpy as np
import pytest

from mlbench.contracts import ExportOptions
from mlbench.errors import UsageError
from mlbench.export.notes import Notes, with_notes
from mlbench.export.written import file_of, written
from mlbench.faces.landmarks import Landmarks
from mlbench.faces.prediction import predict_photograph
from mlbench.faces.presence import PRESENCE, Presence
from mlbench.networks import building, storage
from tests.conftest import TINY


@pytest.fixture(scope="module")
def model(tmp_path_factory, sampled):
    """A network that answers every crop with the mean face."""
    folder = tmp_path_factory.mktemp("model")
    network = building.build(TINY, Landmarks(), sampled, 7)
    building.start_from_prior(network, Landmarks().prior(sampled))
    last = network.layers[-1]
    last.kernel.assign(np.zeros(last.kernel.shape))
    storage.save(network, folder)
    written(folder, ExportOptions(), sampled.take(slice(0, 64)))
    return file_of(folder, ExportOptions())


@pytest.fixture(scope="module")
def doubting(tmp_path_factory):
    """A network that answers every crop with the mean face, and even odds that it shows one."""
    folder, task = tmp_path_factory.mktemp("model"), Presence()
    samples = task.sample(8, 7)
    network = building.build(TINY, task, samples, 7)
    building.start_from_prior(network, {**task.prior(samples), PRESENCE: np.zeros(1, np.float32)})
    for name in network.output_names:
        kernel = network.get_layer(name).kernel
        kernel.assign(np.zeros(kernel.shape))
    storage.save(network, folder)
    written(folder, ExportOptions(), samples)
    return file_of(folder, ExportOptions())


@pytest.mark.parametrize(("threshold", "offset"), [(0.4, 0.0), (0.6, 3.0)])
def test_a_face_that_the_network_takes_for_one_has_its_chance(
    doubting, photograph, tmp_path, command_line, threshold, offset
):
    settings = {"presence_threshold": threshold, "presence_offset": offset}
    model, out = tmp_path / "model.tflite", tmp_path / "points.png"
    model.write_bytes(with_notes(doubting.read_bytes(), Notes(settings)))
    code, printed, _ = command_line("predict", photograph[0], "--model", model, "--out", out, "--json")
    assert code == 0
    assert json.loads(printed)["presence"] == pytest.approx(1 / (1 + np.exp(-offset)), abs=1e-4)


def test_a_face_that_the_network_refuses_is_one_sentence(doubting, photograph, tmp_path):
    model = tmp_path / "model.tflite"
    model.write_bytes(with_notes(doubting.read_bytes(), Notes({"presence_threshold": 0.6})))
    with pytest.raises(UsageError, match=r"shows no face .*that it finds are none, says model.tflite"):
        predict_photograph(photograph[0], model)


def test_notes_that_are_no_numbers_are_one_sentence(doubting, photograph, tmp_path):
    model = tmp_path / "model.tflite"
    noted = with_notes(doubting.read_bytes(), Notes({"presence_threshold": 0.25}))
    model.write_bytes(noted.replace(b"0.25", b"true"))
    with pytest.raises(UsageError, match="has notes of mlbench that cannot be read") as told:
        predict_photograph(photograph[0], model)
    assert "\n" not in str(told.value)


def test_the_points_lie_in_the_face_of_the_photograph(model, photograph):
    path, box = photograph
    found = predict_photograph(path, model)
    left, top, width, height = box
    x, y = found.points.mean(axis=0)
    assert left < x < left + width
    assert top < y < top + height
    assert found.points.shape == (68, 2)


def test_the_command_draws_the_points_and_prints_them(model, photograph, tmp_path, command_line):
    path, _ = photograph
    out = tmp_path / "points.png"
    code, printed, _ = command_line("predict", path, "--model", model, "--out", out, "--json")
    assert code == 0
    told = json.loads(printed)
    picture = cv2.imread(str(out))
    assert picture.shape == (480, 864, 3)
    x, y = (round(value) for value in told["points"][30])
    assert picture[y, x, 1] > picture[y, x, 0]  # a green point at the tip of the nose


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n"])
def test_a_bad_photograph_is_one_sentence(model, tmp_path, content):
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="cannot be used"):
        predict_photograph(path, model)


def test_a_photograph_without_a_face_is_one_sentence(model, tmp_path):
    path = tmp_path / "wall.png"
    cv2.imwrite(str(path), np.full((200, 200), 128, np.uint8))
    with pytest.raises(UsageError, match="shows no face"):
        predict_photograph(path, model)
