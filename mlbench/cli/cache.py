"""`mlbench cache`."""

from __future__ import annotations

import json

import click


@click.command(epilog="\b\nExamples:\n  mlbench cache\n  mlbench cache --json\n  mlbench cache --clear")
@click.option("--clear", is_flag=True, help="Remove all cached baselines and stages.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a sentence.")
def cache(clear: bool, as_json: bool) -> None:
    """Show where trained baselines and compression stages are cached, and how much disk space they take."""
    from mlbench.system import cache as cached
    from mlbench.system.sizes import format_size

    folder = cached.cache_folder()
    freed = cached.clear_cache() if clear else 0
    kept = cached.cache_size()
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "bytes": kept, "freed_bytes": freed}))
    elif clear:
        click.echo(f"Freed {format_size(freed)} in {folder}.")
    else:
        click.echo(f"{folder}: {format_size(kept)}.")
