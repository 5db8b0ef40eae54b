"""`mlbench report`."""

from __future__ import annotations

from pathlib import Path

import click

from mlbench.cli.options import FILE
from mlbench.cli.output import write_page


@click.command(
    epilog="\b\nExamples:\n  mlbench report runs/two_pool-1a2b3c4d\n  mlbench report runs/*/ -o report.html\n"
    "  mlbench report runs/*/ -o tables.md"
)
@click.argument("runs", nargs=-1, required=True, type=FILE)
@click.option(
    "-o",
    "--out",
    type=FILE,
    default=Path("report.html"),
    show_default=True,
    help="The page; .md for tables in Markdown.",
)
def report(runs: tuple[Path, ...], out: Path) -> None:
    """One HTML page of the records of RUNS: folders of runs, or record.json files."""
    from mlbench.records.collection import RecordFiles
    from mlbench.system.files import require_writable

    require_writable(out)
    click.echo(f"Report: {write_page(RecordFiles(runs), out)}")
