"""Reads what `am instrument -w -r` says while the app runs, and how it ended."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

_PAIR = re.compile(r"^INSTRUMENTATION_(STATUS|RESULT): ([\w.]+)=(.*)$")
_CODE = re.compile(r"^INSTRUMENTATION_CODE: (-?\d{1,9})$")
_OK = -1  # Activity.RESULT_OK


@dataclass
class Listener:
    """Hears the lines of one run; `on_progress` hears what the app says of its progress."""

    on_progress: Callable[[str], None]
    code: int | None = None
    results: dict[str, str] = field(default_factory=dict)
    error: str = ""

    def hear(self, line: str) -> None:
        """Take one line in."""
        pair, code = _PAIR.match(line), _CODE.match(line)
        if code:
            self.code = int(code[1])
        elif pair and pair[1] == "RESULT":
            self.results[pair[2]] = pair[3][:1000]
        elif pair and pair[2] == "progress":
            self.on_progress(pair[3][:200])
        elif pair and pair[2] == "Error":
            self.error = pair[3][:300]
        elif line.startswith(("INSTRUMENTATION_ABORTED:", "INSTRUMENTATION_FAILED:", "onError:")):
            self.error = self.error or line[:300]

    @property
    def finished(self) -> bool:
        """Whether the app came to its own end and left a result."""
        return self.code == _OK

    @property
    def how_it_ended(self) -> str:
        """In words, for a run that did not finish."""
        said = self.results.get("longMsg") or self.results.get("shortMsg") or self.results.get("error")
        return said or self.error or "it ended without a word"
