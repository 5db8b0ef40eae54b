"""`mlbench compress`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mlbench.cli.options import (
    FILE,
    TUNING,
    complete,
    data_options,
    source_of,
    training_of,
    training_options,
    tuning_of,
    tuning_options,
)
from mlbench.cli.output import progress_bars


@click.command(
    epilog="\b\nExamples:\n  mlbench compress --variant two_pool --chain svd --out small.tflite\n"
    '  mlbench compress --variant basic --chain "svd(target=1MB)+dynamic" --out basic.tflite'
)
@click.option("--variant", default="two_pool", show_default=True, shell_complete=complete("variants"))
@click.option("--chain", default="svd", show_default=True, shell_complete=complete("compressors", "none"))
@click.option("--out", type=FILE, required=True, help="The .tflite to write.")
@data_options
@training_options
@tuning_options
@click.option("--pb", is_flag=True, help="Write the paper's frozen .pb graph too.")
def compress(variant: str, chain: str, out: Path, pb: bool, start_from: str | None, **options: Any) -> None:
    """Compress a baseline and write the file, without measuring it."""
    from mlbench.compression.chain import parse_chain
    from mlbench.runs import pipeline

    tune = {name: options.pop(name) for name in TUNING}
    source = source_of(options.pop("data"), options.pop("faces"), options.pop("split"), options["seed"])
    training = training_of(source.path, **options)
    tuning = tuning_of(training, **tune)
    message = pipeline.compress_only(
        variant, parse_chain(chain), source, training, tuning, start_from, out, pb, progress_bars()
    )
    click.echo(message)
