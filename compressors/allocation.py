"""A budget spent over layers where it lowers the measured error the most. Pure functions on numbers.

Each layer has a curve: what ranks along a growing path cost, and the error at the network's output that they
leave when this layer alone is factorised. Errors are taken to add up over layers; then stepping along the lower
convex hulls in the order of their slopes is optimal but for the last step (Fox 1966, marginal analysis).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Curve:
    """Costs (growing) and errors along a layer's path of ranks."""

    costs: tuple[int, ...]
    errors: tuple[float, ...]

    def hull(self) -> list[int]:
        """Indices of the lower convex hull: from the cheapest on, each step wins less for its cost."""
        corners = [0]
        for i in range(1, len(self.costs)):
            if self.errors[i] >= self.errors[corners[-1]] or self.costs[i] <= self.costs[corners[-1]]:
                continue
            while len(corners) > 1 and self._slope(corners[-1], i) >= self._slope(corners[-2], corners[-1]):
                corners.pop()
            corners.append(i)
        return corners

    def _slope(self, left: int, right: int) -> float:
        return (self.errors[left] - self.errors[right]) / (self.costs[right] - self.costs[left])


def interpolated(costs: Sequence[int], measured: dict[int, float]) -> Curve:
    """A curve from errors measured at some places of a path, straight between them in log cost and log error."""
    places = sorted(measured)
    floor = 1e-9 * max(max(measured.values()), 1e-30)
    errors = np.log([max(measured[place], floor) for place in places])
    every = np.interp(np.log(costs), np.log([costs[place] for place in places]), errors)
    falling = np.minimum.accumulate(np.exp(every))
    return Curve(tuple(costs), tuple(float(error) for error in falling))


def allocate(curves: Sequence[Curve], budget: int) -> list[int]:
    """A place on each curve, so that costs stay within the budget and the sum of errors is small.

    Every curve gets its cheapest place even where that is more than the budget.
    """
    hulls = [curve.hull() for curve in curves]
    at = [0] * len(curves)
    left = budget - sum(curve.costs[0] for curve in curves)

    def offer(layer: int) -> tuple[float, int]:
        curve, hull = curves[layer], hulls[layer]
        return -curve._slope(hull[at[layer]], hull[at[layer] + 1]), layer

    offers = [offer(layer) for layer in range(len(curves)) if len(hulls[layer]) > 1]
    heapq.heapify(offers)
    while offers:
        _, layer = heapq.heappop(offers)
        curve, hull = curves[layer], hulls[layer]
        step = curve.costs[hull[at[layer] + 1]] - curve.costs[hull[at[layer]]]
        if step > left:
            continue
        left -= step
        at[layer] += 1
        if at[layer] + 1 < len(hull):
            heapq.heappush(offers, offer(layer))
    return [hull[place] for hull, place in zip(hulls, at, strict=True)]


def growing_path(
    power: npt.NDArray[np.float64], cost: Callable[[tuple[int, ...]], int]
) -> list[tuple[int, ...]]:
    """Ranks from (1,…) to the shape of `power`, growing by about a quarter where that keeps most for its cost.

    Args:
        power: squared entries of a core (or squared singular values), an axis a mode, descending in each.
        cost: of ranks, growing with each of them.
    """
    kept = power.astype(np.float64)
    for axis in range(power.ndim):
        kept = np.cumsum(kept, axis=axis)
    ranks, path = (1,) * power.ndim, [(1,) * power.ndim]
    while ranks != power.shape:
        options = []
        for mode, size in enumerate(power.shape):
            if ranks[mode] < size:
                grown = min(size, max(ranks[mode] + 1, ranks[mode] * 5 // 4))
                more = (*ranks[:mode], grown, *ranks[mode + 1 :])
                gain = kept[tuple(r - 1 for r in more)] - kept[tuple(r - 1 for r in ranks)]
                options.append((gain / (cost(more) - cost(ranks)), more))
        ranks = max(options)[1]
        path.append(ranks)
    return path
