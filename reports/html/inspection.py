"""The page of `mlbench inspect`: where the time and the bytes are, who can compress what, what that costs."""

from __future__ import annotations

from typing import Any

import altair as alt

from mlbench.evaluation.amounts import change_shown
from mlbench.records import Inspection, Sensitivities
from mlbench.reports.html.charts import Chart, Values, colour, finish, inline, shape
from mlbench.reports.html.page import filled
from mlbench.reports.inspection import amount, sensitivity_title, summary, taken_and_left

_TIME, _BYTES = "time", "bytes of weights"
_MOST_ROWS = 40  # in a chart; the table has all


def render_inspection(found: Inspection) -> str:
    """The whole page as text."""
    charts = [
        *_share_charts(found),
        *(_sensitivity_charts(found.sensitivities) if found.sensitivities else []),
    ]
    return filled(
        "inspection.html.j2",
        charts,
        [layer.model_dump(mode="json") for layer in found.layers],
        found=found,
        charts=charts,
        summary=list(summary(found)),
        amount=amount,
        taken_and_left=taken_and_left,
        losses=_losses(found.sensitivities) if found.sensitivities else [],
        loss_title=sensitivity_title(found.sensitivities) if found.sensitivities else "",
    )


def _share_charts(found: Inspection) -> list[Chart]:
    """Shares of time and of bytes, side by side for each layer."""
    size = sum(layer.float32_bytes for layer in found.layers) or 1
    rows = [layer for layer in found.layers if layer.share is not None or layer.float32_bytes]
    rows = sorted(rows, key=lambda layer: -max(layer.share or 0, layer.float32_bytes / size))[:_MOST_ROWS]
    kept = [layer for layer in found.layers if layer in rows]
    if not kept:
        return []
    values: Values = []
    for layer in kept:
        if layer.share is not None:
            values.append({"layer": layer.name, "of": _TIME, "share": layer.share})
        values.append({"layer": layer.name, "of": _BYTES, "share": layer.float32_bytes / size})
    order = list(dict.fromkeys(value["layer"] for value in values))
    drawing = (
        alt.Chart(inline(values))
        .mark_bar()
        .encode(
            x=alt.X("share:Q", title="share of the whole", axis=alt.Axis(format="%")),
            y=alt.Y("layer:N", title=None, sort=order),
            yOffset=alt.YOffset("of:N", sort=[_TIME, _BYTES]),
            color=colour("of", [_TIME, _BYTES], "of"),
            tooltip=[alt.Tooltip("layer:N"), alt.Tooltip("of:N"), alt.Tooltip("share:Q", format=".1%")],
        )
    )
    text = " ".join(found.findings) or "The file was not timed: bytes alone."
    return [finish(drawing, "shares", "Where the time and the bytes are", text, height=26 * len(order) + 40)]


def _sensitivity_charts(found: Sensitivities) -> list[Chart]:
    """What each layer's compression loses, with intervals: dots."""
    metric = found.task.primary
    unit = "pp" if metric.unit == "%" else metric.unit
    values: Values = [
        {
            "layer": " + ".join(row.layers),
            "which": f"{row.technique}, {row.asked:g}×",
            "loss": row.loss.value * metric.scale,
            "low": row.loss.low * metric.scale,
            "high": row.loss.high * metric.scale,
        }
        for row in found.rows
    ]
    if not values:
        return []
    which = list(dict.fromkeys(value["which"] for value in values))
    worst: dict[str, float] = {}
    for value in values:
        worst[value["layer"]] = max(worst.get(value["layer"], value["loss"]), value["loss"])
    order = sorted(worst, key=lambda layer: -worst[layer])[:_MOST_ROWS]
    shown = [value for value in values if value["layer"] in order]
    title = f"{metric.title} lost{f', {unit}' if unit else ''}"
    base = alt.Chart(inline(shown))
    y, offset = alt.Y("layer:N", title=None, sort=order), alt.YOffset("which:N", sort=which)
    hue = colour("which", which, "technique")
    tips: list[Any] = [alt.Tooltip("layer:N"), alt.Tooltip("which:N", title="by")]
    tips += [alt.Tooltip(f"{name}:Q", format=".4g") for name in ("loss", "low", "high")]
    line = base.mark_rule(aria=False).encode(
        x=alt.X("low:Q", title=title), x2="high:Q", y=y, yOffset=offset, color=hue
    )
    dots = base.mark_point(size=50, filled=True, opacity=1).encode(
        x=alt.X("loss:Q", title=title),
        y=y,
        yOffset=offset,
        color=hue,
        shape=shape("which", which, "technique"),
        tooltip=tips,
    )
    first = order[0]
    text = (
        f"{first} costs most where it alone is compressed: {worst[first]:+.{metric.digits}f} {unit}.".replace(
            " .", "."
        )
    )
    height = (12 * len(which) + 14) * len(order) + 60
    return [
        finish(alt.layer(line, dots), "sensitivity", "Which layer costs the accuracy", text, height=height)
    ]


def _losses(found: Sensitivities) -> list[tuple[str, str, float, float, str, str]]:
    rows = sorted(found.rows, key=lambda row: -row.loss.value)
    return [
        (
            " + ".join(row.layers),
            row.technique,
            row.asked,
            row.ratio,
            *change_shown(found.task.primary, row.loss),
        )
        for row in rows
    ]
