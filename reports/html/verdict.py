"""Section 1: the verdict in one sentence, and the budgets as badges."""

from __future__ import annotations

from dataclasses import dataclass

from mlbench.evaluation.amounts import limit_text, value_text
from mlbench.records import BudgetVerdict, MetricFacts
from mlbench.reports.html.digest import Digest
from mlbench.reports.html.rows import Row, change_told
from mlbench.system.sizes import format_size


@dataclass(frozen=True)
class Badge:
    """One model against one budget, in words."""

    model: str
    budget: str
    fits: bool
    value: str
    limit: str
    margin: str


def headline(digest: Digest) -> str:
    """What the records say, in one sentence."""
    winner = digest.selection.winner
    if winner is None:
        return _without_candidates(digest)
    base, name = _baseline_of(digest, winner), winner.name
    if winner.failure:
        return (
            f"{name} does not run on {winner.device} ({winner.failure}), and no other candidate does better."
        )
    told = f"{name} is {_claims(winner, base)}"
    if winner.metric is not None and winner.interval is not None:
        told += f", {winner.metric.title} {_spread(winner)}"
        told += f" against {_spread(base)}" if base and base.interval is not None else ""
        told += f" ({winner.test_set}, {winner.samples_told})"
        told += f": {told_change}" if (told_change := change_told(winner.change, winner.metric)) else ""
    return f"{told}; {_budget_words(digest, winner)}{_failures(digest, winner)}."


def _without_candidates(digest: Digest) -> str:
    row = digest.rows[0]
    error = f"{row.metric.title} {_spread(row)}, " if row.metric and row.interval else ""
    speed = f"p50 {row.p50_ms:.3g} ms, " if row.p50_ms is not None else ""
    return (
        f"{row.name} takes {format_size(row.file_bytes)}, {error}{speed}and has no candidate to compare with."
    )


def _baseline_of(digest: Digest, row: Row) -> Row | None:
    same = (row.run, row.device, row.test_set)
    return next((r for r in digest.rows if r.baseline and (r.run, r.device, r.test_set) == same), None)


def _spread(row: Row) -> str:
    metric, found = row.metric, row.interval
    if metric is None or found is None:
        return "unknown"
    half, digits = (found.high - found.low) / 2 * metric.scale, max(metric.digits - 1, 1)
    return f"{found.value * metric.scale:.{digits}f} ± {half:.{digits}f} {metric.unit}".rstrip()


def _claims(row: Row, base: Row | None) -> str:
    """Size and speed against the baseline; speed only as far as the record's own verdict goes."""
    claims = [_size_words(base.file_bytes / row.file_bytes)] if base else []
    speed = row.speed
    if speed is not None and speed.verdict in ("better", "worse"):
        claims.append(_speed_words(speed.change.value))
    told = f"{' and '.join(claims)} than its baseline" if claims else "alone in its record"
    if speed is not None and speed.verdict == "same":
        told += " and as fast"
    if speed is not None and speed.verdict == "cannot tell":
        told += " (faster or slower: cannot tell)"
    return told


def _size_words(ratio: float) -> str:
    return f"{ratio:,.1f}× smaller" if ratio >= 1 else f"{1 / ratio:,.1f}× larger"


def _speed_words(ratio: float) -> str:
    if ratio < 1:
        return f"{1 / ratio:,.1f}× faster" if ratio <= 0.8 else f"{(1 - ratio) * 100:.0f} % faster"
    return f"{ratio:,.1f}× slower" if ratio >= 2 else f"{(ratio - 1) * 100:.0f} % slower"


def _budget_words(digest: Digest, row: Row) -> str:
    verdicts = digest.budgets[row.run, row.model]
    broken = [verdict.budget for verdict in verdicts if not verdict.fits]
    if not verdicts:
        return "no budget was set"
    return "it breaks the budget " + " and ".join(broken) if broken else "it fits all budgets"


def _failures(digest: Digest, row: Row) -> str:
    """The other devices that have no figures of a model."""
    rows = [r for r in digest.rows if (r.run, r.model) == (row.run, row.model) and r.failure]
    told = dict.fromkeys(f"{r.device} ({r.failure.rstrip('.')})" for r in rows)
    return f", but it failed on {' and '.join(told)}" if told else ""


def badges(digest: Digest) -> list[Badge]:
    """Budgets of every model shown in full, the verdict's first."""
    winner = digest.selection.winner
    first = (winner.run, winner.model) if winner else None
    keys = sorted(digest.selection.shown, key=lambda key: key != first)
    return [
        _badge(digest.selection.label(key), verdict, digest.metrics_of(key[0]))
        for key in keys
        for verdict in digest.budgets.get(key, ())
    ]


def _badge(model: str, verdict: BudgetVerdict, metrics: dict[str, MetricFacts]) -> Badge:
    metric = metrics.get(verdict.quantity)
    value, limit = value_text(verdict, metric), limit_text(verdict, metric)
    return Badge(model, verdict.budget, verdict.fits, value, limit, _margin(verdict))


def _margin(verdict: BudgetVerdict) -> str:
    """How far a value is from its limit, as a share of the limit; of a change that says nothing."""
    if verdict.value is None or verdict.against_baseline:
        return ""
    share = verdict.value / verdict.limit - 1
    if share > 1 and not verdict.fits:
        return f"{share + 1:,.1f}× the limit"
    beyond = "to spare" if verdict.fits else "over" if share > 0 else "short"
    return f"{abs(share) * 100:.0f} % {beyond}"
