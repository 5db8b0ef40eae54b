"""The images that folders hold, and what else is there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlbench.data.decoding import REMEDIES, SUFFIXES
from mlbench.errors import UsageError


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


@dataclass(frozen=True)
class Found:
    """What folders and files hold.

    Attributes:
        photos: the images, each once, by name.
        left_out: how many files were not taken, by ending or by what else they are, the most frequent first.
    """

    photos: list[Photo]
    left_out: dict[str, int]

    def left_out_lines(self) -> list[str]:
        """What was not taken, a line each, with what can be done."""
        return [
            f"{count:,} × {kind}{f' ({REMEDIES[kind]})' if kind in REMEDIES else ''}"
            for kind, count in self.left_out.items()
        ]


def find_photos(inputs: Sequence[Path]) -> Found:
    """The images in folders (with sub-folders, by their endings) and the given files, each once, by name.

    Names are paths relative to the input; where there are several inputs, a folder's own name leads. Links to
    files and folders are followed, once for each file and folder; what is hidden is not looked into.

    Raises:
        UsageError: an input does not exist, or there is no image.
    """
    found: dict[Path, Photo] = {}
    left_out: Counter[str] = Counter()
    visited: set[Path] = set()
    for given in inputs:
        if given.is_dir():
            folder = given.resolve()
            lead = Path(folder.name) if len(inputs) > 1 else Path()
            for path in images_below(folder, visited, left_out):
                name = (lead / path.relative_to(folder)).as_posix()
                if found.setdefault(path.resolve(), _photo(path, name)).path != path:
                    left_out["links to an image taken by another name"] += 1
        elif given.is_file():
            found.setdefault(given.resolve(), _photo(given.resolve(), given.name))
        else:
            message = f"{given} does not exist: give folders or image files."
            raise UsageError(message)
    taken = Found(
        sorted(found.values(), key=lambda photo: (photo.name, str(photo.path))), dict(left_out.most_common())
    )
    if not found:
        what = ", ".join(map(str, inputs)) or "Nothing"
        other = f"; not taken: {', '.join(taken.left_out_lines())}" if left_out else ""
        message = f"{what} holds no image ({', '.join(sorted(SUFFIXES))}){other}."
        raise UsageError(message)
    return taken


def images_below(folder: Path, visited: set[Path], left_out: Counter[str]) -> Iterator[Path]:
    """The images in a folder and its sub-folders, in order; all else is counted in `left_out`."""
    if folder.resolve() in visited:  # by a link, perhaps one that leads back
        return
    visited.add(folder.resolve())
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        left_out["folders that cannot be read"] += 1
        return
    for path in entries:
        if path.name.startswith("."):
            left_out["hidden files and folders"] += 1
        elif path.is_dir():
            yield from images_below(path, visited, left_out)
        elif not path.is_file():
            left_out["links to nothing, or no files"] += 1
        elif path.suffix.lower() in SUFFIXES:
            yield path
        else:
            left_out[path.suffix.lower() or "no ending"] += 1


def _photo(path: Path, name: str) -> Photo:
    status = path.stat()
    printable = os.fsencode(name).decode("utf-8", "backslashreplace")
    return Photo(printable, path, status.st_size, status.st_mtime_ns)
