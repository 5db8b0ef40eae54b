"""dlib's detector: histograms of oriented gradients and a linear classifier."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from mlbench.boxes import Box
from mlbench.contracts.detector import Detector
from mlbench.faces.labelling import frontal_faces, require_dlib

_WINDOW = 80  # px: the smallest face that it finds in an image that is not enlarged
_MOST = 2  # times doubled


class Dlib(Detector):
    """dlib's frontal detector; an image is doubled where smaller faces than its window are asked for."""

    name: ClassVar[str] = "dlib"
    summary: ClassVar[str] = "dlib's histograms of oriented gradients (extra `prepare`)"

    @cached_property
    def _finder(self) -> Any:
        require_dlib()
        import dlib

        return dlib.get_frontal_face_detector()

    @property
    def _doublings(self) -> int:
        return next((times for times in range(_MOST) if self.min_size << times >= _WINDOW), _MOST)

    def detect(self, grey: npt.NDArray[np.uint8]) -> list[Box]:
        """See `Detector.detect`."""
        found = frontal_faces(self._finder, grey, self._doublings if self.min_size else 0)
        return [box for box in found if box.width >= self.min_size]

    def require_ready(self) -> None:
        """See `Detector.require_ready`."""
        require_dlib()

    def key(self) -> list[object]:
        """See `Detector.key`."""
        return [*super().key(), require_dlib()]
