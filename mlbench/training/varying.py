"""Images changed at random while training, in ways that a user says leave what is true of them as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from mlbench.contracts import Encoding

Image = npt.NDArray[Any]

#: What may be done to an image: moved, turned and scaled, mirrored, lit otherwise.
Way = Literal["shift", "turn", "flip", "light"]

_SHIFT = 0.08  # of a side
_TURN = 10.0  # degrees
_SCALE = 0.08
_LIGHT = 0.2  # of the image's range, and of its contrast


def varied(
    inputs: Mapping[str, Image],
    encodings: Mapping[str, Encoding],
    ways: tuple[Way, ...],
    strength: float,
    rng: np.random.Generator,
) -> dict[str, Image]:
    """A batch whose images are changed, each in its own way; inputs that are no images stay as they are.

    Args:
        inputs: stored values [n, …], by name.
        encodings: of each input; images are those of shape (height, width, channels).
        ways: what may be done.
        strength: of the extents: 8 % of a side, 10 degrees, 8 % of the size, 20 % of range and contrast.
        rng: where chance comes from.
    """
    found = dict(inputs)
    for name, values in inputs.items():
        shape = encodings[name].shape
        if ways and len(shape) == 3:
            images = values.reshape(len(values), *shape)
            made = [_changed(image, ways, strength, rng) for image in images]
            found[name] = np.stack(made).reshape(values.shape)
    return found


def _changed(image: Image, ways: tuple[Way, ...], strength: float, rng: np.random.Generator) -> Image:
    made: Image = image.astype(np.float32)
    if "flip" in ways and rng.random() < 0.5:
        made = made[:, ::-1]
    if "shift" in ways or "turn" in ways:
        made = _moved(made, ways, strength, rng)
    if "light" in ways:
        low, high = float(image.min()), float(image.max())
        contrast, light = strength * _LIGHT * rng.uniform(-1, 1, 2)
        made = made + contrast * (made - (low + high) / 2) + light * (high - low)
    dtype = image.dtype
    if dtype.kind == "f":
        return made.astype(dtype)
    least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return np.rint(made).clip(least, most).astype(dtype)


def _moved(image: Image, ways: tuple[Way, ...], strength: float, rng: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    angle, scale, right, down = 0.0, 1.0, 0.0, 0.0
    if "turn" in ways:
        angle = strength * _TURN * rng.uniform(-1, 1)
        scale = 1 + strength * _SCALE * rng.uniform(-1, 1)
    if "shift" in ways:
        right, down = strength * _SHIFT * rng.uniform(-1, 1, 2) * (width, height)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)
    matrix[0, 2] += right
    matrix[1, 2] += down
    moved = cv2.warpAffine(
        np.ascontiguousarray(image),
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return moved.reshape(image.shape)
