"""How far long work is: bars with rate and time left on a terminal, silence elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Bars:
    """Progress bars on a terminal; plain lines where the output is a file or a pipe."""

    def __init__(self, console: Console) -> None:
        """Show on `console`, which should write to standard error."""
        self._console = console

    @contextmanager
    def task(self, title: str, total: int, unit: str) -> Iterator[Callable[[int, str | None], None]]:
        """A bar of `total` steps; the given function takes steps done and a short text."""
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            MofNCompleteColumn(),
            TextColumn(unit + " {task.fields[text]}", markup=False),
        )
        if not self._console.is_terminal:
            self.say(f"{title}: {total} {unit}")
        with RichProgress(*columns, console=self._console, disable=not self._console.is_terminal) as bars:
            bar = bars.add_task(title, total=total, text="")

            def advance(done: int, text: str | None) -> None:
                if text is None:
                    bars.update(bar, advance=done)
                else:
                    bars.update(bar, advance=done, text=text)

            yield advance

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class Silent:
    """No progress at all."""

    @contextmanager
    def task(self, title: str, total: int, unit: str) -> Iterator[Callable[[int, str | None], None]]:
        """A bar that nobody sees."""

        def advance(done: int, text: str | None) -> None:
            """Nothing to show."""

        yield advance

    def say(self, text: str) -> None:
        """Nothing to say."""
