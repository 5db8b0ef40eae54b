"""Where finished steps are kept, named by what determines them, so that no step is done twice."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """The cache: `$MLBENCH_CACHE`, or the platform's cache folder of mlbench."""
    chosen = os.environ.get("MLBENCH_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("mlbench"))


def cache_size() -> int:
    """Bytes of all files in the cache."""
    return sum(path.stat().st_size for path in cache_folder().rglob("*") if path.is_file())


def clear_cache() -> int:
    """Remove the cache; returns the bytes freed."""
    size = cache_size()
    shutil.rmtree(cache_folder(), ignore_errors=True)
    return size
