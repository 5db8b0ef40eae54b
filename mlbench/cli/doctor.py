"""`mlbench doctor`."""

from __future__ import annotations

import json
import sys

import click


@click.command(epilog="\b\nExample:\n  mlbench doctor --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def doctor(as_json: bool) -> None:
    """Show what is installed, what is missing and how to install it.

    The exit code is 1 if `mlbench run` would not work.
    """
    from mlbench.cli import diagnosis

    checks = diagnosis.checks()
    if as_json:
        click.echo(json.dumps([check.as_json() for check in checks]))
    else:
        diagnosis.show(checks)
    if any(check.needed and not check.good for check in checks):
        sys.exit(1)
