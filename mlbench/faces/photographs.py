"""Photographs, and what the paper makes of one: labelled crops of its face (section 3).

A photograph is decoded to grey; dlib's detector finds the face, or OpenCV's where dlib finds none, or another
that is named; dlib's predictor places 68 points; the box is cut and resized to 96×96, and the points move with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
import PIL

from mlbench.boxes import Box
from mlbench.data.decoding import MAX_PIXELS, SUFFIXES, BadImageError, Grey, decode_grey
from mlbench.faces.detection import HaarDetector, crop, map_points
from mlbench.faces.labelling import PREDICTOR_SHA256, DlibLabeller, require_dlib

if TYPE_CHECKING:
    from mlbench.contracts import Detector


@dataclass(frozen=True)
class LabelledCrop:
    """One face of a photograph: crop uint8 [96,96], points float64 [68,2] in its pixels, and who found it."""

    image: npt.NDArray[np.uint8]
    points: npt.NDArray[np.float64]
    detector: str  # its name
    note: str = ""  # what decoding had to assume


@dataclass(frozen=True)
class Recipe:
    """How faces are made of a photograph.

    Attributes:
        labeller: dlib's detector and predictor.
        fallback: asked where dlib finds no face.
        margin: sides of the crop, in sides of the box; the paper's is 1.
        detector: asked in place of both, where one is named.
    """

    labeller: DlibLabeller
    fallback: HaarDetector
    margin: float = 1.0
    detector: Detector | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """All that determines the outcome besides the photograph, versions included."""
        haar = self.fallback
        settings = (self.margin, self.labeller.upsample, haar.scale_factor, haar.neighbours, haar.min_size)
        decoders = (cv2.__version__, PIL.__version__, *sorted(SUFFIXES))
        chosen = tuple(self.detector.key()) if self.detector else ()
        return (PREDICTOR_SHA256, *settings, require_dlib(), *decoders, np.__version__, *chosen)

    def faces_of(self, path: Path) -> list[LabelledCrop]:
        """All faces of a photograph, the largest first.

        Raises:
            BadImageError: it cannot be decoded, or neither detector finds a face.
        """
        decoded = decode_grey(path, MAX_PIXELS // 4**self.labeller.upsample)
        grey = decoded.pixels
        boxes, detector = self._detected(grey)
        if not boxes:
            who = f"by {self.detector.name}" if self.detector else "neither by dlib nor by OpenCV"
            message = f"no face found, {who}"
            raise BadImageError(message)
        return [self._labelled(decoded, box, detector) for box in boxes]

    def _detected(self, grey: npt.NDArray[np.uint8]) -> tuple[list[Box], str]:
        """The faces, and the name of the detector that found them."""
        if self.detector:
            return self.detector.detect(grey), self.detector.name
        boxes = self.labeller.detect(grey)
        return (boxes, "dlib") if boxes else (self.fallback.detect(grey), "haar")

    def _labelled(self, photo: Grey, box: Box, detector: str) -> LabelledCrop:
        image, affine = crop(photo.pixels, box, self.margin)
        points = map_points(self.labeller.label(photo.pixels, box), affine)
        return LabelledCrop(image, points, detector, photo.note)
