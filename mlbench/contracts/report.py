"""What a report offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from mlbench.records import Record


class Report(ABC):
    """A pure function of records."""

    name: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    def write(self, records: Sequence[Record], target: Path | None) -> Path | None:
        """Render the records to `target` (a file), or to the terminal where it is None."""
