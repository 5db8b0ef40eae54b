"""Which task a file of samples is plainly for, where none is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from mlbench import plugins
from mlbench.contracts import AS_STORED, Reading
from mlbench.contracts.samples import Array
from mlbench.data.array_files import named_arrays
from mlbench.data.npz_arrays import NPZ_ERRORS, Entry
from mlbench.errors import UsageError


class _Arrays(Mapping[str, Array]):
    """Arrays that are loaded when they are looked at."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries

    def __getitem__(self, name: str) -> Array:
        return self._entries[name].load()

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def recognised(path: Path, how: Reading = AS_STORED) -> str | None:
    """The name of the one task that recognises a file; None where the file cannot be read.

    Raises:
        UsageError: no task recognises it, or several do.
    """
    if not path.exists():
        return None
    try:
        arrays = _Arrays(named_arrays(path, how.columns) if path.is_file() and path.suffix == ".npz" else {})
        tasks = plugins.usable("tasks")[0]
        found = [name for name, task in tasks.items() if task().recognises(path, arrays)]
    except NPZ_ERRORS:
        return None
    if len(found) == 1:
        return found[0]
    if not found and path.is_file() and not arrays:
        message = f"{path}: samples are read from .npz or .csv files, or a folder with a folder of images per class."
        raise UsageError(message)
    if arrays and not any(name.partition(".")[0] == "y" for name in arrays):
        message = f"{path}: there is no array y; of {', '.join(arrays)}, name the targets by --column y=NAME."
        raise UsageError(message)
    several = f"may be samples of {' or '.join(found)}" if found else "are not plainly samples of one task"
    hint = "; for classes give their numbers, y.argmax(axis=1)" * _is_one_hot(arrays.get("y"))
    message = f"{path}: these {several}{_seen(arrays)}: give --task, one of {', '.join(tasks)}{hint}."
    raise UsageError(message)


def _seen(arrays: Mapping[str, Array]) -> str:
    """What the targets are, for people."""
    told = [
        f"{name} is {values.dtype} {values.shape}"
        for name, values in arrays.items()
        if name.partition(".")[0] == "y"
    ]
    return f" ({', '.join(told)})" if told else ""


def _is_one_hot(targets: Array | None) -> bool:
    """Whether each row has a single 1 among zeros."""
    if targets is None or targets.ndim != 2 or targets.shape[1] < 2 or targets.dtype.kind not in "biuf":
        return False
    return bool(np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all())
