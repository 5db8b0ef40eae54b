"""`mlbench inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlbench.cli.experiment import Command
from mlbench.cli.options import (
    FILE,
    complete,
    data_options,
    making_of,
    model_of,
    network_of,
    training_options,
)
from mlbench.cli.output import progress_bars, report_of, schema_option, telling
from mlbench.errors import UsageError

if TYPE_CHECKING:
    from mlbench.contracts import NetworkSource
    from mlbench.records import Inspection


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n  mlbench inspect digits.tflite\n"
    "  mlbench inspect --variant two_pool --out layers.html\n"
    "  mlbench inspect my.keras --data my.npz --task classification\n"
    "  mlbench inspect my.keras --data my.npz --task classification --technique svd --ratio 4 --json\n",
)
@click.argument("model", required=False)
@click.option("--variant", shell_complete=complete("variants"), help="A network by name, in place of MODEL.")
@data_options
@training_options
@click.option(
    "--threads", default=1, show_default=True, type=click.IntRange(1, 256), help="Threads per inference."
)
@click.option(
    "--processes",
    default=7,
    show_default=True,
    type=click.IntRange(2, 100),
    help="Number of processes that time the operators; intervals are over processes.",
)
@click.option(
    "--technique",
    "techniques",
    multiple=True,
    default=["svd", "tucker", "slim", "int8"],
    show_default=True,
    shell_complete=complete("compressors"),
    help="For sensitivity: compressor to apply to each layer alone. May be repeated.",
)
@click.option(
    "--ratio",
    "ratios",
    multiple=True,
    default=[2.0, 4.0, 8.0],
    show_default=True,
    type=float,
    help="For sensitivity: compression ratio of the layer. May be repeated.",
)
@click.option(
    "--max-samples",
    default=500,
    show_default=True,
    type=click.IntRange(1),
    help="For sensitivity: largest number of validation samples to use.",
)
@telling
@schema_option("Inspection", "what --json prints")
@click.option("--out", type=FILE, help="Also write a page (.html) or tables (.md) to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def inspect(model: str | None, variant: str | None, out: Path | None, as_json: bool, **options: Any) -> None:
    """Show a model layer by layer: bytes, arithmetic, time, and which compressors can take each.

    MODEL is a .tflite file, or a network of your own: a .keras or .h5 file, or package.module:function. With --data,
    what each layer's compression alone costs in accuracy is measured too, on validation samples.
    """
    from mlbench.system.files import require_writable

    if (model is None) == (variant is None):
        message = "Name one model: a .tflite file, a .keras or .h5 file, package.module:function, or --variant NAME."
        raise UsageError(message)
    report = report_of(out) if out is not None else None
    if out is not None:
        require_writable(out)
    found = inspected(model, variant, **options)
    if report is not None:
        report.write_inspection(found, out)
    if as_json:
        click.echo(found.model_dump_json())
    else:
        report_of(None).write_inspection(found, None)
    if out is not None:
        click.echo(f"Report: {out}", err=as_json)


def inspected(
    model: str | None, variant: str | None, network: NetworkSource | None = None, **options: Any
) -> Inspection:
    """What `mlbench inspect` finds by its options; `network` is one in memory, in place of a name."""
    from mlbench.runs.inspection import Inspecting, inspect_named

    names = ("threads", "processes", "techniques", "ratios", "max_samples")
    how = Inspecting(**{name: options.pop(name) for name in names}, seed=options["seed"])
    tested, progress = options["data"] is not None, progress_bars()
    if model is not None and model.endswith(".tflite"):
        return inspect_named(Path(model), None, tested=tested, how=how, progress=progress)
    source = network or (model_of(model, options["epochs"]) if model else network_of(variant or ""))
    return inspect_named(source, making_of(source, **options), tested=tested, how=how, progress=progress)
