"""Python processes that find what this one finds, and nothing that lies about in the current folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def command(*arguments: str) -> list[str]:
    """This interpreter, without the current folder or the script's before the installed modules."""
    return [sys.executable, "-P", *arguments]


def environment() -> dict[str, str]:
    """This process's environment, with its search path: a user's site, PYTHONPATH and what was added since.

    The current folder comes last, so that a `json.py` or `numpy/` in it hides nothing.
    """
    here = Path.cwd()
    paths = sorted((Path(entry or here).absolute() for entry in sys.path), key=lambda path: path == here)
    return os.environ | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(map(str, paths)))}


@contextmanager
def safe_path() -> Iterator[None]:
    """While the block runs, processes that others start (multiprocessing) do without the current folder too."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before
