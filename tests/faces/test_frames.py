from pathlib import Path

import cv2
import numpy as np
import pytest

from mlbench.errors import UsageError
from mlbench.faces.appearance import AppearanceModel
from mlbench.faces.frames import EMPTY_EVERY, FRAME_SIZE, Frames, compose_frames, face_frames


@pytest.fixture(scope="module")
def frames() -> Frames:
    return compose_frames(30, seed=7)


def test_frames_are_the_cameras(frames: Frames) -> None:
    assert frames.images.dtype == np.uint8
    assert frames.images.shape == (30, *FRAME_SIZE) == (30, 480, 864)


def test_each_fifth_shows_no_face(frames: Frames) -> None:
    assert frames.boxes is not None
    assert [box is None for box in frames.boxes] == [(i + 1) % EMPTY_EVERY == 0 for i in range(30)]


def test_boxes_lie_within_the_frame_and_vary_in_size(frames: Frames) -> None:
    assert frames.boxes is not None
    boxes = np.array([box for box in frames.boxes if box])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 0] + boxes[:, 2] <= 864).all()
    assert (boxes[:, 1] + boxes[:, 3] <= 480).all()
    assert boxes[:, 2].max() > 1.5 * boxes[:, 2].min()


def test_the_same_seed_gives_the_same_frames(frames: Frames) -> None:
    again, other = compose_frames(3, seed=7), compose_frames(3, seed=8)
    np.testing.assert_array_equal(again.images, frames.images[:3])
    assert again.boxes == frames.boxes[:3]  # type: ignore[index]
    assert not np.array_equal(other.images, again.images)


def test_the_face_stands_in_its_box() -> None:
    faces = AppearanceModel.load().sample(4)
    frames = face_frames(4, faces=faces)
    assert frames.boxes is not None
    for image, box, crop in zip(frames.images, frames.boxes, faces.images, strict=True):
        x, y, side, _ = box
        seen = cv2.resize(image[y : y + side, x : x + side], (96, 96), interpolation=cv2.INTER_AREA)
        middle = np.s_[24:72, 24:72]
        assert np.corrcoef(seen[middle].ravel(), crop[middle].ravel())[0, 1] > 0.85


def test_the_haar_cascade_finds_most_faces(frames: Frames) -> None:
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    found = [len(cascade.detectMultiScale(image, 1.3, 5)) > 0 for image in frames.images]
    shown = [box is not None for box in frames.boxes or ()]
    assert np.mean([f for f, s in zip(found, shown, strict=True) if s]) > 0.6
    assert np.mean([f for f, s in zip(found, shown, strict=True) if not s]) < 0.4


def test_photographs_are_fitted_into_frames(tmp_path: Path) -> None:
    for number, (shape, grey) in enumerate([((300, 200), 250), ((100, 900), 5)]):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full(shape, grey, np.uint8))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    frames = compose_frames(10, photos=tmp_path)
    assert frames.boxes is None
    tall, wide = frames.images[0] == 250, frames.images[1] == 5
    assert tall[:, 300:560].all()
    assert wide[200:280].all()
    np.testing.assert_array_equal(frames.images[2] == 250, tall)
    np.testing.assert_array_equal(frames.images, compose_frames(10, photos=tmp_path).images)


def test_a_folder_without_photographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no image that can be read"):
        compose_frames(3, photos=tmp_path)
    with pytest.raises(UsageError, match="no image that can be read"):
        compose_frames(3, photos=tmp_path / "absent")


def test_frames_too_small_for_a_face_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 96 px"):
        compose_frames(1, size=(50, 864))


def test_photographs_of_12_bits_are_not_black(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.linspace(0, 4095, 480 * 864).reshape(480, 864).astype(np.uint16))
    assert compose_frames(1, photos=tmp_path).images.max() > 200
