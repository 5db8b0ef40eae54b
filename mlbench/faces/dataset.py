"""The data set: grey 96×96 face crops with 68 landmarks, how they are split, and their two file formats.

`.npz` holds `images` uint8 [n,96,96], `points` float32 [n,68,2] in crop pixels (whole numbers are pixel
centres; points may lie outside the crop and are never clipped) and `name` [n]; further arrays of n rows
(`person`, `human`, `frontal`, `source`, `detector`) are optional. It is stored, not deflated (faces shrink by a sixth
only), so that it is mapped. The paper's CSV (section 3) is read and written by `mlbench.faces.csv_format`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench.data.npz_arrays import NPZ_ERRORS, Entry, entries
from mlbench.errors import UsageError
from mlbench.faces.persons import PERSON_RULE, persons_of
from mlbench.system.files import key_of, write_atomically

if TYPE_CHECKING:
    from mlbench.faces.csv_format import SkippedRow

#: Side of a crop in pixels, and landmarks a face (paper, section 3).
CROP = 96
LANDMARKS = 68

#: Points of the mean distance between the outer eye corners (300-W numbering, from 0).
OUTER_EYE_CORNERS = (36, 45)

#: Raised when the same faces and options are split otherwise.
SPLIT_VERSION = 2

_CLOSEST = 4  # px: what all points of a face lie within only if they are no pixels, as points / 96 are not
_FURTHEST = 4 * CROP  # px: further apart than the points of a face can be


@dataclass(frozen=True)
class Faces:
    """Labelled face crops.

    Attributes:
        images: uint8 [n,96,96], grey.
        points: float32 [n,68,2], x and y in crop pixels; may lie outside 0..95.
        names: str [n].
        extra: further arrays with n rows, by key.
        note: what was left out when they were read, a sentence for people; "" for nothing.
    """

    images: npt.NDArray[np.uint8]
    points: npt.NDArray[np.float32]
    names: npt.NDArray[np.str_]
    extra: dict[str, npt.NDArray[np.generic]] = field(default_factory=dict)
    note: str = ""

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def persons(self) -> npt.NDArray[np.str_]:
        """Who each face is [n], by the rule of `mlbench.faces.persons`."""
        return persons_of(self.names, self.extra)

    @cached_property
    def image_keys(self) -> npt.NDArray[np.bytes_]:
        """A hash of each image [n]: equal images are the same sample, whatever their names and labels."""
        hashes = (hashlib.blake2b(image.tobytes(), digest_size=16) for image in self.images)
        return np.array([digest.hexdigest() for digest in hashes], "S32")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over images, points, names and persons, in order."""
        digest = hashlib.sha256()
        for start in range(0, len(self), 4096):
            digest.update(np.ascontiguousarray(self.images[start : start + 4096]).data)
        digest.update(np.ascontiguousarray(self.points).data)
        digest.update(key_of(self.names.tolist(), self.persons.tolist()).encode())
        return digest.hexdigest()

    def take(self, index: npt.NDArray[np.generic] | slice) -> Faces:
        """The chosen rows (a boolean mask, indices or a slice), in that order."""
        rows = {key: values[index] for key, values in self.extra.items()}
        return Faces(self.images[index], self.points[index], self.names[index], rows)

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
    """
    shared = set.intersection(*(set(part.extra) for part in parts)) - {"person"}
    extra = {key: np.concatenate([part.extra[key] for part in parts]) for key in sorted(shared)}
    if any("person" in part.extra for part in parts):
        extra["person"] = np.concatenate([part.persons for part in parts])
    return Faces(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.names for part in parts]),
        extra,
    )


def read_npz(path: Path, label: str = "points") -> Faces:
    """Read faces from an `.npz`; `label` names the array that holds the points.

    Arrays stored without compression (as `write_npz` does) are memory-mapped, read-only.

    Raises:
        UsageError: unreadable, wrong keys, shapes or types, NaN points, pickled objects, or a zip bomb.
    """
    with _reported(path):
        headers = entries(path)
        _check_headers(headers, label, path)
        images = headers.pop("images").load()
        return Faces(images, *_rows(headers, label, path))


def iter_npz(path: Path, batch: int, label: str = "points") -> Iterator[Faces]:
    """Read faces `batch` at a time; the images of one batch at most are in memory, whatever the file's size.

    Raises:
        UsageError: as `read_npz`; damaged images are found when their batch is reached.
    """
    with _reported(path):
        headers = entries(path)
        _check_headers(headers, label, path)
        images = headers.pop("images")
        points, names, extra = _rows(headers, label, path)
        for number, part in enumerate(images.batches(batch)):
            rows = slice(number * batch, number * batch + len(part))
            yield Faces(part, points[rows], names[rows], {key: values[rows] for key, values in extra.items()})


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except NPZ_ERRORS as error:
        message = f"{path} cannot be read as faces: {error}; make one with `mlbench prepare`."
        raise UsageError(message) from error


def _check_headers(headers: dict[str, Entry], label: str, path: Path) -> None:
    """Refuse wrong keys, shapes and types; take out arrays that do not hold one row a face."""
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
        }
        np.savez(file, allow_pickle=False, **arrays)


def read_faces(path: Path, label: str = "points") -> Faces:
    """Read faces from `.npz` or the paper's `.csv`, by the file's ending; their `note` tells of skipped rows.

    Raises:
        UsageError: no such file, another ending, a bad file, or points that cannot be pixels of the crop.
    """
    from mlbench.faces.csv_format import read_csv

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
    from mlbench.faces.csv_format import write_csv

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
    from mlbench.faces.csv_format import iter_csv

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
        message = f"{path} does not exist: give a .npz or .csv of faces, or make one with `mlbench prepare`."
    elif suffix not in (".npz", ".csv"):
        message = f"{path} ends in {suffix or 'nothing'}: faces are read from .npz or .csv."
    elif suffix == ".csv" and label != "points":
        message = f"{path} cannot hold {label!r}: a CSV has one set of points; give a .npz."
    else:
        return suffix
    raise UsageError(message)


@dataclass(frozen=True)
class Split:
    """Row numbers of the three parts; no two share an image, and test shares no person with the others."""

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]
    rule: str
    left_out: int = 0  # rows in no part, since their image is in the test or validation part already

    def key(self, faces: Faces) -> str:
        """The hash of which faces are learnt from, and which are kept back."""
        rows = [part.tolist() for part in (self.train, self.validation, self.test)]
        return key_of(SPLIT_VERSION, PERSON_RULE, faces.fingerprint, rows)


def split_faces(faces: Faces, *, seed: int, test_share: float = 0.1, shuffle: bool = False) -> Split:
    """Divide faces into train, validation and test.

    Test takes the persons whose hash falls below `test_share` (so that a person never changes sides when
    faces are added). Of the rest the last 10 % are for validation, in the order of the file as in the
    paper (section 4.2), or in an order shuffled by `seed`: better where a file is sorted by source.
    An image that is in the test part, or in the validation part, is left out of those before it.

    Raises:
        UsageError: a part would be empty.
    """
    salt, keys = f"{seed}".encode(), faces.image_keys
    share_of = {person: _hash_share(salt, person) for person in faces.persons.tolist()}
    share = np.array([share_of[person] for person in faces.persons.tolist()])
    test = np.flatnonzero(share < test_share)
    rest = np.flatnonzero(share >= test_share)
    rest = rest[~np.isin(keys[rest], keys[test])]
    if shuffle:
        rest = np.random.default_rng(seed).permutation(rest)
    cut = len(rest) - round(0.1 * len(rest))
    if not (0 < cut < len(rest) and (len(test) or test_share == 0)):
        message = (
            f"{len(faces)} faces of {len(share_of)} persons, as folders and file names tell them apart, are too few to "
            "split into train, validation and test: give at least 30, of several persons, or an array `person`."
        )
        raise UsageError(message)
    train, validation = rest[:cut], rest[cut:]
    train = train[~np.isin(keys[train], keys[validation])]
    order = "shuffled by the seed" if shuffle else "in file order"
    unnamed = all(str(name).isdecimal() for name in faces.names)  # numbers of rows
    whom = "faces" if unnamed and "person" not in faces.extra else f"persons (rule {PERSON_RULE})"
    rule = f"test: {test_share:.0%} of {whom} by hash; validation: last 10 % of the rest, {order}"
    return Split(train, validation, test, rule, len(faces) - len(train) - len(validation) - len(test))


def _hash_share(salt: bytes, person: str) -> float:
    digest = hashlib.sha256(salt + person.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
