"""Values in words, for tables and pages."""

from __future__ import annotations

from mlbench.records import BudgetVerdict, Interval, MetricFacts
from mlbench.system.sizes import format_size


def shown(metric: MetricFacts, value: float) -> str:
    """A value of a metric with its unit: `1.204 px`, `98.10 %`."""
    return f"{value * metric.scale:.{metric.digits}f} {metric.unit}".rstrip()


def change_shown(metric: MetricFacts | None, change: Interval) -> tuple[str, str]:
    """A difference of a metric (None: a ratio of latencies) and its interval: `-0.25 pp`, `-0.40 to -0.10`."""
    if metric is None:
        return f"× {change.value:.3f}", f"{change.low:.3f} to {change.high:.3f}"
    low, high = (f"{end * metric.scale:+.{metric.digits}f}" for end in (change.low, change.high))
    return _difference(metric, change.value), f"{low} to {high}"


def limit_text(verdict: BudgetVerdict, metric: MetricFacts | None) -> str:
    """A budget's limit: `5.00 MB`, `at least 98.00 %`, `at least -1.00 pp against the baseline`."""
    least = "at least " if metric is not None and metric.better == "higher" else ""
    against = " against the baseline" if verdict.against_baseline else ""
    return f"{least}{_amount(verdict, verdict.limit, metric)}{against}"


def value_text(verdict: BudgetVerdict, metric: MetricFacts | None) -> str:
    """What was found, and the reason; `not measured` where there is neither."""
    found = "" if verdict.value is None else _amount(verdict, verdict.value, metric)
    return " ".join(filter(None, (found, verdict.reason))) or "not measured"


def _difference(metric: MetricFacts, value: float) -> str:
    unit = "pp" if metric.unit == "%" else metric.unit
    return f"{value * metric.scale:+.{metric.digits}f} {unit}".rstrip()


def _amount(verdict: BudgetVerdict, value: float, metric: MetricFacts | None) -> str:
    sign = "+" if verdict.against_baseline else ""
    if verdict.against_baseline == "share":
        return f"{value * 100:+.1f} %"
    if metric is not None:
        return _difference(metric, value) if sign else shown(metric, value)
    if verdict.quantity == "p50":
        return f"{value:{sign}.3g} ms"
    return (sign if value > 0 else "") + format_size(value)
