"""What happens between a face and its picture: light, background, exposure, blur, resolution and grain.

Each step draws from the given generator alone, so that a picture depends on its own generator alone.
The ranges are wider than the portraits' that the faces come from: the pictures to be met are not portraits.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.float32]


def lit(picture: Picture, rng: np.random.Generator) -> Picture:
    """Multiply by a smooth field of light: the exponential of a random polynomial of second order."""
    coefficients = rng.standard_normal(5) * (0.22, 0.15, 0.08, 0.08, 0.08)
    field = np.einsum("k,kij->ij", coefficients.astype(np.float32), _polynomials(len(picture)))
    return np.asarray(picture * np.exp(field), np.float32)


@cache
def _polynomials(side: int) -> Picture:
    x, y = np.meshgrid(*[np.linspace(-1, 1, side, dtype=np.float32)] * 2)
    return np.stack([x, y, x * x - 0.5, x * y, y * y - 0.5])


def before_background(picture: Picture, face: Picture, rng: np.random.Generator) -> Picture:
    """Put something else where there is no face: random blotches between coarse and fine, of any grey.

    Args:
        picture: [n,n] grey.
        face: 1 on the face, 0 off it, soft between; [n,n].
        rng: what decides.
    """
    cells = int(rng.integers(2, 20))
    blotches = rng.standard_normal((cells, cells)).astype(np.float32) * np.float32(rng.uniform(0, 40))
    ground = _resized(blotches, len(picture), cv2.INTER_CUBIC) + np.float32(rng.uniform(0, 255))
    return np.asarray(ground + face * (picture - ground), np.float32)


def exposed(picture: Picture, rng: np.random.Generator) -> Picture:
    """Bend the grey scale by a random gamma, within 0..255."""
    gamma = float(np.exp(0.25 * rng.standard_normal()))
    unit = np.clip(picture * np.float32(1 / 255), 0, 1)
    return np.asarray(cv2.pow(unit, gamma) * 255, np.float32)


def taken(picture: Picture, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Blur, lose resolution, add grain, and round to grey levels."""
    side = len(picture)
    kind = rng.random()
    if kind < 0.3:
        picture = blurred(picture, rng.uniform(0.3, 1.6))
    elif kind < 0.55:
        small = _resized(picture, int(rng.integers(side // 3, side)), cv2.INTER_AREA)
        picture = _resized(small, side, cv2.INTER_CUBIC)
    elif kind < 0.75:
        picture = picture + np.float32(rng.uniform(0.3, 1.2)) * (picture - blurred(picture, 1.2))
    grain = rng.standard_normal(picture.shape, dtype=np.float32)
    picture = picture + grain * np.float32(abs(rng.normal(0, 4)))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def blurred(picture: Picture, sigma: float) -> Picture:
    """A Gaussian blur of `sigma` px."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)


def _resized(picture: Picture, side: int, interpolation: int) -> Picture:
    return np.asarray(cv2.resize(picture, (side, side), interpolation=interpolation), np.float32)
