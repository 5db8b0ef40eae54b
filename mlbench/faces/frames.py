"""Camera frames to measure the whole pipeline on: grey, 864×480 as in the paper, most with one face.

Faces are sampled from the appearance model, or given; or real photographs are fitted into frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mlbench.data.decoding import BadImageError, read_grey
from mlbench.errors import UsageError
from mlbench.faces.appearance import AppearanceModel
from mlbench.faces.dataset import CROP, Faces
from mlbench.faces.thin_plate import pulled

#: Height and width of the paper's camera frame.
FRAME_SIZE = (480, 864)

#: Each frame of this number, counted from 1, shows no face: a phone does not always look at one.
EMPTY_EVERY = 5

_FACE_HEIGHT = (0.2, 0.6)  # of the frame's: a person at an arm's length to two metres
_OVAL = 1.06  # how far the face's blending ellipse reaches beyond its crop
_SOFT = 0.06  # of the crop: how gradually it ends

Image = npt.NDArray[np.uint8]
Picture = npt.NDArray[np.float32]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Frames:
    """Frames, and where their faces are.

    Attributes:
        images: uint8 [n,height,width], grey.
        boxes: for each frame (x, y, width, height) of its face, px, or None where it shows none;
            None for all where that is not known (photographs).
    """

    images: Image
    boxes: tuple[Box | None, ...] | None


def compose_frames(
    count: int, seed: int = 7, photos: Path | None = None, size: tuple[int, int] = FRAME_SIZE
) -> Frames:
    """Frames of the photographs in a folder where one is given, else of sampled faces.

    Raises:
        UsageError: as `photo_frames` and `face_frames`.
    """
    if photos is not None:
        return photo_frames(photos, count, seed, size)
    return face_frames(count, seed, None, size)


def face_frames(
    count: int, seed: int = 7, faces: Faces | None = None, size: tuple[int, int] = FRAME_SIZE
) -> Frames:
    """Frames with a face of varied size and place before a blurred room; each fifth has none.

    Args:
        count: how many.
        seed: the same seed gives the same frames; frame i depends on the seed and i alone.
        faces: taken in turn; sampled from the bundled appearance model where not given.
        size: height and width, px.

    Raises:
        UsageError: no faces are given, or the size is below a crop's.
    """
    if min(size) < CROP or (faces is not None and not len(faces)):
        message = (
            f"Frames of {size[1]}×{size[0]} cannot be composed: give at least {CROP} px a side, and a face."
        )
        raise UsageError(message)
    images = np.empty((count, *size), np.uint8)
    boxes: list[Box | None] = []
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        scene = room(size, rng)
        box = None
        if (number + 1) % EMPTY_EVERY:
            crop = _face(number, seed, faces)
            box = _place(size, rng)
            scene = with_person(scene, crop, box, rng)
        boxes.append(box)
        images[number] = _grain(scene, rng)
    return Frames(images, tuple(boxes))


def photo_frames(folder: Path, count: int, seed: int = 7, size: tuple[int, int] = FRAME_SIZE) -> Frames:
    """Photographs of a folder, by name and again from the start, fitted into frames; each fifth has none.

    Files that are no readable image are passed over; no more are read than frames need.

    Raises:
        UsageError: the folder holds no readable image.
    """
    readable = (photo for path in sorted(folder.glob("*")) if (photo := _read_grey(path)) is not None)
    photos = list(islice(readable, max(1, count)))
    if not photos:
        message = f"{folder} holds no image that can be read: give a folder of JPEG or PNG photographs."
        raise UsageError(message)
    images = np.empty((count, *size), np.uint8)
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        scene = room(size, rng)
        if (number + 1) % EMPTY_EVERY:
            _fit_into(scene, photos[(number - number // EMPTY_EVERY) % len(photos)])
        images[number] = np.clip(np.rint(scene), 0, 255)
    return Frames(images, None)


def _face(number: int, seed: int, faces: Faces | None) -> Image:
    if faces is None:
        faces = AppearanceModel.load().sample(1, seed=seed, start=number, purpose="frame")
    crop: Image = faces.images[number % len(faces)]
    return crop


def _place(size: tuple[int, int], rng: np.random.Generator) -> Box:
    height, width = size
    side = round(height * rng.uniform(*_FACE_HEIGHT))
    x, y = rng.uniform(0.1, 0.9) * (width - side), rng.uniform(0.15, 0.7) * (height - side)
    return round(x), round(y), side, side


def room(size: tuple[int, int], rng: np.random.Generator) -> Picture:
    """Light that falls off, a few flat shapes (doors, pictures, furniture), out of focus."""
    height, width = size
    scene = rng.uniform(60, 190) + 25 * _blotches(size, 3, rng) + 6 * _blotches(size, 24, rng)
    for _ in range(rng.integers(2, 9)):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        far = (x + int(rng.integers(20, width // 3)), y + int(rng.integers(20, height // 2)))
        cv2.rectangle(scene, (x, y), far, float(rng.uniform(20, 230)), cv2.FILLED)
    return np.asarray(cv2.GaussianBlur(scene, (0, 0), rng.uniform(1, 5)), np.float32)


def _blotches(size: tuple[int, int], cells: int, rng: np.random.Generator) -> Picture:
    coarse = rng.standard_normal((cells, 2 * cells), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def with_person(scene: Picture, crop: Image, box: Box, rng: np.random.Generator) -> Picture:
    """Shoulders and hair as soft flat shapes, and the face before them."""
    x, y, side, _ = box
    centre = (x + side // 2, y + side // 2)
    body = np.zeros(scene.shape, np.float32)
    cv2.ellipse(
        body, (centre[0], y + round(1.95 * side)), (side, round(1.05 * side)), 0, 0, 360, 1.0, cv2.FILLED
    )
    head = np.zeros(scene.shape, np.float32)
    above = (centre[0], y + round(0.38 * side))
    cv2.ellipse(head, above, (round(0.56 * side), round(0.68 * side)), 0, 0, 360, 1.0, cv2.FILLED)
    for shape in (body, head):
        soft = cv2.GaussianBlur(shape, (0, 0), 0.03 * side)
        scene = scene + soft * (np.float32(rng.uniform(10, 120)) - scene)
    return _with_face(scene, crop, box)


def _with_face(scene: Picture, crop: Image, box: Box) -> Picture:
    x, y, side, _ = box
    rows, columns = np.mgrid[: scene.shape[0], : scene.shape[1]].astype(np.float32)
    where = (np.stack([columns - x, rows - y], axis=-1) + 0.5) * (CROP / side) - 0.5
    radius = np.linalg.norm((where + 0.5) / (CROP / 2) - 1, axis=-1)
    share = np.clip((_OVAL - radius) / _SOFT, 0, 1)
    return np.asarray(scene + share * (pulled(crop, where.astype(np.float32)) - scene), np.float32)


def _grain(scene: Picture, rng: np.random.Generator) -> Image:
    grain = rng.standard_normal(scene.shape, dtype=np.float32) * np.float32(rng.uniform(0, 4))
    return np.clip(np.rint(scene + grain), 0, 255).astype(np.uint8)


def _read_grey(path: Path) -> Image | None:
    try:
        return read_grey(path) if path.is_file() else None
    except BadImageError:
        return None


def _fit_into(scene: Picture, photo: Image) -> None:
    """Put a photograph into the middle of a scene, in place, as large as fits."""
    share = min(scene.shape[0] / photo.shape[0], scene.shape[1] / photo.shape[1])
    height, width = (max(1, int(side * share)) for side in photo.shape)
    fitted = cv2.resize(
        photo, (width, height), interpolation=cv2.INTER_AREA if share < 1 else cv2.INTER_LINEAR
    )
    top, left = (scene.shape[0] - height) // 2, (scene.shape[1] - width) // 2
    scene[top : top + height, left : left + width] = fitted
