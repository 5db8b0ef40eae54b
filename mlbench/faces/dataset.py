"""The data set: grey 96×96 face crops with 68 landmarks, how they are split, and their two file formats.

`.npz` holds `images` uint8 [n,96,96], `points` float32 [n,68,2] in crop pixels (points may lie outside the
crop and are never clipped) and `name` [n]; further arrays of n rows (`human`, `frontal`, `source`) are optional.
The paper's CSV (section 4.1) is read and written by `mlbench.faces.csv_format`.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mlbench.errors import UsageError
from mlbench.files import write_atomically

#: Side of a crop in pixels, and landmarks a face (paper, section 3).
CROP = 96
LANDMARKS = 68

#: Points of the mean distance between the outer eye corners (300-W numbering, from 0).
OUTER_EYE_CORNERS = (36, 45)

_PERSON = re.compile(r"^([^\W\d]+(?:[_ -][^\W\d]+)+)[_-]?\d+$")  # Given_Family_0001, Given_Family12
_PHOTO = re.compile(r"^(\d{4,})_\d+$")  # 100032540_1: the faces of one photograph


@dataclass(frozen=True)
class Faces:
    """Labelled face crops.

    Attributes:
        images: uint8 [n,96,96], grey.
        points: float32 [n,68,2], x and y in crop pixels; may lie outside 0..95.
        names: str [n].
        extra: further arrays with n rows, by key.
    """

    images: npt.NDArray[np.uint8]
    points: npt.NDArray[np.float32]
    names: npt.NDArray[np.str_]
    extra: dict[str, npt.NDArray[np.generic]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over images and points, in order."""
        digest = hashlib.sha256()
        for start in range(0, len(self), 4096):
            digest.update(np.ascontiguousarray(self.images[start : start + 4096]))
        digest.update(np.ascontiguousarray(self.points))
        return digest.hexdigest()

    def take(self, index: npt.NDArray[np.generic] | slice) -> Faces:
        """The chosen rows (a boolean mask, indices or a slice), in that order."""
        rows = {key: values[index] for key, values in self.extra.items()}
        return Faces(self.images[index], self.points[index], self.names[index], rows)


def read_npz(path: Path, label: str = "points") -> Faces:
    """Read faces from an `.npz`; `label` names the array that holds the points.

    Raises:
        UsageError: unreadable, wrong keys, shapes or types, NaN points, or pickled objects.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        message = f"{path} cannot be read as faces: {error}; make one with `mlbench prepare`."
        raise UsageError(message) from error
    return _checked(arrays, label, path)


def _checked(arrays: dict[str, npt.NDArray[np.generic]], label: str, path: Path) -> Faces:
    missing = [key for key in ("images", label) if key not in arrays]
    if missing:
        message = f"{path} has no array {missing[0]!r} (it has {', '.join(arrays) or 'none'}): not a file of faces."
        raise UsageError(message)
    images, points = arrays.pop("images"), arrays.pop(label)
    names = arrays.pop("name", np.array([f"{i}" for i in range(len(images))]))
    n = len(images)
    faults = {
        f"images are {images.dtype} {images.shape}, not uint8 [n,{CROP},{CROP}]": images.dtype != np.uint8
        or images.shape[1:] != (CROP, CROP),
        f"{label} are {points.dtype} {points.shape}, not float [{n},{LANDMARKS},2]": points.dtype.kind != "f"
        or points.shape != (n, LANDMARKS, 2),
        f"name has {names.shape} rows of {names.dtype}, not {n} texts": names.shape != (n,) or names.dtype.kind != "U",
        "it holds no face": n == 0,
    }
    for fault, present in faults.items():
        if present:
            message = f"{path}: {fault}; make the file with `mlbench prepare`."
            raise UsageError(message)
    if not np.isfinite(points).all():
        rows = np.flatnonzero(~np.isfinite(points).all(axis=(1, 2)))
        message = f"{path}: {label} of row {rows[0]} are not finite ({len(rows)} such rows); remove them."
        raise UsageError(message)
    extra = {key: values for key, values in arrays.items() if values.shape[:1] == (n,)}
    return Faces(images, points.astype(np.float32, copy=False), names, extra)


def write_npz(faces: Faces, path: Path) -> None:
    """Write faces as an `.npz` (deflated), by atomic rename; the same faces give the same bytes."""
    with write_atomically(path) as part, part.open("wb") as file:
        np.savez_compressed(file, images=faces.images, points=faces.points, name=faces.names, **faces.extra)


def read_faces(path: Path, label: str = "points") -> Faces:
    """Read faces from `.npz` or the paper's `.csv`, by the file's ending.

    Raises:
        UsageError: no such file, another ending, or a bad file.
    """
    if not path.is_file():
        message = f"{path} does not exist: give a .npz or .csv of faces, or make one with `mlbench prepare`."
        raise UsageError(message)
    if path.suffix.lower() == ".npz":
        return read_npz(path, label)
    if path.suffix.lower() == ".csv":
        from mlbench.faces.csv_format import read_csv

        return read_csv(path)
    message = f"{path} ends in {path.suffix or 'nothing'}: faces are read from .npz or .csv."
    raise UsageError(message)


def person_of(name: str) -> str:
    """Who (or which photograph) a file name speaks of; the name itself where it tells nothing.

    `Alejandro_Toledo_0002.jpg` -> `Alejandro_Toledo`; `100032540_1.jpg` -> `100032540`; `AF12.jpg` -> `AF12`.
    """
    stem = name.rsplit("/", 1)[-1].split(".", 1)[0]
    match = _PERSON.match(stem) or _PHOTO.match(stem)
    return match.group(1) if match else stem


@dataclass(frozen=True)
class Split:
    """Row numbers of the three parts; no two share a row, and test shares no person with the others."""

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]
    rule: str


def split_faces(faces: Faces, *, seed: int, test_share: float = 0.1, shuffle: bool = False) -> Split:
    """Divide faces into train, validation and test.

    Test takes the persons whose hash falls below `test_share` (so that a person never changes sides when
    faces are added). Of the rest the last 10 % are for validation, in the order of the file as in the
    paper (section 4.2), or in an order shuffled by `seed`: better where a file is sorted by source.

    Raises:
        UsageError: a part would be empty.
    """
    salt = f"{seed}".encode()
    share = np.array([_hash_share(salt, person_of(str(name))) for name in faces.names])
    test = np.flatnonzero(share < test_share)
    rest = np.flatnonzero(share >= test_share)
    if shuffle:
        rest = np.random.default_rng(seed).permutation(rest)
    cut = len(rest) - round(0.1 * len(rest))
    if not (0 < cut < len(rest) and (len(test) or test_share == 0)):
        message = f"{len(faces)} faces are too few to split into train, validation and test: give at least 30."
        raise UsageError(message)
    order = "shuffled by the seed" if shuffle else "in file order"
    rule = f"test: {test_share:.0%} of persons by hash; validation: last 10 % of the rest, {order}"
    return Split(rest[:cut], rest[cut:], test, rule)


def _hash_share(salt: bytes, person: str) -> float:
    digest = hashlib.sha256(salt + person.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
