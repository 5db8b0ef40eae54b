"""The figures of docs/evidence/presence.md: how many faces and false alarms networks for the task `presence` refuse.

    python -m tests.benchmarks.presence_figures a.tflite b.tflite --data faces_dev.npz --photos photos/

`--data` holds crops of real faces. In `--photos` OpenCV's detector looks for faces of 48 px and more; what shares a
quarter or more with a box of dlib's detector is a face, all else a false alarm. `--sheet` shows the latter, those that
the first network lets through framed in white.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mlbench.data.decoding import BadImageError, read_grey
from mlbench.faces.dataset import CROP
from mlbench.faces.detection import Box, HaarDetector, crop
from mlbench.faces.face_network import FaceNetwork
from mlbench.faces.files import read_faces
from mlbench.faces.labelling import DlibLabeller, find_predictor
from mlbench.faces.non_faces import OVERLAP, overlap

#: Settings of the detector: the pipeline's, the preparation's, and one that lets nearly all through.
DETECTORS = {
    "1.3, 5": HaarDetector(1.3, 5, 48),
    "1.1, 3": HaarDetector(1.1, 3, 48),
    "1.1, 0": HaarDetector(1.1, 0, 48),
}
_COLUMNS = 12


def boxes_of(photos: Path, name: str) -> Iterator[tuple[npt.NDArray[np.uint8], Box, bool]]:
    """Every box that a detector finds: the photograph, the box, whether it is a face."""
    judge = DlibLabeller(find_predictor(), upsample=1)
    for path in sorted(photos.glob("*")):
        try:
            grey = read_grey(path)
        except BadImageError:
            continue
        faces = judge.detect(grey)
        for box in DETECTORS[name].detect(grey):
            yield grey, box, any(overlap(box, face) >= OVERLAP for face in faces)


def print_faces(networks: list[FaceNetwork], data: Path) -> None:
    faces = read_faces(data)
    whole = Box(0, 0, CROP, CROP)
    for network in networks:
        lost = np.mean([not network.look(image, whole).shown for image in faces.images])
        print(f"{network.path.stem}: {lost:.2%} of the {len(faces):,} faces of {data.name} lost")


def print_alarms(networks: list[FaceNetwork], photos: Path, sheet: Path | None) -> None:
    for name in DETECTORS:
        found = list(boxes_of(photos, name))
        faces = np.array([face for *_, face in found])
        print(f"Haar ({name}): {faces.sum():,} boxes of faces, {(~faces).sum():,} false alarms")
        for number, network in enumerate(networks):
            refused = np.array([not network.look(grey, box).shown for grey, box, _ in found])
            print(
                f"  {network.path.stem}: {refused[faces].mean():.2%} of the faces lost, "
                f"{refused[~faces].mean():.2%} of the false alarms refused"
            )
            if sheet and not number:
                kept = [
                    (*crop(grey, box), no)
                    for (grey, box, face), no in zip(found, refused, strict=True)
                    if not face
                ]
                write_sheet([(image, no) for image, _, no in kept], sheet)


def write_sheet(crops: list[tuple[npt.NDArray[np.uint8], bool]], out: Path) -> None:
    tiles = []
    for image, refused in sorted(crops, key=lambda one: one[1])[: _COLUMNS**2]:
        tile = image.copy()
        if not refused:
            cv2.rectangle(tile, (1, 1), (CROP - 2, CROP - 2), 255, 3)
        tiles.append(tile)
    tiles += [np.zeros((CROP, CROP), np.uint8)] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[start : start + _COLUMNS]) for start in range(0, len(tiles), _COLUMNS)]
    cv2.imwrite(str(out), np.vstack(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    networks = [FaceNetwork.of(path) for path in options.models]
    if options.data:
        print_faces(networks, options.data)
    if options.photos:
        print_alarms(networks, options.photos, options.sheet)


if __name__ == "__main__":
    main()
