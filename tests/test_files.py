"""Files appear whole or not at all."""

import os
from pathlib import Path

import pytest

from mlbench.errors import UsageError
from mlbench.system.files import deflated_size, key_of, write_atomically


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


def test_what_a_killed_process_left_is_removed(tmp_path):
    path = tmp_path / "a.txt"
    dead, alive = tmp_path / ".a.txt.99999999.part", tmp_path / f".a.txt.{os.getppid()}.part"
    for left in (dead, alive):
        left.write_text("half")
    with write_atomically(path) as part:
        part.write_text("whole")
    assert path.read_text() == "whole"
    assert not dead.exists()
    assert alive.exists()


def test_deflated_size_is_what_zlib_makes_of_it(tmp_path):
    path = tmp_path / "zeros"
    path.write_bytes(b"\0" * 1_000_000)
    assert deflated_size(path) < 2000


def test_keys_follow_from_values_alone():
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert key_of("a") != key_of("b")
