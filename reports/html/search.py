"""The page of `mlbench search`: the front, the path of the search, what each option did, and every trial."""

from __future__ import annotations

import re
from typing import Any

import altair as alt

from mlbench.records import SearchRecord, SearchTrial
from mlbench.reports.html.charts import Chart, Values, colour, finish, inline, log_axis, shape
from mlbench.reports.html.page import filled
from mlbench.system.sizes import format_size

_FRONT, _OTHER = "front", "other"
_KINDS = ["front", "complete", "stopped early"]
_AMOUNT = re.compile(r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)([A-Za-z]*)")


def render_search(found: SearchRecord) -> str:
    """The whole page as text."""
    charts = [chart for chart in (_front(found), _options(found), _path(found)) if chart is not None]
    trials = found.trials_by_number
    return filled(
        "search.html.j2",
        charts,
        [trial.model_dump(mode="json") for trial in found.trials],
        found=found,
        charts=charts,
        front=[(point, trials[point.trial]) for point in found.front],
        told=lambda value: "–" if value is None else found.metric.told(value),
        ends=lambda one: (
            f"{found.metric.told(one.value)} ({found.metric.told(one.low)} to {found.metric.told(one.high)})"
        ),
    )


def _kind(found: SearchRecord, trial: SearchTrial) -> str:
    if any(point.trial == trial.number for point in found.front):
        return _KINDS[0]
    return _KINDS[1] if trial.state == "complete" else _KINDS[2]


def _front(found: SearchRecord) -> Chart | None:
    """Every trial by bytes and metric; those of the front joined, with the intervals of the run at the end."""
    metric, tested = found.metric, {point.trial: point.tested for point in found.front}
    values: Values = [
        {
            "bytes": trial.file_bytes,
            "value": trial.value * metric.scale,
            "kind": _kind(found, trial),
            "chain": trial.chain,
            "network": trial.network,
            "trial": trial.number,
        }
        for trial in found.trials
        if trial.file_bytes and trial.value is not None
    ]
    if not values:
        return None
    for value in values:
        if interval := tested.get(value["trial"]):
            value |= {"low": interval.low * metric.scale, "high": interval.high * metric.scale}
    named = f"{metric.title}, {metric.unit}" if metric.unit else metric.title
    heading = f"{named}, on validation samples"
    x = log_axis(alt.X, "bytes", "file, bytes", "~s", padding=16)
    y = alt.Y(
        "value:Q",
        title=heading,
        scale=alt.Scale(zero=False, padding=12, reverse=metric.better == "higher"),
    )
    hue = colour("kind", _KINDS, "trial")
    tips: list[Any] = [alt.Tooltip(f"{name}:N") for name in ("network", "chain", "kind")]
    tips += [alt.Tooltip("trial:Q"), alt.Tooltip("bytes:Q", format=",")]
    tips += [alt.Tooltip(f"{name}:Q", format=f".{metric.digits}f") for name in ("value", "low", "high")]
    base = alt.Chart(inline(values)).encode(x=x)
    line = (
        base.transform_filter("datum.kind == 'front'")
        .mark_line(interpolate="step-after", strokeDash=[4, 3], color="var(--muted)", aria=False)
        .encode(y=y, order="bytes:Q")
    )
    spread = (
        base.transform_filter("isValid(datum.low)")
        .mark_rule(aria=False)
        .encode(y=alt.Y("low:Q", title=heading), y2="high:Q", color=hue)
    )
    points = base.mark_point(size=90, filled=True).encode(
        y=y, color=hue, shape=shape("kind", _KINDS, "trial"), tooltip=tips
    )
    text = f"{len(values)} of {len(found.trials)} trials have figures; {len(found.front)} are on the front"
    smallest = [f"{point_told(found, point.trial)}" for point in found.front[:6]]
    return finish(
        alt.layer(line, spread, points),
        "search-front",
        "The front",
        f"{text}: {'; '.join(smallest)}.",
        height=340,
    )


def point_told(found: SearchRecord, number: int) -> str:
    """A trial in words: its chain, bytes and metric."""
    trial = found.trials_by_number[number]
    return f"{trial.chain} ({format_size(trial.file_bytes or 0)}, {found.metric.told(trial.value or 0)})"


def _options(found: SearchRecord) -> Chart | None:
    """Parallel coordinates: a line per trial through the values that were chosen, those of the front apart."""
    names = list(dict.fromkeys(name for trial in found.trials for name in trial.values))
    places = {name: _places([t.values[name] for t in found.trials if name in t.values]) for name in names}
    values: Values = [
        {
            "name": name,
            "at": places[name][text],
            "text": text,
            "chain": trial.chain,
            "trial": trial.number,
            "kind": _FRONT if _kind(found, trial) == _KINDS[0] else _OTHER,
        }
        for trial in found.trials
        for name, text in trial.values.items()
    ]
    if len(names) < 2:
        return None
    base = alt.Chart(inline(values)).encode(
        x=alt.X("name:N", title=None, sort=names, axis=alt.Axis(labelAngle=-30)),
        y=alt.Y("at:Q", title="value, from its least to its most", axis=alt.Axis(labels=False)),
        detail="trial:N",
        color=colour("kind", [_FRONT, _OTHER], "trial"),
    )
    tips = [alt.Tooltip("name:N"), alt.Tooltip("text:N", title="value"), alt.Tooltip("chain:N")]
    others = base.transform_filter("datum.kind == 'other'").mark_line(opacity=0.25, aria=False)
    front = base.transform_filter("datum.kind == 'front'").mark_line(strokeWidth=2.5, aria=False)
    points = base.mark_point(filled=True, size=40).encode(tooltip=tips)
    chosen: dict[str, dict[str, None]] = {}
    for value in values:
        if value["kind"] == _FRONT:
            chosen.setdefault(value["name"], {})[value["text"]] = None
    text = (
        "Values on the front: "
        + "; ".join(f"{name} {', '.join(texts)}" for name, texts in chosen.items())
        + "."
    )
    return finish(alt.layer(others, front, points), "search-options", "What was chosen", text, height=320)


def _places(texts: list[str]) -> dict[str, float]:
    """Where values stand between 0 and 1: numbers of one unit by their size, others by their turn."""
    amounts = [_AMOUNT.fullmatch(text) for text in texts]
    numbers = {amount[0]: float(amount[1]) for amount in amounts if amount}
    if not all(amounts) or len({amount[2] for amount in amounts if amount}) > 1:
        numbers = {text: float(place) for place, text in enumerate(dict.fromkeys(texts))}
    low, high = min(numbers.values()), max(numbers.values())
    return {text: (number - low) / ((high - low) or 1) for text, number in numbers.items()}


def _path(found: SearchRecord) -> Chart | None:
    """How the front's volume grew."""
    if not found.volumes:
        return None
    values: Values = [{"count": n, "volume": volume} for n, volume in enumerate(found.volumes, 1)]
    drawing = (
        alt.Chart(inline(values))
        .mark_line(interpolate="step-after", point=True)
        .encode(
            x=alt.X("count:Q", title="trials carried out", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("volume:Q", title="hypervolume of the front", scale=alt.Scale(zero=False)),
            tooltip=[alt.Tooltip("count:Q"), alt.Tooltip("volume:Q", format=".4f")],
        )
    )
    text = f"From {found.volumes[0]:.4f} to {found.volumes[-1]:.4f} in {len(found.volumes)} trials."
    return finish(drawing, "search-path", "The path of the search", text)
