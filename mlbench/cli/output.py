"""What commands show: progress, tables, pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mlbench.contracts import Progress, Report
    from mlbench.records import Record


#: In a context of click: whether its command is quiet, as Python calls it.
QUIET = "mlbench.quiet"


def progress_bars() -> Progress:
    """Bars on standard error, or silence where the command is quiet."""
    from rich.console import Console

    from mlbench.system.progress import Bars, Silent

    context = click.get_current_context(silent=True)
    return Silent() if context and context.meta.get(QUIET) else Bars(Console(stderr=True))


def show(records: list[Record], as_json: bool) -> None:
    """Print records as tables, or as JSON."""
    from mlbench import plugins

    if as_json:
        click.echo(json.dumps([record.model_dump(mode="json") for record in records]))
    else:
        plugins.load("reports", "terminal")().write(records, None)


#: Reports by the end of the file's name; those of plug-ins are called as it ends.
_REPORT_OF = {"": "html", "htm": "html", "md": "markdown"}


def report_of(target: Path | None) -> Report:
    """The report that the ending of a file's name asks for; None: the terminal's."""
    from mlbench import plugins

    kind = "terminal" if target is None else target.suffix.removeprefix(".").lower()
    report: Report = plugins.load("reports", _REPORT_OF.get(kind, kind))()
    return report


def write_page(records: Sequence[Record], target: Path) -> Path:
    """Write a report by the plug-in that the ending of the file names."""
    report_of(target).write(records, target)
    return target
