"""Records of many runs, read one at a time when they are asked for, so that few are in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

from mlbench.errors import UsageError
from mlbench.records import Record, read_record


class RecordFiles(Sequence[Record]):
    """The records of some runs: each is read and validated anew when it is looked at, and not kept."""

    def __init__(self, places: Sequence[Path]) -> None:
        """Name the records: `record.json` files, or folders of runs; a folder of such folders means all of them.

        Raises:
            UsageError: a folder holds no record.
        """
        self._paths = [path for place in places for path in _records_at(place)]

    def __len__(self) -> int:
        """How many records there are."""
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...

    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        """Read one record, or name some.

        Raises:
            UsageError: it cannot be read, or is not a record.
        """
        if isinstance(index, slice):
            return RecordFiles(self._paths[index])
        return read_record(self._paths[index])


def _records_at(place: Path) -> list[Path]:
    if not place.is_dir() or (place / "record.json").exists():
        return [place]
    found = sorted(place.glob("*/record.json"))
    if not found:
        message = f"{place} holds no record.json, and no folder in it does: give the folder of a run."
        raise UsageError(message)
    return found
