"""A `.tflite` file that goes from a face's crop to its landmarks and, if it has a second output, to its presence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlbench.boxes import Box
from mlbench.errors import UsageError
from mlbench.export.artifacts import loaded, runnable
from mlbench.faces.dataset import CROP, LANDMARKS
from mlbench.faces.detection import crop
from mlbench.faces.landmarks import ENCODING

if TYPE_CHECKING:
    from mlbench.export.interpreter import Network


@dataclass(frozen=True)
class Answer:
    """Landmarks [68,2] in px of the picture; the chance that the crop shows a face, None where it is not told."""

    points: npt.NDArray[np.float64]
    presence: float | None = None


class CropNetwork:
    """A loaded file.

    Attributes:
        tells_presence: whether it has a second output, one number: the chance that the crop shows a face.
    """

    def __init__(self, network: Network, what: str, margin: float = 1.0) -> None:
        """Take a loaded file.

        Args:
            network: the file.
            what: it is, for messages.
            margin: sides of what is cropped, in sides of the face's box.

        Raises:
            UsageError: it does not go from a crop to landmarks.
        """
        sizes = [math.prod(port.shape) for port in network.outputs]
        taken = [math.prod(port.shape) for port in network.inputs]
        if taken != [CROP * CROP] or sorted(sizes) not in ([2 * LANDMARKS], [1, 2 * LANDMARKS]):
            ends = (" and ".join(map(str, numbers)) for numbers in (taken, sizes))
            message = (
                f"{what} takes {next(ends)} numbers and answers {next(ends)}: give a network from {CROP}×{CROP} to "
                f"{LANDMARKS} landmarks, with or without the chance that there is a face."
            )
            raise UsageError(message)
        self.tells_presence = len(sizes) == 2
        self._network, self._what, self._margin = network, what, margin
        self._points = sizes.index(2 * LANDMARKS)

    @classmethod
    def load(cls, model: Path, margin: float = 1.0) -> CropNetwork:
        """Load a file whose crops have sides of `margin` sides of the face's box.

        Raises:
            UsageError: it cannot be run here, or does not go from a crop to landmarks.
        """
        runnable(model)
        return cls(loaded(model), f"{model}", margin)

    def __call__(self, grey: npt.NDArray[np.uint8], box: Box) -> Answer:
        """The landmarks of the face in a box of a grey picture uint8 [height,width].

        Raises:
            UsageError: the answer is not finite.
            ValueError: the box does not meet the picture.
        """
        image, to_crop = crop(grey, box, self._margin)
        self._network.set(0, ENCODING.encode(image[None])[0])
        self._network.invoke()
        points = self._network.get(self._points).reshape(LANDMARKS, 2)
        if not np.isfinite(points).all():
            message = f"{self._what} answers numbers that are not finite: give another network."
            raise UsageError(message)
        presence = float(self._network.get(1 - self._points).item()) if self.tells_presence else None
        share, shift = to_crop[[0, 1], [0, 1]], to_crop[:, 2]  # a crop is scaled and shifted, never turned
        return Answer((points - shift) / share, presence)
