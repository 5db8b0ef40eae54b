"""`mlbench measure`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlbench.cli.experiment import Command
from mlbench.cli.options import (
    FILE,
    READING,
    USUAL_TASK,
    measuring_of,
    measuring_options,
    output_options,
    reading_of,
    task_for,
    task_of,
    test_options,
)
from mlbench.cli.output import progress_bars, show, telling
from mlbench.errors import UsageError

if TYPE_CHECKING:
    from mlbench.contracts import Task
    from mlbench.data.sources import TestSet
    from mlbench.runs.pipeline import Finished


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n  mlbench measure runs/*/two_pool-none.tflite --threads 2\n"
    "  mlbench measure a.tflite b.tflite --data faces.npz --no-pipeline --json",
)
@click.argument("files", nargs=-1, required=True, type=FILE)
@test_options
@measuring_options
@output_options
@telling
def measure(files: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Measure .tflite files side by side; the first is the baseline of the differences.

    Any network can be measured. Without --data and --task, a network that does not take faces gets random inputs;
    only size, memory and latency are measured then.
    """
    finished = measure_files(files, **options)
    show([finished.record], as_json)
    click.echo(f"Record: {finished.folder / 'record.json'}", err=as_json)


def measure_files(
    files: tuple[Path, ...], task: str | None, data: tuple[str, ...], out: Path, **options: Any
) -> Finished:
    """Measure files as the options say."""
    from mlbench.runs import steps

    tests = tests_of(data=data, **options)
    chosen = measured_task(files, task, tests)
    for name in ("tests", *READING.values()):
        del options[name]
    measuring = measuring_of(chosen, **options)
    command = ("mlbench", *sys.argv[1:])
    return steps.measure_files(files, chosen, tests, measuring, out, command, progress_bars())


def tests_of(data: tuple[str, ...], tests: tuple[str, ...], **options: Any) -> list[TestSet]:
    """The test sets of the options of `mlbench measure`."""
    from mlbench.data.sources import TestSet

    how = reading_of(options)
    return [TestSet.parse(text, how) for text in (*data, *tests)]


def measured_task(files: tuple[Path, ...], name: str | None, tests: list[TestSet]) -> Task | None:
    """The task that is named, or that tests are plainly for; else the usual one, if the files are networks for it."""
    from mlbench.export.artifacts import require_fitting
    from mlbench.export.notes import notes_of

    if name or tests:
        test = tests[0] if tests else None
        found: Task = task_for(name, test.path if test else None, test.how if test else None)
        return found
    task: Task = task_of(USUAL_TASK)
    try:
        for path in files:
            require_fitting(path, task, task.sample_cut(notes_of(path).margins, 1, 0, "test"))
    except UsageError:
        return None
    return task
