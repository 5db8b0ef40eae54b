"""Files appear whole or not at all."""

import errno
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from mlbench.errors import UsageError
from mlbench.system.files import deflated_size, key_of, require_writable, write_atomically


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ValueError, match="stop"), write_atomically(path) as part:
        part.write_text("half")
        raise ValueError("stop")  # noqa: EM101
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_cannot_be_written_is_one_sentence():
    with pytest.raises(UsageError, match="cannot be written"), write_atomically(Path("/proc/none/a")) as part:
        part.write_text("x")


_SLOW_WRITER = """
import sys, time
from pathlib import Path
from mlbench.system.files import write_atomically

with write_atomically(Path(sys.argv[1])) as part:
    part.write_text("from the process")
    print("writing", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def _another_process_writing(path):
    command = [sys.executable, "-c", _SLOW_WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        yield process


def test_what_a_killed_process_left_is_removed(tmp_path):
    path = tmp_path / "a.txt"
    with _another_process_writing(path) as process:
        process.kill()
    assert len(list(tmp_path.iterdir())) == 1
    with write_atomically(path) as part:
        part.write_text("whole")
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


def test_another_process_keeps_its_part_whatever_its_number(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    monkeypatch.setattr(psutil, "pid_exists", lambda pid: False)  # as for a process in another container
    with _another_process_writing(path) as process:
        with write_atomically(path) as part:
            part.write_text("from here")
        assert path.read_text() == "from here"
        process.communicate("go on\n")
    assert process.returncode == 0
    assert path.read_text() == "from the process"
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


def test_threads_that_write_at_once_do_not_share_a_part(tmp_path):
    path, both = tmp_path / "a.txt", threading.Barrier(2)

    def write(text):
        with write_atomically(path) as part:
            part.write_text(text)
            both.wait(10)
            assert part.read_text() == text
            both.wait(10)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, ["first" * 100, "second"]))
    assert path.read_text() in ("first" * 100, "second")
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


def test_many_writers_and_cleaners_lose_nothing(tmp_path):
    path = tmp_path / "a.txt"

    def write(number):
        with write_atomically(path) as part:
            part.write_text(str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(200)))
    assert int(path.read_text()) in range(200)
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_system_that_is_read_only_is_one_sentence(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for method in ("open", "unlink", "write_text"):
        monkeypatch.setattr(Path, method, refuse)
    told = "a.txt cannot be written: Read-only file system; free space or choose another place"
    with pytest.raises(UsageError, match=told), write_atomically(tmp_path / "a.txt") as part:
        part.write_text("x")
    with pytest.raises(UsageError, match=told):
        require_writable(tmp_path / "a.txt")


@pytest.mark.parametrize("place", ["file/a.txt", "folder", "/proc/none/a.txt"])
def test_a_place_that_cannot_be_written_is_told_beforehand(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=r"cannot be written: .*choose another place"):
        require_writable(tmp_path / place)


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path):
    (tmp_path / "old").write_text("old")
    require_writable(tmp_path / "new" / "deep" / "a.txt")
    require_writable(tmp_path / "old")
    assert [found.name for found in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_text() == "old"


def test_deflated_size_is_what_zlib_makes_of_it(tmp_path):
    path = tmp_path / "zeros"
    path.write_bytes(b"\0" * 1_000_000)
    assert deflated_size(path) < 2000


def test_keys_follow_from_values_alone():
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert key_of("a") != key_of("b")
