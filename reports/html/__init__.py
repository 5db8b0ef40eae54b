"""The report as one HTML file that asks for nothing: tables, charts and samples, all from records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from mlbench.contracts import Report
from mlbench.errors import UsageError
from mlbench.records import Inspection, Record, SearchRecord
from mlbench.system.files import write_atomically


class HtmlReport(Report):
    """One self-contained page."""

    name: ClassVar[str] = "html"
    summary: ClassVar[str] = "one HTML file: verdict, trade-offs, tables, samples, speed, layers, training"

    def write(self, records: Sequence[Record], target: Path | None) -> Path | None:
        """Write the page; records are gone through once, so that they may be read one at a time.

        Raises:
            UsageError: no record, no target, or the target cannot be written.
        """
        path = _named(target, "report.html")
        from mlbench.reports.html.digest import digest_of  # what draws charts takes a second to import
        from mlbench.reports.html.page import render

        return _written(render(digest_of(records)), path)

    def write_inspection(self, found: Inspection, target: Path | None) -> Path | None:
        """Write the page of an inspection.

        Raises:
            UsageError: no target, or it cannot be written.
        """
        path = _named(target, "page.html")
        from mlbench.reports.html.inspection import render_inspection

        return _written(render_inspection(found), path)

    def write_search(self, found: SearchRecord, target: Path | None) -> Path | None:
        """Write the page of a search.

        Raises:
            UsageError: no target, or it cannot be written.
        """
        path = _named(target, "page.html")
        from mlbench.reports.html.search import render_search

        return _written(render_search(found), path)


def _named(target: Path | None, usual: str) -> Path:
    """Where a page goes; asked before it is made, which may take long."""
    if target is None:
        message = f"The html report is a file: say where with -o {usual}."
        raise UsageError(message)
    return target


def _written(page: str, target: Path) -> Path:
    with write_atomically(target) as part:
        part.write_text(page, encoding="utf-8")
    return target
