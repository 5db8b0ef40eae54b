"""Folders on their way between machines: whole or not at all, checked, and on from where they were cut."""

import os
from pathlib import Path

import pytest

from mlbench.search.engine import transport
from mlbench.search.engine.transport import DamagedError, chunk, fetch, give, hashed, listed, place_of

_MARK = "stages/svd-1/stage.json"
_WEIGHTS = bytes(range(256)) * 40


class Machine:
    """A cache of its own, which is this machine's while it is asked."""

    def __init__(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch = cache / "stages" / "svd-1", monkeypatch
        self._cache, self.asked = cache, []

    def ask(self, function, *arguments):
        before = os.environ["MLBENCH_CACHE"]
        self._patch.setenv("MLBENCH_CACHE", str(self._cache))
        try:
            self.asked.append((function.__name__, arguments[-1]))
            return function(*arguments)
        finally:
            self._patch.setenv("MLBENCH_CACHE", before)


@pytest.fixture
def here(cache, monkeypatch):
    monkeypatch.setattr(transport, "CHUNK", 1000)
    return cache


@pytest.fixture
def other(here, tmp_path, monkeypatch):
    machine = Machine(tmp_path / "other", monkeypatch)
    machine.folder.mkdir(parents=True)
    for name, content in {"weights.npz": _WEIGHTS, "stage.json": b"{}", "empty": b"", "lock": b""}.items():
        (machine.folder / name).write_bytes(content)
    hashed(machine.folder)
    return machine


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in transport._OWN}


def test_a_folder_arrives_whole_and_is_not_fetched_again(here, other):
    assert fetch(_MARK, [other.ask])
    assert files(place_of(_MARK).parent) == files(other.folder)
    asked = len(other.asked)
    assert fetch(_MARK, [other.ask])
    assert len(other.asked) == asked


def test_the_mark_arrives_last(here, other):
    assert other.ask(listed, _MARK)[-1][0] == "stage.json"


def cut(machine, count):
    """A way to ask that breaks after so many chunks."""

    def ask(function, *arguments):
        if function is chunk and sum(name == "chunk" for name, _ in machine.asked) == count:
            message = "the network is gone"
            raise OSError(message)
        return machine.ask(function, *arguments)

    return ask


def test_a_transfer_that_was_cut_goes_on_where_it_was(here, other):
    assert not fetch(_MARK, [cut(other, 4)])
    assert not place_of(_MARK).exists()
    other.asked.clear()
    assert fetch(_MARK, [other.ask])
    assert next(offset for name, offset in other.asked if name == "chunk") == 4000
    assert files(place_of(_MARK).parent) == files(other.folder)


def test_another_holder_gives_what_the_first_cannot(here, other):
    assert fetch(_MARK, [cut(other, 0), other.ask])


def damaged(machine, times):
    """A way to ask that changes a byte of so many chunks."""
    left = [times]

    def ask(function, *arguments):
        answer = machine.ask(function, *arguments)
        if function is chunk and left[0]:
            left[0] -= 1
            return bytes([answer[0] ^ 1]) + answer[1:]
        return answer

    return ask


def test_a_damaged_file_is_thrown_away_and_fetched_again(here, other):
    assert fetch(_MARK, [damaged(other, 1)])
    assert files(place_of(_MARK).parent) == files(other.folder)


def test_what_is_damaged_each_time_does_not_arrive_at_all(here, other):
    assert not fetch(_MARK, [damaged(other, 1000)])
    assert not place_of(_MARK).exists()
    assert not list((here / "incoming").iterdir())


def test_damage_on_the_holders_disk_is_noticed(here, other):
    weights = other.folder / "weights.npz"
    before = weights.stat()
    weights.write_bytes(b"\1" + _WEIGHTS[1:])
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not fetch(_MARK, [other.ask])


def test_what_is_given_arrives_whole_too(here, other, tmp_path, monkeypatch):
    assert fetch(_MARK, [other.ask])
    third = Machine(tmp_path / "third", monkeypatch)
    (tmp_path / "third").mkdir()
    assert give(_MARK, third.ask)
    assert files(third.folder) == files(other.folder)
    assert not give("stages/absent/stage.json", third.ask)


def test_what_arrives_damaged_each_time_is_not_given(here, other, tmp_path, monkeypatch):
    assert fetch(_MARK, [other.ask])
    third = Machine(tmp_path / "third", monkeypatch)

    def ask(function, *arguments):
        changed = arguments[-1].replace(b"\2", b"\3")
        return third.ask(function, *arguments[:-1], changed)

    with pytest.raises(DamagedError):
        give(_MARK, ask)
    assert not (third.folder / "weights.npz").exists()
    assert not (third.folder / "stage.json").exists()


@pytest.mark.parametrize(
    "mark",
    [
        "../secret/stage.json",
        "stages/../secret",
        "stages/../../secret",
        "/etc/passwd",
        "other/folder/file",
        "stages/a/b/c",
        "stages/a/.hidden",
        "stages/a/\0",
        "",
    ],
)
def test_nothing_outside_the_cache_is_read_or_written(mark, here):
    for ask in (
        lambda: listed(mark),
        lambda: chunk(mark, "x", 0),
        lambda: transport.take(mark, ("x", 1, "0" * 64), 0, b""),
    ):
        with pytest.raises(ValueError, match="not in the cache"):
            ask()


@pytest.mark.parametrize("name", ["../stage.json", ".hidden", "a/b", ""])
def test_nothing_beside_a_folder_is_read_or_written(name, here, other):
    with pytest.raises(ValueError, match="not in the cache"):
        other.ask(chunk, _MARK, name, 0)
    with pytest.raises(ValueError, match="not in the cache"):
        transport.take(_MARK, (name, 1, "0" * 64), 0, b"")
