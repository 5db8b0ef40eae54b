"""Photographs, and what the paper makes of one: labelled crops of its face (section 3).

A photograph is decoded to grey; dlib's detector finds the face, or OpenCV's where dlib finds none; dlib's
predictor places 68 points; the box is cut and resized to 96×96, and the points move with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import PIL

from mlbench.errors import UsageError
from mlbench.faces.decoding import MAX_PIXELS, SUFFIXES, BadImageError, read_grey
from mlbench.faces.detection import Box, HaarDetector, crop, map_points
from mlbench.faces.labelling import PREDICTOR_SHA256, DlibLabeller, require_dlib


@dataclass(frozen=True)
class Photo:
    """An image file: its name in the data set, and what tells it from another version of itself."""

    name: str
    path: Path
    size: int
    changed_ns: int

    @property
    def identity(self) -> tuple[str, int, int]:
        """Name, bytes and time of the last change."""
        return self.name, self.size, self.changed_ns


def find_photos(inputs: Sequence[Path]) -> list[Photo]:
    """The images in folders (with sub-folders, by their endings) and the given files, each once, by name.

    Names are paths relative to the input; where there are several inputs, a folder's own name leads.

    Raises:
        UsageError: an input does not exist, or there is no image.
    """
    found: dict[Path, Photo] = {}
    for given in inputs:
        if given.is_dir():
            base = given.resolve().parent if len(inputs) > 1 else given.resolve()
            for path in sorted(_images_below(given.resolve())):
                found.setdefault(path, _photo(path, path.relative_to(base).as_posix()))
        elif given.is_file():
            found.setdefault(given.resolve(), _photo(given.resolve(), given.name))
        else:
            message = f"{given} does not exist: give folders or image files."
            raise UsageError(message)
    if not found:
        message = (
            f"{', '.join(map(str, inputs)) or 'Nothing'} holds no image ({', '.join(sorted(SUFFIXES))})."
        )
        raise UsageError(message)
    return sorted(found.values(), key=lambda photo: (photo.name, str(photo.path)))


def _images_below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield path


def _photo(path: Path, name: str) -> Photo:
    status = path.stat()
    printable = os.fsencode(name).decode("utf-8", "backslashreplace")
    return Photo(printable, path, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class LabelledCrop:
    """One face of a photograph: crop uint8 [96,96], points float64 [68,2] in its pixels, and who found it."""

    image: npt.NDArray[np.uint8]
    points: npt.NDArray[np.float64]
    detector: str  # "dlib" or "haar"


@dataclass(frozen=True)
class Recipe:
    """How faces are made of a photograph.

    Attributes:
        labeller: dlib's detector and predictor.
        fallback: asked where dlib finds no face.
        margin: sides of the crop, in sides of the box; the paper's is 1.
    """

    labeller: DlibLabeller
    fallback: HaarDetector
    margin: float = 1.0

    @property
    def identity(self) -> tuple[object, ...]:
        """All that determines the outcome besides the photograph, versions included."""
        haar = self.fallback
        settings = (self.margin, self.labeller.upsample, haar.scale_factor, haar.neighbours, haar.min_size)
        return (PREDICTOR_SHA256, *settings, require_dlib(), cv2.__version__, PIL.__version__, np.__version__)

    def faces_of(self, path: Path) -> list[LabelledCrop]:
        """All faces of a photograph, the largest first.

        Raises:
            BadImageError: it cannot be decoded, or neither detector finds a face.
        """
        grey = read_grey(path, MAX_PIXELS // 4**self.labeller.upsample)
        boxes, detector = self.labeller.detect(grey), "dlib"
        if not boxes:
            boxes, detector = self.fallback.detect(grey), "haar"
        if not boxes:
            message = "no face found, neither by dlib nor by OpenCV"
            raise BadImageError(message)
        return [self._labelled(grey, box, detector) for box in boxes]

    def _labelled(self, grey: npt.NDArray[np.uint8], box: Box, detector: str) -> LabelledCrop:
        image, affine = crop(grey, box, self.margin)
        return LabelledCrop(image, map_points(self.labeller.label(grey, box), affine), detector)
