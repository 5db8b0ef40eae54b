"""Where the face is, and the crop that a network sees: the paper's pipeline at run time (section 3).

The detector is OpenCV's Viola-Jones cascade. Whole coordinates are pixel centres, in the image and in the
crop, so a point (x, y) of the image lies in the crop of a box at ((x - left + 1/2) · 96 / width - 1/2, and
likewise for y). Imports numpy and OpenCV alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from mlbench.boxes import Box, largest_first
from mlbench.errors import UsageError
from mlbench.faces.dataset import CROP

CASCADE = "haarcascade_frontalface_default.xml"


def cascade_path() -> Path:
    """The frontal-face cascade that comes with OpenCV.

    Raises:
        UsageError: this OpenCV ships none (5.0 and later).
    """
    folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
    path = Path(folder or ".") / CASCADE
    if folder is None or not path.is_file():
        message = f"OpenCV {cv2.__version__} has no {CASCADE}: install 'opencv-python-headless>=4.10,<5'."
        raise UsageError(message)
    return path


@dataclass(frozen=True)
class HaarDetector:
    """OpenCV's cascade of boosted Haar features (Viola and Jones, 2004).

    Attributes:
        scale_factor: between two sizes of the search window.
        neighbours: overlapping hits that make a face.
        min_size: smallest face searched, in pixels; 0 for the cascade's own window (24).
    """

    scale_factor: float = 1.3
    neighbours: int = 5
    min_size: int = 0

    @cached_property
    def _cascade(self) -> Any:
        return cv2.CascadeClassifier(str(cascade_path()))

    def detect(self, grey: npt.NDArray[np.uint8]) -> list[Box]:
        """The faces in a grey image uint8 [height,width], the largest first."""
        size = (self.min_size, self.min_size)
        found = self._cascade.detectMultiScale(grey, self.scale_factor, self.neighbours, minSize=size)
        return largest_first([Box(*(int(value) for value in box)) for box in found])

    def largest(self, grey: npt.NDArray[np.uint8]) -> Box | None:
        """The largest face, or None."""
        return next(iter(self.detect(grey)), None)


def affine_to_crop(box: Box, size: int = CROP) -> npt.NDArray[np.float64]:
    """The matrix [2,3] that takes points of the image to points of the crop of `box`."""
    x, y = size / box.width, size / box.height
    return np.array([[x, 0, (0.5 - box.left) * x - 0.5], [0, y, (0.5 - box.top) * y - 0.5]])


def map_points(points: npt.ArrayLike, affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Points [...,2] moved by an affine matrix [2,3]; `cv2.invertAffineTransform` gives the way back."""
    return np.asarray(points, np.float64) @ affine[:, :2].T + affine[:, 2]


def crop(
    grey: npt.NDArray[np.uint8], box: Box, margin: float = 1.0
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Cut a box out of a grey image and resize it to 96×96.

    What lies outside the image repeats its border. Shrinking averages areas, enlarging interpolates linearly.

    Args:
        grey: uint8 [height,width].
        box: of the face.
        margin: sides of what is cut, in sides of the box; the paper's is 1.

    Returns:
        The crop uint8 [96,96], and the matrix [2,3] from points of the image to points of the crop.

    Raises:
        ValueError: the box does not meet the image.
    """
    wide = box.scaled(margin)
    (height, width), right, bottom = grey.shape, wide.left + wide.width, wide.top + wide.height
    if not (wide.top < height and wide.left < width and bottom > 0 and right > 0):
        message = f"{wide} lies outside the image of {width}×{height}"
        raise ValueError(message)
    cut = grey[max(wide.top, 0) : bottom, max(wide.left, 0) : right]
    above, below, before, behind = (
        max(0, beyond) for beyond in (-wide.top, bottom - height, -wide.left, right - width)
    )
    if above or below or before or behind:
        cut = np.asarray(cv2.copyMakeBorder(cut, above, below, before, behind, cv2.BORDER_REPLICATE))
    shrinks = min(wide.width, wide.height) >= CROP  # INTER_AREA would shift pixels along a side that grows
    small = cv2.resize(cut, (CROP, CROP), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return cast("npt.NDArray[np.uint8]", small), affine_to_crop(wide)
