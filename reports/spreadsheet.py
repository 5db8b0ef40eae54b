"""Records as CSV: a row per file, device and test set, figures in full and in base units."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import click

from mlbench.contracts import Report
from mlbench.records import Record
from mlbench.records.rows import rows_of
from mlbench.system.files import write_atomically

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CsvReport(Report):
    """Rows for spreadsheets and data frames; `NAME_bytes` and `NAME_ms` say the unit, metrics are as in records."""

    name: ClassVar[str] = "csv"
    summary: ClassVar[str] = "a row per file, device and test set, for spreadsheets and data frames"

    def write(self, records: Sequence[Record], target: Path | None) -> Path | None:
        """Write the rows, or print them."""
        text = _text([{"run": record.created} | row for record in records for row in rows_of(record)])
        if target is None:
            click.echo(text, nl=False)
        else:
            with write_atomically(target) as part:
                part.write_text(text, encoding="utf-8", newline="")
        return target


def _text(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = StringIO()
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows({name: _safe(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _safe(value: Any) -> Any:
    """A value as a cell; a spreadsheet runs text that begins like a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
