import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench.errors import UsageError
from mlbench.faces.detection import Box, HaarDetector, affine_to_crop, cascade_path, crop, map_points
from tests.faces.drawn_faces import draw_face

boxes = st.builds(Box, st.integers(-50, 150), st.integers(-50, 150), st.integers(8, 300), st.integers(8, 300))


def test_importing_it_needs_neither_dlib_nor_tensorflow():
    code = "import sys, mlbench.faces.detection; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"dlib", "tensorflow", "tf_keras", "PIL", "pydantic"} & set(loaded)


def test_the_cascade_is_opencvs():
    assert cascade_path().is_file()


def test_an_opencv_without_cascades_is_named(monkeypatch):
    monkeypatch.setattr(cv2.data, "haarcascades", "/nowhere/")
    with pytest.raises(UsageError, match=r"install 'opencv-python-headless>=4.10,<5'"):
        cascade_path()


def test_the_largest_face_comes_first():
    scene = np.full((420, 700), 90, np.uint8)
    scene[10:210, 10:210] = draw_face(200)
    scene[10:410, 250:650] = draw_face(400, 1)
    detector = HaarDetector(scale_factor=1.1)
    found = detector.detect(scene)
    assert len(found) == 2
    assert found[0].area > found[1].area
    assert detector.largest(scene) == found[0]
    x, y = found[0].left + found[0].width / 2, found[0].top + found[0].height / 2
    assert abs(x - 450) < 40
    assert abs(y - 220) < 60


def test_no_face_is_none():
    assert HaarDetector().largest(np.full((200, 200), 90, np.uint8)) is None


def test_smaller_faces_than_asked_are_not_found():
    assert HaarDetector(1.1).largest(draw_face(200)) is not None
    assert HaarDetector(1.1, min_size=190).largest(draw_face(200)) is None


def test_the_exact_box_without_resizing_is_the_image():
    grey = np.random.default_rng(0).integers(0, 256, (200, 300), dtype=np.uint8)
    image, affine = crop(grey, Box(40, 30, 96, 96))
    assert image.tolist() == grey[30:126, 40:136].tolist()
    assert affine.tolist() == [[1, 0, -40], [0, 1, -30]]


def test_outside_the_image_its_border_is_repeated():
    grey = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    image, _ = crop(grey, Box(-20, -30, 96, 96))
    padded = cv2.copyMakeBorder(grey, 30, 6, 20, 16, cv2.BORDER_REPLICATE)
    assert image.tolist() == padded.tolist()


@pytest.mark.parametrize(
    "box", [Box(60, 0, 10, 10), Box(0, 60, 10, 10), Box(-10, 0, 10, 10), Box(0, -10, 10, 10)]
)
def test_a_box_beside_the_image_is_an_error(box):
    with pytest.raises(ValueError, match="outside the image of 60×60"):
        crop(np.zeros((60, 60), np.uint8), box)


@settings(max_examples=200, deadline=None)
@given(boxes, st.floats(0.5, 3))
def test_points_go_to_the_crop_and_back(box, margin):
    wide = box.scaled(margin)
    affine = affine_to_crop(wide)
    first = np.array([wide.left, wide.top]) - 0.5
    corners = np.stack([first, first + np.array([wide.width, wide.height])])
    assert np.allclose(map_points(corners, affine), [[-0.5, -0.5], [95.5, 95.5]], atol=1e-9)
    points = np.random.default_rng(0).uniform(-100, 300, (68, 2))
    assert np.allclose(
        map_points(map_points(points, affine), cv2.invertAffineTransform(affine)), points, atol=1e-9
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(-40, 60),
    st.integers(-40, 60),
    st.integers(60, 400),
    st.integers(60, 400),
    st.floats(0.8, 1.5),
)
def test_pixels_go_where_points_go(left, top, width, height, margin):
    """A ramp's value at a point of the image is the crop's value at the mapped point.

    To 1e-3 px where a crop is interpolated. Area averaging takes pixels for squares of one value, so that a
    ramp becomes a staircase: up to 0.086 px at sizes from 96 to 500, to both sides.
    """
    wide = Box(left, top, width, height).scaled(margin)
    tolerance = 0.09 if min(wide.width, wide.height) >= 96 else 1e-3
    ramp = np.arange(256, dtype=np.float32)  # 8-bit arithmetic would hide a tenth of a pixel
    for axis, grey in enumerate((np.tile(ramp, (256, 1)), np.tile(ramp[:, None], (1, 256)))):
        image, affine = crop(grey, Box(left, top, width, height), margin)
        inside = np.array([[x, y] for x in range(10, 86) for y in range(10, 86, 5)])
        source = map_points(inside, cv2.invertAffineTransform(affine))[:, axis]
        scale = 1 / affine[axis, axis]
        sure = (source > scale + 1) & (source < 254 - scale)  # away from the repeated border
        values = image[inside[:, 1], inside[:, 0]]
        assert np.abs(values - source)[sure].max(initial=0) < tolerance


def test_margin_keeps_the_centre():
    assert Box(10, 20, 100, 100).scaled(1.2) == Box(0, 10, 120, 120)
    assert Box(10, 20, 100, 100).scaled(1.0) == Box(10, 20, 100, 100)
