"""Augmentation: each face seen anew in every epoch, the points moving with the pixels.

Geometry is one affine map a face (mirror, rotation, scale, shift), applied to pixels and points alike;
then light (contrast, brightness), blur, noise and occlusion change pixels only.
Everything follows from the random generator given: equal seeds, equal batches.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mlbench.faces.dataset import CROP

Images = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]

# Left and right of each part of the 300-W 68-point scheme, numbered from 0.
_MIRRORED = (
    *range(16, -1, -1),  # jaw
    *range(26, 16, -1),  # brows
    *(27, 28, 29, 30, 35, 34, 33, 32, 31),  # nose
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),  # outer lips
    *(64, 63, 62, 61, 60, 67, 66, 65),  # inner lips
)
#: Landmark i of a mirrored face is landmark MIRROR[i] of the face.
MIRROR = np.array(_MIRRORED)


@dataclass(frozen=True)
class Augmentation:
    """How far each change goes; zero switches it off.

    Attributes:
        mirror: chance of a mirrored face.
        rotation: standard deviation, degrees.
        scale: standard deviation of the factor around 1.
        shift: standard deviation, pixels.
        contrast: standard deviation of the factor around 1.
        brightness: standard deviation, grey levels.
        blur: chance of a Gaussian blur of 0.5 to 1.5 px.
        noise: largest standard deviation, grey levels; each face draws its own.
        occlusion: chance of a rectangle of up to 40 % of the side in one grey.
    """

    mirror: float = 0.5
    rotation: float = 7.0
    scale: float = 0.06
    shift: float = 2.5
    contrast: float = 0.2
    brightness: float = 20.0
    blur: float = 0.15
    noise: float = 6.0
    occlusion: float = 0.15

    def times(self, strength: float) -> Augmentation:
        """All changes by so much of their extent and chance; mirroring as often as before."""
        extents = {name: strength * value for name, value in asdict(self).items()}
        return Augmentation(**extents | {"mirror": self.mirror})

    def apply(self, images: Images, points: Points, rng: np.random.Generator) -> tuple[Images, Points]:
        """Augment a batch.

        Args:
            images: uint8 [n,96,96]; not changed.
            points: float32 [n,68,2], pixels.
            rng: where all chance comes from.

        Returns:
            New images and points of the same shapes.
        """
        n = len(images)
        mirrored = rng.random(n) < self.mirror
        maps = self._affine(n, mirrored, rng)
        moved = move_points(points, maps, mirrored)
        out = np.empty_like(images)
        light = self._light(n, rng)
        for i in range(n):
            warped = warp(images[i], maps[i])
            out[i] = self._degrade(light[i][warped], rng)
        return out, moved

    def _affine(
        self, n: int, mirrored: npt.NDArray[np.bool_], rng: np.random.Generator
    ) -> npt.NDArray[np.float64]:
        """Maps [n,2,3] from the pixels of the face to those of the augmented face, about the crop's centre."""
        angle = np.deg2rad(rng.normal(0, self.rotation, n))
        factor = np.exp(rng.normal(0, self.scale, n))
        centre = (CROP - 1) / 2
        linear = factor[:, None, None] * np.stack(
            [np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1
        ).reshape(n, 2, 2)
        linear[:, :, 0] *= np.where(mirrored, -1, 1)[:, None]
        offset = centre + rng.normal(0, self.shift, (n, 2)) - linear @ np.array([centre, centre])
        return np.concatenate([linear, offset[:, :, None]], axis=2)

    def _light(self, n: int, rng: np.random.Generator) -> Images:
        """Look-up tables [n,256]: contrast about mid-grey, then brightness."""
        contrast = np.exp(rng.normal(0, self.contrast, n))[:, None]
        brightness = rng.normal(0, self.brightness, n)[:, None]
        levels = (np.arange(256)[None] - 128) * contrast + 128 + brightness
        return np.clip(np.rint(levels), 0, 255).astype(np.uint8)

    def _degrade(self, image: Any, rng: np.random.Generator) -> Any:
        chance = rng.random(2)
        if chance[0] < self.blur:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.5)).astype(np.uint8, copy=False)
        if chance[1] < self.occlusion:
            width, height = rng.integers(CROP // 10, int(CROP * 0.4), 2)
            x, y = rng.integers(0, CROP - width), rng.integers(0, CROP - height)
            image[y : y + height, x : x + width] = rng.integers(0, 256)
        if self.noise:
            bank = _noise_bank()
            start = int(rng.integers(0, len(bank) - image.size))
            noise = bank[start : start + image.size].reshape(image.shape)
            image = cv2.scaleAdd(noise, rng.uniform(0, self.noise), image.astype(np.float32))
            image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
        return image


#: No change at all: the paper trains without augmentation.
NO_AUGMENTATION = Augmentation(*(0.0,) * 9)


@lru_cache(maxsize=1)
def _noise_bank() -> npt.NDArray[np.float32]:
    # Slices of one bank of unit noise: drawing 9,216 normals a face would cost more than its warp.
    return np.random.default_rng(0).standard_normal(1 << 20).astype(np.float32)


def warp(image: Any, affine: npt.NDArray[np.float64]) -> Any:
    """Move the pixels of an array [96,96] by an affine map [2,3]; the border repeats outwards."""
    return cv2.warpAffine(
        image, affine, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def move_points(points: Points, maps: npt.NDArray[np.float64], mirrored: npt.NDArray[np.bool_]) -> Points:
    """Move points [n,68,2] by maps [n,2,3], renaming left and right where mirrored [n]."""
    moved = points @ maps[:, :, :2].transpose(0, 2, 1) + maps[:, None, :, 2]
    moved[mirrored] = moved[mirrored][:, MIRROR]
    return moved.astype(np.float32)
