"""The tables on the terminal: whole figures whatever its width."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from mlbench.records import Persons, Record
from mlbench.reports.terminal import show
from tests.reports.example_records import CHAINS, example


@pytest.mark.parametrize("width", [80, 120, 200])
def test_figures_are_whole_however_many_candidates(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for share in (0.5, 0.4, 0.3):
        monkeypatch.setitem(CHAINS, f"svd(rank={100 * share:.0f})+float16", share)
    record, out = example("one_pool"), StringIO()
    show(record, Console(file=out, width=width))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    figures = " ".join(line for line in lines if line.startswith("│")).split()
    for artifact in record.artifacts:
        assert {f"{artifact.file_bytes:,}", f"{artifact.parameters:,}"} <= set(figures)
        assert f"{next(e for e in record.errors if e.artifact == artifact.id).mae_px.value:.3f}" in figures


def test_few_candidates_are_one_table() -> None:
    out = StringIO()
    show(example(), Console(file=out, width=80))
    assert out.getvalue().count("paper, HTC 10") == 1


def test_a_records_texts_are_no_markup() -> None:
    record, out = example(), StringIO()
    odd = [artifact.model_copy(update={"precision": "[/x]"}) for artifact in record.artifacts]
    show(record.model_copy(update={"artifacts": tuple(odd)}), Console(file=out, width=120))
    assert "[/x]" in out.getvalue()


def test_the_table_says_whose_faces_the_intervals_resample() -> None:
    record = example()
    assert "test, 12 faces of 9 persons" in _shown(record)
    assert "test, 12 faces, persons unknown" in _shown(record.model_copy(update={"persons": {}}))
    each = Persons(of_face=tuple(range(12)))
    assert (
        "persons" not in _shown(record.model_copy(update={"persons": {"test": each}})).split("test, ")[1][:40]
    )


def _shown(record: Record) -> str:
    out = StringIO()
    show(record, Console(file=out, width=200))
    return out.getvalue()
