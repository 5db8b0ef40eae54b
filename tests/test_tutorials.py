"""The tutorials, each from its first command to its last, in one folder: what they write, the next ones use.

Commands run on small options, as those of other pages do (`tests.test_documented_commands`); what needs a phone does
not run. A command whose comment says `exit code 1` must end with it.
Limits on latency are lifted: no test asserts a time.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlbench.export import written
from tests.test_documented_commands import ROOT, TRAINED, Command, mlbench, of_page, small

FOLDER = ROOT / "docs" / "tutorials"
ORDER = ("classifier", "one-megabyte", "gate", "phone")


def _steps(page: Path) -> list[str | tuple[Command, int]]:
    """Scripts of a page and its commands, each with the exit code that it shall have, as they follow each other."""
    text = page.read_text()
    found: list[tuple[int, str | tuple[Command, int]]] = [
        (text.count("\n", 0, block.start()) + 1, block[1])
        for block in re.finditer(r"^```python\n(.*?)^```", text, re.M | re.S)
    ]
    for command in of_page(page):
        number = int(command.where.rpartition(":")[2])
        line = text.splitlines()[number - 1]
        if "`" not in line and command.not_run in (None, TRAINED):
            said = re.search(r"# .*exit code (\d)", line)
            found.append((number, (command, int(said[1]) if said else 0)))
    return [step for _, step in sorted(found, key=lambda pair: pair[0])]


def test_all_tutorials_are_known():
    assert {page.stem for page in FOLDER.glob("*.md")} == {*ORDER, "index"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The folder of a reader, with a cache beside it."""
    folder = tmp_path_factory.mktemp("tutorials")
    (folder / "here").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(folder / "cache"))
        patch.setattr(written, "_SMALL", 2**30)  # converted here: a process per file takes seconds
        yield folder / "here"


@pytest.mark.slow
@pytest.mark.parametrize("name", ORDER)
def test_a_tutorial_runs_from_its_first_line_to_its_last(name, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    steps = _steps(FOLDER / f"{name}.md")
    assert steps or name == "phone"
    for step in steps:
        if isinstance(step, str):
            _run_script(step)
        else:
            command, code = step
            words = [re.sub(r"p50 > \d+%", "p50 > 100000%", word) for word in small(command, "none")]
            assert mlbench(words, monkeypatch) == code, f"{command.where}: {capsys.readouterr().err}"


def _run_script(text: str) -> None:
    """A script as it stands, but for the epochs of its training and what it measures."""
    text = re.sub(r"epochs=\d+", "epochs=1", text)
    text = text.replace("compress=[", "min_count=20, min_seconds=0.05, tune_epochs=1, compress=[")
    exec(compile(text, "tutorial", "exec"), {})  # noqa: S102 - it is ours
