"""Candidates against their baseline: paired differences of metrics, ratios of latencies, each with a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import numpy as np

from mlbench.evaluation import statistics
from mlbench.records import Difference, Groups, Interval, Measurement, MetricFacts, Scores

_Row = TypeVar("_Row", Scores, Measurement)


def differences_of(
    baseline: str,
    metric: MetricFacts | None,
    measurements: Iterable[Measurement],
    scores: Iterable[Scores],
    groups: Mapping[str, Groups],
    seed: int,
) -> list[Difference]:
    """Every candidate of a run against its baseline, on the same device and test set.

    Args:
        baseline: id of the artifact that all others are compared with.
        metric: the one whose values per sample the scores hold; None where nothing was tested.
        measurements: what the devices found.
        scores: of all artifacts.
        groups: of a test set's samples, by its name.
        seed: of the bootstrap.
    """
    rows = []
    for score in scores:
        base = _find(scores, artifact=baseline, device=score.device, test_set=score.test_set)
        if metric is not None and score.artifact != baseline and base is not None:
            change = statistics.paired_difference(
                np.array(score.per_sample, float),
                np.array(base.per_sample, float),
                seed,
                numbers_of(groups.get(score.test_set)),
            )
            rows.append(
                Difference(
                    artifact=score.artifact,
                    baseline=baseline,
                    device=score.device,
                    quantity=metric.name,
                    test_set=score.test_set,
                    change=change,
                    verdict=metric_verdict(metric, change),
                )
            )
    for measured in measurements:
        reference = _find(measurements, artifact=baseline, device=measured.device)
        if measured.artifact != baseline and measured.network and reference and reference.network:
            ratio = statistics.latency_ratio(measured.network, reference.network)
            if ratio is not None:
                rows.append(_latency_difference(measured, baseline, ratio))
    return rows


def metric_verdict(metric: MetricFacts, change: Interval) -> statistics.Verdict:
    """What a difference of a metric says."""
    if metric.better == "higher":
        change = Interval(value=-change.value, low=-change.high, high=-change.low)
    return statistics.verdict(change, 0.0, metric.same)


def numbers_of(groups: Groups | None) -> statistics.Groups | None:
    """What the bootstrap resamples: number of each sample's group [n]; None where that is not known."""
    return None if groups is None else np.array(groups.of_sample)


def _latency_difference(measured: Measurement, baseline: str, ratio: Interval) -> Difference:
    return Difference(
        artifact=measured.artifact,
        baseline=baseline,
        device=measured.device,
        quantity="p50_ratio",
        change=ratio,
        confidence=statistics.LATENCY_CONFIDENCE,
        verdict=statistics.verdict(ratio, 1.0, statistics.SAME_RATIO),
    )


def _find(rows: Iterable[_Row], **wanted: str) -> _Row | None:
    return next(
        (row for row in rows if all(getattr(row, key) == value for key, value in wanted.items())), None
    )
