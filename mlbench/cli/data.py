"""`mlbench data`."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlbench.cli.experiment import Command
from mlbench.cli.options import FILE, complete, model_of, reading_of, reading_options, task_for, task_of

if TYPE_CHECKING:
    from mlbench.contracts import Samples, Task
    from mlbench.data.checkup import Checkup
    from mlbench.data.fitting import Facts, Shapes

    _Looked = tuple[Shapes, Shapes, Callable[[Samples], Facts]]

_SHOWN, _PICTURED = 5, 24  # samples of the table, and of the sheet


@click.group(invoke_without_command=True)
@click.option("--schema", "named", metavar="TASK", help="Same as `mlbench data schema TASK`.")
@click.pass_context
def data(context: click.Context, named: str | None) -> None:
    """Show what a file of samples must contain, and check one."""
    if context.invoked_subcommand is None:
        if named is None:
            click.echo(context.get_help())
        else:
            _show_schema(named, as_json=False)


@data.command(
    "schema", epilog="\b\nExamples:\n  mlbench data schema\n  mlbench data schema classification --json"
)
@click.argument("task", required=False, shell_complete=complete("tasks"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def schema(task: str | None, as_json: bool) -> None:
    """Show which arrays a file of samples holds, for one task or for all."""
    _show_schema(task, as_json)


def _show_schema(name: str | None, as_json: bool) -> None:
    from mlbench import plugins

    tasks = [task_of(name)] if name else [task() for task in plugins.usable("tasks")[0].values()]
    if as_json:
        found = {task.name: [dataclasses.asdict(one) for one in task.expected] for task in tasks}
        click.echo(json.dumps(found))
        return
    for task in tasks:
        rows = [
            {
                "array": one.name,
                "shape": one.shape,
                "values": one.dtype,
                "holds": one.holds,
                "needed": "" if one.optional else "yes",
            }
            for one in task.expected
        ]
        _print(f"{task.name}: {task.summary}", rows)


@data.command(
    "check",
    cls=Command,
    epilog="\b\nExamples:\n  mlbench data check my.npz\n  mlbench data check my.npz --picture sheet.png --json\n"
    "  mlbench data check my.npz --model my.keras",
)
@click.argument("file")
@click.option(
    "--task",
    shell_complete=complete("tasks"),
    help="Task of the samples. [default: inferred from the file]",
)
@click.option(
    "--model",
    metavar="FILE|MODULE:FUNCTION",
    help="A network that the samples must fit: a .tflite, .keras or .h5 file, or a function that returns one.",
)
@click.option("--picture", type=FILE, help="Write pictures of samples with their labels, as a .png.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@reading_options
def check(
    file: str, task: str | None, model: str | None, picture: Path | None, as_json: bool, **options: Any
) -> None:
    """Show what FILE contains, and everything that is wrong with it.

    FILE is an .npz, FILE:ARRAY for other targets, or a folder of images. The exit code is 2 if it cannot be used.
    """
    from mlbench.data.checkup import check as looked_at
    from mlbench.data.sources import TestSet
    from mlbench.system.files import require_suffix, require_writable

    if picture is not None:
        require_suffix(picture, ".png")
        require_writable(picture)
    given = TestSet.parse(file, reading_of(options))
    chosen = task_for(task, given.path, given.how)
    found, samples = looked_at(given.path, given.label, given.how, chosen)
    if model is not None and samples is not None:
        found = _with_model(found, model, chosen, samples)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found)))
    else:
        _show(found, chosen, samples)
    if picture is not None and samples is not None:
        _write_picture(picture, chosen, samples)
    if found.faults:
        sys.exit(2)


def _with_model(found: Checkup, model: str, task: Task, samples: Samples) -> Checkup:
    """The checkup, with what of the samples does not fit a network, or is doubtful for it."""
    from mlbench.data.fitting import doubts_of, faults_of, scaling_faults

    inputs, outputs, answered = _file(Path(model)) if model.endswith(".tflite") else _network(model, samples)
    faults = list(faults_of(samples, inputs, outputs, task, model))
    doubts, told = list[str](), list[str]()
    if not faults:
        facts = answered(samples.spread(64))
        faults = list(scaling_faults(samples, facts.divisors, model))
        doubts = [] if faults else doubts_of(samples, inputs, outputs, task, facts)
        told = [f"{model}: {text}." for text in [task.outputs_told(facts.outputs)] if text]
    return dataclasses.replace(
        found, faults=found.faults + faults, doubts=found.doubts + doubts, notes=found.notes + told
    )


def _file(model: Path) -> _Looked:
    """Shapes of a file's inputs and outputs, and what it shows on samples."""
    from mlbench.data.fitting import Facts
    from mlbench.export.artifacts import answers, runnable

    ends = runnable(model)
    inputs, outputs = (
        {port.name: tuple(port.shape[1:]) for port in ports} for ports in (ends.inputs, ends.outputs)
    )
    return inputs, outputs, lambda samples: Facts(outputs=answers(model, samples))


def _network(model: str, samples: Samples) -> _Looked:
    """The same of a network of a user's own."""
    from mlbench.networks.facts import facts_of, shapes_of

    taken = {name: encoding.shape for name, encoding in samples.encodings.items()}
    network = model_of(model, 0).build(taken, {}, 0)
    return *shapes_of(network), partial(facts_of, network)


def _show(found: Checkup, task: Task, samples: Samples | None) -> None:
    arrays = [
        {
            "array": f"{one.name} ({one.taken_as})" if one.taken_as else one.name,
            "values": one.dtype,
            "shape": "×".join(map(str, one.shape)),
            "range": "" if one.low is None else f"{one.low:.6g}…{one.high:.6g}",
            "not finite": f"{one.missing:,}" if one.missing else "",
        }
        for one in found.arrays
    ]
    _print("Arrays", arrays)
    for name, counts in found.classes.items():
        _print(f"Classes of {name}", [{"class": kind, "samples": f"{n:,}"} for kind, n in counts.items()])
    if samples is not None:
        rows = samples.spread(_SHOWN)
        shown = [
            {
                "sample": str(rows.ids[row]),
                found.unit: str(rows.groups[row]),
                "target": _label(task, rows, row),
            }
            for row in range(len(rows))
        ]
        _print("Some samples", shown)
        parts = ", ".join(f"{count:,} {part}" for part, count in found.split.items())
        of_groups = "" if found.unit == "sample" else f" of {found.groups:,} {found.unit}s"
        click.echo(
            f"{found.samples:,} samples{of_groups}; {found.duplicates:,} duplicates by inputs"
            f"{f'; {parts}' if parts else ''}."
        )
    for line in (*found.inputs, *found.notes):
        click.echo(line)
    for doubt in found.doubts:
        click.echo(f"Warning: {doubt}")
    for fault in found.faults:
        click.echo(f"Wrong: {fault}")
    if not found.faults:
        click.echo(f"Nothing is wrong with it as samples of the task {found.task}.")


def _label(task: Task, samples: Samples, row: int) -> str:
    name, text = str(samples.ids[row]), task.picture(samples, row).text
    return text.removeprefix(f"{name}: ")


def _print(title: str, rows: list[dict[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not rows:
        return
    table = Table(title=title, title_justify="left")
    for heading in rows[0]:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    Console(markup=False).print(table)


def _write_picture(path: Path, task: Task, samples: Samples) -> None:
    from mlbench.data.sheet import write_sheet

    rows = samples.spread(_PICTURED)
    write_sheet([task.picture(rows, row) for row in range(len(rows))], path)
    click.echo(f"Written: {path}", err=True)
