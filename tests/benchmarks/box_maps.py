"""The numbers of `BoxMap` that take BlazeFace's boxes, and landmarks, to the boxes that networks are trained on.

    python -m tests.benchmarks.box_maps

Both are fitted on sampled faces: a crop is dlib's box of its face (docs/explanation/appearance.md).
"""

from __future__ import annotations

import cv2
import numpy as np

from mlbench import plugins
from mlbench.errors import UsageError
from mlbench.export import ready_models
from mlbench.faces.appearance import AppearanceModel
from mlbench.faces.box_map import BoxMap, extent
from mlbench.faces.dataset import CROP, eye_distances
from mlbench.faces.face_network import FaceNetwork
from mlbench.faces.frames import face_frames

#: Of the fits; no face of them is one that a network is tested on.
SEED = 11


def of_landmarks(count: int = 1000) -> BoxMap:
    """From the landmarks of sampled faces to their crops."""
    faces = AppearanceModel.load().sample(count, seed=SEED, purpose="frame")
    seen = [extent(points) for points in faces.points.astype(np.float64)]
    centres, sizes = np.array([centre for centre, _ in seen]), np.array([size for _, size in seen])
    middle = (CROP - 1) / 2
    return BoxMap.fitted(centres, sizes, np.tile([middle, middle, CROP], (count, 1)))


def error_at(tighter: float, model: str, count: int = 500) -> float:
    """NME of a ready model on sampled faces, cropped by their true landmarks at a share of the fitted side."""
    network = FaceNetwork.of(ready_models.file_named(model))
    faces, fitted = AppearanceModel.load().sample(count, seed=SEED, purpose="tuning"), of_landmarks()
    to_box, errors = BoxMap(fitted.side * tighter, fitted.x, fitted.y), []
    for image, points, eyes in zip(faces.images, faces.points, eye_distances(faces.points), strict=True):
        large, true = cv2.resize(image, (2 * CROP, 2 * CROP)), 2 * (points.astype(np.float64) + 0.5) - 0.5
        found = network(large, to_box.box(*extent(true))).points
        errors.append(np.linalg.norm(found - true, axis=1).mean() / (2 * eyes))
    return float(np.mean(errors))


def of_detector(name: str, count: int = 200) -> tuple[BoxMap, np.ndarray]:
    """From a detector's own boxes to those of faces in composed frames; and what is left over, in sides [n,3]."""
    detector = plugins.load("detectors", name)()
    frames = face_frames(count, SEED)
    rows = []
    for image, true in zip(frames.images, frames.boxes or (), strict=True):
        if true is None:
            continue
        x, y, side, _ = true
        middle = np.array([x, y]) + (side - 1) / 2
        for centre, size in detector.seen(image):
            if np.abs(centre - middle).max() < 0.25 * side:  # else it is no face
                rows.append([*centre, size, *middle, side])
    centres, sizes, boxes = np.split(np.array(rows), [2, 3], axis=1)
    fitted = BoxMap.fitted(centres, sizes[:, 0], boxes)
    made = [fitted.box(centre, size[0]) for centre, size in zip(centres, sizes, strict=True)]
    left = np.array(
        [[box.left + (box.width - 1) / 2, box.top + (box.width - 1) / 2, box.width] for box in made]
    )
    return fitted, (left - boxes) / boxes[:, 2:]


def main() -> None:
    """Print the maps."""
    print(f"landmarks: {of_landmarks()}")
    for model in ("basic", "two_pool", "one_pool"):
        told = ", ".join(
            f"{error_at(share, model):.2%} at {share}" for share in (0.88, 0.92, 0.96, 1.0, 1.04)
        )
        print(f"NME of {model} by the share of that side: {told}")
    for name in ("blazeface", "blazeface_short"):
        try:
            fitted, left = of_detector(name)
        except UsageError as error:
            print(error)
            continue
        spread = ", ".join(f"{100 * value:.1f} %" for value in left.std(axis=0))
        print(f"{name}: {fitted}; {len(left)} faces, standard deviation of x, y and side: {spread}")


if __name__ == "__main__":
    main()
