"""`mlbench cache`."""

from __future__ import annotations

import click


@click.command(epilog="\b\nExamples:\n  mlbench cache\n  mlbench cache --clear")
@click.option("--clear", is_flag=True, help="Remove all baselines and stages.")
def cache(clear: bool) -> None:
    """Where finished baselines and stages are kept, and how much room they take."""
    from mlbench.system import cache as cached
    from mlbench.system.sizes import format_size

    if clear:
        click.echo(f"Freed {format_size(cached.clear_cache())} in {cached.cache_folder()}.")
    else:
        click.echo(f"{cached.cache_folder()}: {format_size(cached.cache_size())}.")
