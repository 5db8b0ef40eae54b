"""A `.tflite` file that goes from a face's crop to its landmarks and, if it has a second output, to its presence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mlbench.boxes import Box
from mlbench.errors import UsageError
from mlbench.export.artifacts import loaded, runnable
from mlbench.faces.dataset import CROP, LANDMARKS
from mlbench.faces.detection import crop
from mlbench.faces.landmarks import ENCODING


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

    def __init__(self, model: Path, margin: float = 1.0) -> None:
        """Load a file whose crops have sides of `margin` sides of the face's box.

        Raises:
            UsageError: it cannot be run here, or does not go from a crop to landmarks.
        """
        ends = runnable(model)
        sizes = [int(np.prod(port.shape)) for port in ends.outputs]
        taken = [int(np.prod(port.shape)) for port in ends.inputs]
        if taken != [CROP * CROP] or sorted(sizes) not in ([2 * LANDMARKS], [1, 2 * LANDMARKS]):
            message = (
                f"{model} takes {ends.taken} and answers {' and '.join(map(str, sizes))} numbers: give a network from "
                f"{CROP}×{CROP} to {LANDMARKS} landmarks, with or without the chance that there is a face."
            )
            raise UsageError(message)
        self.tells_presence = len(sizes) == 2
        self._model, self._points, self._margin = model, sizes.index(2 * LANDMARKS), margin
        self._network = loaded(model)

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
            message = f"{self._model} answers numbers that are not finite: give another network."
            raise UsageError(message)
        presence = float(self._network.get(1 - self._points).item()) if self.tells_presence else None
        share, shift = to_crop[[0, 1], [0, 1]], to_crop[:, 2]  # a crop is scaled and shifted, never turned
        return Answer((points - shift) / share, presence)
