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
from mlbench.contracts import Samples
from mlbench.data.decoding import BadImageError, decode_grey
from mlbench.errors import UsageError
from mlbench.export.artifacts import answers, require_fitting
from mlbench.faces.dataset import CROP, LANDMARKS, Faces
from mlbench.faces.detection import crop, map_points
from mlbench.faces.landmarks import POINTS, Landmarks, samples_of
from mlbench.system.files import write_atomically


@dataclass(frozen=True)
class Prediction:
    """A face's box and its landmarks [68,2], in pixels of the photograph (grey uint8 [height,width])."""

    photograph: npt.NDArray[np.uint8]
    box: Box
    points: npt.NDArray[np.float64]
    note: str = ""  # what decoding had to assume

    def as_json(self) -> dict[str, Any]:
        """Box and points as JSON values."""
        return {"box": dataclasses.asdict(self.box), "points": np.round(self.points, 2).tolist()}


def predict_photograph(image: Path, model: Path, detector: str = "haar") -> Prediction:
    """Detect the largest face with a detector of this name, crop it, and let the file find its landmarks.

    Raises:
        UsageError: the photograph or the file cannot be read, the detector cannot be used, or there is no face.
    """
    finder = plugins.load("detectors", detector)(CROP // 2)
    finder.require_ready()
    require_fitting(model, Landmarks(), _as_samples(np.zeros((CROP, CROP), np.uint8)))
    try:
        decoded = decode_grey(image)
    except BadImageError as error:
        message = f"{image} cannot be used: {error}; give a JPEG or PNG photograph."
        raise UsageError(message) from error
    grey = decoded.pixels
    box = finder.largest(grey)
    if box is None:
        message = f"{image} shows no face that the detector finds: use a frontal photograph, the face 50 px or wider."
        raise UsageError(message)
    face, to_crop = crop(grey, box)
    found = answers(model, _as_samples(face))[POINTS].reshape(LANDMARKS, 2)
    points = map_points(found, cv2.invertAffineTransform(to_crop).astype(np.float64))
    return Prediction(grey, box, points, decoded.note)


def _as_samples(face: npt.NDArray[np.uint8]) -> Samples:
    """One crop, its landmarks not known."""
    unknown = np.zeros((1, LANDMARKS, 2), np.float32)
    return samples_of(Faces(face[None], unknown, np.array(["face"])))


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
