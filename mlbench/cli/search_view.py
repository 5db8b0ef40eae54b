"""What a search shows while it runs, and of what it found: tables on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mlbench.contracts import Advance, Progress
from mlbench.records import MetricFacts, SearchRecord
from mlbench.search.searching import Seen
from mlbench.system.progress import Bars
from mlbench.system.sizes import format_size

_MOST = 12  # points of the front, in the live table
_EVERY_S = 60.0  # between two lines of a log, where nothing changes


class SearchView:
    """A live table where work shows bars; elsewhere a line when the front changes, and now and then."""

    def __init__(self, console: Console, metric: MetricFacts, progress: Progress) -> None:
        """Show.

        Args:
            console: for the table; it should write to standard error.
            metric: that is sought to be good.
            progress: as the command asks for, on the same console, so that its lines stand above the table.
        """
        self._console, self._metric, self._progress = console, metric, progress
        self._seen: Seen | None = None
        self._doing, self._last, self._told = "", "", 0.0
        self._failed = set[int]()  # trials whose failure was told
        self._live = (
            Live(console=console, get_renderable=self._table, refresh_per_second=2)
            if isinstance(progress, Bars)
            else None
        )

    @property
    def progress(self) -> Progress:
        """What work in this process tells: part of the table, or lines of the log."""
        return _Latest(self._now) if self._live else self._progress

    def __enter__(self) -> SearchView:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, seen: Seen) -> None:
        """See `mlbench.search.searching.Watch`."""
        self._seen = seen
        self._tell_failures(seen)
        line, due = self._line(seen), time.monotonic() > self._told + _EVERY_S
        if self._live is None and (due or self._front(seen) != self._last):
            self._progress.say(line)
            self._last, self._told = self._front(seen), time.monotonic()

    def _tell_failures(self, seen: Seen) -> None:
        for row in seen.found.rows:
            if row.failure and row.number not in self._failed:
                self._failed.add(row.number)
                told = f"Trial {row.number} failed, {row.candidate.network} · {row.candidate.chain}: {row.failure}"
                self._progress.say(told)

    def _now(self, text: str) -> None:
        self._doing = text

    @staticmethod
    def _front(seen: Seen) -> str:
        return str([row.candidate for row in seen.found.front])

    def _line(self, seen: Seen) -> str:
        states = [row.state for row in seen.found.rows]
        parts = [
            f"trial {sum(state not in ('waiting', 'running') for state in states)} of {seen.limits.trials}"
        ]
        parts += [
            f"{states.count(state)} {state}" for state in ("complete", "stopped", "failed") if state in states
        ]
        parts.append(f"{len(seen.found.front)} on the front")
        if seen.found.volumes:
            parts.append(f"hypervolume {seen.found.volumes[-1]:.3f}")
        if left := _left(seen):
            parts.append(f"about {left} left")
        return ", ".join(parts)

    def _table(self) -> Any:
        if self._seen is None:
            return Text(self._doing or "Beginning …")
        seen, table = self._seen, Table(box=None, pad_edge=False)
        for heading in ("network", "chain", "file", self._metric.title, "p50, ms"):
            table.add_column(heading, overflow="fold")
        ordered = sorted(seen.found.front, key=lambda row: row.last.file_bytes if row.last else 0)
        for row in ordered[:_MOST]:
            if row.last:
                value = self._metric.told(row.last.metrics[self._metric.name])
                p50 = "" if row.p50_ms is None else f"{row.p50_ms:.3g}"
                cells = (
                    row.candidate.network,
                    row.candidate.chain,
                    format_size(row.last.file_bytes),
                    value,
                    p50,
                )
                table.add_row(*map(Text, cells))
        more = [Text(f"and {len(ordered) - _MOST} more")] if len(ordered) > _MOST else []
        workers = [Text(f"{one.name}: {self._doing or one.doing or 'waits'}") for one in seen.workers[:_MOST]]
        return Group(Text(self._line(seen)), table, *more, *workers)


class _Latest:
    """Progress of which only the latest is told."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    @contextmanager
    def task(self, title: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """Tells the share that is done, and the latest text."""
        so_far, latest = done, ""

        def advance(done: int, text: str | None, *, mark: bool = False) -> None:
            nonlocal so_far, latest
            so_far, latest = so_far + done, latest if text is None else text
            self._tell(f"{title}: {min(so_far / max(total, 1), 1):.0%} {latest}".rstrip())

        yield advance

    def say(self, text: str) -> None:
        """One line."""
        self._tell(text)

    warn = say


def _left(seen: Seen) -> str:
    """How long it will take, by how long trials took in this call; "": not known yet."""
    ended = [row for row in seen.found.rows if row.state in ("complete", "stopped", "failed")]
    if not ended:
        return ""
    seconds = seen.elapsed_s / len(ended) * max(0, seen.limits.trials - len(ended))
    if seen.limits.seconds is not None:
        seconds = min(seconds, max(0.0, seen.limits.seconds - seen.elapsed_s))
    return (
        f"{seconds / 3600:.1f} h"
        if seconds >= 5400
        else f"{seconds / 60:.0f} min"
        if seconds >= 90
        else f"{seconds:.0f} s"
    )


def show_front(record: SearchRecord, console: Console) -> None:
    """The front as a table, and below it, by number, each point's chain and the command that makes it again."""
    metric, trials = record.metric, record.trials_by_number
    table = Table(box=None, pad_edge=False)
    headings = (
        "",
        "network",
        "file",
        f"validation {metric.title}",
        f"test {metric.title} (95 %)",
        "p50, ms",
    )
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for name, (value, size) in record.baselines.items():
        table.add_row("", Text(f"{name} · none"), format_size(size), metric.told(value), "", "")
    for number, point in enumerate(record.front, 1):
        trial = trials[point.trial]
        tested, p50 = point.tested, point.p50_ms
        known = f"{metric.told(tested.value)} ({_ends(metric, tested.low, tested.high)})" if tested else "–"
        cells = (
            f"{number}",
            trial.network,
            format_size(trial.file_bytes or 0),
            metric.told(trial.value or 0),
            known,
            f"{p50.value:.3g}" if p50 else "–",
        )
        table.add_row(*map(Text, cells))
    console.print(table)
    console.print("\nTheir chains, and the commands that make them again:")
    for number, point in enumerate(record.front, 1):
        for line in (f"{number:>2}  {trials[point.trial].chain}", f"    {point.command}"):
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _ends(metric: MetricFacts, low: float, high: float) -> str:
    return " to ".join(f"{end * metric.scale:.{metric.digits}f}" for end in (low, high))
