"""Budgets: limits that an artifact must keep, and whether it does."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from mlbench.errors import UsageError
from mlbench.plugins import did_you_mean
from mlbench.records import Artifact, BudgetVerdict, Errors, Measurement
from mlbench.system.sizes import parse_size

#: What a budget may limit, and how its limit is written.
QUANTITIES = {"size": "bytes", "memory": "bytes", "p50": "ms", "mae": "px", "nme": "share"}


@dataclass(frozen=True)
class Budget:
    """A limit: `quantity` is a key of `QUANTITIES`, the limit in its unit."""

    name: str
    quantity: str
    limit: float


#: The paper's limits (section 1): one asset file of a package, and a package in the store.
PAPER_BUDGETS = (Budget("asset file", "size", 68e6), Budget("store package", "size", 100e6))

_BUDGET = re.compile(r"\s*(\w+)\s*(?:=|<=|<)\s*(\S+)\s*")


def parse_budget(text: str) -> Budget:
    """`size=68MB`, `memory=12MB`, `p50=10ms`, `mae=1.2px`, `nme=4%`.

    Raises:
        UsageError: not a budget, or an unknown quantity.
    """
    match = _BUDGET.fullmatch(text)
    if match is None:
        message = (
            f'"{text}" is not a budget: write e.g. size=68MB, memory=12MB, p50=10ms, mae=1.2px or nme=4%.'
        )
        raise UsageError(message)
    quantity, value = match.groups()
    if quantity not in QUANTITIES:
        message = f'A budget cannot limit "{quantity}"{did_you_mean(quantity, QUANTITIES)}'
        raise UsageError(message)
    return Budget(text.replace(" ", ""), quantity, _limit(quantity, value, text))


def _limit(quantity: str, value: str, text: str) -> float:
    if QUANTITIES[quantity] == "bytes":
        return float(parse_size(value))
    suffix = {"p50": "ms", "mae": "px", "nme": "%"}[quantity]
    number = value.removesuffix(suffix)
    try:
        limit = float(number) / (100 if suffix == "%" else 1)
    except ValueError:
        limit = math.nan
    # A share without its sign could mean 4 or 4 %.
    if not 0 < limit < math.inf or (suffix == "%" and number == value):
        message = f'"{text}": {value} is not a number of {suffix} above 0; write e.g. {quantity}=4{suffix}.'
        raise UsageError(message)
    return limit


def judge_worst(
    budgets: tuple[Budget, ...], artifact: Artifact, found: list[tuple[Measurement, Errors | None]]
) -> list[BudgetVerdict]:
    """Verdicts on one artifact by the device where it does worst; of several, the reason names it.

    Args:
        budgets: the limits.
        artifact: what shall keep them.
        found: what each device measured, and the errors there.
    """
    if len(found) < 2:
        return judge(budgets, artifact, *(found[0] if found else (None, None)))
    by_device = [
        [_named(verdict, measurement.device) for verdict in judge(budgets, artifact, measurement, errors)]
        for measurement, errors in found
    ]
    return [max(verdicts, key=_badness) for verdicts in zip(*by_device, strict=True)]


def _badness(verdict: BudgetVerdict) -> float:
    return math.inf if verdict.value is None else verdict.value


def _named(verdict: BudgetVerdict, device: str) -> BudgetVerdict:
    """The verdict with its device; a file has one size on all."""
    if verdict.quantity == "size":
        return verdict
    reason = f"on {device}: {verdict.reason}" if verdict.reason else f"on {device}"
    return verdict.model_copy(update={"reason": reason})


def judge(
    budgets: tuple[Budget, ...], artifact: Artifact, measurement: Measurement | None, errors: Errors | None
) -> list[BudgetVerdict]:
    """Verdicts on one artifact; what was not measured does not fit, and the reason says so."""
    rows = []
    for budget in budgets:
        value = _value(budget.quantity, artifact, measurement, errors)
        failure = measurement.failure if measurement else None
        reason = (failure.reason if failure else "not measured") if value is None else ""
        rows.append(
            BudgetVerdict(
                artifact=artifact.id,
                budget=budget.name,
                quantity=budget.quantity,
                limit=budget.limit,
                value=value,
                fits=value is not None and value <= budget.limit,
                reason=reason,
            )
        )
    return rows


def _value(
    quantity: str, artifact: Artifact, measurement: Measurement | None, errors: Errors | None
) -> float | None:
    if quantity == "size":
        return artifact.file_bytes
    if quantity in ("mae", "nme"):
        return None if errors is None else (errors.mae_px if quantity == "mae" else errors.nme).value
    if measurement is None:
        return None
    if quantity == "p50":
        return measurement.network.p50_ms if measurement.network else None
    return measurement.memory.peak_above_baseline_bytes if measurement.memory else None
