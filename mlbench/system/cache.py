"""Where finished steps are kept, named by what determines them, so that no step is done twice."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from mlbench.errors import UsageError


def cache_folder() -> Path:
    """The cache: `$MLBENCH_CACHE`, or the platform's cache folder of mlbench."""
    chosen = os.environ.get("MLBENCH_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("mlbench"))


@contextmanager
def one_at_a_time(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Work on a folder of the cache while no other process does; where one does, say so and wait for it.

    What the other has done is then there: look for it inside the block. The kernel lets go of the lock of a
    process that dies.

    Raises:
        UsageError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        message = (
            f"{folder} cannot be written: {error.strerror or error}; choose another place by $MLBENCH_CACHE."
        )
        raise UsageError(message) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another mlbench is at work on {folder.name}: waiting for it …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cache_size() -> int:
    """Bytes of all files in the cache."""
    return sum(path.stat().st_size for path in cache_folder().rglob("*") if path.is_file())


def clear_cache() -> int:
    """Remove the cache; returns the bytes freed."""
    size = cache_size()
    shutil.rmtree(cache_folder(), ignore_errors=True)
    return size
