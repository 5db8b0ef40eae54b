"""Faces for reports to show: the same eight for every artifact, and each artifact's worst."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import numpy.typing as npt

from mlbench.contracts import Outcome
from mlbench.faces.accuracy import mae_per_face
from mlbench.faces.dataset import Faces
from mlbench.records import Gallery, GalleryFace

_CHOSEN = 8
_WORST = 4


def gallery_of(tests: dict[str, Faces], outcomes: list[Outcome], seed: int) -> Gallery | None:
    """Pick faces of the first test set, as its outputs on the first device show them; None without outputs."""
    if not tests or not outcomes:
        return None
    name, faces = next(iter(tests.items()))
    device = outcomes[0].measurement.device
    predictions = {
        outcome.measurement.artifact: outcome.predictions[name]
        for outcome in outcomes
        if outcome.measurement.device == device and name in outcome.predictions
    }
    if not predictions:
        return None
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(faces), min(_CHOSEN, len(faces)), replace=False))
    worst = {
        artifact: np.argsort(mae_per_face(predicted, faces.points))[::-1][:_WORST]
        for artifact, predicted in predictions.items()
    }
    return Gallery(
        test_set=name,
        chosen=tuple(_face(faces, int(i), predictions) for i in chosen),
        worst={
            artifact: tuple(_face(faces, int(i), {artifact: predictions[artifact]}) for i in rows)
            for artifact, rows in worst.items()
        },
        mean_face=_points(faces.points.mean(axis=0)),
    )


def _face(faces: Faces, row: int, predictions: dict[str, npt.NDArray[np.float32]]) -> GalleryFace:
    encoded = cv2.imencode(".png", faces.images[row])[1]
    return GalleryFace(
        name=str(faces.names[row]),
        png_base64=base64.b64encode(encoded.tobytes()).decode("ascii"),
        truth=_points(faces.points[row]),
        predictions={artifact: _points(predicted[row]) for artifact, predicted in predictions.items()},
    )


def _points(points: npt.NDArray[np.floating]) -> tuple[tuple[float, float], ...]:
    return tuple((round(float(x), 2), round(float(y), 2)) for x, y in points)
