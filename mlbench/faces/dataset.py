"""The data set: grey 96×96 face crops with 68 landmarks, and its `.npz` format.

`.npz` holds `images` uint8 [n,96,96], `points` float32 [n,68,2] in crop pixels (whole numbers are pixel
centres; points may lie outside the crop and are never clipped) and `name` [n]; further arrays of n rows
(`person`, `human`, `frontal`, `source`, `detector`) are optional, and so is the number `margin`, which is 1 where it is
absent. It is stored, not deflated (faces shrink by a sixth only), so that it is mapped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.data.npz_arrays import GIVEN, NPZ_ERRORS, Entry, entries
from mlbench.errors import UsageError
from mlbench.faces.persons import persons_of
from mlbench.system.files import write_atomically

#: Side of a crop in pixels, and landmarks a face (paper, section 3).
CROP = 96
LANDMARKS = 68

#: The least and the largest margin of crops.
MARGINS = (0.5, 4.0)

#: Points of the mean distance between the outer eye corners (300-W numbering, from 0).
OUTER_EYE_CORNERS = (36, 45)


@dataclass(frozen=True)
class Faces:
    """Labelled face crops.

    Attributes:
        images: uint8 [n,96,96], grey.
        points: float32 [n,68,2], x and y in crop pixels; may lie outside 0..95.
        names: str [n].
        extra: further arrays with n rows, by key.
        note: what was left out when they were read, a sentence for people; "" for nothing.
        margin: sides of the crops, in sides of the faces' boxes; the paper's is 1.
    """

    images: npt.NDArray[np.uint8]
    points: npt.NDArray[np.float32]
    names: npt.NDArray[np.str_]
    extra: dict[str, npt.NDArray[np.generic]] = field(default_factory=dict)
    note: str = ""
    margin: float = 1.0

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def persons(self) -> npt.NDArray[np.str_]:
        """Who each face is [n], by the rule of `mlbench.faces.persons`."""
        return persons_of(self.names, self.extra)

    def take(self, index: npt.NDArray[np.generic] | slice) -> Faces:
        """The chosen rows (a boolean mask, indices or a slice), in that order."""
        rows = {key: values[index] for key, values in self.extra.items()}
        return Faces(self.images[index], self.points[index], self.names[index], rows, margin=self.margin)

    def spread(self, count: int) -> Faces:
        """At most `count` rows, evenly from all: files are often sorted by where the faces come from."""
        return self.take(np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int))


def eye_distances(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Distances of the outer eye corners [n], px, of points [n,68,2]."""
    left, right = OUTER_EYE_CORNERS
    return np.asarray(np.linalg.norm(points[:, left] - points[:, right], axis=1))


def joined(parts: Sequence[Faces]) -> Faces:
    """All faces of several sets, one after the other, with the extra arrays that each of them has.

    Where one of them has an array `person`, all get one, so that no one who was told apart is told apart no more.
    Where one of them has an array `split`, the faces of those without are to train on.

    Raises:
        UsageError: they have different margins.
    """
    margins = sorted({part.margin for part in parts})
    if len(margins) > 1:
        message = f"Faces with margins of {margins[0]:g} and {margins[1]:g} cannot be joined: crop all of them alike."
        raise UsageError(message)
    if any(GIVEN in part.extra for part in parts):
        to_train_on = [{GIVEN: np.full(len(part), "train")} for part in parts]
        parts = [
            replace(part, extra=split | part.extra) for part, split in zip(parts, to_train_on, strict=True)
        ]
    shared = set.intersection(*(set(part.extra) for part in parts)) - {"person"}
    extra = {key: np.concatenate([part.extra[key] for part in parts]) for key in sorted(shared)}
    if any("person" in part.extra for part in parts):
        extra["person"] = np.concatenate([part.persons for part in parts])
    return Faces(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.names for part in parts]),
        extra,
        margin=margins[0],
    )


def read_npz(path: Path, label: str = "points") -> Faces:
    """Read faces from an `.npz`; `label` names the array that holds the points.

    Arrays stored without compression (as `write_npz` does) are memory-mapped, read-only.

    Raises:
        UsageError: unreadable, wrong keys, shapes or types, NaN points, pickled objects, or a zip bomb.
    """
    with _reported(path):
        headers = entries(path)
        margin = _margin(headers, path)
        _check_headers(headers, label, path)
        images = headers.pop("images").load()
        return Faces(images, *_rows(headers, label, path), margin=margin)


def iter_npz(path: Path, batch: int, label: str = "points") -> Iterator[Faces]:
    """Read faces `batch` at a time; the images of one batch at most are in memory, whatever the file's size.

    Raises:
        UsageError: as `read_npz`; damaged images are found when their batch is reached.
    """
    with _reported(path):
        headers = entries(path)
        margin = _margin(headers, path)
        _check_headers(headers, label, path)
        images = headers.pop("images")
        points, names, extra = _rows(headers, label, path)
        for number, part in enumerate(images.batches(batch)):
            rows = slice(number * batch, number * batch + len(part))
            more = {key: values[rows] for key, values in extra.items()}
            yield Faces(part, points[rows], names[rows], more, margin=margin)


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except NPZ_ERRORS as error:
        message = f"{path} cannot be read as faces: {error}; make one with `mlbench prepare`."
        raise UsageError(message) from error


def _margin(headers: dict[str, Entry], path: Path) -> float:
    """The number `margin`, which is taken out; 1 where there is none."""
    if (entry := headers.pop("margin", None)) is None:
        return 1.0
    least, most = MARGINS
    if entry.dtype.kind not in "fiu" or entry.shape != () or not least <= float(entry.load()) <= most:
        message = (
            f"{path}: margin is no number of {least:g} to {most:g}; make the file with `mlbench prepare`."
        )
        raise UsageError(message)
    return float(entry.load())


def _check_headers(headers: dict[str, Entry], label: str, path: Path) -> None:
    """Refuse wrong keys, shapes and types; take out arrays that do not hold one row per face."""
    missing = [key for key in ("images", label) if key not in headers]
    if missing:
        present = ", ".join(headers) or "none"
        message = f"{path} has no array {missing[0]!r} (it has {present}): not a file of faces."
        raise UsageError(message)
    images, points, names, persons = (
        headers["images"],
        headers[label],
        headers.get("name"),
        headers.get("person"),
    )
    n = images.shape[0] if images.shape else 0
    if images.dtype != np.uint8 or images.shape[1:] != (CROP, CROP):
        fault = f"images are {images.dtype} {images.shape}, not uint8 [n,{CROP},{CROP}]"
    elif points.dtype.kind != "f" or points.shape != (n, LANDMARKS, 2):
        fault = f"{label} are {points.dtype} {points.shape}, not float [{n},{LANDMARKS},2]"
    elif names and (names.dtype.kind != "U" or names.shape != (n,)):
        fault = f"name is {names.dtype} {names.shape}, not {n} texts"
    elif persons and (persons.dtype.kind not in "Uiu" or persons.shape != (n,)):
        fault = f"person is {persons.dtype} {persons.shape}, not {n} texts or whole numbers"
    elif n == 0:
        fault = "it holds no face"
    else:
        for key in [key for key, entry in headers.items() if entry.shape[:1] != (n,)]:
            del headers[key]
        return
    message = f"{path}: {fault}; make the file with `mlbench prepare`."
    raise UsageError(message)


def _rows(
    headers: dict[str, Entry], label: str, path: Path
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.str_], dict[str, npt.NDArray[Any]]]:
    """Points, names, and what else there is of each face, but for its image."""
    arrays = {key: entry.load() for key, entry in headers.items()}
    with np.errstate(over="ignore"):
        points = arrays.pop(label).astype(np.float32, copy=False)
    names = arrays.pop("name", np.arange(len(points)).astype(np.str_))
    bad = np.flatnonzero(~np.isfinite(points).all(axis=(1, 2)))
    if len(bad):
        message = f"{path}: {label} of {names[bad[0]]} are not finite ({len(bad)} such rows); remove them."
        raise UsageError(message)
    return points, names, arrays


def write_npz(faces: Faces, path: Path) -> None:
    """Write faces as an `.npz`, by atomic rename; the same faces give the same bytes.

    Images may be mapped: they are copied piece by piece.

    Raises:
        UsageError: the file cannot be written.
    """
    with write_atomically(path) as part, part.open("wb") as file:
        arrays: dict[str, Any] = {
            "images": faces.images,
            "points": faces.points,
            "name": faces.names,
            **faces.extra,
            **({} if faces.margin == 1 else {"margin": np.float64(faces.margin)}),
        }
        np.savez(file, allow_pickle=False, **arrays)
