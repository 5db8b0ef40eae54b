"""Intervals and verdicts: what a difference between two measurements is worth.

Errors are means over samples: percentile bootstrap (Efron & Tibshirani 1993, chapter 13), paired where two networks
saw the same samples. Those of one group resemble each other, so that whole groups are resampled with all their
samples (Davison & Hinkley 1997, section 3.8); the mean of a resample is its sum over its number of samples.

Latencies come in interleaved bursts. Samples of one burst are anything but independent (frequency, neighbours on
the machine, where the pages of the weights lie), so that a test on samples, Mann-Whitney's too, calls a difference
where there is none. The unit here is the round: one burst of each file, in an order drawn anew, gives one
difference of log medians. For equal files that difference is symmetric about 0 whatever the noise, since nothing
but the drawn order tells the two apart, and that is all Wilcoxon's signed-rank test asks for: its level is exact at
any number of rounds, where a bootstrap of 20 clusters covers too little. The estimate is that of Hodges & Lehmann
(1963), the interval the one that inverts the test (Hollander, Wolfe & Chicken 2014, sections 3.1 to 3.3).
Bursts that were not interleaved are compared as two samples (Mann & Whitney 1947; the same book, section 4.3).
How often this errs, and what it finds, is simulated in tests/test_statistics.py;
figures are in docs/explanation/measuring.md.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from mlbench.records import Interval, Timing

Floats = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]
Verdict = Literal["better", "same", "worse", "cannot tell"]

RESAMPLES = 2000

#: Of a latency's interval: its verdict may be wrong about equal files once in a hundred.
LATENCY_CONFIDENCE = 0.99

#: A ratio of latencies within this of 1 is called the same, if its whole interval is: what a rebuilt but equal
#: file can differ by, and well below the 5 % that must be found.
SAME_RATIO = 0.03

#: A difference of errors within this many px is called the same, if its whole interval is.
SAME_PX = 0.02


def bootstrap_means(
    table: Floats, seed: int, groups: Groups | None = None, resamples: int = RESAMPLES
) -> Floats:
    """Means of rows whose groups are resampled as wholes: [n,k] -> [resamples,k].

    Args:
        table: the rows; NaN where a row does not count in a column.
        seed: of the draws.
        groups: number of each row's group [n]; None: each row is a group of its own. A single group cannot be
            resampled: then rows are, and what comes out holds for this group alone.
        resamples: how many.
    """
    if groups is None or len(np.unique(groups)) < 2:
        groups = np.arange(len(table))
    names, rows_of = np.unique(groups, return_inverse=True)
    n, counted = len(names), ~np.isnan(table)
    sums, sizes = np.zeros((n, table.shape[1])), np.zeros((n, table.shape[1]))
    np.add.at(sums, rows_of, np.where(counted, table, 0.0))
    np.add.at(sizes, rows_of, counted)
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, table.shape[1]))
    for start in range(0, resamples, 250):  # bounds the memory of the counts
        stop = min(start + 250, resamples)
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=stop - start)
        with np.errstate(invalid="ignore"):  # a resample in which nothing counts has no mean
            means[start:stop] = drawn @ sums / (drawn @ sizes)
    return means


def interval(value: float, resampled: Floats) -> Interval:
    """A value with the 95 % percentile interval of its resampled values."""
    low, high = np.percentile(resampled[~np.isnan(resampled)], (2.5, 97.5))
    return Interval(value=value, low=float(low), high=float(high))


def paired_difference(
    candidate: Floats, baseline: Floats, seed: int, groups: Groups | None = None
) -> Interval:
    """Mean of candidate - baseline over the same samples [n] of these groups [n], with its 95 % interval.

    Samples that do not count are NaN in both.
    """
    difference = (candidate - baseline)[:, None]
    return interval(float(np.nanmean(difference)), bootstrap_means(difference, seed, groups)[:, 0])


def latency_ratio(candidate: Timing, baseline: Timing) -> Interval | None:
    """Ratio of the medians candidate / baseline over interleaved rounds, with its 99 % interval.

    Returns:
        None where there are too few rounds for an interval (under 8); see `too_few`.
    """
    ours, theirs = _log_burst_medians(candidate), _log_burst_medians(baseline)
    rounds = min(len(ours), len(theirs))
    return _ratio(signed_rank_interval(ours[:rounds] - theirs[:rounds], LATENCY_CONFIDENCE))


def separate_latency_ratio(candidate: Timing, baseline: Timing) -> Interval | None:
    """The same for bursts that were measured at different times: as two samples, with a 99 % interval.

    What differs between the two times (heat, other programs) looks like a difference of the files here.
    """
    ours, theirs = _log_burst_medians(candidate), _log_burst_medians(baseline)
    return _ratio(rank_sum_interval(ours, theirs, LATENCY_CONFIDENCE))


def relative_latency_ratio(
    candidate: tuple[Timing, Timing], baseline: tuple[Timing, Timing]
) -> Interval | None:
    """Ratio candidate / baseline of two records, each relative to a file that both measured, with its 99 % interval.

    Args:
        candidate: its timing and the shared file's, interleaved.
        baseline: the same of the other record.
    """

    def relative(timings: tuple[Timing, Timing]) -> Floats:
        ours, shared = map(_log_burst_medians, timings)
        rounds = min(len(ours), len(shared))
        return ours[:rounds] - shared[:rounds]

    return _ratio(rank_sum_interval(relative(candidate), relative(baseline), LATENCY_CONFIDENCE))


def too_few(rounds: int) -> str:
    """Why so many rounds give no interval, and what to do."""
    least = next(n for n in range(1, 99) if signed_rank_interval(np.zeros(n), LATENCY_CONFIDENCE))
    return (
        f"{rounds} rounds are too few for an interval ({least} are needed): leave out --min-count, "
        "or give a larger one"
    )


def signed_rank_interval(differences: Floats, confidence: float) -> Interval | None:
    """Hodges and Lehmann's centre of paired differences [n], with the interval of the exact signed-rank test.

    Returns:
        None where n is too small for the confidence.
    """
    n = len(differences)
    rows, columns = np.triu_indices(n)
    walsh = np.sort((differences[rows] + differences[columns]) / 2)
    return _ordered_interval(walsh, _signed_rank_chances(n), confidence)


@lru_cache
def _signed_rank_chances(n: int) -> Floats:
    """Chance of each sum of positive ranks of n differences, where either sign is as likely: [n(n+1)/2 + 1]."""
    chances = np.zeros(n * (n + 1) // 2 + 1)
    chances[0] = 1.0
    for rank in range(1, n + 1):
        shifted = np.zeros_like(chances)
        shifted[rank:] = chances[: len(chances) - rank]
        chances = (chances + shifted) / 2
    return chances


def rank_sum_interval(ours: Floats, theirs: Floats, confidence: float) -> Interval | None:
    """Hodges and Lehmann's shift ours - theirs of two samples [m], [n], with the exact rank-sum interval.

    Returns:
        None where m and n are too small for the confidence.
    """
    shifts = np.sort((ours[:, None] - theirs[None, :]).ravel())
    return _ordered_interval(shifts, _rank_sum_chances(len(ours), len(theirs)), confidence)


@lru_cache
def _rank_sum_chances(m: int, n: int) -> Floats:
    """Chance of each count of pairs with the first larger, for equal distributions: [mn + 1].

    Mann and Whitney's recurrence: the largest of all is one of the m (then it is above all n) or one of the n.
    """
    above = [np.ones(1) for _ in range(n + 1)]
    for i in range(1, m + 1):
        row = [np.ones(1)]
        for j in range(1, n + 1):
            chances = np.zeros(i * j + 1)
            chances[j:] += above[j] * (i / (i + j))
            chances[: i * (j - 1) + 1] += row[j - 1] * (j / (i + j))
            row.append(chances)
        above = row
    return above[n]


def _ordered_interval(ordered: Floats, chances: Floats, confidence: float) -> Interval | None:
    """The interval between two order statistics, from the null distribution of the test's statistic."""
    below = int(np.searchsorted(np.cumsum(chances), (1 - confidence) / 2, side="right"))
    if below == 0 or not len(ordered):
        return None
    centre = float(np.median(ordered))
    return Interval(value=centre, low=float(ordered[below - 1]), high=float(ordered[-below]))


def _ratio(logs: Interval | None) -> Interval | None:
    if logs is None:
        return None
    return Interval(value=np.exp(logs.value), low=np.exp(logs.low), high=np.exp(logs.high))


def _log_burst_medians(timing: Timing) -> Floats:
    edges = np.cumsum(timing.bursts)[:-1]
    parts = np.split(np.asarray(timing.samples_ms), edges)
    return np.log([np.median(part) for part in parts if len(part)])


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
