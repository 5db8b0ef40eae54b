"""Which task a file of samples is plainly for, where none is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

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
    several = f"may be samples of {' or '.join(found)}" if found else "are not plainly samples of one task"
    message = f"{path}: these {several}{_seen(arrays)}: give --task, one of {', '.join(tasks)}."
    raise UsageError(message)


def _seen(arrays: Mapping[str, Array]) -> str:
    """What the targets are, for people."""
    told = [
        f"{name} is {values.dtype} {values.shape}"
        for name, values in arrays.items()
        if name.partition(".")[0] == "y"
    ]
    return f" ({', '.join(told) or 'there is no array y'})"
