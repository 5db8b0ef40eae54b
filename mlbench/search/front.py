"""Pareto fronts of points that are to be small in every coordinate, and the volume that they dominate."""

from __future__ import annotations

import math
from collections.abc import Sequence

Point = tuple[float, ...]


def dominates(one: Point, other: Point) -> bool:
    """Whether a point is nowhere worse than another, and better somewhere."""
    return one != other and all(mine <= its for mine, its in zip(one, other, strict=True))


def front_of(points: Sequence[Point]) -> list[int]:
    """Places of the points that none dominates, by their first coordinate; of equal points the first alone."""
    best = [
        place
        for place, point in enumerate(points)
        if point not in points[:place] and not any(dominates(other, point) for other in points)
    ]
    return sorted(best, key=lambda place: points[place])


def ranks_of(points: Sequence[Point]) -> list[int]:
    """Of each point the number of its front, by non-dominated sorting (Deb et al. 2002, NSGA-II): 0 is the best."""
    ranks = [-1] * len(points)
    left, rank = list(range(len(points))), 0
    while left:
        peeled = [at for at in left if not any(dominates(points[other], points[at]) for other in left)]
        for at in peeled:
            ranks[at] = rank
        left, rank = [at for at in left if ranks[at] < 0], rank + 1
    return ranks


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The volume between points and a reference that is worse than they are; points beyond it count nothing.

    It is summed over points from the worst last coordinate to the best, each adding what it alone dominates, by the
    volume of the others cut to its box (While, Bradstreet & Barone 2012, WFG).
    """
    within = [point for point in points if all(x < end for x, end in zip(point, reference, strict=True))]
    best = [within[place] for place in front_of(within)]
    return _volume(best, reference)


def volume_added(point: Point, front: Sequence[Point], reference: Point) -> float:
    """By how much a point would enlarge the volume of a front."""
    if any(x >= end for x, end in zip(point, reference, strict=True)):
        return 0.0
    if any(dominates(other, point) for other in front):
        return 0.0
    cut = [tuple(map(max, other, point)) for other in front]
    box = math.prod(end - x for x, end in zip(point, reference, strict=True))
    return box - hypervolume(cut, reference)


def _volume(points: Sequence[Point], reference: Point) -> float:
    total = 0.0
    for place, point in enumerate(points):
        box = math.prod(end - x for x, end in zip(point, reference, strict=True))
        cut = [tuple(map(max, other, point)) for other in points[place + 1 :]]
        total += box - (_volume([cut[at] for at in front_of(cut)], reference) if cut else 0.0)
    return total
