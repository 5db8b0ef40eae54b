"""A comparison as a table on a terminal, or as JSON values."""

from __future__ import annotations

import dataclasses
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlbench.evaluation.amounts import change_shown, shown
from mlbench.evaluation.between_runs import Comparison, Line
from mlbench.system.sizes import format_size

#: Of `base` and `ours`; those of a metric are as in records, `metric.scale` makes them what is shown in `metric.unit`.
_UNITS = {"size": "bytes", "memory": "bytes", "p50": "ms"}

_COLOURS = {
    "faster": "green",
    "smaller": "green",
    "better": "green",
    "slower": "red",
    "larger": "red",
    "worse": "red",
}


def show(comparison: Comparison, console: Console) -> None:
    """Print the lines, what was refused, and what must be said beside them."""
    table = Table(title="Candidate against baseline", title_justify="left")
    for heading in ("model", "what", "where", "baseline", "candidate", "change", "verdict"):
        table.add_column(heading, overflow="fold")
    for line in comparison.lines:
        colour = _COLOURS.get(line.said, "default")
        values = (_amount(line, line.base), _amount(line, line.ours), change_text(line))
        named = (escape(line.model), line.quantity, escape(line.where))
        table.add_row(*named, *values, f"[{colour}]{line.said}[/]")
    console.print(table)
    for quantity, why in comparison.refusals.items():
        console.print(f"[yellow]Not compared:[/] {quantity}: {escape(why)}.")
    for note in comparison.notes:
        console.print(f"[yellow]Note:[/] {escape(note)}")


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Lines, refusals and notes as JSON values."""
    lines = [
        {
            **vars(line),
            "unit": _UNITS.get(line.quantity, "stored unit of the metric"),
            "change": line.change.model_dump(),
            "metric": line.metric.model_dump() if line.metric else None,
        }
        for line in comparison.lines
    ]
    return dataclasses.asdict(dataclasses.replace(comparison, lines=[])) | {"lines": lines}


def _amount(line: Line, value: float) -> str:
    if line.quantity in ("size", "memory"):
        return format_size(value)
    return shown(line.metric, value) if line.metric else f"{value:.3f} ms"


def change_text(line: Line) -> str:
    """How much a line changed, with the interval where there is one."""
    c = line.change
    if line.metric is not None:
        told = " (".join(change_shown(line.metric, c))
    else:
        told = f"{c.value * 100:+.1f} %"
        if line.confidence is None:
            return told
        told += f" ({c.low * 100:+.1f} to {c.high * 100:+.1f}"
    over = f" over {line.over}" if line.over else ""
    return f"{told}, {(line.confidence or 0) * 100:.0f} %{over})"
