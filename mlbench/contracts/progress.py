"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol


class Progress(Protocol):
    """Shows how far long work is; `rich` on a terminal, silent in tests and with --json."""

    def task(
        self, title: str, total: int, unit: str
    ) -> AbstractContextManager[Callable[[int, str | None], None]]:
        """A bar of `total` steps; call the given function with steps done and a short text (None: as before)."""
        ...

    def say(self, text: str) -> None:
        """One line about what happens now."""
        ...
