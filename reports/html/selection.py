"""Which models the page is about: the Pareto front, the one in the verdict, and those drawn in full."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mlbench.records import MetricFacts
from mlbench.reports.html.rows import Row

Key = tuple[int, str]  # run, model

#: Models drawn in full (samples, latency, layers, curves); tables and trade-offs always have all.
MOST_SHOWN = 24


@dataclass(frozen=True)
class Selection:
    """The choice; `front` holds, for each cost, the indices of the rows on its Pareto front."""

    front: dict[str, set[int]] = field(default_factory=dict)
    winner: Row | None = None
    winners: dict[tuple[str, MetricFacts | None], Row] = field(default_factory=dict)  # by variant and metric
    shown: tuple[Key, ...] = ()
    names: dict[Key, str] = field(default_factory=dict)

    def label(self, key: Key) -> str:
        """The model's name, with the run where the name alone is not unique among those shown."""
        name = self.names[key]
        twins = sum(self.names[other] == name for other in self.shown)
        return name if twins < 2 else f"{name} (run {key[0]})"

    @property
    def models(self) -> int:
        """How many there are, shown or not."""
        return len(self.names)


COSTS = ("file_bytes", "p50_ms", "peak_bytes")


def select(rows: list[Row]) -> Selection:
    """Choose from all rows; a pure function of them."""
    front = {cost: pareto_rows(rows, cost) for cost in COSTS}
    places: dict[int, tuple[str, str]] = {}  # what a run names first: its verdict is about that
    for row in rows:
        places.setdefault(row.run, (row.device, row.test_set))
    first = [row for row in rows if (row.device, row.test_set) == places[row.run]]
    winners: dict[tuple[str, MetricFacts | None], Row] = {}
    for row in first:
        kind = row.variant, row.metric
        if not row.baseline and (kind not in winners or _merit(row) < _merit(winners[kind])):
            winners[kind] = row
    alike = [row for row in winners.values() if row.metric == rows[0].metric]  # others are not comparable
    winner = min(alike or winners.values(), key=_merit, default=None)
    names = {(row.run, row.model): row.name for row in rows}
    keys = list(names)
    if len(keys) > MOST_SHOWN:
        on_front = [(rows[i].run, rows[i].model) for cost in COSTS for i in sorted(front[cost])]
        named = [(row.run, row.model) for row in winners.values()]
        bases = [(row.run, row.model) for row in rows if row.baseline]
        keys = list(dict.fromkeys([*named, *on_front, *bases, *keys]))[:MOST_SHOWN]
    return Selection(front, winner, winners, tuple(sorted(keys)), names)


def _merit(row: Row) -> tuple[bool, bool, float, int]:
    """Smaller is better: runs, keeps its budgets, is as its baseline or may be little worse, is small."""
    return (bool(row.failure), bool(row.broken), row.risk, row.file_bytes)


def pareto_rows(rows: list[Row], cost: str) -> set[int]:
    """Indices of the rows that no other beats in both cost and error, for each device, test set and metric."""

    def place(index: int) -> tuple[str, str, MetricFacts | None]:
        row = rows[index]
        return row.device, row.test_set, row.metric

    def point(index: int) -> tuple[float, float]:
        return getattr(rows[index], cost), rows[index].error or 0.0

    known = [i for i, row in enumerate(rows) if getattr(row, cost) is not None and row.error is not None]
    found: set[int] = set()
    for where in dict.fromkeys(map(place, known)):
        found |= pareto([i for i in known if place(i) == where], point)
    return found


def pareto(items: Iterable[int], point: Callable[[int], tuple[float, float]]) -> set[int]:
    """Those items whose point (both coordinates: smaller is better) no other item's dominates."""
    best, front = float("inf"), set()
    for item in sorted(items, key=point):
        if point(item)[1] < best:
            best = point(item)[1]
            front.add(item)
    return front
