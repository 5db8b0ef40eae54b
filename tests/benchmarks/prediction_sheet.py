"""A picture of what the networks that come along answer on sampled faces, which may be shown.

python -m tests.benchmarks.prediction_sheet docs/pictures/predictions.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from mlbench.export import ready_models
from mlbench.export.artifacts import answers
from mlbench.faces.appearance import AppearanceModel
from mlbench.faces.landmarks import POINTS, Landmarks, samples_of

_SCALE = 2
_FACES = 6
_SEED = 2026  # none of these faces was trained on: see the records
_TRUE, _FOUND = (255, 255, 255), (90, 220, 60)


def sheet() -> np.ndarray:
    """One row per network, one column per face; white the true points, green the network's."""
    task, faces = Landmarks(), AppearanceModel.load().sample(_FACES, seed=_SEED)
    samples = samples_of(faces)
    rows = []
    for name, path in ready_models.paths().items():
        found = task.answers(answers(path, samples))[POINTS]
        row = np.hstack([_drawn(*face) for face in zip(faces.images, faces.points, found, strict=True)])
        size = f"{name}: {path.stat().st_size:,} bytes, {np.abs(found - faces.points).mean():.2f} px on these"
        cv2.putText(row, size, (6, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
        rows.append(row)
    return np.vstack(rows)


def _drawn(image: np.ndarray, true: np.ndarray, found: np.ndarray) -> np.ndarray:
    picture = cv2.resize(image, None, fx=_SCALE, fy=_SCALE, interpolation=cv2.INTER_CUBIC)
    picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    for points, colour in ((true, _TRUE), (found, _FOUND)):
        for x, y in (points + 0.5) * _SCALE:
            cv2.circle(picture, (round(float(x)), round(float(y))), 1, colour, -1, cv2.LINE_AA)
    return picture


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(cv2.imencode(Path(sys.argv[1]).suffix, sheet())[1].tobytes())
