"""Candidates against their baseline: paired differences of errors, ratios of latencies, each with a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import numpy as np

from mlbench.evaluation import statistics
from mlbench.records import Difference, Errors, Interval, Measurement, Persons

_Row = TypeVar("_Row", Errors, Measurement)


def differences_of(
    baseline: str,
    measurements: Iterable[Measurement],
    errors: Iterable[Errors],
    persons: Mapping[str, Persons],
    seed: int,
) -> list[Difference]:
    """Every candidate of a run against its baseline, on the same device and test set.

    Args:
        baseline: id of the artifact that all others are compared with.
        measurements: what the devices found.
        errors: of all artifacts.
        persons: whose faces a test set holds, by its name.
        seed: of the bootstrap of errors.
    """
    rows = []
    for error in errors:
        base = _find(errors, artifact=baseline, device=error.device, test_set=error.test_set)
        if error.artifact != baseline and base is not None:
            change = statistics.paired_difference(
                np.array(error.by_face_mae_px),
                np.array(base.by_face_mae_px),
                seed,
                groups_of(persons.get(error.test_set)),
            )
            rows.append(_difference(error.artifact, baseline, error.device, "mae_px", error.test_set, change))
    for measured in measurements:
        reference = _find(measurements, artifact=baseline, device=measured.device)
        if measured.artifact != baseline and measured.network and reference and reference.network:
            ratio = statistics.latency_ratio(measured.network, reference.network)
            if ratio is not None:
                rows.append(_difference(measured.artifact, baseline, measured.device, "p50_ratio", "", ratio))
    return rows


def groups_of(persons: Persons | None) -> statistics.Groups | None:
    """What the bootstrap resamples: number of each face's person [n]; None where that is not known."""
    return None if persons is None else np.array(persons.of_face)


def _difference(
    artifact: str, baseline: str, device: str, quantity: str, test_set: str, change: Interval
) -> Difference:
    neutral, same = (1.0, statistics.SAME_RATIO) if quantity == "p50_ratio" else (0.0, statistics.SAME_PX)
    return Difference(
        artifact=artifact,
        baseline=baseline,
        device=device,
        quantity=quantity,
        test_set=test_set,
        change=change,
        confidence=statistics.LATENCY_CONFIDENCE if quantity == "p50_ratio" else 0.95,
        verdict=statistics.verdict(change, neutral, same),
    )


def _find(rows: Iterable[_Row], **wanted: str) -> _Row | None:
    return next(
        (row for row in rows if all(getattr(row, key) == value for key, value in wanted.items())), None
    )
