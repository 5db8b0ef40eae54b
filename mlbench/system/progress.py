"""How far long work is: bars on a terminal, lines now and then in a log, or nothing."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from mlbench.system.durations import format_duration, format_rate

#: Seconds between two lines of a log, where it is to be verbose, and those over which the rate is taken.
_BETWEEN = 30.0
_BETWEEN_VERBOSE = 5.0
_WINDOW = 60.0


def progress_on(console: Console, *, quiet: bool = False, verbose: bool = False) -> Bars | Lines | Quiet:
    """What shows progress on a console, which should write to standard error.

    Args:
        console: bars if it is a terminal, else lines.
        quiet: warnings alone.
        verbose: on a terminal a line at each mark too; elsewhere a line every five seconds.
    """
    if quiet:
        return Quiet(console)
    if console.is_terminal:
        return Bars(console, verbose=verbose)
    return Lines(console, _BETWEEN_VERBOSE if verbose else _BETWEEN)


class _Advance(Protocol):
    """As `mlbench.contracts.Advance`."""

    def __call__(self, done: int, text: str | None, *, mark: bool = False) -> None: ...


class _Spoken:
    """What all that is shown has in common: lines on a console."""

    def __init__(self, console: Console) -> None:
        """Show on `console`, which should write to standard error."""
        self._console = console

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """One line about what is probably not meant."""
        self.say(f"Warning: {text}")


class Bars(_Spoken):
    """Progress bars on a terminal."""

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        """Show on `console`; verbose: marks, such as the ends of epochs, are lines too."""
        super().__init__(console)
        self._verbose = verbose

    @contextmanager
    def task(self, title: str, total: int, unit: str, done: int = 0) -> Iterator[_Advance]:
        """A bar of `total` steps."""
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            MofNCompleteColumn(),
            TextColumn(unit + " {task.fields[text]}", markup=False),
        )
        with RichProgress(*columns, console=self._console) as bars:
            bar = bars.add_task(
                title, total=total or None, completed=done, text="", visible=bool(total or done)
            )

            def advance(done: int, text: str | None, *, mark: bool = False) -> None:
                bars.update(bar, visible=True)
                if text is None:
                    bars.update(bar, advance=done)
                else:
                    bars.update(bar, advance=done, text=text)
                if mark and self._verbose:
                    self.say(f"{title}: {text or ''}")

            yield advance


class Lines(_Spoken):
    """Lines for a log: at a task's start, now and then, and at each mark."""

    def __init__(
        self, console: Console, between: float = _BETWEEN, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Show on `console`, with about so many seconds `between` lines, by a `clock` of seconds."""
        super().__init__(console)
        self._between, self._clock = between, clock

    @contextmanager
    def task(self, title: str, total: int, unit: str, done: int = 0) -> Iterator[_Advance]:
        """A task of `total` steps."""
        task = _Counted(title, total, unit, done, self._clock())
        if total:
            self.say(task.line())
        written = self._clock()

        def advance(done: int, text: str | None, *, mark: bool = False) -> None:
            nonlocal written
            now = self._clock()
            task.take(done, text, now)
            if mark or now - written >= self._between:
                self.say(task.line())
                written = now

        yield advance


class _Counted:
    """A task as a line of text: done, rate, time left."""

    def __init__(self, title: str, total: int, unit: str, done: int, now: float) -> None:
        self._title, self._total, self._unit, self._done, self._text = title, total, unit, done, ""
        self._before = done
        self._seen = deque([(now, done)])  # when how many were done, over the last minute

    def take(self, done: int, text: str | None, now: float) -> None:
        """Take in further steps."""
        self._done += done
        self._text = self._text if text is None else text
        self._seen.append((now, self._done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _WINDOW:
            self._seen.popleft()

    def line(self) -> str:
        """What is known so far."""
        # Start-up is no part of the rate.
        begun = (one for one in self._seen if self._before < one[1] < self._done)
        (first, before), (last, _) = next(begun, self._seen[0]), self._seen[-1]
        rate = (self._done - before) / (last - first) if last > first else 0.0
        share = f" ({self._done / self._total:.0%})" if self._done and self._total else ""
        whole = f" of {self._total:,}" if self._total else ""
        told = [f"{self._title}: {self._done:,}{whole} {self._unit}{share}"]
        if rate > 0:
            told.append(format_rate(rate))
            if left := max(0, self._total - self._done):
                told.append(f"about {format_duration(left / rate)} left")
        return ", ".join([*told, *filter(None, [self._text])])


class Silent:
    """No progress at all."""

    @contextmanager
    def task(self, title: str, total: int, unit: str, done: int = 0) -> Iterator[_Advance]:
        """A task that nobody sees."""

        def advance(done: int, text: str | None, *, mark: bool = False) -> None:
            """Nothing to show."""

        yield advance

    def say(self, text: str) -> None:
        """Nothing to say."""

    def warn(self, text: str) -> None:
        """Nothing to warn of."""


class Quiet(Silent):
    """Warnings alone."""

    def __init__(self, console: Console) -> None:
        """Warn on `console`."""
        self._spoken = _Spoken(console)

    def warn(self, text: str) -> None:
        """One line about what is probably not meant."""
        self._spoken.warn(text)
