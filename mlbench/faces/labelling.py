"""Labels by dlib, an optional extra: its frontal detector and its 68-point predictor (paper, section 3).

The predictor is an ensemble of regression trees (Kazemi and Sullivan, 2014) trained on 300-W, whose licence
bars commercial use.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.boxes import Box, largest_first
from mlbench.errors import UsageError
from mlbench.system.files import file_sha256
from mlbench.system.installing import install_extra

PREDICTOR = "shape_predictor_68_face_landmarks.dat"
PREDICTOR_SHA256 = "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f"

_INSTALL = f"install them with `{install_extra('prepare')}`"


def require_dlib() -> str:
    """The version of dlib.

    Raises:
        UsageError: dlib is not installed, or does not load.
    """
    try:
        import dlib
    except ImportError as error:
        message = (
            f"faces are labelled by dlib and its 68-point model, which are not here ({error}): {_INSTALL}."
        )
        raise UsageError(message) from error
    return str(dlib.__version__)


def find_predictor(given: Path | None = None) -> Path:
    """The 68-point model's file, checked: the given one, or that of the package `face_recognition_models`.

    The package is located, never imported: it needs `pkg_resources`, which new setuptools no longer have.

    Raises:
        UsageError: there is none, or it is not the published model.
    """
    path = given or _packaged()
    if path is None or not path.is_file():
        where = f"{given} does not exist" if given else "face_recognition_models is not here"
        message = f"{where}: give dlib's {PREDICTOR}, or {_INSTALL}."
        raise UsageError(message)
    try:
        found = file_sha256(path)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}; check its permissions."
        raise UsageError(message) from error
    if found != PREDICTOR_SHA256:
        message = (
            f"{path} is not dlib's {PREDICTOR}: its sha256 is {found[:16]}…, not {PREDICTOR_SHA256[:16]}…; "
            "download it again and unpack it."
        )
        raise UsageError(message)
    return path


def _packaged() -> Path | None:
    spec = importlib.util.find_spec("face_recognition_models")
    folders = spec.submodule_search_locations if spec else None
    return next((Path(folder) / "models" / PREDICTOR for folder in folders or ()), None)


def frontal_faces(finder: Any, grey: npt.NDArray[np.uint8], doublings: int) -> list[Box]:
    """The faces that dlib's detector finds in a grey image doubled so often, the largest first."""
    found = finder(grey, doublings)
    return largest_first([Box(face.left(), face.top(), face.width(), face.height()) for face in found])


@dataclass(frozen=True)
class DlibLabeller:
    """dlib's detector and predictor; loaded on first use, in the process that uses it.

    Attributes:
        predictor: a file that `find_predictor` has checked.
        upsample: how often the image is doubled before detection: 0 finds faces of 80 px and more, 1 of 40
        px.
    """

    predictor: Path
    upsample: int = 0

    @cached_property
    def _detector(self) -> Any:
        import dlib

        return dlib.get_frontal_face_detector()

    @cached_property
    def _predictor(self) -> Any:
        import dlib

        return dlib.shape_predictor(str(self.predictor))

    def detect(self, grey: npt.NDArray[np.uint8]) -> list[Box]:
        """The faces in a grey image uint8 [height,width], the largest first."""
        return frontal_faces(self._detector, grey, self.upsample)

    def label(self, grey: npt.NDArray[np.uint8], box: Box) -> npt.NDArray[np.float64]:
        """The 68 points [68,2] of the face in `box`, in pixels of the image; they may lie outside both."""
        import dlib

        rectangle = dlib.rectangle(box.left, box.top, box.left + box.width - 1, box.top + box.height - 1)
        return np.array(
            [(point.x, point.y) for point in self._predictor(grey, rectangle).parts()], np.float64
        )
