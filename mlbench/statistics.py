"""Intervals and verdicts: what a difference between two measurements is worth.

Means of faces: percentile bootstrap (Efron & Tibshirani 1993, chapter 13), paired where two networks saw the
same faces. Latencies come in interleaved bursts whose samples are not independent (frequency, neighbours on the
machine), so that the unit resampled is the burst, not the sample (the cluster bootstrap, Davison & Hinkley 1997,
section 3.8).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from mlbench.records import Interval, Timing

Floats = npt.NDArray[np.float64]
Verdict = Literal["better", "same", "worse", "cannot tell"]

RESAMPLES = 2000

#: A ratio of latencies within this of 1 is called the same, if its whole interval is.
SAME_RATIO = 0.03

#: A difference of errors within this many px is called the same, if its whole interval is.
SAME_PX = 0.02


def bootstrap_means(table: Floats, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Means of resampled rows: [n,k] -> [resamples,k]."""
    n = len(table)
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, table.shape[1]))
    for start in range(0, resamples, 250):  # bounds the memory of the counts
        stop = min(start + 250, resamples)
        means[start:stop] = rng.multinomial(n, np.full(n, 1 / n), size=stop - start) @ table / n
    return means


def interval(value: float, resampled: Floats) -> Interval:
    """A value with the 95 % percentile interval of its resampled values."""
    low, high = np.percentile(resampled, (2.5, 97.5))
    return Interval(value=value, low=float(low), high=float(high))


def paired_difference(candidate: Floats, baseline: Floats, seed: int) -> Interval:
    """Mean of candidate - baseline over the same faces [n], with its 95 % interval."""
    difference = (candidate - baseline)[:, None]
    return interval(float(difference.mean()), bootstrap_means(difference, seed)[:, 0])


def latency_ratio(candidate: Timing, baseline: Timing, seed: int) -> Interval:
    """Ratio of the medians candidate / baseline with its 95 % interval, bursts resampled in pairs."""
    ours, theirs = _burst_medians(candidate), _burst_medians(baseline)
    rounds = min(len(ours), len(theirs))
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, rounds, (RESAMPLES, rounds))
    resampled = np.median(ours[rows], axis=1) / np.median(theirs[rows], axis=1)
    return interval(candidate.p50_ms / baseline.p50_ms, resampled)


def _burst_medians(timing: Timing) -> Floats:
    edges = np.cumsum(timing.bursts)[:-1]
    return np.array([np.median(part) for part in np.split(np.asarray(timing.samples_ms), edges)])


def verdict(change: Interval, neutral: float, same: float) -> Verdict:
    """What an interval says where smaller is better.

    Args:
        change: a difference or a ratio.
        neutral: no change (0 for differences, 1 for ratios).
        same: how far from neutral still counts as the same.
    """
    if abs(change.low - neutral) <= same and abs(change.high - neutral) <= same:
        return "same"
    if change.high < neutral:
        return "better"
    if change.low > neutral:
        return "worse"
    return "cannot tell"
