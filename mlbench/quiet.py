"""Notes of C++ libraries, kept off the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def muted_standard_error() -> Iterator[None]:
    """Keep what is written to standard error meanwhile off the terminal."""
    # At the level of the file descriptor: the notes come from C++, before any log level holds.
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
