"""`mlbench train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mlbench.cli.experiment import Command
from mlbench.cli.options import (
    FILE,
    chosen_network,
    data_options,
    making_of,
    network_options,
    training_options,
)
from mlbench.cli.output import progress_bars, telling


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n  mlbench train --variant basic\n  mlbench train --variant two_pool --data faces.npz\n"
    "  mlbench train --model my.keras --data my.npz --task classification --epochs 20\n"
    "  mlbench train --variant one_pool --data faces.npz --start-from two_pool-1a2b3c4d5e6f7a8b --epochs 20\n",
)
@network_options
@data_options
@training_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of sentences.")
@telling
@click.option("--out", type=FILE, help="Also write the network's .tflite to this file.")
@click.option("--pb", is_flag=True, help="With --out: also write the paper's frozen .pb graph.")
def train(variant: str, model: str | None, out: Path | None, pb: bool, as_json: bool, **options: Any) -> None:
    """Train a baseline into the cache, where `mlbench run` finds it."""
    from mlbench.runs import steps

    network = chosen_network(variant, model, **options)
    done = steps.train_only(network, making_of(network, **options), out, pb, progress_bars())
    click.echo(done.model_dump_json() if as_json else done.told())
