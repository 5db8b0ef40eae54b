"""A `.tflite` file at work on images: a face's box in, its landmarks and, where the file answers it, presence out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from mlbench.boxes import Box
from mlbench.contracts import Encoding, Samples
from mlbench.export.artifacts import entries_of, loaded, places_of, require_fitting, runnable
from mlbench.export.notes import Notes, notes_of
from mlbench.faces.dataset import CROP, LANDMARKS, Faces
from mlbench.faces.detection import crop, map_points
from mlbench.faces.landmarks import IMAGE, POINTS, Landmarks
from mlbench.faces.presence import PRESENCE, THRESHOLD, USUAL, Presence

if TYPE_CHECKING:
    from mlbench.export.interpreter import Network

#: Outputs of a file that answers presence too.
_BOTH = 2


@dataclass(frozen=True)
class Look:
    """What a network sees in a box.

    Attributes:
        points: landmarks [68,2], in pixels of the image.
        presence: chance that the box shows a face; None: the network does not answer it.
        shown: whether it is taken for a face, as it always is where presence is not answered.
    """

    points: npt.NDArray[np.float64]
    presence: float | None = None
    shown: bool = True


@dataclass(frozen=True)
class FaceNetwork:
    """A file of the task `landmarks` or `presence`, which says by itself how crops are cut and what is refused.

    Attributes:
        path: of the file.
        task: that it answers.
        notes: that it holds.
        network: the file, where it is loaded already.
    """

    path: Path
    task: Landmarks
    notes: Notes
    network: Network | None = None

    @classmethod
    def of(cls, path: Path, network: Network | None = None) -> FaceNetwork:
        """The network of a file, which may be loaded already.

        Raises:
            UsageError: it cannot be read or run here, or answers neither of the two tasks.
        """
        task = Presence() if len(runnable(path).outputs) == _BOTH else Landmarks()
        found = cls(path, task, notes_of(path), network)
        require_fitting(path, task, found._samples(np.zeros((CROP, CROP), np.uint8)))
        return found

    @property
    def margin(self) -> float:
        """Sides of the crop, in sides of the face's box."""
        return self.notes.margins.get(IMAGE, 1.0)

    @property
    def answers_presence(self) -> bool:
        """Whether it tells crops without a face."""
        return isinstance(self.task, Presence)

    @property
    def settings(self) -> dict[str, float]:
        """How the second output becomes a chance, and which are refused: the file's, else the usual ones."""
        return {**USUAL, **self.notes.settings}

    @cached_property
    def places(self) -> dict[str, int]:
        """Position of each output of the task among the file's."""
        samples = self._samples(np.zeros((CROP, CROP), np.uint8))
        return dict(
            zip(samples.targets, places_of(runnable(self.path), samples, f"{self.path}"), strict=True)
        )

    def look(self, grey: npt.NDArray[np.uint8], box: Box) -> Look:
        """The landmarks in a box of a grey image uint8 [height,width].

        Raises:
            ValueError: the box does not meet the image.
        """
        face, to_crop = crop(grey, box, self.margin)
        network, entry = self._ready
        network.set(entry, self._encoding.encode(face[None])[0])
        network.invoke()
        outputs = {name: network.get(place).astype(np.float32)[None] for name, place in self.places.items()}
        found = self.task.settled(outputs, self.notes.settings)
        points = map_points(found[POINTS][0], cv2.invertAffineTransform(to_crop).astype(np.float64))
        if PRESENCE not in found:
            return Look(points)
        chance, threshold = float(found[PRESENCE][0]), float(found[THRESHOLD][0])
        return Look(points, chance, chance >= threshold)

    @cached_property
    def _ready(self) -> tuple[Network, int]:
        samples, network = self._samples(np.zeros((CROP, CROP), np.uint8)), self.network or loaded(self.path)
        (entry,) = entries_of(network, samples, f"{self.path}")
        return network, entry

    @cached_property
    def _encoding(self) -> Encoding:
        return self._samples(np.zeros((CROP, CROP), np.uint8)).encodings[IMAGE]

    def _samples(self, face: npt.NDArray[np.uint8]) -> Samples:
        """One crop, its truth not known."""
        unknown = np.zeros((1, LANDMARKS, 2), np.float32)
        return self.task.of_faces(Faces(face[None], unknown, np.array(["face"]), margin=self.margin))
