"""Crops that show no face, made of faces: what a detector also hands to the network.

Each is cut from a frame that is composed of one of the given faces (`mlbench.faces.frames`), so that it belongs to
that face and stays on its side of a split: a box beside the face, one far off it, one far around it, a part of it, what
is worn below it (a detector likes collars and ties), a false alarm of the detector, a pattern. Everything follows from
the seed and the face, so that no two faces have a crop in common.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from mlbench.boxes import Box
from mlbench.faces.dataset import CROP, Faces
from mlbench.faces.detection import HaarDetector, crop
from mlbench.faces.frames import face_frames

Image = npt.NDArray[np.uint8]

#: Raised when equal faces and seeds would give other crops.
VERSION = 2

#: Boxes that share less than this of what both cover are of different things.
OVERLAP = 0.25

_FRAME = (160, 240)  # height and width: small, since a crop is all that is taken
_LENIENT = HaarDetector(
    scale_factor=1.15, neighbours=0, min_size=36
)  # every hit, not those alone that others confirm
_TRIES = 20


def non_faces(faces: Faces, seed: int) -> Image:
    """A crop that shows no face for each of the faces, uint8 [n,96,96]."""
    made = np.empty((len(faces), CROP, CROP), np.uint8)
    for number in range(len(faces)):
        rng = np.random.default_rng((seed, zlib.crc32(faces.images[number].tobytes())))
        frames = face_frames(1, int(rng.integers(2**31)), faces.take(slice(number, number + 1)), _FRAME)
        assert frames.boxes is not None and frames.boxes[0] is not None  # noqa: S101 (the first has a face)
        made[number] = _KINDS[rng.integers(len(_KINDS))](frames.images[0], Box(*frames.boxes[0]), rng)
    return made


def overlap(one: Box, other: Box) -> float:
    """What two boxes share, as a share of both together."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    shared = max(0, width) * max(0, height)
    return shared / (one.area + other.area - shared)


def _beside(frame: Image, face: Box | None, rng: np.random.Generator) -> Image:
    """Anywhere, of any size, but not on the face."""
    for _ in range(_TRIES):
        side = round(_FRAME[0] * rng.uniform(0.15, 0.9))
        left, top = (round(rng.uniform(-0.2 * side, length - 0.8 * side)) for length in _FRAME[::-1])
        box = Box(left, top, side, side)
        if face is None or overlap(box, face) < OVERLAP:
            break
    return crop(frame, box)[0]


def _off(frame: Image, face: Box, rng: np.random.Generator) -> Image:
    """Half of the face and more cut off, or the face small in a corner."""
    angle, side = rng.uniform(0, 2 * np.pi), round(face.width * np.exp(rng.uniform(-0.5, 1.0)))
    direction = np.array([np.cos(angle), np.sin(angle)])
    # At a reach of 1 the two no longer meet.
    reach = rng.uniform(0.62, 0.9) * (side + face.width) / 2
    x, y = np.array([face.left, face.top]) + face.width / 2 + direction / np.abs(direction).max() * reach
    box = Box(round(x - side / 2), round(y - side / 2), side, side)
    inside = 0.3 * side < x < _FRAME[1] - 0.3 * side and 0.3 * side < y < _FRAME[0] - 0.3 * side
    return crop(frame, box)[0] if inside and overlap(box, face) < OVERLAP else _beside(frame, face, rng)


def _around(frame: Image, face: Box, rng: np.random.Generator) -> Image:
    """The face far too small: head and shoulders."""
    side = round(face.width * rng.uniform(2.1, 3.5))
    left, top = (
        low + round((face.width - side) * 0.5 + rng.uniform(-0.2, 0.2) * side)
        for low in (face.left, face.top)
    )
    return crop(_dressed(frame, face, rng), Box(left, top, side, side))[0]


def _part(frame: Image, face: Box, rng: np.random.Generator) -> Image:
    """An eye, the mouth, a cheek."""
    side = round(face.width * rng.uniform(0.2, 0.5))
    left, top = (round(rng.uniform(low, low + face.width - side)) for low in (face.left, face.top))
    return crop(frame, Box(left, top, side, side))[0]


def _below(frame: Image, face: Box, rng: np.random.Generator) -> Image:
    """A neck between collar and lapels, perhaps with a tie or a necklace; the chin may be seen."""
    cut = round(face.width * rng.uniform(0.5, 1.2))
    left = round(face.left + face.width / 2 - cut / 2 + rng.uniform(-0.2, 0.2) * face.width)
    top = round(face.top + face.height + rng.uniform(-0.15, 0.3) * face.height)
    return crop(_dressed(frame, face, rng), Box(left, top, cut, cut))[0]


def _dressed(frame: Image, face: Box, rng: np.random.Generator) -> Image:
    """A frame, longer by two faces, with clothes below its face."""
    side, bottom, middle = face.width, face.top + face.height, face.left + face.width // 2
    scene = cv2.copyMakeBorder(frame, 0, 2 * side, 0, 0, cv2.BORDER_REPLICATE)

    def polygon(corners: list[tuple[float, float]], grey: float) -> None:
        """Corners in sides of the face, from the middle of its chin."""
        places = np.array([(middle + x * side, bottom + y * side) for x, y in corners])
        cv2.fillPoly(scene, [np.rint(places * 16).astype(np.int32)], grey, cv2.LINE_AA, 4)

    skin, shirt, jacket, tie = rng.uniform(0, 255, 4)
    neck, width, deep = rng.uniform(0.25, 0.4), rng.uniform(0.06, 0.14), rng.uniform(0.5, 1.6)
    start = rng.uniform(-0.05, 0.15)
    polygon([(-neck, start - 0.05), (neck, start - 0.05), (neck, 0.5), (-neck, 0.5)], skin)
    polygon([(-1.4, 2), (-1.2, 0.5), (-neck, 0.15), (0, 0.45), (neck, 0.15), (1.2, 0.5), (1.4, 2)], shirt)
    if rng.random() < 0.7:
        polygon([(-width, 0.4), (width, 0.4), (1.6 * width, 1.6), (-1.6 * width, 1.6)], tie)
        for y in np.arange(0.45, 1.6, rng.uniform(0.06, 0.3)) if rng.random() < 0.6 else ():
            polygon(
                [(-width, y), (width, y + 0.1), (width, y + 0.13), (-width, y + 0.03)], rng.uniform(0, 255)
            )
    for turn in (-1, 1):
        polygon([(turn * x, y) for x, y in ((neck + 0.1, 0.15), (1.5, 0.5), (1.5, 2), (0.02, deep))], jacket)
    blurred = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.3, 1.5)) + rng.normal(
        0, rng.uniform(0, 6), scene.shape
    )
    return np.clip(np.rint(blurred), 0, 255).astype(np.uint8)


def _alarm(frame: Image, face: Box, rng: np.random.Generator) -> Image:
    """What the detector takes for a face in a frame of patterns, where it takes anything for one."""
    patterned = _patterns(frame, face, rng)
    found = _LENIENT.detect(patterned)
    return crop(patterned, found[rng.integers(len(found))])[0] if found else _beside(patterned, None, rng)


def _pattern(frame: Image, face: Box, rng: np.random.Generator) -> Image:
    """Any part of a frame of patterns."""
    return _beside(_patterns(frame, face, rng), None, rng)


def _patterns(frame: Image, face: Box, rng: np.random.Generator) -> Image:
    return (_mirrored, _patterned)[rng.integers(2)](frame, face, rng)


def _mirrored(frame: Image, face: Box, rng: np.random.Generator) -> Image:
    """A frame strewn with parts of its face, each turned, and beside its mirror image: what is alike on both sides.

    The face itself lies under the last and largest of them, upside down.
    """
    scene = frame.copy()
    whole = crop(frame, face)[0]
    for number in reversed(range(rng.integers(3, 9))):
        side = round(_FRAME[0] * rng.uniform(0.2, 0.6)) if number else face.width
        cut = round(CROP * rng.uniform(0.15, 0.6))
        left, top = rng.integers(0, CROP - cut, 2)
        part = np.rot90(whole[top : top + cut, left : left + cut], int(rng.integers(1, 4)))
        both = np.hstack([part, part[:, ::-1]])
        tile = cv2.resize(np.ascontiguousarray(both), (side, side), interpolation=cv2.INTER_LINEAR)
        x, y = (
            (int(rng.integers(0, length - side)) for length in _FRAME[::-1])
            if number
            else (face.left, face.top)
        )
        scene[y : y + side, x : x + side] = tile
    return scene


def _patterned(frame: Image, face: Box, rng: np.random.Generator) -> Image:
    """A frame without its face, under noise of several scales and many dark and light shapes."""
    scene: npt.NDArray[np.float32] = frame.astype(np.float32)
    scene[face.top : face.top + face.height, face.left : face.left + face.width] = rng.uniform(0, 255)
    for cells in (6, 20, 60):
        coarse = rng.standard_normal((cells, 3 * cells // 2), dtype=np.float32)
        noise = cv2.resize(coarse, _FRAME[::-1], interpolation=cv2.INTER_CUBIC)
        scene += np.asarray(np.float32(rng.uniform(0, 25)) * noise, np.float32)
    for _ in range(rng.integers(20, 80)):
        centre = int(rng.integers(_FRAME[1])), int(rng.integers(_FRAME[0]))
        axes = int(rng.integers(2, 40)), int(rng.integers(2, 25))
        thickness = cv2.FILLED if rng.random() < 0.6 else int(rng.integers(1, 5))
        grey, angle = float(rng.uniform(0, 255)), float(rng.uniform(0, 180))
        if rng.random() < 0.5:
            cv2.ellipse(scene, centre, axes, angle, 0, 360, grey, thickness, cv2.LINE_AA)
        else:
            corner = centre[0] + axes[0], centre[1] + axes[1]
            cv2.rectangle(scene, centre, corner, grey, thickness)
    blurred = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.5, 2))
    return np.clip(np.rint(blurred), 0, 255).astype(np.uint8)


_KINDS: tuple[Callable[[Image, Box, np.random.Generator], Image], ...] = (
    _beside,
    _off,
    _around,
    _part,
    _below,
    _alarm,
    _pattern,
)
