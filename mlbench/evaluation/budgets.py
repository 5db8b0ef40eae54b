"""Budgets: limits that an artifact must keep, and whether it does."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlbench.contracts.task import Metric
from mlbench.errors import UsageError
from mlbench.evaluation.quantities import Against, Quantity, quantity_named
from mlbench.records import Artifact, BudgetVerdict, Measurement, MetricFacts, Scores


@dataclass(frozen=True)
class Budget:
    """A limit of a quantity: of its value in the stored unit, or of its change against the baseline."""

    name: str
    quantity: Quantity
    limit: float
    against: Against = ""  # the baseline: a difference in the stored unit, or a share of its value


_BUDGET = re.compile(r"\s*([\w-]+?)\s*(=|<=|<|>=|>)\s*(\S.*?)\s*")
_EXAMPLES = "size=5MB, memory=12MB or p50=10ms; or against the baseline size=-50%"


def parse_budget(text: str, metrics: Iterable[Metric | MetricFacts] = ()) -> Budget:
    """`size=5MB`, `p50=10ms`, `mae=1.2px`, `top1=98%`; with a sign against the baseline: `top1=-1pp`, `mae=+5%`.

    Args:
        text: a quantity and its limit: the most it may be, or the least where higher is better.
        metrics: of the task.

    Raises:
        UsageError: not a budget, an unknown quantity, or another unit than the quantity's.
    """
    match = _BUDGET.fullmatch(text)
    if match is None:
        message = f'"{text}" is not a budget: write e.g. {_EXAMPLES}.'
        raise UsageError(message)
    name, sign, limit = match.groups()
    quantity = quantity_named(name, metrics, "A budget cannot limit")
    if sign[0] == (">" if quantity.worse > 0 else "<"):
        message = f'"{text}": of {name}, {quantity.better} is better; write {name}={limit}.'
        raise UsageError(message)
    try:
        found: tuple[float, Against] = (
            quantity.change(limit) if limit[0] in "+-" else (quantity.value(limit), "")
        )
    except UsageError as error:
        message = f'"{text}": {error}'
        raise UsageError(message) from error
    return Budget("".join(text.split()), quantity, *found)


def verdicts_of(
    budgets: Sequence[Budget],
    artifacts: Sequence[Artifact],
    measurements: Iterable[Measurement],
    scores: Iterable[Scores],
) -> list[BudgetVerdict]:
    """Each artifact against each budget, by the device where it does worst; of several, the reason names it.

    Args:
        budgets: the limits.
        artifacts: what shall keep them; the baseline first.
        measurements: of all devices.
        scores: on the test set that decides.
    """
    measured = {(row.artifact, row.device): row for row in measurements}
    tested = {(row.artifact, row.device): row for row in scores}
    devices = list(dict.fromkeys(device for _, device in measured))

    def found(artifact: Artifact, device: str) -> _Found:
        key = artifact.id, device
        return _Found(artifact, measured.get(key), tested.get(key))

    rows = []
    for artifact in artifacts:
        places = [device for device in devices if (artifact.id, device) in measured] or [""]
        for budget in budgets:
            by_device = [
                _judged(budget, found(artifact, place), found(artifacts[0], place)) for place in places
            ]
            if len(places) > 1:
                by_device = [_named(row, place) for row, place in zip(by_device, places, strict=True)]
            rows.append(max(by_device, key=lambda row: _badness(row, budget.quantity)))
    return rows


@dataclass(frozen=True)
class _Found:
    """What is known of an artifact on one device."""

    artifact: Artifact
    measurement: Measurement | None
    scores: Scores | None

    def value(self, quantity: str) -> float | None:
        """In the stored unit; None: not measured."""
        row = self.measurement
        if quantity == "size":
            return self.artifact.file_bytes
        if quantity == "p50":
            return row.network.p50_ms if row and row.network else None
        if quantity == "memory":
            return row.memory.peak_above_baseline_bytes if row and row.memory else None
        found = self.scores.metrics.get(quantity) if self.scores else None
        return found.value if found else None

    def why_not(self, whose: str = "") -> str:
        """Why there is no value."""
        failure = self.measurement.failure if self.measurement else None
        return whose + (failure.reason if failure else "not measured")


def _judged(budget: Budget, ours: _Found, base: _Found) -> BudgetVerdict:
    """What was not measured does not fit, and the reason says so."""
    name, reason = budget.quantity.name, ""
    value, reference = ours.value(name), base.value(name)
    if value is None:
        reason = ours.why_not()
    elif budget.against and reference is None:
        value, reason = None, base.why_not("the baseline: ")
    elif budget.against == "share" and not reference:
        value, reason = None, "the baseline has 0, of which nothing is a share"
    elif budget.against and reference is not None:
        value = against_baseline(value, reference, budget)
    return BudgetVerdict(
        artifact=ours.artifact.id,
        budget=budget.name,
        quantity=name,
        limit=budget.limit,
        against_baseline=budget.against,
        value=value,
        fits=value is not None and excess(value, budget) <= 0,
        reason=reason,
    )


def against_baseline(value: float, reference: float, budget: Budget) -> float:
    """The change of a value against the baseline's, as the budget means it; a reference of 0 has no shares."""
    return (value - reference) / (abs(reference) if budget.against == "share" else 1)


def excess(value: float, budget: Budget) -> float:
    """By how much a value, or a change, breaks the limit, in its unit; 0 or less: it is kept.

    A difference of two rounded numbers may miss it by what rounding does.
    """
    slack = 1e-9 * max(1.0, abs(budget.limit)) if budget.against else 0.0
    return budget.quantity.worse * (value - budget.limit) - slack


def _badness(verdict: BudgetVerdict, quantity: Quantity) -> float:
    return math.inf if verdict.value is None else quantity.worse * verdict.value


def _named(verdict: BudgetVerdict, device: str) -> BudgetVerdict:
    """The verdict with its device; a file has one size on all."""
    if verdict.quantity == "size":
        return verdict
    reason = f"on {device}: {verdict.reason}" if verdict.reason else f"on {device}"
    return verdict.model_copy(update={"reason": reason})
