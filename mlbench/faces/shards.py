"""Long work on photographs, kept in pieces on the disk, so that it goes on after any interruption.

A shard is a few photographs and the faces made of them. Its file is named by a hash of all that determines
it: one that is there is right, whoever wrote it, and is not worked on again.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.data.decoding import BadImageError
from mlbench.data.image_files import Photo
from mlbench.data.npz_arrays import NPZ_ERRORS, entries
from mlbench.errors import UsageError
from mlbench.faces.dataset import CROP, LANDMARKS
from mlbench.faces.photographs import LabelledCrop, Recipe
from mlbench.system.files import key_of, write_atomically

#: Photographs of a shard: what a kill costs a worker, at most.
SHARD = 16

# Raised when the same photographs and recipe would give other bytes.
_VERSION = 2

_OURS = re.compile(r"\.?[0-9a-f]{16}\.npz(\.[0-9a-f]+\.part)?|\.?images\.npy(\.[0-9a-f]+\.part)?|lock|next")


@dataclass(frozen=True)
class Shard:
    """Some photographs, and the file that holds (or will hold) their faces."""

    path: Path
    photos: tuple[Photo, ...]
    all_faces: bool

    def work(self, recipe: Recipe) -> None:
        """Make the faces, and write the file.

        Raises:
            UsageError: it cannot be written.
        """
        faces: list[LabelledCrop] = []
        names: list[str] = []
        skipped: list[tuple[str, str]] = []
        notes: list[str] = []
        several = 0
        for photo in self.photos:
            try:
                found = recipe.faces_of(photo.path)
            except BadImageError as error:
                skipped.append((photo.name, str(error)))
                continue
            several += len(found) > 1
            notes += [found[0].note] if found[0].note else []
            kept = found if self.all_faces else found[:1]
            faces += kept
            names += [photo.name, *(f"{photo.name}#{number}" for number in range(2, len(kept) + 1))]
        with write_atomically(self.path) as part, part.open("wb") as file:
            np.savez(
                file,
                images=np.array([face.image for face in faces], np.uint8).reshape(-1, CROP, CROP),
                points=np.array([face.points for face in faces], np.float32).reshape(-1, LANDMARKS, 2),
                name=np.array(names, np.str_),
                detector=np.array([face.detector for face in faces], np.str_),
                skipped=np.array(skipped, np.str_).reshape(-1, 2),
                notes=np.array(notes, np.str_),
                several=np.array(several),
            )

    def read(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays of the file.

        Raises:
            UsageError: it is damaged.
        """
        try:
            return {key: entry.load() for key, entry in entries(self.path).items()}
        except NPZ_ERRORS as error:
            message = f"{self.path} is damaged ({error}): remove it and run again."
            raise UsageError(message) from error


@dataclass(frozen=True)
class Queue:
    """Shards, from which several processes take the next one.

    The next one's number stands in the file `counter`, under a lock that ends with the process that holds it.
    """

    shards: list[Shard]
    counter: Path

    def open(self) -> None:
        """Begin with the first shard."""
        self.counter.write_text("0", encoding="ascii")

    def work_on_next(self, recipe: Recipe) -> bool:
        """Take a shard and do it; False where none is left.

        Raises:
            UsageError: it cannot be written.
        """
        with self.counter.open("r+", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            number = int(file.read() or 0)
            file.seek(0)
            file.write(f"{number + 1}")
        if number >= len(self.shards):
            return False
        self.shards[number].work(recipe)
        return True


def shards_of(photos: Sequence[Photo], recipe: Recipe, *, all_faces: bool, folder: Path) -> list[Shard]:
    """All photographs, in order, `SHARD` to a file in `folder`."""
    groups = [tuple(photos[start : start + SHARD]) for start in range(0, len(photos), SHARD)]
    common = (_VERSION, recipe.identity, all_faces)
    keys = (key_of(common, [photo.identity for photo in group]) for group in groups)
    return [Shard(folder / f"{key}.npz", group, all_faces) for key, group in zip(keys, groups, strict=True)]


@contextmanager
def work_folder(out: Path) -> Iterator[Path]:
    """`<out>.work`, for one process at a time; removed when the block ends well, else kept for the next run.

    Raises:
        UsageError: it cannot be written, or another process is at work on the same `out`.
    """
    folder = out.with_name(f"{out.name}.work")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        message = f"{folder} cannot be written: {error.strerror or error}; choose another place for --out."
        raise UsageError(message) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel lets go of it when the process dies
        except OSError as error:
            message = f"{out} is being prepared by another process: wait for it, or choose another --out."
            raise UsageError(message) from error
        yield folder
        _remove(folder)


def _remove(folder: Path) -> None:
    """Delete our own files, and the folder if nothing else is in it."""
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name):
            path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
