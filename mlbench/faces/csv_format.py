"""The paper's CSV (section 3): 136 coordinates, then one cell of 96·96 pixel values separated by blanks.

The header line is `x0,y0,x1,y1,…,x67,y67,Image`. Columns are found by their names, in any order; others are
ignored, but for an optional `name`. Coordinates are written with the fewest digits that give the same float32
again.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from mlbench.errors import UsageError
from mlbench.faces.dataset import CROP, LANDMARKS, Faces
from mlbench.system.files import write_atomically

PIXELS = CROP * CROP

#: The paper's columns, in its order.
COLUMNS = (*(f"{axis}{point}" for point in range(LANDMARKS) for axis in "xy"), "Image")

# The longest honest row (136 coordinates, 9,216 pixel values) has under 40 KB.
_LONGEST_LINE = 1 << 18
_ROWS = 512
_LISTED = 5
_TEXT = [str(value) for value in range(256)]
_BYTE = {text: value for value, text in enumerate(_TEXT)}


@dataclass(frozen=True)
class SkippedRow:
    """A row that was left out: the number of its line (the header is line 1) and why."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


def read_csv(path: Path, skipped: list[SkippedRow] | None = None) -> Faces:
    """Read the whole file. Bad rows are left out, told in the faces' `note`, and appended to `skipped`.

    Raises:
        UsageError: unreadable, a column is missing or doubled, or no row is good.
    """
    pixels, points, names = bytearray(), [], []
    skipped = [] if skipped is None else skipped
    already = len(skipped)
    for faces in iter_csv(path, _ROWS, skipped):
        pixels += faces.images.tobytes()  # grows in place: the images are in memory once
        points.append(faces.points)
        names.append(faces.names)
    images = np.frombuffer(pixels, np.uint8).reshape(-1, CROP, CROP)
    bad = skipped[already:]
    note = f"{path}: {_listed(bad, len(images))}" if bad else ""
    return Faces(images, np.concatenate(points), np.concatenate(names), note=note)


def iter_csv(path: Path, batch: int, skipped: list[SkippedRow]) -> Iterator[Faces]:
    """Read the file `batch` good rows at a time, holding one batch in memory; bad rows go to `skipped`.

    A face without a name is named by the number of its row, from 0.

    Raises:
        UsageError: unreadable, a column is missing or doubled, or (at the end) no row was good.
    """
    already, good = len(skipped), 0
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:  # line ends of any kind, also mixed
            for faces in _batches(_rows(file, path, skipped), batch):
                good += len(faces)
                yield faces
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}; check the file and its permissions."
        raise UsageError(message) from error
    if not good:
        bad = skipped[already:]
        reason = f"none of its {len(bad)} rows is good ({bad[0]})" if bad else "it holds no face"
        message = f"{path}: {reason}; make the file with `mlbench prepare`."
        raise UsageError(message)


def write_csv(faces: Faces, path: Path, *, names: bool = False) -> None:
    """Write faces in the paper's format, by atomic rename; `names` adds a last column `name`.

    Without names a split cannot keep the photographs of a person together; with them the file has a column
    that the paper's has not.

    Raises:
        UsageError: the file cannot be written, or the faces have a margin, which the format has no place for.
    """
    if faces.margin != 1:
        message = f"{path} cannot keep the margin of {faces.margin:g} that the faces have: write an .npz."
        raise UsageError(message)
    with write_atomically(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*COLUMNS, "name") if names else COLUMNS)
        for image, points, name in zip(faces.images, faces.points, faces.names, strict=True):
            cells = [str(value) for value in points.reshape(-1).astype(np.float32)]
            cells.append(" ".join(map(_TEXT.__getitem__, image.tobytes())))
            writer.writerow([*cells, str(name)] if names else cells)


@dataclass(frozen=True)
class _Row:
    points: npt.NDArray[np.float32]
    pixels: bytes
    name: str


def _batches(rows: Iterable[_Row], batch: int) -> Iterator[Faces]:
    held: list[_Row] = []
    for row in rows:
        held.append(row)
        if len(held) == batch:
            yield _joined(held)
            held.clear()
    if held:
        yield _joined(held)


def _joined(rows: list[_Row]) -> Faces:
    images = np.frombuffer(bytearray().join(row.pixels for row in rows), np.uint8).reshape(-1, CROP, CROP)
    return Faces(images, np.stack([row.points for row in rows]), np.array([row.name for row in rows]))


def _rows(file: TextIO, path: Path, skipped: list[SkippedRow]) -> Iterator[_Row]:
    """The good rows; the bad ones go to `skipped`."""
    lines = _lines(file)
    header = _cells(next(lines, None) or "")
    places = _places(header, path)
    for number, line in enumerate(lines):
        try:
            if line is None:
                message = f"longer than {_LONGEST_LINE:,} characters"
                raise ValueError(message)
            if line.strip():
                yield _row(_cells(line), len(header), places, f"{number}")
        except (ValueError, csv.Error) as error:
            skipped.append(SkippedRow(number + 2, str(error)))


def _lines(file: TextIO) -> Iterator[str | None]:
    """Lines without their ends; None in place of one that is too long to be a row."""
    while line := file.readline(_LONGEST_LINE):
        if len(line) < _LONGEST_LINE or line.endswith("\n"):
            yield line.removesuffix("\n")
            continue
        while line and not line.endswith("\n"):
            line = file.readline(_LONGEST_LINE)
        yield None


def _cells(line: str) -> list[str]:
    return next(csv.reader([line]), []) if '"' in line else line.split(",")


def _places(header: list[str], path: Path) -> dict[str, int]:
    """Where each of the paper's columns (and `name`) stands, by lower-case name."""
    found = [cell.strip().lower() for cell in header]
    wanted = [column.lower() for column in COLUMNS]
    missing = [column for column in COLUMNS if column.lower() not in found]
    doubled = [column for column in COLUMNS if found.count(column.lower()) > 1]
    if missing or doubled:
        fault = f"has no column {missing[0]!r}" if missing else f"has column {doubled[0]!r} twice"
        more = f" (and {len(missing) - 1} more are missing)" if len(missing) > 1 else ""
        message = (
            f"{path} {fault}{more}; its first line must name the columns x0,y0,…,x67,y67,Image, with commas."
        )
        raise UsageError(message)
    return {column: found.index(column) for column in (*wanted, "name") if column in found}


def _row(cells: list[str], width: int, places: dict[str, int], number: str) -> _Row:
    """One face.

    Raises:
        ValueError: what is wrong with the row.
    """
    if len(cells) != width:
        message = f"{len(cells)} cells, not {width}"
        raise ValueError(message)
    points = _points([cells[places[column.lower()]] for column in COLUMNS[:-1]])
    name = cells[places["name"]] if "name" in places else number
    return _Row(points, _pixels(cells[places["image"]]), name)


def _points(cells: list[str]) -> npt.NDArray[np.float32]:
    values = []
    for column, text in zip(COLUMNS, cells, strict=False):
        try:
            values.append(float(text))
        except ValueError:
            message = f"{column} is {text[:20]!r}, not a number"
            raise ValueError(message) from None
    with np.errstate(over="ignore"):
        points = np.array(values).astype(np.float32)
    if not np.isfinite(points).all():
        first = int(np.flatnonzero(~np.isfinite(points))[0])
        message = f"{COLUMNS[first]} is {cells[first][:20].strip()}, not a finite number"
        raise ValueError(message)
    return points.reshape(LANDMARKS, 2)


def _pixels(cell: str) -> bytes:
    values = cell.split()
    if len(values) != PIXELS:
        message = f"{len(values)} pixel values, not {PIXELS}"
        raise ValueError(message)
    try:
        return bytes(map(_BYTE.__getitem__, values))
    except KeyError:
        return bytes(map(_pixel, values))


def _pixel(text: str) -> int:
    """A pixel value that is not written the usual way: `7.0` and `007` are 7."""
    try:
        value = float(text)
    except ValueError:
        message = f"a pixel is {text[:20]!r}, not a number"
        raise ValueError(message) from None
    if not (0 <= value <= 255 and value == int(value)):
        message = f"a pixel is {text[:20]}, not a whole number in 0..255"
        raise ValueError(message)
    return int(value)


def _listed(bad: list[SkippedRow], good: int) -> str:
    rows = "; ".join(str(row) for row in bad[:_LISTED])
    more = f"; and {len(bad) - _LISTED} more" if len(bad) > _LISTED else ""
    return f"{len(bad)} of {len(bad) + good} rows skipped: {rows}{more}."
