"""Records as CSV, and as runs of MLflow."""

import csv
import sys
import types
from contextlib import contextmanager

import pytest

from mlbench.errors import UsageError
from mlbench.records import write_record
from mlbench.records.rows import rows_of
from mlbench.reports.spreadsheet import CsvReport
from mlbench.reports.tracking import MlflowReport
from tests.reports.example_records import example


def _read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_per_file_device_and_test_set_with_figures_in_full(tmp_path):
    records = [example("basic", 1), example("two_pool", 2)]
    CsvReport().write(records, tmp_path / "runs.csv")
    rows, expected = _read(tmp_path / "runs.csv"), [row for record in records for row in rows_of(record)]
    assert len(rows) == len(expected) > 2
    for written, row in zip(rows, expected, strict=True):
        assert written["run"] in {record.created for record in records}
        assert (written["artifact"], int(written["bytes"])) == (row["artifact"], row["bytes"])
        assert float(written["p50_ms"]) == row["p50_ms"]
        assert float(written["mae_low"]) == row["mae_low"]


def test_text_that_a_spreadsheet_would_run_is_text(tmp_path):
    record = example("basic")
    first, *others = record.artifacts
    chain = "=HYPERLINK(1)"
    record = record.model_copy(update={"artifacts": (first.model_copy(update={"chain": chain}), *others)})
    CsvReport().write([record], tmp_path / "runs.csv")
    assert _read(tmp_path / "runs.csv")[0]["chain"] == f"'{chain}"


def test_the_command_writes_csv_by_the_ending_and_prints_it_by_name(tmp_path, command_line):
    write_record(example("basic"), tmp_path / "record.json")
    code, told, _ = command_line("report", tmp_path / "record.json", "-o", tmp_path / "runs.csv")
    assert (code, "runs.csv" in told) == (0, True)
    code, printed, _ = command_line("report", tmp_path / "record.json", "--to", "csv")
    assert (code, printed) == (0, (tmp_path / "runs.csv").read_text(encoding="utf-8"))
    code, _, told = command_line("report", tmp_path / "record.json", "--to", "csv", "-o", tmp_path / "a.csv")
    assert (code, told) == (2, "Error: --to and --out cannot be combined: give one of them.\n")


class _Mlflow(types.ModuleType):
    """In place of MLflow's client: keeps what is logged, as a server would."""

    class exceptions:  # noqa: N801 (as MLflow calls it)
        class MlflowException(Exception):  # noqa: N818
            pass

    def __init__(self):
        super().__init__("mlflow")
        self.experiment, self.runs = None, []

    def set_experiment(self, name):
        self.experiment = name

    @contextmanager
    def start_run(self, run_name):
        self.runs.append({"name": run_name})
        yield

    def log_params(self, values):
        self.runs[-1]["params"] = values

    def log_metrics(self, values):
        assert all(type(value) is float for value in values.values())
        self.runs[-1]["metrics"] = values

    def set_tags(self, values):
        self.runs[-1]["tags"] = values


@pytest.fixture
def mlflow(monkeypatch):
    double = _Mlflow()
    monkeypatch.setitem(sys.modules, "mlflow", double)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    return double


def test_each_file_is_a_run_of_mlflow(mlflow):
    record = example("basic")
    assert MlflowReport().write([record], None) is None
    assert mlflow.experiment == "mlbench"
    assert [run["name"] for run in mlflow.runs] == [artifact.id for artifact in record.artifacts]
    run, artifact, row = mlflow.runs[0], record.artifacts[0], rows_of(record)[0]
    assert run["params"]["chain"] == artifact.chain
    assert run["tags"]["mlbench.sha256"] == artifact.sha256
    assert run["metrics"]["bytes"] == artifact.file_bytes
    assert run["metrics"]["p50_ms"] == row["p50_ms"]
    assert run["metrics"][f"{row['test_set']}/mae"] == row["mae"]


def test_an_experiment_of_the_user_stays(mlflow, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    MlflowReport().write([example("basic")], None)
    assert mlflow.experiment is None


def test_a_server_that_refuses_is_one_sentence(mlflow, monkeypatch):
    def refuse(name):
        why = "no such host"
        raise mlflow.exceptions.MlflowException(why)

    monkeypatch.setattr(mlflow, "set_experiment", refuse)
    with pytest.raises(UsageError, match="MLflow refused: no such host; see"):
        MlflowReport().write([example("basic")], None)


def test_without_mlflow_and_for_a_file_it_is_refused(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UsageError, match="pip install 'mlflow-skinny>=3'"):
        MlflowReport().write([example("basic")], None)
    with pytest.raises(UsageError, match="give --to mlflow"):
        MlflowReport().write([example("basic")], tmp_path / "runs.mlflow")


def test_mlflow_itself_takes_the_runs(monkeypatch, tmp_path):
    client = pytest.importorskip("mlflow", reason="MLflow is not installed: pip install -e '.[mlflow]'")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    client.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")
    record = example("basic")
    MlflowReport().write([record], None)
    found = client.search_runs(experiment_names=["mlbench"], output_format="list")
    assert {run.data.params["chain"] for run in found} == {artifact.chain for artifact in record.artifacts}
