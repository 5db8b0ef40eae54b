"""A photograph in, 68 landmarks out, by one `.tflite` file: the paper's application without the camera."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mlbench import plugins
from mlbench.boxes import Box
from mlbench.data.decoding import BadImageError, decode_grey
from mlbench.errors import UsageError
from mlbench.faces.dataset import CROP
from mlbench.faces.face_network import FaceNetwork
from mlbench.system.files import write_atomically


@dataclass(frozen=True)
class Prediction:
    """A face's box and its landmarks [68,2], in pixels of the photograph (grey uint8 [height,width])."""

    photograph: npt.NDArray[np.uint8]
    box: Box
    points: npt.NDArray[np.float64]
    note: str = ""  # what decoding had to assume
    presence: float | None = None  # chance that the box shows a face; None: the network does not answer it

    def as_json(self) -> dict[str, Any]:
        """Box, points and presence as JSON values."""
        chance = {} if self.presence is None else {"presence": round(self.presence, 6)}
        return {"box": dataclasses.asdict(self.box), "points": np.round(self.points, 2).tolist(), **chance}


def predict_photograph(image: Path, model: Path, detector: str = "haar") -> Prediction:
    """Detect faces with a detector of this name, crop the largest, and let the file find its landmarks.

    A file that answers presence is asked about one box after the other, until it takes one for a face.

    Raises:
        UsageError: the photograph or the file cannot be read, the detector cannot be used, or there is no face.
    """
    finder = plugins.load("detectors", detector)(CROP // 2)
    finder.require_ready()
    network = FaceNetwork.of(model)
    try:
        decoded = decode_grey(image)
    except BadImageError as error:
        message = f"{image} cannot be used: {error}; give a JPEG or PNG photograph."
        raise UsageError(message) from error
    boxes = finder.detect(decoded.pixels)
    for box in boxes:
        found = network.look(decoded.pixels, box)
        if found.shown:
            return Prediction(decoded.pixels, box, found.points, decoded.note, found.presence)
    told = f" ({len(boxes)} that it finds are none, says {model.name})" if boxes else ""
    message = f"{image} shows no face that the detector finds{told}: use a frontal photograph, the face 50 px or wider."
    raise UsageError(message)


def draw(found: Prediction, out: Path) -> None:
    """Write the photograph with box and points as a PNG.

    Raises:
        UsageError: the picture cannot be written.
    """
    picture = cv2.cvtColor(found.photograph, cv2.COLOR_GRAY2BGR)
    box, radius = found.box, max(1, found.box.width // 80)
    corner = (box.left + box.width, box.top + box.height)
    cv2.rectangle(picture, (box.left, box.top), corner, (230, 160, 40), radius)
    for x, y in found.points:
        cv2.circle(picture, (round(float(x)), round(float(y))), radius, (60, 220, 60), -1, cv2.LINE_AA)
    encoded = cv2.imencode(".png", picture)[1]
    with write_atomically(out) as part:
        part.write_bytes(encoded.tobytes())
