"""Files that appear whole or not at all, and what identifies them."""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import json
import os
import secrets
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlbench.errors import UsageError

_CHUNK = 1 << 20


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; it is renamed to `path` when the block ends well, else removed.

    Every block has a path of its own, so that processes and threads may write the same file at once: the last
    one wins, whole. The block may fill the path itself or open it anew, but must not rename or replace it.

    Raises:
        UsageError: the folder cannot be written or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_parts_of_the_dead(path)
        with _part_of(path) as part:
            yield part
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}; free space or choose another place."
        raise UsageError(message) from error


def place_also(source: Path, target: Path) -> None:
    """Give a file another name too, without a copy of its bytes where the file system can do that.

    It must be one that is replaced, never written into, as `write_atomically` does.

    Raises:
        UsageError: the folder cannot be written or the disk is full.
    """
    target.unlink(missing_ok=True)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)
    except OSError:  # another file system, or one without links
        with write_atomically(target) as part:
            shutil.copyfile(source, part)


def require_writable(path: Path) -> None:
    """Say now, before hours of work, that `path` will not be writable then; nothing is left behind.

    Raises:
        UsageError: its folder cannot be made or written, or there is a folder in its place.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        with _part_of(path):
            pass
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}; free space or choose another place."
        raise UsageError(message) from error
    finally:
        for folder in made:
            with suppress(OSError):  # not made, or used by another process meanwhile
                folder.rmdir()


@contextmanager
def _part_of(path: Path) -> Iterator[Path]:
    """A new empty file beside `path`, locked as long as it is in use, and removed then if it is still there.

    The kernel frees the lock when a process dies, in whatever container it ran. A process's number, which is
    another's elsewhere or later, says nothing of that. Where files cannot be locked, parts of the dead stay.
    """
    while True:
        part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
        with part.open("xb") as file:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(file.fileno()).st_nlink:
                continue  # taken for a dead one's before it was locked
            try:
                yield part
            finally:
                part.unlink(missing_ok=True)
            return


def _remove_parts_of_the_dead(path: Path) -> None:
    """Remove what processes that were killed while writing this file left of it: parts that nobody holds locked."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with suppress(OSError), left.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink(missing_ok=True)


def require_suffix(path: Path, suffix: str) -> None:
    """Check that a file to be written ends as its content asks, before any work.

    Raises:
        UsageError: it ends otherwise, or is a folder.
    """
    fault = "is a folder" if path.is_dir() else f"ends in {path.suffix or 'nothing'}"
    if path.suffix != suffix or path.is_dir():
        message = f"{path} {fault}: give a file whose name ends in {suffix}."
        raise UsageError(message)


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def deflated_size(path: Path) -> int:
    """Bytes of a file after zlib at level 9, streamed."""
    compressor = zlib.compressobj(9)
    total = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total += len(compressor.compress(chunk))
    return total + len(compressor.flush())


def key_of(*parts: object) -> str:
    """A short stable name for what determines a result: 16 hex digits over canonical JSON."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
