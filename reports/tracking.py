"""Records as runs of MLflow: one per file and device, where `$MLFLOW_TRACKING_URI` says."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mlbench.contracts import Report
from mlbench.errors import UsageError
from mlbench.records import Record
from mlbench.records.rows import Row, rows_of
from mlbench.system.installing import install_extra

#: The experiment, where `$MLFLOW_EXPERIMENT_NAME` names none.
_EXPERIMENT = "mlbench"


class MlflowReport(Report):
    """Parameters, metrics in base units and tags of each measured file, as MLflow's client logs them."""

    name: ClassVar[str] = "mlflow"
    summary: ClassVar[str] = "runs of MLflow, by --to mlflow; $MLFLOW_TRACKING_URI says where"

    def write(self, records: Sequence[Record], target: Path | None) -> Path | None:
        """Log the records.

        Raises:
            UsageError: a file is asked for, MLflow is not installed, or its server refuses.
        """
        if target is not None:
            message = (
                f"MLflow keeps its own files, {target} cannot be one: give --to mlflow in place of --out."
            )
            raise UsageError(message)
        mlflow = _client()
        try:
            if "MLFLOW_EXPERIMENT_NAME" not in os.environ:
                mlflow.set_experiment(_EXPERIMENT)
            for record in records:
                for (artifact, device), rows in _by_file(record).items():
                    with mlflow.start_run(run_name=artifact):
                        _log(mlflow, record, artifact, device, rows)
        except mlflow.exceptions.MlflowException as error:
            message = f"MLflow refused: {error}; see $MLFLOW_TRACKING_URI."
            raise UsageError(message) from error
        return None


def _client() -> Any:
    try:
        import mlflow
    except ImportError as error:
        message = f"--to mlflow needs MLflow's client: {install_extra('mlflow')}."
        raise UsageError(message) from error
    return mlflow


def _by_file(record: Record) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows_of(record):
        found.setdefault((row["artifact"], row["device"]), []).append(row)
    return found


def _log(mlflow: Any, record: Record, artifact: str, device: str, rows: list[Row]) -> None:
    file = next(one for one in record.artifacts if one.id == artifact)
    mlflow.log_params(
        {"variant": file.variant, "chain": file.chain, "precision": file.precision, "device": device}
    )
    mlflow.set_tags(
        {
            "mlbench.version": record.mlbench_version,
            "mlbench.created": record.created,
            "mlbench.sha256": file.sha256,
            "mlbench.failure": rows[0]["failure"] or "",
        }
    )
    figures: dict[str, float] = {}
    for row in rows:
        test = f"{_key(row['test_set'])}/" if row.get("test_set") else ""
        names = list(row)
        of_test = set(names[names.index("test_set") :]) if test else set()
        for name, value in row.items():
            if isinstance(value, (int, float)):
                figures[f"{test if name in of_test else ''}{_key(name)}"] = float(value)
    mlflow.log_metrics(figures)


def _key(text: str) -> str:
    """A name as MLflow takes it."""
    return re.sub(r"[^\w\-. ]", "_", text, flags=re.ASCII)
