"""A photograph in, 68 landmarks out, by one `.tflite` file: the paper's application without the camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mlbench.artifacts import require_landmark_model
from mlbench.errors import UsageError
from mlbench.faces.dataset import CROP
from mlbench.faces.detection import HaarDetector, crop
from mlbench.faces.photographs import read_grey
from mlbench.files import write_atomically


@dataclass(frozen=True)
class Prediction:
    """A face's box (x, y, width, height) and its landmarks [68,2], in pixels of the photograph."""

    box: tuple[int, int, int, int]
    points: npt.NDArray[np.float64]

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"box": list(self.box), "points": np.round(self.points, 2).tolist()}

    def box_text(self) -> str:
        """The box for people."""
        x, y, width, height = self.box
        return f"x {x}, y {y}, {width}×{height} px"


def predict_photograph(image: Path, model: Path) -> Prediction:
    """Detect the largest face, crop it, and let the file find its landmarks.

    Raises:
        UsageError: the photograph or the file cannot be read, or there is no face.
    """
    require_landmark_model(model)
    grey = read_grey(image)
    box = HaarDetector().largest(grey)
    if box is None:
        message = f"{image} shows no face that the detector finds: use a frontal photograph, the face 80 px or wider."
        raise UsageError(message)
    face, affine = crop(grey, box)
    inverse = cv2.invertAffineTransform(affine)
    points = _landmarks(model, face) @ inverse[:, :2].T + inverse[:, 2]
    return Prediction(box, points)


def _landmarks(model: Path, face: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(
        interpreter.get_input_details()[0]["index"], face.reshape(1, CROP, CROP, 1).astype(np.float32) / 255
    )
    interpreter.invoke()
    points: npt.NDArray[np.float32] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return points.reshape(-1, 2)


def draw(image: Path, found: Prediction, out: Path) -> None:
    """Write the photograph with box and points.

    Raises:
        UsageError: the picture cannot be written.
    """
    picture = cv2.cvtColor(read_grey(image), cv2.COLOR_GRAY2BGR)
    x, y, width, height = found.box
    radius = max(1, width // 80)
    cv2.rectangle(picture, (x, y), (x + width, y + height), (230, 160, 40), radius)
    for px, py in found.points:
        cv2.circle(picture, (round(float(px)), round(float(py))), radius, (60, 220, 60), -1, cv2.LINE_AA)
    encoded = cv2.imencode(".png", picture)[1]
    with write_atomically(out) as part:
        part.write_bytes(encoded.tobytes())
