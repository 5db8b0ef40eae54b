"""The report on a terminal: baseline and candidates side by side, the paper's column last."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import ClassVar

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlbench.compression.chain import short_names
from mlbench.contracts import Report
from mlbench.evaluation.amounts import change_shown, limit_text, value_text
from mlbench.records import (
    Artifact,
    BudgetVerdict,
    Inspection,
    Interval,
    Measurement,
    MetricFacts,
    Record,
    Timing,
)
from mlbench.reports import inspection
from mlbench.reports.answers import AnswersTable, answers_only
from mlbench.reports.files import Rows, file_rows, known
from mlbench.reports.inspection import print_table
from mlbench.reports.paper_results import PAPER_DETECTOR_FPS, PaperResult, paper_result
from mlbench.system.files import write_atomically
from mlbench.system.sizes import format_size

_MISSING = "–"
_PAPER_ACCURACY = (
    "¹ On other faces; by the paper's equation 2 or by the argmax accuracy of its script: it does not say."
)
_WIDTH_WITHOUT_TERMINAL = 120
_FIRST_COLUMN, _COLUMN = 18, 15  # characters that labels (on two lines) and a model's figures take
_WIDTH_OF_MARKDOWN = 400


class TerminalReport(Report):
    """Tables for people, by rich."""

    name: ClassVar[str] = "terminal"
    summary: ClassVar[str] = "tables on the terminal"

    def write(self, records: Sequence[Record], target: Path | None) -> Path | None:
        """Print the records, or write them as text to a file."""
        if target is None:
            _show_all(records, _standard_output())
        else:
            with write_atomically(target) as part, part.open("w", encoding="utf-8") as file:
                _show_all(records, Console(file=file, width=_WIDTH_WITHOUT_TERMINAL))
        return target

    def write_inspection(self, found: Inspection, target: Path | None) -> Path | None:
        """Print the tables of an inspection, or write them as text to a file."""
        if target is None:
            inspection.show(found, _standard_output())
        else:
            with write_atomically(target) as part, part.open("w", encoding="utf-8") as file:
                inspection.show(found, Console(file=file, width=_WIDTH_WITHOUT_TERMINAL))
        return target


def _standard_output() -> Console:
    """Without a terminal it is as wide as COLUMNS says, if that is a number."""
    columns, console = os.environ.get("COLUMNS", ""), Console()
    if console.is_terminal or (columns.isdecimal() and int(columns) > 0):
        return console
    return Console(width=_WIDTH_WITHOUT_TERMINAL)


class MarkdownReport(Report):
    """The same tables for documents."""

    name: ClassVar[str] = "markdown"
    summary: ClassVar[str] = "the terminal's tables in Markdown"

    def write(self, records: Sequence[Record], target: Path | None) -> Path | None:
        """Print the records as Markdown, or write them to a file."""
        text = StringIO()
        _show_all(records, Console(file=text, width=_WIDTH_OF_MARKDOWN), box.MARKDOWN)
        return self._write(text, target)

    def write_inspection(self, found: Inspection, target: Path | None) -> Path | None:
        """Print the tables of an inspection as Markdown, or write them to a file."""
        text = StringIO()
        inspection.show(found, Console(file=text, width=_WIDTH_OF_MARKDOWN), box.MARKDOWN)
        return self._write(text, target)

    @staticmethod
    def _write(text: StringIO, target: Path | None) -> Path | None:
        lines = "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"
        if target is None:
            Console().print(lines, markup=False, highlight=False, soft_wrap=True)
        else:
            with write_atomically(target) as part:
                part.write_text(lines, encoding="utf-8")
        return target


def _show_all(records: Sequence[Record], console: Console, frame: box.Box = box.HEAVY_HEAD) -> None:
    for record in records:
        show(record, console, frame)


def show(record: Record, console: Console, frame: box.Box = box.HEAVY_HEAD) -> None:
    """Print one record: the figures, the errors, what changed, the budgets, the warnings."""
    parts = _parts(record, console.width)
    for device in (one for one in record.devices if not one.answers_only):
        title = f"{record.artifacts[0].variant} on {device.name}, {_count(device.threads, 'thread')}"
        for part in parts:
            print_table(console, title, _figures(record, part, device.id), frame)
    for part in parts if record.data is None else ():
        if files := file_rows(record, part):
            print_table(console, "The files", _files(record, part, files), frame)
    for part in parts if record.scores else ():
        print_table(
            console, "Metrics of the exported files, with 95 % intervals", _metrics(record, part), frame
        )
    if paper_result(record.artifacts[0].variant, record.task):
        console.print(_PAPER_ACCURACY, highlight=False)
    if record.differences:
        title = "Against the baseline, interleaved: metrics with 95 % intervals, latencies with 99 %"
        print_table(console, title, _differences(record), frame)
    if answers_only(record):
        answers = AnswersTable.of(record)
        print_table(console, answers.title, _answers(answers), frame)
    for part in parts:
        print_table(console, "Budgets", _budgets(record, part), frame)
    if record.data is not None:
        console.print(f"Data: {escape(record.data.source)}; {record.data.split.train:,} samples to train on.")
    for warning in record.warnings:
        console.print(f"[yellow]Note:[/] {escape(warning)}")


def _parts(record: Record, width: int) -> list[tuple[Artifact, ...]]:
    """The models in as many tables as the width asks for, the baseline the first of each."""
    base, *candidates = record.artifacts
    count = max(1, (width - _FIRST_COLUMN) // _COLUMN - 2)  # beside the baseline and the paper
    starts = range(0, max(1, len(candidates)), count)
    return [(base, *candidates[start : start + count]) for start in starts]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _table(first: str, columns: list[str]) -> Table:
    table = Table(header_style="bold")
    table.add_column(first)
    for column in columns:
        table.add_column(escape(column), justify="right", overflow="fold")
    return table


def _chains(record: Record, part: Sequence[Artifact]) -> list[str]:
    short = short_names(artifact.chain for artifact in record.artifacts)
    return [short[artifact.chain] for artifact in part]


def _figures(record: Record, part: Sequence[Artifact], device: str) -> Table:
    paper = paper_result(record.artifacts[0].variant, record.task)
    table = _table("", [*_chains(record, part), *(["paper, HTC 10"] if paper else [])])
    measured = {m.artifact: m for m in record.measurements if m.device == device}
    rows = [(label, [cell(artifact) for artifact in part]) for label, cell in _ARTIFACT_ROWS]
    failures = [measured[a.id].failure if a.id in measured else None for a in part]
    if any(failures):
        rows.append(("does not fit", [escape(f"{f.stage}: {f.reason}") if f else "" for f in failures]))
    for label, figure in [*_MEASURED_ROWS, *_pipeline_rows(measured.values())]:
        rows.append((label, [figure(measured[a.id]) if a.id in measured else _MISSING for a in part]))
    for label, cells in rows:
        _add_row(table, label, [*cells, *_paper_cell(label, paper)])
    return table


def _add_row(table: Table, label: str, cells: Sequence[str]) -> None:
    """Add a row, if any of its cells holds something."""
    if any(cell not in ("", _MISSING) for cell in cells):
        table.add_row(label, *cells)


def _files(record: Record, part: Sequence[Artifact], rows: Rows) -> Table:
    table = Table(header_style="bold")
    table.add_column("")
    for name in _chains(record, known(record, part)):
        table.add_column(escape(name), overflow="fold")
    for label, cells in rows:
        table.add_row(escape(label), *(escape("\n".join(lines)).replace("|", "∣") for lines in cells))
    return table


_ARTIFACT_ROWS: list[tuple[str, Callable[[Artifact], str]]] = [
    ("parameters", lambda a: _MISSING if a.parameters is None else f"{a.parameters:,}"),
    ("MACs", lambda a: _MISSING if a.macs is None else f"{a.macs / 1e6:.1f} M"),
    ("file, raw bytes", lambda a: f"{a.file_bytes:,}"),
    ("file, deflated", lambda a: f"{a.deflated_bytes:,}"),
    ("precision", lambda a: escape(a.precision)),
]


def _ms(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.3g} ms" if value < 100 else f"{value:.0f} ms"


def _of_timing(part: str, figure: Callable[[Timing], str]) -> Callable[[Measurement], str]:
    def cell(measurement: Measurement) -> str:
        timing: Timing | None = getattr(measurement, part)
        return _MISSING if timing is None else figure(timing)

    return cell


_MEASURED_ROWS: list[tuple[str, Callable[[Measurement], str]]] = [
    (
        "peak memory above bare",
        lambda m: format_size(m.memory.peak_above_baseline_bytes) if m.memory else _MISSING,
    ),
    ("load", lambda m: _ms(m.load_ms)),
    ("first inference", lambda m: _ms(m.first_ms)),
    ("p50", _of_timing("network", lambda t: _ms(t.p50_ms))),
    ("p90", _of_timing("network", lambda t: _ms(t.p90_ms))),
    ("p99", _of_timing("network", lambda t: _ms(t.p99_ms))),
    ("samples", _of_timing("network", lambda t: f"{t.n:,}")),
    ("FPS network", _of_timing("network", lambda t: f"{t.fps:.1f}")),
]


def _pipeline_rows(found: Iterable[Measurement]) -> list[tuple[str, Callable[[Measurement], str]]]:
    """Rows of what stands around the network, where any model was measured with it."""

    def fps(part: str) -> Callable[[Measurement], str]:
        return lambda m: f"{m.parts[part].fps:.1f}" if part in m.parts else _MISSING

    found = list(found)
    rows = [(f"FPS {part}", fps(part)) for part in dict.fromkeys(part for m in found for part in m.parts)]
    if any(m.frames is not None for m in found):
        rows.append(
            ("found in frames", lambda m: _MISSING if m.frames is None else f"{m.found} of {m.frames}")
        )
    return rows


def _paper_cell(label: str, paper: PaperResult | None) -> list[str]:
    if paper is None:
        return []
    fps = "N/A" if paper.fps is None else f"{paper.fps:g}"
    cells = {
        "file, raw bytes": f"{paper.file_mb:g} MB",
        "FPS detector": f"{PAPER_DETECTOR_FPS}",
        "FPS both": fps,
    }
    return [cells.get(label, "")]


def _spread(metric: MetricFacts, interval: Interval | None) -> str:
    if interval is None:
        return _MISSING
    half = (interval.high - interval.low) / 2 * metric.scale
    return f"{interval.value * metric.scale:.{metric.digits}f} ±{half:.{metric.digits}f}"


def _metrics(record: Record, part: Sequence[Artifact]) -> Table:
    paper = paper_result(record.artifacts[0].variant, record.task)
    table = _table("", [*_chains(record, part), *(["paper, MORPH"] if paper else [])])
    found = {(s.test_set, s.artifact): s for s in reversed(record.scores)}
    for name in dict.fromkeys(score.test_set for score in record.scores):
        rows = [found.get((name, artifact.id)) for artifact in part]
        first = next(score for score in record.scores if score.test_set == name)
        table.add_row(f"[bold]{escape(name)}[/], {record.samples_told(first)}")
        for metric in record.task.metrics if record.task else ():
            theirs = [f"{paper.accuracy}¹" if metric.name == "rounded_accuracy" else ""] if paper else []
            cells = [_spread(metric, row.metrics.get(metric.name)) if row else _MISSING for row in rows]
            label = f"{metric.title}, {metric.unit}" if metric.unit else metric.title
            _add_row(table, label, [*cells, *theirs])
    return table


def _differences(record: Record) -> Table:
    names = _chains(record, record.artifacts)
    chains = {artifact.id: chain for artifact, chain in zip(record.artifacts, names, strict=True)}
    table = Table()
    for heading in ("chain", "what", "change", "verdict"):
        table.add_column(heading, overflow="fold")
    for row in record.differences:
        metric = _metric_of(record, row.quantity)
        what = f"{metric.title} on {row.test_set}" if metric else f"p50 on {row.device}"
        table.add_row(escape(chains[row.artifact]), escape(what), _change(row.change, metric), row.verdict)
    return table


def _answers(found: AnswersTable) -> Table:
    table = Table()
    for heading in found.headings:
        table.add_column(escape(heading), overflow="fold")
    for row in found.rows:
        table.add_row(*map(escape, row))
    return table


def _metric_of(record: Record, name: str) -> MetricFacts | None:
    return (
        next((metric for metric in record.task.metrics if metric.name == name), None) if record.task else None
    )


def _change(c: Interval, metric: MetricFacts | None) -> str:
    value, ends = change_shown(metric, c)
    return f"{value} ({ends})"


def _budgets(record: Record, part: Sequence[Artifact]) -> Table:
    table = _table("budget", _chains(record, part))
    budgets: dict[tuple[str, float], dict[str, BudgetVerdict]] = {}
    for verdict in record.budgets:
        budgets.setdefault((verdict.budget, verdict.limit), {})[verdict.artifact] = verdict
    for (name, _), verdicts in budgets.items():
        first = next(iter(verdicts.values()))
        metric = _metric_of(record, first.quantity)
        cells = [_fits(verdicts[a.id], metric) if a.id in verdicts else _MISSING for a in part]
        table.add_row(f"{escape(name)}: {escape(limit_text(first, metric))}", *cells)
    return table


def _fits(verdict: BudgetVerdict, metric: MetricFacts | None) -> str:
    mark = "[green]fits[/]" if verdict.fits else "[red]does not fit[/]"
    return f"{mark}, {escape(value_text(verdict, metric))}"
