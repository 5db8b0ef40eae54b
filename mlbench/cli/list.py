"""`mlbench list`."""

from __future__ import annotations

import json

import click


@click.command(
    "list",
    epilog="\b\nExamples:\n  mlbench list\n  mlbench list compressors\n  mlbench list variants --json",
)
@click.argument(
    "what",
    required=False,
    type=click.Choice(
        ["tasks", "variants", "compressors", "detectors", "devices", "reports", "models", "options"]
    ),
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def list_plugins(what: str | None, as_json: bool) -> None:
    """List what is installed: tasks, variants, compressors and their options, detectors, devices, reports, models.

    `options`: the keys of the file of a run, with the flags that set them.
    """
    from mlbench.cli import listing

    if as_json:
        click.echo(json.dumps(listing.facts(what)))
    else:
        listing.show(listing.tables(what))
    for fault in listing.faults(what):
        click.echo(f"Note: {fault}", err=True)
