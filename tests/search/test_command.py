"""`mlbench search` as a command: what it writes, prints, refuses, and goes on with."""

from __future__ import annotations

import json
import shlex

import pytest

from mlbench.records import SearchRecord

pytestmark = pytest.mark.slow

FILE = """
networks = ["tiny"]
seed = 7
[training]
epochs = 1
[measuring]
min_count = 20
min_seconds = 0.05
pipeline = false
[search]
chain = "{first}+{q}"
first = ["none", "svd({r})"]
r = [4, 8]
q = ["none", "dynamic", "float16"]
trials = 4
"""


@pytest.fixture
def searching(plugin, cache, command_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment.toml").write_text(FILE)

    def run(*arguments):
        return command_line("search", "--config", "experiment.toml", *arguments)

    return run


def _only(tmp_path, name):
    [found] = (tmp_path / "runs").glob(f"search-*/{name}")
    return found


def test_from_a_file_to_a_front_and_on(searching, command_line, faces_file, tmp_path):
    code, out, err = searching("--data", faces_file)
    assert code == 0, err
    assert err.count("to train on") == 1  # samples are read once, for the search and the run at its end
    record = SearchRecord.model_validate_json(_only(tmp_path, "search.json").read_text())
    assert len(record.trials) == 4 and record.front and record.records
    assert "mlbench run --variant tiny --compress" in out
    assert all(
        point.tested and (tmp_path / "runs" / _only(tmp_path, "").name / point.file).exists()
        for point in record.front
    )
    page = _only(tmp_path, "search.html").read_text()
    assert all(trial.chain in page for trial in record.trials)
    assert _only(tmp_path, "report.html").exists()

    code, out, err = searching("--data", faces_file, "--json", "--trials", "5")
    assert code == 0, err
    again = SearchRecord.model_validate(json.loads(out))
    assert [trial.chain for trial in again.trials[:4]] == [trial.chain for trial in record.trials]
    assert len(again.trials) == 5

    smallest = again.trials_by_number[again.front[0].trial]
    code, out, _ = command_line("search", "--best", f"size={smallest.file_bytes}", "--json")
    assert code == 0 and json.loads(out)["chain"] == smallest.chain
    code, out, _ = command_line("search", "--best", "size=1GB")
    assert code == 0 and "Command that makes it again: mlbench run" in out
    code, _, err = command_line("search", "--best", "size=1KB")
    assert code == 2 and "No candidate" in err

    code, _, err = command_line(*shlex.split(again.front[0].command)[1:])
    assert code == 0, err


def test_without_a_space_every_technique_is_looked_at(
    plugin, cache, command_line, faces_file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    options = ("--epochs", 1, "--tune-epochs", 1, "--min-count", 20, "--min-seconds", 0.05, "--no-pipeline")
    code, _, err = command_line("search", "--variant", "tiny", "--data", faces_file, "--trials", 2, *options)
    assert code == 0, err
    record = SearchRecord.model_validate_json(_only(tmp_path, "search.json").read_text())
    first, second = (trial.chain for trial in record.trials)
    assert first.startswith("slim(share=0.7,layers=dense)+tucker(") and "dynamic4" in first
    assert second != first


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--set", "search.r=[]"), "--set search.r: "),
        (("--set", "search.rr=[1]"), "rr: no chain or network uses {rr}"),
        (("--set", 'search.q=["int9"]'), 'There is no compressor "int9"'),
        (("--set", "search.trials=0"), "search.trials = 0"),
        (("--chain", "svd({x})"), "holds {x}, which has no values"),
        (
            ("--start", "slim"),
            "--start slim(share=0.5) is not in the space" if False else "is not in the space",
        ),
        (("--study", "nonsense"), "--study is not the URL of a database"),
        (("--budget", "size=1KB"), "candidates keeps size=1KB"),
        (("--variant", "tiny(filters={f})"), "give them by the key search.f"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(searching, faces_file, arguments, told):
    code, _, err = searching("--data", faces_file, *arguments)
    assert code == 2
    assert told in err.splitlines()[-1]


def test_run_passes_over_the_table_of_a_search(plugin, cache, command_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment.toml").write_text(FILE)
    code, out, err = command_line("run", "--config", "experiment.toml", "--save-config", "-")
    assert code == 0, err
    assert "[search]" not in out
