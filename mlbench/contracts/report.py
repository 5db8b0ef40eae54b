"""What a report offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from mlbench.errors import UsageError
from mlbench.records import Inspection, Record, SearchRecord


class Report(ABC):
    """A pure function of records."""

    name: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    def write(self, records: Sequence[Record], target: Path | None) -> Path | None:
        """Render the records to `target` (a file), or to the terminal where it is None."""

    def write_inspection(self, found: Inspection, target: Path | None) -> Path | None:
        """Render what `mlbench inspect` found, as `write` does.

        Raises:
            UsageError: this report does not show it.
        """
        message = f"The report {self.name} shows no inspections: write to a .html or .md file."
        raise UsageError(message)

    def write_search(self, found: SearchRecord, target: Path | None) -> Path | None:
        """Render what `mlbench search` found, as `write` does.

        Raises:
            UsageError: this report does not show it.
        """
        message = f"The report {self.name} cannot show searches: write to a .html file."
        raise UsageError(message)
