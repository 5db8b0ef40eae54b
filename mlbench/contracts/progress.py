"""How long work tells how far it is."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Advance(Protocol):
    """Tells that a part of a task is done."""

    def __call__(self, done: int, text: str | None, *, mark: bool = False) -> None:
        """Take in so many further steps.

        Args:
            done: steps since the last call.
            text: a few words about what happens now; None: as before.
            mark: whether this is worth a line of a log, as the end of an epoch is.
        """
        ...


class Progress(Protocol):
    """Shows how far long work is: bars on a terminal, lines of a log elsewhere, nothing where it is to be quiet."""

    def task(self, title: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Advance]:
        """A task of `total` steps, of which `done` were done by an earlier, interrupted command.

        A total of 0 stands for nothing to do, or a number that is not known: it is shown once a step is done.
        """
        ...

    def say(self, text: str) -> None:
        """One line about what happens now."""
        ...

    def warn(self, text: str) -> None:
        """One line about what is probably not meant: a quiet command tells it too."""
        ...
