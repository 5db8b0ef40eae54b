"""Standard output and error that fail quietly: what is printed never costs the work that it tells of."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

#: What a shell reports of a program that a closed pipe ended.
CLOSED_PIPE = 141


class _Sink(io.RawIOBase):
    """A file descriptor; once it cannot be written, all that follows is dropped and the reason kept."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if self.error is None:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                raise
            except OSError as error:
                self.error = error
        return len(data)


def guard() -> None:
    """Let standard output and error drop what cannot be written, and write `?` for what their encoding lacks."""
    sys.stdout, sys.stderr = _guarded(sys.stdout), _guarded(sys.stderr)


def failure() -> OSError | None:
    """Why standard output could not be written, or None where all of it was."""
    sink = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(sink, _Sink):
        return None
    sys.stdout.flush()
    return sink.error


def _guarded(stream: TextIO) -> TextIO:
    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError):  # closed, or no file at all
        return stream
    sink = _Sink(descriptor)
    buffer = io.BufferedWriter(sink)  # type: ignore[type-var]
    return io.TextIOWrapper(buffer, stream.encoding, errors="replace", line_buffering=sink.isatty())
