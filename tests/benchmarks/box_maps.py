"""The numbers of `BoxMap` that take BlazeFace's boxes, and landmarks, to the boxes that networks are trained on.

    python -m tests.benchmarks.box_maps

Both are fitted on sampled faces: a crop is dlib's box of its face (docs/explanation/appearance.md).
"""

from __future__ import annotations

import numpy as np

from mlbench import plugins
from mlbench.errors import UsageError
from mlbench.faces.appearance import AppearanceModel
from mlbench.faces.box_map import BoxMap, extent
from mlbench.faces.dataset import CROP
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
