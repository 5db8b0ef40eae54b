"""The paper's detector."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from mlbench.boxes import Box
from mlbench.contracts.detector import Detector
from mlbench.faces.detection import HaarDetector, cascade_path


class Haar(Detector):
    """OpenCV's cascade with the paper's settings: a scale factor of 1.3 and five neighbours."""

    name: ClassVar[str] = "haar"
    summary: ClassVar[str] = "OpenCV's cascade of Haar features (the paper's)"

    @cached_property
    def _cascade(self) -> HaarDetector:
        return HaarDetector(min_size=self.min_size)

    def detect(self, grey: npt.NDArray[np.uint8]) -> list[Box]:
        """See `Detector.detect`."""
        return self._cascade.detect(grey)

    def require_ready(self) -> None:
        """See `Detector.require_ready`."""
        cascade_path()

    def key(self) -> list[object]:
        """See `Detector.key`."""
        return [*super().key(), cv2.__version__]
