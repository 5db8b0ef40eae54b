"""The tables of `mlbench inspect`, by rich: layers, who can compress them, what that costs."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlbench.evaluation.amounts import change_shown, shown
from mlbench.records import InspectedLayer, Inspection, Sensitivities
from mlbench.system.sizes import format_size

_NONE = "–"
_WIDE = 110  # characters from which on kinds stand in the table too


def show(found: Inspection, console: Console, frame: box.Box = box.SIMPLE_HEAD) -> None:
    """Print one inspection."""
    of = "layer" if found.source == "keras" else "operator"
    threads = f"{found.device.threads} thread{'' if found.device.threads == 1 else 's'}"
    print_table(
        console,
        f"{found.model}, {of} by {of}, on {found.device.name}, {threads}",
        _layers(found, console),
        frame,
    )
    if joined := _joined(found) if console.width < _WIDE else "":
        console.print(escape(joined), highlight=False, soft_wrap=frame is box.MARKDOWN)
    for line in summary(found):
        console.print(escape(line), highlight=False, soft_wrap=frame is box.MARKDOWN)
    if any(layer.techniques for layer in found.layers):
        print_table(console, "Who can compress what", _techniques(found), frame)
    if found.sensitivities is not None:
        sensitivities = found.sensitivities
        print_table(console, sensitivity_title(sensitivities), _sensitivities(sensitivities), frame)
    for warning in found.warnings:
        console.print(f"[yellow]Note:[/] {escape(warning)}", highlight=False)


def summary(found: Inspection) -> Iterator[str]:
    """The sums, and what follows from the table."""
    parts, whole = found.parts_ms, found.whole_ms
    if parts is not None and whole is not None:
        yield (
            f"The parts take {parts.value:.4g} ms, the whole file {whole.value:.4g} ms (p50): a ratio of "
            f"{parts.value / max(whole.value, 1e-12):.2f}, medians of {found.processes} processes each, in turns."
        )
    yield from found.findings


def sensitivity_title(found: Sensitivities) -> str:
    """What was measured, on how many samples."""
    metric = found.task.primary
    return (
        f"{metric.title} lost where a layer alone is compressed, untuned; it is {shown(metric, found.baseline)} on "
        f"{found.samples:,} validation samples of {found.groups:,} {found.unit}s; 95 % intervals"
    )


def print_table(console: Console, title: str, table: Table, frame: box.Box) -> None:
    """A table below its title, if it has rows; apart from what stands around it where it is Markdown."""
    if not table.row_count:
        return
    table.box = frame
    console.print(f"[bold]{escape(title)}[/]", highlight=False)
    if frame is box.MARKDOWN:
        console.print()
    console.print(table)
    if frame is box.MARKDOWN:
        console.print()


def _layers(found: Inspection, console: Console) -> Table:
    wide = console.width >= _WIDE
    table = Table(header_style="bold", padding=(0, 1) if wide else (0, 0, 0, 1))
    table.add_column("layer" if found.source == "keras" else "operator", overflow="fold", min_width=10)
    if wide:
        table.add_column("kind", overflow="fold")
    for heading in ("output", "params", "float32", "int8", "MACs", "ms", "time"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("runs in", overflow="fold")
    for layer in found.layers:
        if wide or not layer.part_of:
            table.add_row(*_row(layer, wide=wide))
    return table


def _joined(found: Inspection) -> str:
    """Layers that another one's operator carries out too, where the table has no place for them."""
    parts: dict[str, list[str]] = {}
    for layer in found.layers:
        if layer.part_of:
            parts.setdefault(layer.part_of, []).append(layer.name)
    told = "; ".join(f"{', '.join(names)} in {home}" for home, names in parts.items())
    return f"One operator: {told}." if told else ""


def _row(layer: InspectedLayer, *, wide: bool) -> list[str]:
    kind = [escape(layer.kind.lower())] if wide else []
    output = "×".join(map(str, layer.output))
    counts = [f"{layer.parameters:,}" if layer.parameters else _NONE]
    if layer.part_of:
        return [
            f"+ {escape(layer.name)}",
            *kind,
            output,
            *counts,
            "",
            "",
            "",
            "",
            "",
            f"in {escape(layer.part_of)}",
        ]
    return [
        escape(layer.name),
        *kind,
        output,
        *counts,
        format_size(layer.float32_bytes) if layer.float32_bytes else _NONE,
        format_size(layer.int8_bytes) if layer.int8_bytes else _NONE,
        amount(layer.macs) if layer.macs else _NONE,
        _NONE if layer.ms is None else f"{layer.ms.value:.4f}",
        _NONE if layer.share is None else f"{layer.share:.1%}",
        layer.runs or _NONE,
    ]


def amount(number: int) -> str:
    """A count with three significant digits: `2.36 M`."""
    for factor, unit in ((10**9, "G"), (10**6, "M"), (10**3, "K")):
        if number >= 0.9995 * factor:
            return f"{number / factor:.3g} {unit}"
    return str(number)


def _techniques(found: Inspection) -> Table:
    table = Table(header_style="bold")
    for heading in ("layer", "compressed by", "left by, and why"):
        table.add_column(heading, overflow="fold")
    for layer in found.layers:
        if layer.techniques:
            taken, left = taken_and_left(layer)
            table.add_row(escape(layer.name), escape(taken), escape(left))
    return table


def taken_and_left(layer: InspectedLayer) -> tuple[str, str]:
    """Techniques that take a layer, and those that leave it by their reasons."""
    taken = [name for name, why in layer.techniques.items() if not why]
    reasons: dict[str, list[str]] = {}
    for name, why in layer.techniques.items():
        if why:
            reasons.setdefault(why, []).append(name)
    left = "; ".join(f"{', '.join(names)}: {why}" for why, names in reasons.items())
    return ", ".join(taken) or _NONE, left or _NONE


def _sensitivities(found: Sensitivities) -> Table:
    table = Table(header_style="bold")
    for heading in ("layer", "technique"):
        table.add_column(heading, overflow="fold")
    for heading in ("times smaller", "loss", "interval"):
        table.add_column(heading, justify="right", overflow="fold")
    metric = found.task.primary
    for row in sorted(found.rows, key=lambda row: -row.loss.value):
        value, ends = change_shown(metric, row.loss)
        table.add_row(escape(" + ".join(row.layers)), row.technique, f"{row.ratio:.1f}", value, ends)
    return table
