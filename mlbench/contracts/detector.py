"""What a detector offers: it finds, in a larger picture, what a network is asked about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from mlbench.boxes import Box


class Detector(ABC):
    """Finds boxes in grey pictures; the boxes are those that the task's networks are trained on.

    A detector whose own boxes differ maps them. It loads what it needs at its first use, so that one that was not
    used yet can be sent to another process.

    Attributes:
        min_size: the smallest side that is searched, px; 0 for the detector's own limit.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    #: Raised when the same picture gives other boxes.
    version: ClassVar[int] = 1

    def __init__(self, min_size: int = 0) -> None:
        self.min_size = min_size

    @abstractmethod
    def detect(self, grey: npt.NDArray[np.uint8]) -> list[Box]:
        """The boxes in a grey picture uint8 [height,width], the largest first.

        Raises:
            UsageError: as `require_ready`.
        """

    def largest(self, grey: npt.NDArray[np.uint8]) -> Box | None:
        """The largest box, or None."""
        return next(iter(self.detect(grey)), None)

    def require_ready(self) -> None:  # noqa: B027 (most have nothing to say)
        """Asked before any work: say now if nothing could be detected.

        Raises:
            UsageError: a package or file is missing; the text says what to install.
        """

    def key(self) -> list[object]:
        """JSON values that change when it would give other boxes."""
        return [self.name, self.version, self.min_size]

    @classmethod
    def requirements(cls) -> list[tuple[str, bool, str]]:
        """For `mlbench doctor`, what it needs besides mlbench: name, whether it is there, where or how to get it."""
        return []
