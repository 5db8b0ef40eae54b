"""Section 8: training and tuning, epoch by epoch (the paper's Figs. 5 and 6)."""

from __future__ import annotations

import math

import altair as alt

from mlbench.records import Record
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
    """Loss and MAE over epochs; the reader picks the model."""
    values = _values(digest)
    if not values:
        return []
    return [
        _chart(values, "rmse", "RMSE on the validation split, and squared loss as RMSE (Fig. 5)", "RMSE, px"),
        _chart(values, "mae", "MAE on the validation split, and absolute loss (Fig. 6)", "MAE, px"),
    ]


def _values(digest: Digest) -> Values:
    """Epochs of all stages one after the other; the networks share their baseline's."""
    values: Values = []
    for key in digest.selection.shown:
        stages = digest.layers[key].stages if key in digest.layers else ()
        offset = 0
        for stage in stages:
            for epoch in stage.history:
                row = {
                    "model": digest.selection.label(key),
                    "stage": stage.name,
                    "epoch": offset + epoch.epoch,
                }
                values.append(
                    row
                    | {"on": "validation", "rmse": epoch.validation_rmse_px, "mae": epoch.validation_mae_px}
                )
                if epoch.loss is not None:
                    part = "training" if stage.name == "baseline" else "tuning"
                    values.append(row | {"on": "training"} | _loss(epoch.loss, digest.runs[key[0] - 1], part))
            offset += max((epoch.epoch for epoch in stage.history), default=0)
    return values


def _loss(loss: float, run: Record, part: str) -> dict[str, float]:
    """A loss on training faces as the error that it is, in px; `part` is whose options tell it."""
    options = run.configuration.get(part)
    if isinstance(options, dict) and options.get("loss") == "absolute":
        return {"mae": round(loss, 5)}
    return {"rmse": round(math.sqrt(max(0.0, loss)), 5)}


def _chart(values: Values, field: str, title: str, axis: str) -> Chart:
    known = [value for value in values if value.get(field) is not None]
    models = list(dict.fromkeys(value["model"] for value in known))
    stages = list(dict.fromkeys(value["stage"] for value in known))
    longest = max(models, key=lambda model: len({v["stage"] for v in known if v["model"] == model}))
    models.sort(key=lambda model: model != longest)
    sides = ["validation", "training"]
    dash = alt.StrokeDash(
        "on:N", title="on", scale=alt.Scale(domain=sides, range=[[1, 0], [5, 3]]), legend=line_legend()
    )
    tips = [alt.Tooltip(f"{name}:N") for name in ("stage", "on")] + [
        alt.Tooltip("epoch:Q"),
        alt.Tooltip(f"{field}:Q", title=axis, format=".3f"),
    ]
    drawing = (
        alt.Chart(inline(known))
        .mark_line(point={"size": 22})
        .encode(
            x=alt.X("epoch:Q", title="epoch, stages one after the other", axis=alt.Axis(tickMinStep=1)),
            y=log_axis(alt.Y, field, axis, "~g"),
            color=colour("stage", stages, "stage", legend=line_legend()),
            strokeDash=dash,
            tooltip=tips,
        )
        .add_params(picker("model", "Model ", models))
        .transform_filter(chosen("model"))
    )
    told = [v for v in known if v["model"] == models[0] and v["on"] == "validation"]
    best = min(v[field] for v in told)
    text = f"{models[0]}: {told[0][field]:.3f} px at the start, {best:.3f} px at best, over {told[-1]['epoch']} epochs."
    return finish(drawing, f"curve-{field}", title, text)
