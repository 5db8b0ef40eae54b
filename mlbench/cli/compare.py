"""`mlbench compare`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from mlbench.cli.experiment import Command
from mlbench.cli.measure import measure_files, measured_task, tests_of
from mlbench.cli.options import FILE, measuring_options, output_options, test_options
from mlbench.cli.output import telling
from mlbench.errors import UsageError


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  mlbench compare runs/two_pool-1a2b3c4d runs/two_pool-5e6f7a8b
  mlbench compare old.tflite new.tflite --measure --no-pipeline
  mlbench compare old.tflite new.tflite --measure --fail-if "p50 > 5%" --fail-if "mae > 0.05px"
""",
)
@click.argument("base", type=FILE)
@click.argument("candidate", type=FILE)
@click.option(
    "--measure", "measured", is_flag=True, help="BASE and CANDIDATE are .tflite files: measure them now."
)
@click.option(
    "--fail-if",
    "conditions",
    multiple=True,
    help='Exit with code 1 if CANDIDATE is worse by more than this: "p50 > 5%", "size > 0%", "memory > 10%", or the '
    'first metric of the task: "mae > 0.05px", "top1 > 1pp".',
)
@click.option(
    "--not-interleaved",
    "anyway",
    is_flag=True,
    help="Compare latencies even if they were measured on two machines or at two times; the output says so.",
)
@test_options
@measuring_options
@output_options
@telling
def compare(base: Path, candidate: Path, measured: bool, as_json: bool, **options: Any) -> None:
    """Compare CANDIDATE with BASE, with confidence intervals: two runs, or two .tflite files with --measure."""
    from rich.console import Console

    from mlbench.cli import comparison_table
    from mlbench.evaluation import between_runs
    from mlbench.records import read_record

    texts, anyway, files = options.pop("conditions"), options.pop("anyway"), (base, candidate)
    if measured:
        task = measured_task(files, options["task"], tests_of(**options))
        options["task"] = task.name if task else None
        conditions = [between_runs.parse_condition(text, task.metrics if task else ()) for text in texts]
        found = between_runs.compare_within(measure_files(files, **options).record, 0, 1)
    else:
        _refuse_models(*files)
        left, right = map(read_record, files)
        facts = left.task.metrics if left.task else ()
        conditions = [between_runs.parse_condition(text, facts) for text in texts]
        found = between_runs.compare(left, right, anyway)
    if as_json:
        click.echo(json.dumps(comparison_table.as_json(found)))
    else:
        comparison_table.show(found, Console())
    broken = [(c.text, line) for c in conditions for line in c.broken_by(found)]
    for text, line in broken:
        told = f"{line.quantity} of {line.model} changed by {comparison_table.change_text(line)}"
        click.echo(f"Failed: {text}: {told}.", err=True)
    if broken:
        sys.exit(1)


def _refuse_models(*places: Path) -> None:
    for place in places:
        if place.suffix == ".tflite":
            message = f"{place} is a network, not a record: give --measure to measure both files now."
            raise UsageError(message)
