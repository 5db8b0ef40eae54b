"""`mlbench report`."""

from __future__ import annotations

from pathlib import Path

import click

from mlbench.cli.options import FILE, complete, given
from mlbench.cli.output import schema_option, write_page
from mlbench.errors import UsageError


@click.command(
    epilog="\b\nExamples:\n  mlbench report runs/two_pool-1a2b3c4d\n  mlbench report runs/*/ -o report.html\n"
    "  mlbench report runs/*/ -o tables.md\n  mlbench report runs/*/ -o runs.csv\n  mlbench report --schema"
)
@click.argument("runs", nargs=-1, required=True, type=FILE)
@schema_option("Record", "record.json")
@click.option(
    "-o",
    "--out",
    type=FILE,
    default=Path("report.html"),
    show_default=True,
    help="The page; .md for tables in Markdown, .csv for rows.",
)
@click.option(
    "--to",
    metavar="REPORT",
    shell_complete=complete("reports"),
    help="A report that needs no file, by its name in `mlbench list reports`: mlflow, terminal.",
)
def report(runs: tuple[Path, ...], out: Path, to: str | None) -> None:
    """Write an HTML page of the records of RUNS: folders of runs, or record.json files."""
    from mlbench import plugins
    from mlbench.records.collection import RecordFiles
    from mlbench.system.files import require_writable

    if to is not None:
        if given("out"):
            message = "--to and --out cannot be combined: give one of them."
            raise UsageError(message)
        plugins.load("reports", to)().write(RecordFiles(runs), None)
        return
    require_writable(out)
    click.echo(f"Report: {write_page(RecordFiles(runs), out)}")
