"""`mlbench measure`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlbench.cli.options import FILE, SEED, measuring_of, measuring_options, output_options
from mlbench.cli.output import progress_bars, show

if TYPE_CHECKING:
    from mlbench.runs.pipeline import Finished


@click.command(
    epilog="\b\nExamples:\n  mlbench measure runs/*/two_pool-none.tflite --threads 2\n"
    "  mlbench measure a.tflite b.tflite --data faces.npz --no-detector --json"
)
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option(
    "--data", "data", multiple=True, help="Test faces: FILE or FILE:ARRAY. [default: 500 sampled faces]"
)
@click.option("--seed", default=7, show_default=True, type=SEED)
@measuring_options
@output_options
def measure(files: tuple[Path, ...], data: tuple[str, ...], out: Path, as_json: bool, **options: Any) -> None:
    """Measure .tflite files side by side; the first is the baseline of the differences."""
    finished = measure_files(files, data, out, **options)
    show([finished.record], as_json)
    click.echo(f"Record: {finished.folder / 'record.json'}", err=as_json)


def measure_files(files: tuple[Path, ...], data: tuple[str, ...], out: Path, **options: Any) -> Finished:
    """Measure files as the options say."""
    from mlbench.faces.sources import TestSet
    from mlbench.runs import pipeline

    tests = [TestSet.parse(text) for text in (*data, *options.pop("tests"))]
    command = ("mlbench", *sys.argv[1:])
    return pipeline.measure_files(list(files), tests, measuring_of(**options), out, command, progress_bars())
