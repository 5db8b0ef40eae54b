"""What a search seeks: points that are to be small, and limits that a file must keep."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mlbench.contracts import Metric
from mlbench.evaluation.budgets import Budget
from mlbench.search.front import Point
from mlbench.search.work import Outcome

#: Of what a search can judge a budget, beside the task's metrics.
SIZE, LATENCY = "size", "p50"


@dataclass(frozen=True)
class Aim:
    """The objectives of a search, and its budgets.

    Attributes:
        metric: the task's primary one, on validation samples.
        budgets: of the size, of latency and of metrics; others are judged in the run at the end.
        latency: whether latency is an objective.
    """

    metric: Metric
    budgets: tuple[Budget, ...] = ()
    latency: bool = False

    @property
    def timed(self) -> bool:
        """Whether candidates must be timed."""
        return self.latency or any(budget.quantity.name == LATENCY for budget in self.budgets)

    @property
    def unjudged(self) -> list[Budget]:
        """The budgets that a search cannot judge."""
        return [budget for budget in self.budgets if budget.quantity.name == "memory"]

    @property
    def most_bytes(self) -> float | None:
        """That a file may have, by the tightest budget of a size; None: any."""
        limits = [one.limit for one in self.budgets if one.quantity.name == SIZE and not one.against]
        return min(limits, default=None)

    def point(self, outcome: Outcome, p50_ms: float | None = None) -> Point:
        """What is to be small: the metric, turned round where higher is better, and the logarithm of the bytes.

        Ratios of bytes and of latency count, whatever their size; `p50_ms` is taken where latency is an objective.
        """
        value = outcome.metrics[self.metric.name]
        found = (value if self.metric.better == "lower" else -value, math.log(outcome.file_bytes))
        return (*found, math.log(p50_ms)) if self.latency and p50_ms else found

    def reference(self, baseline: Outcome, p50_ms: float | None = None) -> Point:
        """What volumes are measured from: twice the baseline's error, or none right, at its bytes and time."""
        metric, *costs = self.point(baseline, p50_ms)
        return (metric + abs(metric), *(cost + 1e-9 for cost in costs))

    def excess(
        self, outcome: Outcome, baseline: Outcome | None, p50_ms: float | None = None, *, tuned: bool = True
    ) -> Mapping[str, float]:
        """By how much each budget is broken that can be judged now, in its stored unit; 0 or less: it is kept.

        Args:
            outcome: of a candidate.
            baseline: of its network; None: budgets against it cannot be judged yet.
            p50_ms: its latency, where it is known.
            tuned: whether its metrics are those that it will have.
        """
        found = {}
        for budget in self.budgets:
            value, reference = (
                _value(budget, one, p50_ms if one is outcome else None) for one in (outcome, baseline)
            )
            if value is None or (budget.quantity.name not in (SIZE, LATENCY) and not tuned):
                continue
            if budget.against:
                if reference is None:
                    continue
                value = (value - reference) / (abs(reference) or 1 if budget.against == "share" else 1)
            found[budget.name] = budget.quantity.worse * (value - budget.limit)
        return found


def _value(budget: Budget, outcome: Outcome | None, p50_ms: float | None) -> float | None:
    if outcome is None:
        return None
    name = budget.quantity.name
    return p50_ms if name == LATENCY else outcome.file_bytes if name == SIZE else outcome.metrics.get(name)
