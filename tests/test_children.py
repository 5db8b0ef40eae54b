"""Child processes find what this one finds, and nothing that lies about in the current folder."""

import subprocess
import sys

import pytest

from mlbench.system import children


def _told(code):
    command = children.command("-c", code)
    done = subprocess.run(command, env=children.environment(), capture_output=True, text=True)
    return done.stdout.strip() or done.stderr


def test_a_child_finds_modules_on_the_path_of_its_parent(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert _told("import only_here; print(only_here.__file__)") == str(tmp_path / "only_here.py")


@pytest.mark.parametrize("entry", ["", "the folder"])
def test_the_current_folder_comes_last(tmp_path, monkeypatch, entry):
    (tmp_path / "numpy.py").write_text("raise ImportError('the wrong one')")
    (tmp_path / "json.py").write_text("raise ImportError('the wrong one')")
    (tmp_path / "only_here.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path) if entry else "", *sys.path])
    assert _told("import json, numpy, only_here; print('found')") == "found"
