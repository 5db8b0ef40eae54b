"""Section 6: latency as a distribution, over time, and what the whole pipeline makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import altair as alt

from mlbench.reports.html.charts import (
    SHAPES,
    Chart,
    Values,
    chosen,
    colour,
    finish,
    inline,
    line_legend,
    log_axis,
    picker,
)
from mlbench.reports.html.digest import Digest, Latency
from mlbench.reports.html.rows import Row
from mlbench.reports.html.selection import Key

_ALONE = "network alone"


def speed_charts(digest: Digest) -> list[Chart]:
    """Distribution, ECDF, drift and frames per second of the models shown in full."""
    latencies = list(_latencies(digest))
    charts = []
    if latencies:
        charts += [_distribution(digest, latencies), _ecdf(digest, latencies), _drift(digest, latencies)]
    if (fps := _frames(digest)) is not None:
        charts.append(fps)
    return charts


def _latencies(digest: Digest) -> Iterator[tuple[Key, Latency]]:
    for key in digest.selection.shown:
        for latency in digest.latencies.get(key, ()):
            yield key, latency


def _on_device(base: Any, values: Values) -> Any:
    devices = list(dict.fromkeys(value["device"] for value in values))
    if len(devices) < 2:
        return base
    return base.add_params(picker("device", "Device ", devices)).transform_filter(chosen("device"))


def _models(digest: Digest) -> list[str]:
    return [digest.selection.label(key) for key in digest.selection.shown]


def _ms(field: str) -> Any:
    return log_axis(alt.X, field, "one inference, ms", "~g")


def _distribution(digest: Digest, latencies: list[tuple[Key, Latency]]) -> Chart:
    models, values = _models(digest), Values()
    for key, latency in latencies:
        at = dict(latency.quantiles)
        row: dict[str, Any] = {"model": digest.selection.label(key), "device": latency.device}
        row |= {f"q{round(q * 100)}": at[q] for q in (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)}
        values.append(row)
    y = alt.Y("model:N", title=None, sort=models)
    hue = colour("model", models, "model", legend=None)
    base = alt.Chart(inline(values)).encode(y=y)
    tips = [alt.Tooltip("model:N")] + [
        alt.Tooltip(f"q{q}:Q", title=f"p{q}, ms", format=".3f") for q in (5, 25, 50, 75, 90, 95, 99)
    ]
    thin = base.mark_rule(strokeWidth=2).encode(x=_ms("q5"), x2="q95:Q", color=hue)
    thick = base.mark_bar(height=9).encode(x=_ms("q25"), x2="q75:Q", color=hue, tooltip=tips)
    marks = [
        base.mark_point(shape=sign, filled=True, size=75, color="var(--text)").encode(
            x=_ms(f"q{q}"), tooltip=tips
        )
        for q, sign in ((90, "triangle-right"), (99, "diamond"))
    ]
    median = base.mark_tick(thickness=3, height=17, color="var(--text)").encode(x=_ms("q50"), tooltip=tips)
    told = "; ".join(f"{v['model']} {v['q50']:.3g} / {v['q90']:.3g} / {v['q99']:.3g} ms" for v in values[:8])
    drawing = _on_device(alt.layer(thin, thick, median, *marks), values)
    text = f"p50 / p90 / p99: {told}. Bar: the middle half; line: 5 to 95 %; tick p50, triangle p90, diamond p99."
    return finish(drawing, "latency", "Latency, distribution", text, height=34 * len(models) + 10)


def _ecdf(digest: Digest, latencies: list[tuple[Key, Latency]]) -> Chart:
    models = _models(digest)
    values = [
        {"model": digest.selection.label(key), "device": latency.device, "share": share, "ms": ms}
        for key, latency in latencies
        for share, ms in latency.quantiles
    ]
    y = alt.Y("share:Q", title="share of inferences not slower", axis=alt.Axis(format="%"))
    tips = [
        alt.Tooltip("model:N"),
        alt.Tooltip("share:Q", title="share", format=".1%"),
        alt.Tooltip("ms:Q", title="within, ms", format=".3f"),
    ]
    base = alt.Chart(inline(values)).encode(
        x=_ms("ms"), y=y, color=colour("model", models, "model", legend=line_legend()), tooltip=tips
    )
    lines = base.mark_line(interpolate="step-after").encode(strokeDash=_dash(models))
    drawing = _on_device(alt.layer(lines, base.mark_point(opacity=0.01, size=40)), values)
    text = "How many inferences took no longer than a time; left and steep is good. The figures are in the table below."
    return finish(drawing, "ecdf", "Latency, cumulative (ECDF)", text)


def _dash(models: list[str]) -> Any:
    """A second sign beside the hue, for models that share one."""
    patterns = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3]]
    dashes = [patterns[(i // 8 + i) % 4] for i in range(len(models))]
    scale = alt.Scale(domain=models, range=dashes)
    return alt.StrokeDash("model:N", title="model", scale=scale, legend=line_legend())


def _drift(digest: Digest, latencies: list[tuple[Key, Latency]]) -> Chart:
    models = _models(digest)
    values: Values = [
        {"model": digest.selection.label(key), "device": latency.device, "burst": number, "ratio": ratio}
        for key, latency in latencies
        for number, ratio in enumerate(latency.bursts, 1)
    ]
    y = alt.Y("ratio:Q", title="burst's median / p50", scale=alt.Scale(zero=False, padding=8))
    tips = [alt.Tooltip("model:N"), alt.Tooltip("burst:Q"), alt.Tooltip("ratio:Q", format=".3f")]
    drawing = (
        alt.Chart(inline(values))
        .mark_line(point={"size": 25})
        .encode(
            x=alt.X("burst:Q", title="burst, in the order measured", axis=alt.Axis(tickMinStep=1)),
            y=y,
            color=colour("model", models, "model", legend=line_legend()),
            strokeDash=_dash(models),
            tooltip=tips,
        )
    )
    worst = max(values, key=lambda value: abs(value["ratio"] - 1), default=None)
    told = (
        f"furthest from its p50: {worst['model']}, burst {worst['burst']}, × {worst['ratio']:.2f}"
        if worst
        else ""
    )
    return finish(
        _on_device(drawing, values),
        "drift",
        "Drift over time",
        f"Flat lines near 1 are a steady machine; {told}.",
    )


def _frames(digest: Digest) -> Chart | None:
    models, values = _models(digest), Values()
    shown = set(digest.selection.shown)
    for row in _one_a_device(digest.rows):
        if (row.run, row.model) not in shown:
            continue
        frames = ({_ALONE: row.fps_network} if row.fps_network is not None else {}) | row.fps
        name = digest.selection.label((row.run, row.model))
        values += [
            {"model": name, "device": row.device, "part": part, "fps": fps} for part, fps in frames.items()
        ]
    if not values:
        return None
    parts = list(dict.fromkeys(str(value["part"]) for value in values))
    scale = alt.Scale(domain=parts, range=SHAPES[: len(parts)])
    tips = [alt.Tooltip("model:N"), alt.Tooltip("part:N"), alt.Tooltip("fps:Q", title="FPS", format=".1f")]
    drawing = (
        alt.Chart(inline(values))
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            x=log_axis(alt.X, "fps", "frames per second", "~g", padding=16),
            y=alt.Y("model:N", title=None, sort=models),
            color=colour("part", parts, "part"),
            shape=alt.Shape("part:N", title="part", scale=scale),
            tooltip=tips,
        )
    )
    last = parts[-1]
    told = "; ".join(f"{v['model']} {v['fps']:.1f}" for v in values if v["part"] == last)
    text = f"Frames per second, {last}: {told}."
    return finish(
        _on_device(drawing, values), "frames", "Frames per second", text, height=34 * len(models) + 10
    )


def _one_a_device(rows: list[Row]) -> list[Row]:
    return list({(row.run, row.model, row.device): row for row in reversed(rows)}.values())[::-1]
