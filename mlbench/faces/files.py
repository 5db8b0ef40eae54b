"""Files of faces, read and written by their ending: `.npz` or the paper's `.csv`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mlbench.errors import UsageError
from mlbench.faces.csv_format import SkippedRow, iter_csv, read_csv, write_csv
from mlbench.faces.dataset import CROP, Faces, iter_npz, read_npz, write_npz

_CLOSEST = 4  # px: what all points of a face lie within only if they are no pixels, as points / 96 are not
_FURTHEST = 4 * CROP  # px: further apart than the points of a face can be


def read_faces(path: Path, label: str = "points") -> Faces:
    """Read faces from `.npz` or the paper's `.csv`, by the file's ending; their `note` tells of skipped rows.

    Raises:
        UsageError: no such file, another ending, a bad file, or points that cannot be pixels of the crop.
    """
    faces = read_npz(path, label) if _format_of(path, label) == ".npz" else read_csv(path)
    _require_pixels(faces, path, label)
    return faces


def _require_pixels(faces: Faces, path: Path, label: str) -> None:
    """Refuse points in another unit, which would train, and report errors in what are no pixels."""
    points = faces.points.astype(np.float64)
    extent = (points.max(axis=1) - points.min(axis=1)).max(axis=1)
    inside = ((points >= -0.5) & (points <= CROP - 0.5)).all(axis=2).mean(axis=1)
    checks = {
        f"lie within {_CLOSEST} px of each other": extent < _CLOSEST,
        f"lie over {_FURTHEST} px apart": extent > _FURTHEST,
        "lie mostly outside the crop": inside < 0.5,
    }
    for fault, bad in checks.items():
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            message = (
                f"{path}: the {label} of {faces.names[row]} {fault} ({bad.sum():,} of {len(faces):,} faces), so that "
                f"they are no pixels of the {CROP}×{CROP} crop: scale them to pixels, or remove such faces."
            )
            raise UsageError(message)


def write_faces(faces: Faces, path: Path) -> None:
    """Write faces as `.npz` or the paper's `.csv`, by the file's ending.

    Raises:
        UsageError: another ending, or the file cannot be written.
    """
    (write_npz if require_faces_suffix(path) == ".npz" else write_csv)(faces, path)


def require_faces_suffix(path: Path) -> str:
    """`.npz` or `.csv`, whichever a file to be written ends in.

    Raises:
        UsageError: it ends otherwise.
    """
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".csv"):
        message = f"{path} ends in {suffix or 'nothing'}: faces are written as .npz or .csv."
        raise UsageError(message)
    return suffix


def iter_faces(
    path: Path, batch: int, label: str = "points", skipped: list[SkippedRow] | None = None
) -> Iterator[Faces]:
    """Read faces from `.npz` or `.csv`, `batch` at a time, holding one batch in memory.

    Rows of a `.csv` that are left out are appended to `skipped`.

    Raises:
        UsageError: as `read_faces`; bad faces are found when their batch is reached.
    """
    found = (
        iter_npz(path, batch, label)
        if _format_of(path, label) == ".npz"
        else iter_csv(path, batch, [] if skipped is None else skipped)
    )
    for faces in found:
        _require_pixels(faces, path, label)
        yield faces


def _format_of(path: Path, label: str) -> str:
    suffix = path.suffix.lower()
    if not path.is_file():
        message = (
            f"{path} does not exist: give an .npz or .csv of samples, or make one with `mlbench prepare`."
        )
    elif suffix not in (".npz", ".csv"):
        message = f"{path} ends in {suffix or 'nothing'}: faces are read from .npz or .csv."
    elif suffix == ".csv" and label != "points":
        message = f"{path} cannot hold {label!r}: a CSV has one set of points; give a .npz."
    else:
        return suffix
    raise UsageError(message)
