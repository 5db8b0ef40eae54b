"""Variations: a real face bent to another shape, with another expression, covered, and photographed anew.

The pixels are the face's own, moved by a thin-plate spline, so that skin, hair and irises stay sharp where samples of
the appearance model are smooth. The landmarks are the preimages of the face's under the very map that moves the
pixels. Only what was never there is drawn: the inside of an opened mouth, glasses, hair, hands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlbench.data.split import Split
from mlbench.errors import UsageError
from mlbench.faces import capture
from mlbench.faces.appearance import MARGIN, RING, AppearanceModel, face_outline, soft_mask
from mlbench.faces.covering import covered
from mlbench.faces.dataset import CROP, LANDMARKS, Faces, eye_distances, joined
from mlbench.faces.rotation import rotated
from mlbench.faces.thin_plate import ThinPlate, pulled, settled

Floats = npt.NDArray[np.float64]
Picture = npt.NDArray[np.float32]

_LEAST_DETERMINANT = 0.15  # of the warp's Jacobian at a landmark: below, pixels are squeezed out of sight
_LIP_GAP = 0.5  # px: labels of a closed mouth meet or cross, which no warp can follow
_INNER_LIPS = slice(60, 68)
_UPPER_INNER, _LOWER_INNER = np.array([61, 62, 63]), np.array([67, 66, 65])
_UPPER_LIDS, _LOWER_LIDS = np.array([37, 38, 43, 44]), np.array([41, 40, 47, 46])
_OPEN_FROM = (
    0.06  # eye distances between inner lips: from here the inside of a mouth that was closed is drawn
)
_OTHER_BACKGROUND = 0.25
_MOST = {"shape": 3, "turn": 3, "expression": 1, "cover": 1, "light": 1, "rotation": 30}  # of each strength


def extended(
    faces: Faces, parts: Split, count: int, seed: int, variation: Variation | None = None, alone: bool = False
) -> Faces:
    """Faces, and behind them `count` variations of those to train on; all with the arrays `person` and `split`.

    Alone: without the faces to train on themselves.
    """
    part = np.full(len(faces), "train", "<U10")
    part[parts.validation], part[parts.test] = "validation", "test"
    given = Faces(faces.images, faces.points, faces.names, {"person": faces.persons, "split": part})
    varied = (variation or Variation()).apply(faces.take(parts.train), count, seed)
    varied.extra["split"] = np.full(count, "train")
    return joined([given.take(part != "train") if alone else given, varied])


@dataclass(frozen=True)
class Variation:
    """How far each change goes; zero switches it off.

    Attributes:
        shape: standard deviations of the appearance model's shape modes that a face is moved by.
        turn: the same for the first mode, the turn of the head.
        expression: chance of another mouth, of other eyes and of other brows, each.
        cover: chance of glasses, hair or a hand.
        light: chance of another light, background, exposure and camera.
        rotation: standard deviation of the angle that the head is turned by as a 3-D shape, degrees; half as far up
            and down.
    """

    shape: float = 0.7
    turn: float = 0.7
    expression: float = 0.4
    cover: float = 0.25
    light: float = 0.7
    rotation: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is out of range.

        Raises:
            UsageError: a strength is negative, no number, or too large for a warp of a face.
        """
        for name, most in _MOST.items():
            value = getattr(self, name)
            if not 0 <= value <= most:
                message = f"Faces cannot be varied with {name} {value:g}: give a number from 0 to {most:g}."
                raise UsageError(message)

    def apply(self, faces: Faces, count: int, seed: int, model: AppearanceModel | None = None) -> Faces:
        """Variations of faces, each face as often as the others; number i of a seed depends on these alone.

        Returns:
            `count` faces, each of the `person` whose face it is a variation of.
        """
        model = model or AppearanceModel.load()
        images = np.empty((count, CROP, CROP), np.uint8)
        points = np.empty((count, LANDMARKS, 2), np.float32)
        for row in range(count):
            rng, source = np.random.default_rng((seed, row)), row % len(faces)
            images[row], points[row] = self._vary(faces.images[source], faces.points[source], model, rng)
        names = np.array([f"varied_{number:06d}" for number in range(1, count + 1)]).astype(np.str_)
        return Faces(images, points, names, {"person": faces.persons[np.arange(count) % len(faces)]})

    def _vary(
        self,
        image: npt.NDArray[np.uint8],
        points: npt.NDArray[np.float32],
        model: AppearanceModel,
        rng: np.random.Generator,
    ) -> tuple[npt.NDArray[np.uint8], Floats]:
        known = _with_parted_lips(points.astype(np.float64))
        moves = self._moves(known, model, rng)
        picture, moved = _warped(image, known, moves)
        picture = _with_inside_of_mouth(picture, moved, known, rng)
        if rng.random() < self.cover:
            picture = covered(picture, moved, rng)
        if rng.random() < self.light:
            picture = capture.lit(picture, rng)
            if rng.random() < _OTHER_BACKGROUND:
                mask = soft_mask(face_outline(moved.astype(np.float32)), 1.5)
                inner = slice(MARGIN, MARGIN + CROP)
                picture = capture.before_background(picture, mask[inner, inner], rng)
            return capture.taken(capture.exposed(picture, rng), rng), moved
        return np.clip(np.rint(picture), 0, 255).astype(np.uint8), moved

    def _moves(self, points: Floats, model: AppearanceModel, rng: np.random.Generator) -> Floats:
        """What is added to the landmarks, px, [68,2]."""
        widths = np.full(len(model.shape_modes), self.shape)
        widths[0] = self.turn
        scores = np.clip(rng.standard_normal(len(widths)), -2, 2) * widths
        moves = np.einsum("k,kij->ij", scores, model.shape_modes)
        for change in (_mouth, _eyes, _brows):
            if rng.random() < self.expression:
                moves += change(points + moves, rng)
        if self.rotation:
            yaw, nod = np.radians(self.rotation) * np.clip(rng.standard_normal(2), -2, 2) * (1, 0.5)
            moves += rotated(points + moves, model.mean_shape, yaw, nod) - (points + moves)
        return np.asarray(moves, np.float64)


def _with_parted_lips(points: Floats) -> Floats:
    parted = points.copy()
    upper, lower = points[_UPPER_INNER, 1], points[_LOWER_INNER, 1]
    centre, half = (upper + lower) / 2, np.maximum(lower - upper, _LIP_GAP) / 2
    parted[_UPPER_INNER, 1], parted[_LOWER_INNER, 1] = centre - half, centre + half
    return parted


def _warped(image: npt.NDArray[np.uint8], known: Floats, moves: Floats) -> tuple[Picture, Floats]:
    """The picture with its landmarks moved, and where they came to lie; less far where the warp would fold."""
    targets = np.vstack([known, RING])
    for share in (1.0, 0.7, 0.4, 0.0):
        placed = np.vstack([known + share * moves, RING])
        warp = ThinPlate.through(placed, targets)
        points, least = warp.preimages(known, placed[:LANDMARKS])
        if least > _LEAST_DETERMINANT:
            break
    where = warp.dense(CROP)
    return pulled(image, where), settled(points, where, known)


def _mouth(points: Floats, rng: np.random.Generator) -> Floats:
    """Open it, and the jaw with it, or close it; corners up or down, in or out."""
    moves, size = np.zeros_like(points), _size(points)
    gap = (points[_LOWER_INNER, 1] - points[_UPPER_INNER, 1]).mean()
    opening = rng.uniform(0.0, 0.3) * size if rng.random() < 0.7 else -rng.uniform(0.3, 0.9) * gap
    moves[[55, 56, 57, 58, 59], 1] = opening * np.array([0.7, 0.95, 1.0, 0.95, 0.7])
    moves[_LOWER_INNER, 1] = opening
    moves[4:13, 1] = opening * np.array([0.35, 0.6, 0.8, 0.9, 0.9, 0.9, 0.8, 0.6, 0.35])
    corners = np.array([48, 60, 54, 64])
    moves[corners, 1] = 0.3 * opening + 0.04 * size * rng.standard_normal()
    inwards = 0.15 * opening + 0.03 * size * rng.standard_normal()
    moves[corners, 0] = inwards * np.array([1, 1, -1, -1])
    return moves


def _eyes(points: Floats, rng: np.random.Generator) -> Floats:
    """Close them, or open them wider: the upper lids towards the lower ones."""
    share = rng.uniform(0.2, 0.85) if rng.random() < 0.6 else -rng.uniform(0.0, 0.4)
    moves = np.zeros_like(points)
    moves[_UPPER_LIDS] = share * (points[_LOWER_LIDS] - points[_UPPER_LIDS])
    return moves


def _brows(points: Floats, rng: np.random.Generator) -> Floats:
    """Raise, lower or knit them."""
    moves, size = np.zeros_like(points), _size(points)
    moves[17:27, 1] = 0.05 * size * rng.standard_normal()
    inner = np.array([20, 21, 22, 23])
    moves[inner, 1] += 0.03 * size * rng.standard_normal()
    moves[inner, 0] += 0.02 * size * abs(rng.standard_normal()) * np.array([1, 1, -1, -1])
    return moves


def _size(points: Floats) -> float:
    return float(eye_distances(points[None].astype(np.float32))[0])


def _with_inside_of_mouth(
    picture: Picture, points: Floats, before: Floats, rng: np.random.Generator
) -> Picture:
    """The inside of a mouth that was closed, and is open now: dark, with the upper teeth at times."""
    size = _size(points)
    opening = (points[_LOWER_INNER, 1] - points[_UPPER_INNER, 1]).mean() / size
    was = (before[_LOWER_INNER, 1] - before[_UPPER_INNER, 1]).mean() / size
    if opening < _OPEN_FROM or was > _OPEN_FROM / 2:
        return picture
    dark = np.full_like(picture, np.float32(rng.uniform(5, 60)))
    if rng.random() < 0.6:
        teeth = points[[60, 61, 62, 63, 64, 63, 62, 61]].copy()
        teeth[5:, 1] += rng.uniform(0.2, 0.6) * opening * size
        dark = blended(dark, teeth, rng.uniform(130, 220), 0.7)
    inside = polygon(points[_INNER_LIPS], 0.7)
    return np.asarray(picture + inside * (dark - picture), np.float32)


def polygon(outline: Floats, softness: float) -> Picture:
    """1 within an outline, px, 0 without, softened by a Gaussian, px; [CROP,CROP]."""
    return soft_mask(outline, softness)[MARGIN : MARGIN + CROP, MARGIN : MARGIN + CROP]


def blended(picture: Picture, outline: Floats, grey: float, softness: float) -> Picture:
    """A picture with the inside of an outline in one grey."""
    mask = polygon(outline, softness)
    return np.asarray(picture + mask * (np.float32(grey) - picture), np.float32)
