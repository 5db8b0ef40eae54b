"""The appearance model: a statistical model of faces that gives any number of labelled faces, from a seed.

Cootes, Edwards, Taylor 2001, "Active appearance models": principal components of the landmarks (shape) and of
grey levels in the frame of the mean shape (texture), with the correlations between them, pose and contrast.
A sample draws the parameters, warps the texture to the shape and takes a picture (`mlbench.faces.capture`).

The bundled model was fitted on portraits of members of the US Congress (docs/explanation/appearance.md).
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from mlbench.errors import UsageError
from mlbench.faces import capture
from mlbench.faces.dataset import CROP, LANDMARKS, Faces
from mlbench.faces.thin_plate import ThinPlate, pulled, settled
from mlbench.system.files import file_sha256, write_atomically

BUNDLED = Path(__file__).with_name("appearance.npz")

#: The texture's frame is the crop of the mean face with this margin, px, on each side.
MARGIN = 12
FRAME = CROP + 2 * MARGIN

_POSE = 4  # log scale, angle (radians), shift x, shift y (px)
_GREY = 2  # mean grey level of the face, log of its standard deviation
_LONGEST_DRAW = 2.2  # standard deviations, before the draws are mixed
_FURTHEST = 4.0  # and after
_BLOCK = 32  # textures computed at once
_EXACT = 2**24  # below it, float32 adds integers without rounding

# The least determinant of a sample's warp at a landmark: below, one cheek is squeezed out of sight.
_LEAST_DETERMINANT = 0.3

#: Margins that faces are sampled with: beyond, there is neither texture nor mesh.
SAMPLED_MARGINS = (0.8, 1.25)

#: Corners of the mesh beyond the crop, which hold the background still; they move with the pose, [12,2].
RING = np.array(
    [(x, y) for x in (-30, 22, 74, 126) for y in (-30, 22, 74, 126) if {x, y} & {-30, 126}], float
)

#: The share of faces before another background than the portraits'.
_OTHER_BACKGROUND = 0.4

# How much wider than the portraits' own each group of parameters is drawn. A small network trained on samples
# errs less on other real faces with wider shapes; the first mode, the turn of the head, is wide as it is.
_WIDER_SHAPE = 1.3
_WIDER_GREY = 1.2

Floats = npt.NDArray[np.float64]

#: What faces are sampled for. No face of one purpose is one of another, whatever the seeds: a network is not tuned on,
#: or tested on, what it was trained or tested on.
Purpose = Literal["sampled", "tuning", "test", "frame"]
_STREAMS: dict[Purpose, tuple[int, ...]] = {"sampled": (), "tuning": (1,), "test": (2,), "frame": (3,)}

#: Raised when the same model, seed and number give another face.
SAMPLING_VERSION = 1


class Draw(NamedTuple):
    """The parameters of one face, and the generator that its picture goes on with.

    Attributes:
        pose: log scale, angle (radians), shift x and y (px), [4].
        shape, texture: standard deviations of each mode, [s] and [t].
        grey: mean grey level of the face and log of its standard deviation, [2].
        rng: continues where these were drawn.
    """

    pose: Floats
    shape: Floats
    texture: Floats
    grey: Floats
    rng: np.random.Generator


@dataclass(frozen=True, eq=False)
class AppearanceModel:
    """Faces as parameters; all arrays are what the file holds.

    Attributes:
        mean_shape: float32 [68,2], px in the crop.
        shape_modes: float32 [s,68,2]: px a standard deviation of each mode.
        mean_texture: float32 [FRAME,FRAME], in units of the face's own contrast.
        texture_modes: int8 [t,FRAME,FRAME].
        texture_scale: float32 [t]: what one unit of a mode is worth for one standard deviation.
        pose, grey: float32 [2,4] and [2,2]: mean and standard deviation.
        mixing: float32 [d,d]: Cholesky factor of the correlations of all parameters, in the order pose,
            shape, texture, grey.
    """

    mean_shape: npt.NDArray[np.float32]
    shape_modes: npt.NDArray[np.float32]
    mean_texture: npt.NDArray[np.float32]
    texture_modes: npt.NDArray[np.int8]
    texture_scale: npt.NDArray[np.float32]
    pose: npt.NDArray[np.float32]
    grey: npt.NDArray[np.float32]
    mixing: npt.NDArray[np.float32]
    fingerprint: str = ""

    @staticmethod
    def load(path: Path | None = None) -> AppearanceModel:
        """Read a model, or the bundled one.

        Raises:
            UsageError: unreadable, or not a model.
        """
        return _load(path or BUNDLED)

    def save(self, path: Path) -> None:
        """Write the model by atomic rename; the same model gives the same bytes."""
        arrays = {key: getattr(self, key) for key in _ARRAYS}
        with write_atomically(path) as part, part.open("wb") as file:
            np.savez_compressed(file, **arrays)

    def sample(
        self, count: int, seed: int = 7, start: int = 0, purpose: Purpose = "sampled", margin: float = 1.0
    ) -> Faces:
        """Faces `start` to `start + count` of a seed; each depends on purpose, seed, its number and the margin alone.

        With another margin it is the same face, larger or smaller about the middle of the crop.

        Raises:
            UsageError: the margin is beyond what the model has pixels for (`SAMPLED_MARGINS`).
        """
        if not SAMPLED_MARGINS[0] <= margin <= SAMPLED_MARGINS[1]:
            message = (
                f"Faces cannot be sampled with a margin of {margin:g}: "
                f"give one of {SAMPLED_MARGINS[0]:g} to {SAMPLED_MARGINS[1]:g}."
            )
            raise UsageError(message)
        images = np.empty((count, CROP, CROP), np.uint8)
        points = np.empty((count, LANDMARKS, 2), np.float32)
        for first in range(0, count, _BLOCK):
            rows = range(first, min(first + _BLOCK, count))
            draws = [
                self.draw(np.random.default_rng((seed, start + row, *_STREAMS[purpose]))) for row in rows
            ]
            textures = self._textures(np.array([draw.texture for draw in draws]))
            for row, draw, texture in zip(rows, draws, textures, strict=True):
                images[row], points[row] = self._render(draw, texture, margin)
        names = np.array([f"{purpose}_{number:06d}" for number in range(start + 1, start + count + 1)])
        return Faces(images, points, names.astype(np.str_), margin=margin)

    def draw(self, rng: np.random.Generator) -> Draw:
        """Parameters of a face: correlated normal draws, shape and grey levels wider than the portraits' own."""
        normal = np.clip(rng.standard_normal(len(self.mixing)), -_LONGEST_DRAW, _LONGEST_DRAW)
        mixed = np.clip(np.einsum("ij,j->i", self.mixing, normal), -_FURTHEST, _FURTHEST)
        pose, shape, texture, grey = np.split(mixed, self._ends)
        return Draw(
            self.pose[0] + self.pose[1] * pose,
            np.concatenate([shape[:1], _WIDER_SHAPE * shape[1:]]),
            texture,
            self.grey[0] + _WIDER_GREY * self.grey[1] * grey,
            rng,
        )

    @cached_property
    def _ends(self) -> Floats:
        return np.cumsum([_POSE, len(self.shape_modes), len(self.texture_modes)])

    def _textures(self, scores: Floats) -> npt.NDArray[np.float32]:
        """Textures [n,FRAME,FRAME] for scores [n,t].

        The weights of the int8 modes are rounded to integers so small that the sums are exact in float32:
        a texture is the same bits whatever the block, the threads and the processor.
        """
        step = self.texture_scale.sum() * _FURTHEST * 128 / _EXACT
        weights = np.rint(scores * self.texture_scale / step).astype(np.float32)
        sums = (weights @ self._flat_modes).reshape(-1, FRAME, FRAME)
        return np.asarray(self.mean_texture + sums * np.float32(step), np.float32)

    @cached_property
    def _flat_modes(self) -> npt.NDArray[np.float32]:
        return self.texture_modes.reshape(len(self.texture_modes), -1).astype(np.float32)

    def _render(
        self, draw: Draw, texture: npt.NDArray[np.float32], margin: float
    ) -> tuple[npt.NDArray[np.uint8], Floats]:
        where, points = self.warp(draw, margin)
        seen = pulled(np.stack([texture, self._face_mask], axis=-1), where + np.float32(MARGIN))
        face, mask = seen[..., 0], seen[..., 1]
        level, contrast = draw.grey[0], np.exp(draw.grey[1])
        picture = capture.lit(face * np.float32(contrast) + np.float32(level), draw.rng)
        if draw.rng.random() < _OTHER_BACKGROUND:
            picture = capture.before_background(picture, mask, draw.rng)
        return capture.taken(capture.exposed(picture, draw.rng), draw.rng), points

    def warp(self, draw: Draw, margin: float = 1.0) -> tuple[npt.NDArray[np.float32], Floats]:
        """Where each pixel of the crop lies on the mean face, [CROP,CROP,2], and the landmarks in the crop, [68,2].

        The landmarks are the preimages of the mean's, so that they lie where the picture shows them.
        A shape so strong that the warp folds is drawn back towards the mean until it does not.
        """
        mean = self.mean_shape.astype(np.float64)
        for share in (1.0, 0.75, 0.5, 0.25, 0.0):
            shape = mean + np.einsum("k,kij->ij", draw.shape * share, self.shape_modes)
            placed = posed(np.vstack([shape, RING]), draw.pose, mean.mean(0))
            placed += ((CROP - 1) / 2 - placed) * (1 - 1 / margin)
            warp = ThinPlate.through(placed, np.vstack([mean, RING]))
            points, least = warp.preimages(mean, placed[:LANDMARKS])
            if least > _LEAST_DETERMINANT * margin**2:
                break
        where = warp.dense(CROP)
        return where, settled(points, where, mean)

    @cached_property
    def _face_mask(self) -> npt.NDArray[np.float32]:
        """1 on the face and its forehead, 0 off it, soft between, in the frame of the texture."""
        return soft_mask(face_outline(self.mean_shape), 1.5)


def posed(points: Floats, pose: Floats, centre: Floats) -> Floats:
    """Points [n,2] scaled and turned about a centre, then shifted, by (log scale, angle, x, y)."""
    cosine, sine = np.exp(pose[0]) * np.array([np.cos(pose[1]), np.sin(pose[1])])
    turned: Floats = (points - centre) @ np.array([[cosine, sine], [-sine, cosine]])
    return turned + centre + pose[2:]


def face_outline(shape: npt.NDArray[np.floating]) -> Floats:
    """The jaw, closed over the forehead: the brows moved up by half the height of the face, [27,2]."""
    jaw, brows = shape[:17], shape[17:27]
    height = jaw[8, 1] - brows[:, 1].mean()
    return np.vstack([jaw, brows[::-1] - [0, 0.5 * height]])


def soft_mask(outline: Floats, softness: float) -> npt.NDArray[np.float32]:
    """1 within an outline in crop px, 0 without, in the frame of the texture, softened by a Gaussian, px."""
    mask = np.zeros((FRAME, FRAME), np.float32)
    cv2.fillPoly(mask, [np.rint((outline + MARGIN) * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), softness), np.float32)


@lru_cache(maxsize=4)
def _load(path: Path) -> AppearanceModel:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in _ARRAYS}
        fingerprint = file_sha256(path)
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        message = f"{path} cannot be read as an appearance model: {error}; make one with `mlbench faces fit`."
        raise UsageError(message) from error
    s, t = (len(arrays[key]) if arrays[key].ndim else 0 for key in ("shape_modes", "texture_modes"))
    d = _POSE + s + t + _GREY
    shapes: dict[str, tuple[int, ...]] = {
        "mean_shape": (LANDMARKS, 2),
        "shape_modes": (s, LANDMARKS, 2),
        "mean_texture": (FRAME, FRAME),
        "texture_modes": (t, FRAME, FRAME),
        "texture_scale": (t,),
        "pose": (2, _POSE),
        "grey": (2, _GREY),
        "mixing": (d, d),
    }
    for key, shape in shapes.items():
        values, kind = arrays[key], np.int8 if key == "texture_modes" else np.float32
        if values.dtype != kind or values.shape != shape or not np.isfinite(values).all():
            message = (
                f"{path}: {key} is {values.dtype} {values.shape}, not finite {np.dtype(kind)} {shape}: "
                "not an appearance model; make one with `mlbench faces fit`."
            )
            raise UsageError(message)
    return AppearanceModel(**arrays, fingerprint=fingerprint)


_ARRAYS = [field.name for field in fields(AppearanceModel) if field.name != "fingerprint"]
