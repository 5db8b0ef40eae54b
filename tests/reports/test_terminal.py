"""The tables on the terminal: whole figures whatever its width."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from mlbench.records import Groups, Record
from mlbench.reports.terminal import TerminalReport, show
from tests.reports.example_records import CHAINS, example, of_classes


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
        assert (
            f"{next(s for s in record.scores if s.artifact == artifact.id).metrics['mae'].value:.3f}"
            in figures
        )


def test_few_candidates_are_one_table() -> None:
    out = StringIO()
    show(example(), Console(file=out, width=80))
    assert out.getvalue().count("paper, HTC 10") == 1


def test_a_records_texts_are_no_markup() -> None:
    record, out = example(), StringIO()
    odd = [artifact.model_copy(update={"precision": "[/x]"}) for artifact in record.artifacts]
    show(record.model_copy(update={"artifacts": tuple(odd)}), Console(file=out, width=120))
    assert "[/x]" in out.getvalue()


def test_the_table_says_which_groups_the_intervals_resample() -> None:
    record = example()
    assert "test, 12 samples of 9 persons" in _shown(record)
    assert "test, 12 samples, groups unknown" in _shown(record.model_copy(update={"groups": {}}))
    each = Groups(of_sample=tuple(range(12)), unit="person")
    assert (
        "persons" not in _shown(record.model_copy(update={"groups": {"test": each}})).split("test, ")[1][:40]
    )


def test_budgets_tell_their_limit_and_what_was_found() -> None:
    lines = [line for line in _shown(of_classes()).splitlines() if line.startswith("│")]
    told = {cells[0].partition(":")[0]: cells for cells in (line.strip("│ ").split(" │ ") for line in lines)}
    found = [[cell.strip() for cell in told[name]] for name in ("top1=70%", "top1=-5pp", "size=-10%")]
    assert found == [
        ["top1=70%: at least 70.00 %", "fits, 83.33 %", "fits, 83.33 %", "does not fit, 50.00 %"],
        [
            "top1=-5pp: at least -5.00 pp against the baseline",
            "fits, +0.00 pp",
            "fits, +0.00 pp",
            "does not fit, -33.33 pp",
        ],
        ["size=-10%: -10.0 % against the baseline", "does not fit, +0.0 %", "fits, -40.0 %", "fits, -85.0 %"],
    ]


def test_a_table_without_rows_is_left_out() -> None:
    record = example()
    assert "Budgets" in _shown(record)
    assert "Budgets" not in _shown(record.model_copy(update={"budgets": ()}))


def test_rows_without_any_value_are_left_out() -> None:
    record = example()
    base = record.artifacts[0]
    unknown = [one.model_copy(update={"parameters": None}) for one in record.artifacts]
    assert "│ parameters" in _shown(record.model_copy(update={"artifacts": (base, *unknown[1:])}))
    shown = _shown(record.model_copy(update={"artifacts": tuple(unknown)}))
    assert "│ parameters" not in shown and "│ MACs" in shown
    bare = [row.model_copy(update={"memory": None, "load_ms": None}) for row in record.measurements]
    shown = _shown(record.model_copy(update={"measurements": tuple(bare)}))
    assert "│ peak memory" not in shown and "│ load" not in shown and "│ p50" in shown


@pytest.mark.parametrize(
    ("columns", "width"), [("200", 200), ("90", 90), (None, 120), ("0", 120), ("x", 120)]
)
def test_without_a_terminal_tables_are_as_wide_as_columns_says(
    columns: str | None, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    record = example().model_copy(update={"warnings": ("word " * 100,)})
    TerminalReport().write([record], None)
    assert width - 5 < max(map(len, capsys.readouterr().out.splitlines())) <= width


def _shown(record: Record) -> str:
    out = StringIO()
    show(record, Console(file=out, width=200))
    return out.getvalue()
