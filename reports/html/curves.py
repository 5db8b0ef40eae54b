"""Section 8: training and tuning, epoch by epoch (the paper's Figs. 5 and 6)."""

from __future__ import annotations

from typing import Any

import altair as alt

from mlbench.records import MetricFacts
from mlbench.reports.html.charts import (
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
from mlbench.reports.html.digest import Digest


def curve_charts(digest: Digest) -> list[Chart]:
    """The metrics on validation, and the loss, over epochs; the reader picks the model."""
    values = _values(digest)
    charts = [
        _chart(values, key, f"{metric.title} on the validation split", _axis(metric))
        for key, metric in digest.metrics.items()
        if any(key in value for value in values)
    ]
    losses = [value for value in values if "loss" in value]
    return [*charts, _chart(losses, "loss", "Loss on the training split", "loss")] if losses else charts


def _axis(metric: MetricFacts) -> str:
    return f"{metric.title}, {metric.unit}" if metric.unit else metric.title


def _values(digest: Digest) -> Values:
    """Epochs of all stages one after the other; the networks share their baseline's."""
    values: Values = []
    for key in digest.selection.shown:
        stages = digest.layers[key].stages if key in digest.layers else ()
        own = digest.metrics_of(key[0]).values()
        metrics = {name: metric for name, metric in digest.metrics.items() if metric in own}
        offset = 0
        for stage in stages:
            for epoch in stage.history:
                row: dict[str, Any] = {"model": digest.selection.label(key), "stage": stage.name}
                row["epoch"] = offset + epoch.epoch
                figures = {
                    name: epoch.validation[metric.name] * metric.scale
                    for name, metric in metrics.items()
                    if metric.name in epoch.validation
                }
                values.append(row | figures)
                if epoch.loss is not None:
                    values.append(row | {"loss": round(epoch.loss, 6)})
            offset += max((epoch.epoch for epoch in stage.history), default=0)
    return values


def _chart(values: Values, field: str, title: str, axis: str) -> Chart:
    known = [value for value in values if value.get(field) is not None]
    models = list(dict.fromkeys(value["model"] for value in known))
    stages = list(dict.fromkeys(value["stage"] for value in known))
    longest = max(models, key=lambda model: len({v["stage"] for v in known if v["model"] == model}))
    models.sort(key=lambda model: model != longest)
    tips = [
        alt.Tooltip("stage:N"),
        alt.Tooltip("epoch:Q"),
        alt.Tooltip(f"{field}:Q", title=axis, format=".3f"),
    ]
    drawing = (
        alt.Chart(inline(known))
        .mark_line(point={"size": 22})
        .encode(
            x=alt.X("epoch:Q", title="epoch, stages one after the other", axis=alt.Axis(tickMinStep=1)),
            y=_scale(field, axis, known),
            color=colour("stage", stages, "stage", legend=line_legend()),
            tooltip=tips,
        )
        .add_params(picker("model", "Model ", models))
        .transform_filter(chosen("model"))
    )
    told = [v for v in known if v["model"] == models[0]]
    text = f"{models[0]}: {told[0][field]:.4g} at the start, {told[-1][field]:.4g} after {told[-1]['epoch']} epochs."
    return finish(drawing, f"curve-{field}", title, text)


def _scale(field: str, axis: str, known: Values) -> Any:
    """Logarithmic where every value allows it."""
    if all(value[field] > 0 for value in known):
        return log_axis(alt.Y, field, axis, "~g")
    return alt.Y(f"{field}:Q", title=axis, scale=alt.Scale(zero=False))
