"""Files that appear whole or not at all, and what identifies them."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from mlbench.errors import UsageError

_CHUNK = 1 << 20


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; it is renamed to `path` when the block ends well, else removed.

    Raises:
        UsageError: the folder cannot be written or the disk is full.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_parts_of_the_dead(path)
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}; free space or choose another place."
        raise UsageError(message) from error
    finally:
        part.unlink(missing_ok=True)


def _remove_parts_of_the_dead(path: Path) -> None:
    """Remove what processes that were killed while writing this file left of it."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        number = left.name.removesuffix(".part").rpartition(".")[2]
        if number.isdigit() and not psutil.pid_exists(int(number)):
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
