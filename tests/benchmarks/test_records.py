"""Reading records, and the page of fifty runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlbench.records import read_record, write_record
from mlbench.records.collection import RecordFiles
from mlbench.reports.html import HtmlReport
from tests.benchmarks.conftest import once
from tests.reports.example_records import example


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty runs, as large as real ones."""
    folder, few = tmp_path_factory.mktemp("runs"), once(request.config)
    variants = ("basic", "two_pool", "one_pool")
    for number in range(3 if few else 50):
        record = example(variants[number % 3], number, bursts=10 if few else 200)
        write_record(record, folder / f"run-{number:02}" / "record.json")
    return folder


@pytest.mark.benchmark(group="records")
def test_reading_a_record(benchmark: Any, runs: Path) -> None:
    path = runs / "run-00" / "record.json"
    benchmark.extra_info.update(file_bytes=path.stat().st_size)
    assert benchmark(read_record, path).artifacts


@pytest.mark.benchmark(group="records")
def test_page_of_fifty_runs(benchmark: Any, runs: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    benchmark.pedantic(lambda: HtmlReport().write(RecordFiles([runs]), target), rounds=1)
    benchmark.extra_info.update(file_bytes=target.stat().st_size, runs=len(list(runs.iterdir())))
    assert target.stat().st_size <= 3_000_000
