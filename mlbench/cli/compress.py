"""`mlbench compress`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mlbench.cli.options import (
    FILE,
    chosen_network,
    complete,
    data_options,
    making_of,
    model_option,
    training_options,
    tuning_options,
)
from mlbench.cli.output import progress_bars


@click.command(
    epilog="\b\nExamples:\n  mlbench compress --variant two_pool --chain svd --out small.tflite\n"
    '  mlbench compress --variant basic --chain "svd(target=1MB)+dynamic" --out basic.tflite\n'
    "\nRarer options of training and tuning are flags too: `mlbench list options`."
)
@click.option("--variant", default="two_pool", show_default=True, shell_complete=complete("variants"))
@model_option("model")
@click.option("--chain", default="svd", show_default=True, shell_complete=complete("compressors", "none"))
@click.option("--out", type=FILE, required=True, help="The .tflite to write.")
@data_options
@training_options
@tuning_options
@click.option("--pb", is_flag=True, help="Write the paper's frozen .pb graph too.")
def compress(variant: str, model: str | None, chain: str, out: Path, pb: bool, **options: Any) -> None:
    """Compress a baseline and write the file, without measuring it."""
    from mlbench.compression.chain import parse_chain
    from mlbench.runs import steps

    network = chosen_network(variant, model, **options)
    making = making_of(network, **options)
    click.echo(steps.compress_only(network, parse_chain(chain), making, out, pb, progress_bars()))
