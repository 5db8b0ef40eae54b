"""What commands show: progress, tables, pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlbench.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from mlbench.contracts import Progress, Report
    from mlbench.records import Record


#: In a context of click: how much its command tells, one of the names below; as told to nobody, Python calls it.
TELLING = "mlbench.telling"
SILENT, QUIET, VERBOSE = "silent", "quiet", "verbose"


def _telling(how: str, help_text: str) -> Any:
    def take(context: click.Context, _: click.Parameter, value: bool) -> None:
        if not value:
            return
        if context.meta.setdefault(TELLING, how) not in (how, SILENT):
            message = "--quiet and --verbose cannot be combined: give one of them."
            raise UsageError(message)

    return click.option(
        f"--{how}", f"-{how[0]}", is_flag=True, expose_value=False, callback=take, help=help_text
    )


def telling(function: Any) -> Any:
    """`--quiet` and `--verbose`, of a command that shows progress."""
    function = _telling(VERBOSE, "Print more: a line per epoch on a terminal, more lines in a log.")(function)
    return _telling(QUIET, "Print warnings and results only.")(function)


def progress_bars(console: Console | None = None) -> Progress:
    """What shows progress as the command asks for, on a console or else on standard error."""
    from rich.console import Console

    from mlbench.system.progress import Silent, progress_on

    context = click.get_current_context(silent=True)
    how = context.meta.get(TELLING) if context else None
    if how == SILENT:
        return Silent()
    return progress_on(console or Console(stderr=True), quiet=how == QUIET, verbose=how == VERBOSE)


def schema_option(kind: str, told: str) -> Any:
    """`--schema`: prints the JSON Schema of a kind of values in `mlbench.records`."""

    def show_schema(context: click.Context, _: click.Parameter, asked: bool) -> None:
        if asked:
            from mlbench import records

            click.echo(json.dumps(getattr(records, kind).model_json_schema(), indent=1))
            context.exit()

    return click.option(
        "--schema",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show_schema,
        help=f"Print the JSON Schema of {told}, and end.",
    )


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
