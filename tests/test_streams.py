"""Output that fails ends in silence or one sentence, never in a traceback or in loss."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlbench.cli import cli
from mlbench.runs.pipeline import Finished
from tests.reports.example_records import example

_COMMAND = [sys.executable, "-c", "from mlbench.cli import main; main()", "list"]


def test_a_closed_pipe_is_silent():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(_COMMAND, stdout=writing, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_target_is_one_sentence():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(_COMMAND, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: the output cannot be written: No space left")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "variables",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_an_encoding_without_our_characters_loses_only_those(variables):
    done = subprocess.run(_COMMAND, env=os.environ | variables, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"svd" in done.stdout
    assert done.stdout.isascii()


def test_a_runs_page_is_written_before_anything_is_printed(tmp_path, monkeypatch):
    page = tmp_path / "report.html"
    printed = []

    def show(records, as_json):
        printed.append(page.exists())

    monkeypatch.setattr("mlbench.runs.pipeline.run", lambda plan, progress: [Finished(example(), tmp_path)])
    monkeypatch.setattr(sys.modules["mlbench.cli.run"], "show", show)
    result = CliRunner().invoke(cli, ["run", "--variant", "basic", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.exception
    assert printed == [True]
