"""Records and inspections that show themselves: as tables, in a notebook, as a data frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from mlbench.records import Inspection, Record, Value
from mlbench.records.rows import rows_of

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

_WIDTH = 120  # characters of a table


class Shown(Value, ABC):
    """What shows itself."""

    def table(self, width: int = _WIDTH) -> str:
        """The tables that the command prints, `width` characters wide."""
        return self._printed(width).export_text(clear=False)

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """What `frame` holds, as plain values in base units."""

    def frame(self) -> pd.DataFrame:
        """The rows as a data frame.

        Raises:
            ImportError: pandas is not installed.
        """
        import pandas as pd

        return pd.DataFrame(self.rows())

    def _repr_html_(self) -> str:
        return self._printed(_WIDTH).export_html(
            inline_styles=True, code_format='<pre style="line-height:1.2">{code}</pre>'
        )

    def _printed(self, width: int) -> Console:
        """A console that has printed it to nowhere."""
        from rich.console import Console

        console = Console(file=StringIO(), record=True, width=width)
        self._show(console)
        return console

    @abstractmethod
    def _show(self, console: Console) -> None:
        """Print it."""


class Result(Shown, Record):
    """What `mlbench.run` and `mlbench.measure` give: the record, and where it is kept."""

    _folder: Path = PrivateAttr(default=Path())

    @classmethod
    def of(cls, record: Record, folder: Path) -> Result:
        """A record that is kept in a folder."""
        found = cls.model_construct(**dict(record))
        found._folder = folder
        return found

    @property
    def folder(self) -> Path:
        """Where the record and the measured files of a run are."""
        return self._folder

    def rows(self) -> list[dict[str, Any]]:
        """A row per file, device and test set, in base units: what `frame` holds.

        `bytes`, `p50_ms` and the like; each metric with `NAME_low` and `NAME_high` of its 95 % interval, in the
        record's unit. What was not measured is None.
        """
        return rows_of(self)

    def _show(self, console: Console) -> None:
        from mlbench.reports.terminal import show

        show(self, console)


class Layers(Shown, Inspection):
    """What `mlbench.inspect` gives: a model layer by layer."""

    def rows(self) -> list[dict[str, Any]]:
        """A row per layer: sizes in bytes, times in ms, and why compressors leave it."""
        return [layer.model_dump() for layer in self.layers]

    def _show(self, console: Console) -> None:
        from mlbench.reports.inspection import show

        show(self, console)
