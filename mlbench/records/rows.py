"""The figures of a record as rows of plain values: for data frames, CSV and trackers of experiments."""

from __future__ import annotations

from typing import Any

from mlbench.records.schema import Measurement, Record, Scores

Row = dict[str, Any]


def rows_of(record: Record) -> list[Row]:
    """A row per file, device and test set, in base units.

    `bytes`, `p50_ms` and the like; each metric with `NAME_low` and `NAME_high` of its 95 % interval, in the
    record's unit. What was not measured is None.
    """
    scores: dict[tuple[str, str], list[Scores]] = {}
    for score in record.scores:
        scores.setdefault((score.artifact, score.device), []).append(score)
    return [
        row | _metrics_of(score)
        for measurement in record.measurements
        for row in [_figures_of(record, measurement)]
        for score in scores.get((measurement.artifact, measurement.device), [None])
    ]


def _figures_of(record: Record, measurement: Measurement) -> Row:
    artifact = next(one for one in record.artifacts if one.id == measurement.artifact)
    timing, memory = measurement.network, measurement.memory
    return {
        "artifact": artifact.id,
        "chain": artifact.chain,
        "device": measurement.device,
        "bytes": artifact.file_bytes,
        "deflated_bytes": artifact.deflated_bytes,
        "parameters": artifact.parameters,
        "macs": artifact.macs,
        "p50_ms": timing.p50_ms if timing else None,
        "p90_ms": timing.p90_ms if timing else None,
        "fps": timing.fps if timing else None,
        "memory_bytes": memory.peak_above_baseline_bytes if memory else None,
        "failure": measurement.failure.reason if measurement.failure else None,
    }


def _metrics_of(score: Scores | None) -> Row:
    if score is None:
        return {}
    found: Row = {"test_set": score.test_set, "samples": score.samples}
    for name, interval in score.metrics.items():
        found |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return found
