"""`mlbench compress`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from mlbench.cli.experiment import Command
from mlbench.cli.options import (
    FILE,
    READING,
    chosen_network,
    complete,
    data_options,
    making_of,
    network_options,
    reading_of,
    task_of,
    training_options,
    tuning_options,
)
from mlbench.cli.output import progress_bars, telling
from mlbench.errors import UsageError


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n  mlbench compress --variant two_pool --chain svd --out small.tflite\n"
    '  mlbench compress --variant basic --chain "svd(target=1MB)+dynamic" --out basic.tflite\n'
    "  mlbench compress digits.tflite --chain dynamic --out small.tflite\n"
    "  mlbench compress digits.tflite --chain int8 --data my.npz --task classification --out small.tflite\n",
)
@click.argument("file", required=False, type=FILE)
@network_options
@click.option(
    "--chain",
    default="svd",
    show_default=True,
    shell_complete=complete("compressors", "none"),
    help="Compressors joined by +, as svd(rank=32)+int8.",
)
@click.option("--out", type=FILE, required=True, help="The .tflite file to write.")
@data_options
@training_options
@tuning_options
@telling
@click.option("--pb", is_flag=True, help="Also write the paper's frozen .pb graph.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of sentences.")
@click.pass_context
def compress(
    context: click.Context,
    /,
    file: Path | None,
    variant: str,
    model: str | None,
    chain: str,
    out: Path,
    pb: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Compress a baseline and write the file, without measuring it.

    Given a float .tflite FILE, quantise it. Its outputs are compared with the original's on --data, or on random inputs
    without; int8 is calibrated on a part of --data. --task adds the task's metrics.
    """
    if file is not None:
        click.echo(_quantised(context, file, chain, out, as_json, options))
        return
    from mlbench.compression.chain import parse_chain
    from mlbench.runs import steps

    network = chosen_network(variant, model, **options)
    making = making_of(network, **options)
    done = steps.compress_only(network, parse_chain(chain), making, out, pb, progress_bars())
    click.echo(done.model_dump_json() if as_json else done.told())


#: Parameters that mean something for a finished file.
_OF_FILES = {"file", "chain", "out", "data", "task", "seed", "as_json", *READING.values()}


def _quantised(
    context: click.Context, file: Path, chain: str, out: Path, as_json: bool, options: dict[str, Any]
) -> str:
    """Quantise a finished file; says what was done."""
    from mlbench.data.sources import TestSet
    from mlbench.runs.requantising import requantise

    given = {
        parameter.name: parameter.opts[0]
        for parameter in context.command.params
        if context.get_parameter_source(parameter.name or "") is not ParameterSource.DEFAULT
    }
    if useless := [flag for name, flag in given.items() if name not in _OF_FILES]:
        message = f"{useless[0]} has no effect on a .tflite file, which is quantised as it is: leave it out."
        raise UsageError(message)
    if "chain" not in given:
        message = (
            f"{file} can be quantised: say to what by --chain: float16, dynamic, int8, int4 or dynamic4."
        )
        raise UsageError(message)
    data, task = options["data"], options["task"]
    done = requantise(
        file,
        chain,
        out,
        None if data is None else TestSet.parse(str(data), reading_of(options)),
        task_of(task) if "task" in given else None,
        options["seed"],
        progress_bars(),
    )
    return done.model_dump_json() if as_json else done.told()
