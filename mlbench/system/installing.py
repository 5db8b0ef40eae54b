"""How to install further packages beside mlbench, in words that hold wherever mlbench itself was installed from.

Messages name the packages of an extra, never `mlbench[extra]`: an index need not hold mlbench, and what it holds by
that name may be something else.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec

_NAME = re.compile(r"[\w.-]+")
_EXTRA = re.compile(r"""\bextra\s*==\s*["']([\w.-]+)["']""")


def install(*packages: str) -> str:
    """The command that installs packages for the Python that runs, in the versions that mlbench asks for."""
    by_need = sorted(
        _requirements(), key=lambda one: not one[1]
    )  # last, and so kept: what mlbench itself requires
    wanted = {_plain(spec): spec for spec, _ in by_need}
    return _command([wanted.get(_plain(package), package) for package in packages])


def install_extra(extra: str) -> str:
    """The command that installs what an extra of mlbench brings."""
    return _command([spec for spec, owner in _requirements() if owner == extra])


def _command(specs: list[str]) -> str:
    pip = [sys.executable, "-m", "pip", "install"]
    if find_spec("pip") is None:  # as in environments that uv makes
        pip = ["uv", "pip", "install", "--python", sys.executable]
    return shlex.join([*pip, *specs])


def _requirements() -> Iterator[tuple[str, str]]:
    """What mlbench requires, with the extra that brings it; "": mlbench itself."""
    for text in metadata.requires("mlbench") or ():
        spec, _, marker = text.partition(";")
        extra = _EXTRA.search(marker)
        yield spec.strip(), extra[1] if extra else ""


def _plain(spec: str) -> str:
    """The name in a requirement, as indexes compare names."""
    found = _NAME.match(spec)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else spec
