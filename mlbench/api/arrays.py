"""Samples in memory, as a file that all commands read: kept in the cache under its content, so once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import UsageError
from mlbench.system.cache import cache_folder
from mlbench.system.files import write_atomically

Array = npt.NDArray[Any]

#: Samples: a file or folder; inputs and targets; or arrays by what they are.
Data = str | Path | tuple[Any, Any] | Mapping[str, Any]


def path_of(data: Data, name: str = "arrays") -> Path:
    """The file of samples; those in memory are written to the cache, under their content.

    Args:
        data: see `Data`.
        name: of the file of samples in memory, which tables show.

    Raises:
        UsageError: an array holds Python objects, or the cache cannot be written.
    """
    if isinstance(data, (str, Path)):
        return Path(data)
    arrays = _arrays(data)
    path = cache_folder() / "arrays" / _content(arrays)[:16] / f"{name}.npz"
    if not path.exists():
        with write_atomically(path) as part, part.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
    return path


def _arrays(data: tuple[Any, Any] | Mapping[str, Any]) -> dict[str, Array]:
    """Arrays by name, those of several inputs or targets as `x.NAME`."""
    if isinstance(data, tuple):
        if len(data) != 2:
            message = f"data is a tuple of {len(data)}: give (x, y), or a mapping with group and split too."
            raise UsageError(message)
        data = dict(zip("xy", data, strict=True))
    named: dict[str, Any] = {}
    for name, values in data.items():
        parts = values.items() if isinstance(values, Mapping) else [("", values)]
        named |= {f"{name}.{part}" if part else name: value for part, value in parts}
    found = {name: np.asarray(values) for name, values in named.items()}
    for name, values in found.items():
        if values.dtype.hasobject:
            message = f"data: {name} holds Python objects: give numbers or texts, of one length each."
            raise UsageError(message)
    return found


def _content(arrays: Mapping[str, Array]) -> str:
    digest = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape};".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
