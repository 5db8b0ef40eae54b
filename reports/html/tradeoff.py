"""Section 2: what error a byte, a millisecond or a page of memory buys, with the Pareto front."""

from __future__ import annotations

from typing import Any

import altair as alt

from mlbench.evaluation.amounts import shown
from mlbench.records import MetricFacts
from mlbench.reports.html.charts import Chart, Values, chosen, colour, finish, inline, log_axis, picker, shape
from mlbench.reports.html.digest import Digest
from mlbench.reports.html.rows import Row
from mlbench.reports.paper_results import PAPER_RESULTS, paper_result
from mlbench.system.sizes import format_size

_TITLES = {
    "file_bytes": ("File size against {}", "file, bytes"),
    "p50_ms": ("Latency against {}", "p50 of one inference, ms"),
    "peak_bytes": ("Memory against {}", "peak memory above the bare process, bytes"),
}


def tradeoff_charts(digest: Digest) -> list[Chart]:
    """One chart for each cost that was measured, and each primary metric."""
    primary = {row.metric for row in digest.rows}
    found = [
        _chart(digest, cost, key, metric)
        for key, metric in digest.metrics.items()
        if metric in primary
        for cost in _TITLES
    ]
    return [chart for chart in found if chart is not None]


def _chart(digest: Digest, cost: str, key: str, metric: MetricFacts) -> Chart | None:
    rows = [
        (row, index in digest.selection.front[cost])
        for index, row in enumerate(digest.rows)
        if row.metric == metric and row.interval is not None and getattr(row, cost)
    ]
    if not rows:
        return None
    values = [_value(row, cost, front) for row, front in rows]
    paper = _paper_values([row for row, _ in rows]) if cost == "file_bytes" else []
    title, axis = _TITLES[cost]
    drawing = _draw(values, paper, axis, cost, metric)
    fronts = [row for row, front in rows if front and (row.device, row.test_set) == _place(rows[0][0])]
    text = f"{len({(r.run, r.model) for r, _ in rows})} models. On the Pareto front: {_told(fronts, cost)}."
    return finish(drawing, f"tradeoff-{cost}-{key}", title.format(metric.title), text, height=340)


def _place(row: Row) -> tuple[str, str]:
    return row.device, row.test_set


def _told(rows: list[Row], cost: str) -> str:
    def amount(row: Row) -> str:
        value = getattr(row, cost)
        return f"{value:.3g} ms" if cost == "p50_ms" else format_size(value)

    ordered = sorted(rows, key=lambda row: getattr(row, cost))
    named = [f"{row.name} ({amount(row)}, {_value_of(row)})" for row in ordered[:6]]
    return "; ".join(named) + (f"; and {len(ordered) - 6} more" if len(ordered) > 6 else "")


def _value_of(row: Row) -> str:
    assert row.metric is not None and row.interval is not None  # noqa: S101 (chosen for it)
    return shown(row.metric, row.interval.value)


def _value(row: Row, cost: str, front: bool) -> dict[str, Any]:
    assert row.metric is not None and row.interval is not None  # noqa: S101 (chosen for it)
    scale = row.metric.scale
    return {
        "x": getattr(row, cost),
        "y": row.interval.value * scale,
        "low": row.interval.low * scale,
        "high": row.interval.high * scale,
        "model": row.name,
        "run": row.run,
        "variant": row.variant,
        "chain": row.short_chain,
        "options": row.chain,
        "device": row.device,
        "test": row.test_set,
        "bytes": row.file_bytes,
        "p50": row.p50_ms,
        "memory": row.peak_bytes,
        "front": front,
    }


def _paper_values(rows: list[Row]) -> Values:
    present = {row.variant for row in rows if paper_result(row.variant, row.task)}
    return [
        {"x": result.file_mb * 1e6, "loss": result.loss, "variant": name, "model": f"paper: {name}"}
        for name, result in PAPER_RESULTS.items()
        if name in present
    ]


_TOOLTIP = [
    alt.Tooltip("model:N", title="model"),
    alt.Tooltip("options:N", title="chain"),
    alt.Tooltip("run:Q", title="run"),
    alt.Tooltip("low:Q", title="95 % from", format=".3f"),
    alt.Tooltip("high:Q", title="to", format=".3f"),
    alt.Tooltip("bytes:Q", title="file, bytes", format=","),
    alt.Tooltip("p50:Q", title="p50, ms", format=".3f"),
    alt.Tooltip("memory:Q", title="peak memory, bytes", format=","),
    alt.Tooltip("test:N", title="test set"),
    alt.Tooltip("device:N", title="device"),
]


def _draw(values: Values, paper: Values, axis: str, cost: str, metric: MetricFacts) -> Any:
    variants = list(dict.fromkeys(value["variant"] for value in values))
    chains = list(dict.fromkeys(value["chain"] for value in values))
    x = log_axis(alt.X, "x", axis, "~g" if cost == "p50_ms" else "~s", padding=16)
    heading = f"{metric.title}, {metric.unit}" if metric.unit else metric.title
    y = alt.Y(
        "y:Q",
        title=heading,
        scale=alt.Scale(zero=False, nice=False, padding=12, reverse=metric.better == "higher"),
    )
    tips = [*_TOOLTIP[:3], alt.Tooltip("y:Q", title=heading, format=f".{metric.digits}f"), *_TOOLTIP[3:]]
    hue = colour("variant", variants, "variant (colour)")
    base = alt.Chart(inline(values)).encode(x=x)
    params = []
    for field, label in (("device", "Device "), ("test", "Test set ")):
        options = list(dict.fromkeys(value[field] for value in values))
        if len(options) > 1:
            params.append(picker(field, label, options))
            base = base.transform_filter(chosen(field))
    front = (
        base.transform_filter("datum.front")
        .mark_line(interpolate="step-after", strokeDash=[4, 3], color="var(--muted)", aria=False)
        .encode(y=y, order="x:Q")
    )
    spread = base.mark_rule(aria=False).encode(y=alt.Y("low:Q", title=heading), y2="high:Q", color=hue)
    points = base.mark_point(size=110, filled=True, opacity=0.95).encode(
        y=y, color=hue, shape=shape("chain", chains, "chain (shape)"), tooltip=tips
    )
    layers = [front, spread, points]
    if paper:
        layers.append(_paper_layer(paper, x, hue))
    return alt.layer(*layers).add_params(*params)


def _paper_layer(paper: Values, x: Any, hue: Any) -> Any:
    """On the lower edge: of the paper's figures only the size means the same as ours."""
    tooltip = [
        alt.Tooltip("model:N", title="model"),
        alt.Tooltip("x:Q", title="file, bytes", format=","),
        alt.Tooltip("loss:Q", title="its loss, not comparable", format=".2f"),
    ]
    return (
        alt.Chart(inline(paper))
        .mark_point(size=130, filled=False, strokeWidth=2, shape="circle")
        .encode(x=x, y=alt.value({"expr": "height - 9"}), color=hue, tooltip=tooltip)
    )
