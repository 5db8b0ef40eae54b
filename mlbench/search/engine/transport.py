"""Folders of the cache on their way from one machine to another: by content hash, in chunks, resumable, checked.

What is asked of another machine are the functions `listed`, `chunk` and `take`; how they get there is Dask's.
A file comes to its place whole, the one that marks a folder finished last.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mlbench.errors import UsageError
from mlbench.system.cache import cache_folder, one_at_a_time
from mlbench.system.files import file_sha256, write_atomically

#: Bytes that travel at once.
CHUNK = 4 << 20

#: How often a file that arrives damaged is fetched again.
_TRIES = 3

_HASHES = "hashes.json"
_OWN = {_HASHES, "lock"}
_FOLDER = re.compile(r"(baselines|stages|imports|samples)/[^./\0][^/\0]*")
_NAME = re.compile(r"[^./\0][^/\0]*")

#: Calls a function of this module on the machine that has the folder.
Ask = Callable[..., Any]


@dataclass(frozen=True)
class Content:
    """A file by what it holds."""

    name: str
    size: int
    sha256: str


class DamagedError(Exception):
    """What was fetched is not what was announced, each time."""


def place_of(mark: str) -> Path:
    """Where a mark lies in this machine's cache.

    Raises:
        ValueError: it is no file of a folder of the cache.
    """
    folder, _, name = mark.rpartition("/")
    if not _FOLDER.fullmatch(folder) or not _NAME.fullmatch(name):
        message = f"{mark!r} is not in the cache"
        raise ValueError(message)
    return cache_folder() / folder / name


def hashed(folder: Path) -> list[Content]:
    """The files of a folder; their hashes are kept beside them, so that later damage is noticed."""
    known = _known(folder)
    found = []
    for path in sorted(folder.iterdir()):
        if path.name in _OWN or path.name.startswith(".") or not path.is_file():
            continue
        facts = path.stat()
        size, changed, digest = known.get(path.name, (-1, -1, ""))
        if (size, changed) != (facts.st_size, facts.st_mtime_ns):
            digest = file_sha256(path)
        known[path.name] = facts.st_size, facts.st_mtime_ns, digest
        found.append(Content(path.name, facts.st_size, digest))
    with write_atomically(folder / _HASHES) as part:
        part.write_text(json.dumps(known), encoding="utf-8")
    return found


def _known(folder: Path) -> dict[str, tuple[int, int, str]]:
    try:
        read = json.loads((folder / _HASHES).read_text(encoding="utf-8"))
        return {
            name: (int(size), int(changed), str(digest)) for name, (size, changed, digest) in read.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def listed(mark: str) -> list[tuple[str, int, str]] | None:
    """The files beside a mark, which comes last; None where it is not there."""
    place = place_of(mark)
    if not place.exists():
        return None
    files = [(one.name, one.size, one.sha256) for one in hashed(place.parent)]
    return sorted(files, key=lambda file: file[0] == place.name)


def chunk(mark: str, name: str, offset: int) -> bytes:
    """Bytes of a file beside a mark; none behind its end."""
    if not _NAME.fullmatch(name):
        message = f"{name!r} is not in the cache"
        raise ValueError(message)
    with place_of(mark).with_name(name).open("rb") as file:
        file.seek(offset)
        return file.read(CHUNK)


def take(mark: str, file: tuple[str, int, str], offset: int, data: bytes) -> int:
    """Bytes of a file that another machine gives; answers how many are there, of which it should go on.

    Raises:
        DamagedError: all are there, and not what was announced.
    """
    incoming = Incoming(mark, Content(*file))
    if offset == incoming.have():
        incoming.add(data)
    if incoming.have() >= incoming.content.size:
        incoming.settle()
    return incoming.have()


class Incoming:
    """A file that arrives; what came before a cut is kept under the hash of the whole."""

    def __init__(self, mark: str, content: Content) -> None:
        if not re.fullmatch("[0-9a-f]{64}", content.sha256) or not _NAME.fullmatch(content.name):
            message = f"{content.name!r} is not in the cache"
            raise ValueError(message)
        self.content = content
        self.target = place_of(mark).with_name(content.name)
        self._part = cache_folder() / "incoming" / content.sha256

    def have(self) -> int:
        """Bytes that are there."""
        for path in (self.target, self._part):
            if path.exists() and (path == self._part or path.stat().st_size == self.content.size):
                return path.stat().st_size
        return 0

    def add(self, data: bytes) -> None:
        """Further bytes.

        Raises:
            UsageError: the disk is full.
        """
        try:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            with self._part.open("ab") as file:
                file.write(data)
        except OSError as error:
            message = f"{self._part} cannot be written: {error.strerror or error}; free space."
            raise UsageError(message) from error

    def settle(self) -> None:
        """Bring the file to its place, if it is what was announced; throw it away otherwise.

        Raises:
            DamagedError: it is not.
        """
        if not self._part.exists():
            if self.content.size or self.target.exists():
                return
            self.add(b"")
        if file_sha256(self._part) != self.content.sha256:
            self._part.unlink()
            message = f"{self.target.name} arrives damaged"
            raise DamagedError(message)
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._part, self.target)  # noqa: PTH105
        except OSError as error:
            message = f"{self.target} cannot be written: {error.strerror or error}; free space."
            raise UsageError(message) from error


def fetch(mark: str, holders: Iterable[Ask]) -> bool:
    """Bring what a mark stands for to this machine, where it is missing, from the first holder that can give it.

    Returns:
        whether it is here now.

    Raises:
        UsageError: the disk is full.
    """
    place = place_of(mark)
    for ask in () if place.exists() else holders:
        try:
            _fetch(mark, ask)
        except (OSError, DamagedError, ValueError):
            continue  # gone, out of reach, or damaged there: the next may have it
        if place.exists():
            break
    return place.exists()


def _fetch(mark: str, ask: Ask) -> None:
    with one_at_a_time(place_of(mark).parent, lambda text: None):
        for file in ask(listed, mark) or ():
            _again(partial(_fetch_file, mark, Incoming(mark, Content(*file)), ask))


def _again(move: Callable[[], None]) -> None:
    """Move a file once more where it arrives damaged; not for ever."""
    for left in reversed(range(_TRIES)):
        try:
            move()
            return
        except DamagedError:
            if not left:
                raise


def _fetch_file(mark: str, incoming: Incoming, ask: Ask) -> None:
    while incoming.have() < incoming.content.size:
        data = ask(chunk, mark, incoming.content.name, incoming.have())
        if not data:
            break  # shorter there than it was: settling tells
        incoming.add(data)
    incoming.settle()


def give(mark: str, ask: Ask) -> bool:
    """Bring what a mark stands for here to another machine.

    Returns:
        whether it was here to give.

    Raises:
        DamagedError: it arrives otherwise, each time.
    """
    for file in listed(mark) or ():
        _again(partial(_give_file, mark, file, ask))
    return place_of(mark).exists()


def _give_file(mark: str, file: tuple[str, int, str], ask: Ask) -> None:
    have, data = ask(take, mark, file, 0, b""), b""
    while have < file[1]:
        data = chunk(mark, file[0], have)
        if not data:
            break
        have = ask(take, mark, file, have, data)
