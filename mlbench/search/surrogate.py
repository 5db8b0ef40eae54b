"""Which candidate promises most: a model of the figures that candidates will have, and the volume each would add.

The model is a Gaussian process per objective (Rasmussen & Williams 2006, algorithm 2.1): it learns from few trials
what each value of a name does. The gain is the expected improvement of the hypervolume (Emmerich, Giannakoglou &
Naujoks 2006).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mlbench.search.front import Point, front_of, volume_added

Array = npt.NDArray[np.float64]

#: Where a candidate stands, by name of the space: a place from 0 to 1 where values have an order, else a text.
Places = Mapping[str, float | str]

#: How far a value tells of others, and how alike candidates are that differ in one name: the likeliest are taken.
_LENGTHS, _FLOORS = (0.3, 1.0, 3.0), (0.1, 0.4, 0.7)
#: Variances: of final figures; of a metric that tuning will change, and of a failure, which says little of neighbours.
_NOISE, _DOUBT = 1e-3, 0.3
#: Places in standard deviations and their weights, by which a mean over a normal distribution is taken (Gauss-Hermite).
_NODES = ((-math.sqrt(3), 1 / 6), (0.0, 2 / 3), (math.sqrt(3), 1 / 6))
_BEYOND = 0.1  # of the extent of all figures, from the worst to where volumes are measured from


@dataclass(frozen=True)
class Tried:
    """A candidate with figures, or one that failed.

    Attributes:
        places: where it stands.
        point: its objectives, to be small: first the metric; those behind the second where they are known.
            Empty: it failed.
        final: whether the metric is what it is after all tuning.
        excess: by how much it breaks each budget that was judged.
    """

    places: Places
    point: Point
    final: bool
    excess: Mapping[str, float]


def most_promising(tried: Sequence[Tried], ahead: Sequence[Places]) -> int:
    """The place in `ahead` of the candidate that is expected to enlarge the front most.

    Args:
        tried: candidates with figures, of one at least final, and those that failed.
        ahead: candidates without.
    """
    tried = _in_ratios(tried)
    model = _Model([one.places for one in tried], ahead)
    final = [one for one in tried if one.final]
    forecasts = [
        model.forecast(
            [one.point[at] if at < len(one.point) else None for one in tried],
            [_NOISE if at or one.final else _DOUBT for one in tried],
        )
        for at in range(len(final[0].point))
    ]
    made = [one.point for one in final if all(value <= 0 for value in one.excess.values())]
    gains = _expected_gains(forecasts, made, _reference([one.point for one in final]))
    names = {name for one in tried for name in one.excess}
    limits = [([one.excess.get(name) for one in tried], _NOISE) for name in names]
    if not all(one.point for one in tried):
        limits.append(([-1.0 if one.point else 1.0 for one in tried], _DOUBT))
    for values, noise in limits:
        mean, spread = model.forecast(values, [noise] * len(tried))
        gains *= [_chance_below_0(*one) for one in zip(mean, spread, strict=True)]
    return int(np.argmax(gains))


def _in_ratios(tried: Sequence[Tried]) -> Sequence[Tried]:
    """With the logarithm of the metric, where that is above 0: ratios of errors count, as those of bytes do."""
    if min(one.point[0] for one in tried if one.point) <= 0:
        return tried
    return [
        replace(one, point=(math.log(one.point[0]), *one.point[1:])) if one.point else one for one in tried
    ]


def _reference(points: Sequence[Point]) -> Point:
    worst, best = np.max(points, axis=0), np.min(points, axis=0)
    return tuple(worst + _BEYOND * np.maximum(worst - best, 1e-9))


def _expected_gains(
    forecasts: Sequence[tuple[Array, Array]], made: Sequence[Point], reference: Point
) -> Array:
    """By how much each candidate [ahead] would enlarge the volume, on average over what its figures may be."""
    front = [made[place] for place in front_of(made)]
    gains = np.zeros(len(forecasts[0][0]))
    for nodes in itertools.product(_NODES, repeat=len(forecasts)):
        moved = [mean + at * spread for (mean, spread), (at, _) in zip(forecasts, nodes, strict=True)]
        added = [volume_added(point, front, reference) for point in zip(*moved, strict=True)]
        gains += math.prod(weight for _, weight in nodes) * np.array(added)
    return gains


def _chance_below_0(mean: float, spread: float) -> float:
    return 0.5 * math.erfc(mean / max(spread, 1e-12) / math.sqrt(2))


class _Model:
    """Forecasts of figures of candidates ahead, from those of candidates that were tried."""

    def __init__(self, tried: Sequence[Places], ahead: Sequence[Places]) -> None:
        names = sorted({name for places in (*tried, *ahead) for name in places})
        apart = np.stack(
            [_apart([one.get(name) for one in (*tried, *ahead)])[:, : len(tried)] for name in names]
        )
        self._tried = len(tried)
        self._kernels = [
            np.prod(floor + (1 - floor) * np.exp(-apart / length), axis=0)
            for length, floor in itertools.product(_LENGTHS, _FLOORS)
        ]

    def forecast(self, values: Sequence[float | None], noise: Sequence[float]) -> tuple[Array, Array]:
        """Mean and standard deviation [ahead] of a figure.

        Args:
            values: of those that were tried, where they are known.
            noise: their variances, in variances of the values.
        """
        known = [at for at, value in enumerate(values) if value is not None]
        seen = np.array([values[at] for at in known], dtype=np.float64)
        middle, scale = seen.mean(), seen.std() or 1.0
        scaled, noises = (seen - middle) / scale, np.array(noise)[known]
        _, mean, spread = max(
            (_fitted(kernel, known, scaled, noises) for kernel in self._kernels), key=lambda fit: fit[0]
        )
        return middle + scale * mean[self._tried :], scale * spread[self._tried :]


def _apart(values: Sequence[float | str | None]) -> Array:
    """How far apart the values of a name are, two by two; candidates without it are alike, and far from all others."""
    known = {
        value: float(at) for at, value in enumerate(dict.fromkeys(values)) if not isinstance(value, float)
    }
    ordered = np.array([isinstance(value, float) for value in values])
    at = np.array([value if isinstance(value, float) else known[value] for value in values])
    apart = np.abs(at[:, None] - at)
    return np.where(
        ordered[:, None] & ordered, apart, np.where((apart == 0) & (ordered[:, None] == ordered), 0, np.inf)
    )


def _fitted(kernel: Array, known: list[int], values: Array, noise: Array) -> tuple[float, Array, Array]:
    """Log likelihood of the known values, and mean and standard deviation of everyone's."""
    lower = np.linalg.cholesky(kernel[known][:, known] + np.diag(noise))
    across, weights = kernel[:, known], np.linalg.solve(lower.T, np.linalg.solve(lower, values))
    variance = 1 - np.square(np.linalg.solve(lower, across.T)).sum(axis=0)
    likelihood = -0.5 * float(values @ weights) - float(np.log(np.diag(lower)).sum())
    return likelihood, across @ weights, np.sqrt(np.maximum(variance, 0))
