"""The figures of docs/explanation/appearance.md: how good the appearance model's samples are, and how fast they come.

    python tests/benchmarks/appearance_figures.py                      # sampling speed, dlib's acceptance
    python tests/benchmarks/appearance_figures.py --data faces.npz     # and the probe's error on real faces
    python tests/benchmarks/appearance_figures.py --frames             # and Haar's recall on composed frames
    python tests/benchmarks/appearance_figures.py --sheet samples.jpg  # and a sheet of samples

The probe is a ridge regression from histograms of oriented gradients to the landmarks: a learner too small to
hide what is wrong with its data. It is trained on samples, on the portraits and on other real faces, and
tested on faces of `--data` whose `source` is not the portraits'.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from mlbench.faces.appearance import AppearanceModel
from mlbench.faces.dataset import OUTER_EYE_CORNERS, Faces
from mlbench.faces.files import read_faces
from mlbench.faces.frames import compose_frames

_SEED = 7
_LOT = 128
_PORTRAITS = "congress_voteview"


def print_speed(count: int) -> None:
    model = AppearanceModel.load()
    model.sample(_LOT)
    rates = []
    for start in range(0, count, _LOT):
        began = time.process_time()
        model.sample(_LOT, seed=_SEED, start=start)
        rates.append(_LOT / (time.process_time() - began))
    print(
        f"sampling: {np.median(rates):.0f} faces a second of CPU time "
        f"(median of {len(rates)} lots of {_LOT}; best {max(rates):.0f})"
    )


def accepted(images: np.ndarray) -> float:
    """Share of crops in which dlib finds a face, at twice the size and with the edge drawn out by 64 px.

    The crop is dlib's box itself: without the border its window of 80 px with a margin has no room.
    """
    import dlib

    detector = dlib.get_frontal_face_detector()
    return float(np.mean([len(detector(_with_room(image), 0)) > 0 for image in images]))


def _with_room(image: np.ndarray) -> np.ndarray:
    doubled = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    return cv2.copyMakeBorder(doubled, 64, 64, 64, 64, cv2.BORDER_REPLICATE)


def probe_error(train: Faces, test: Faces) -> float:
    """Mean error over the distance of the outer eye corners, in percent, of the probe."""
    inputs, targets = _gradients(train.images), train.points.reshape(len(train), -1)
    mean, offset = inputs.mean(0), targets.mean(0)
    centred = inputs - mean
    ridge = len(train) / 30 * np.eye(inputs.shape[1], dtype=np.float32)
    weights = np.linalg.solve(centred.T @ centred + ridge, centred.T @ (targets - offset))
    predicted = ((_gradients(test.images) - mean) @ weights + offset).reshape(-1, 68, 2)
    left, right = (test.points[:, corner] for corner in OUTER_EYE_CORNERS)
    miss = np.linalg.norm(predicted - test.points, axis=2).mean(1)
    return float(np.mean(miss / np.linalg.norm(left - right, axis=1)) * 100)


def _gradients(images: np.ndarray) -> np.ndarray:
    descriptor = cv2.HOGDescriptor((96, 96), (16, 16), (8, 8), (8, 8), 9)
    return np.stack([descriptor.compute(image).ravel() for image in images])


def print_probe(data: Path, count: int) -> None:
    faces = read_faces(data)
    portraits = faces.take(faces.extra["source"] == _PORTRAITS)
    others = np.flatnonzero(faces.extra["source"] != _PORTRAITS)
    held_out = np.random.default_rng(_SEED).permutation(others)
    test, rest = faces.take(held_out[:2000]), faces.take(held_out[2000:5000])
    print(f"dlib accepts {accepted(portraits.images[:500]):.1%} of the first 500 portraits")
    samples = AppearanceModel.load().sample(count, seed=_SEED)
    for name, train in (("samples", samples), ("portraits", portraits), ("other real faces", rest)):
        for part, chosen in (("all", test), ("near-frontal", test.take(test.extra["frontal"]))):
            error = probe_error(train, chosen)
            print(f"probe: {error:.2f} % trained on {len(train)} {name}, tested on {len(chosen)} {part}")


def print_recall(count: int) -> None:
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    frames = compose_frames(count, _SEED)
    found, false, shown = 0, 0, 0
    for image, true in zip(frames.images, frames.boxes or (), strict=True):
        boxes = [tuple(map(int, box)) for box in cascade.detectMultiScale(image, 1.3, 5)]
        if true is None:
            false += bool(boxes)
            continue
        shown += 1
        found += any(_overlap(true, other) > 0.5 for other in boxes)
    print(
        f"Haar (1.3, 5) finds {found} of {shown} faces at IoU 0.5; some in {false} of {count - shown} without"
    )


def _overlap(a: tuple[int, int, int, int], b: tuple[int, ...]) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def write_sheet(path: Path) -> None:
    images = AppearanceModel.load().sample(60, seed=_SEED).images
    cv2.imwrite(str(path), np.vstack([np.hstack(list(row)) for row in images.reshape(6, 10, 96, 96)]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=3000, help="samples for speed and probe")
    parser.add_argument("--data", type=Path, help="real faces with `source` and `frontal`")
    parser.add_argument("--frames", action="store_true")
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print_speed(options.count)
    print(
        f"dlib accepts {accepted(AppearanceModel.load().sample(1000, seed=_SEED).images):.1%} of 1000 samples"
    )
    if options.data:
        print_probe(options.data, options.count)
    if options.frames:
        print_recall(200)
    if options.sheet:
        write_sheet(options.sheet)


if __name__ == "__main__":
    main()
