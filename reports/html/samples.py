"""Section 5: samples with truth and answer, and the error of each point on the mean sample."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import altair as alt

from mlbench.records import Point
from mlbench.reports.html.charts import Chart, Values, chosen, finish, inline, picker
from mlbench.reports.html.digest import Digest

_BEYOND = 8.0  # pixels outside a picture that a wild answer is drawn at


def dots(points: Iterable[Point], width: int, height: int) -> str:
    """Points as an SVG path of strokes without length: round caps make each a dot, in few bytes."""
    return "".join(f"M{_coordinate(x, width)} {_coordinate(y, height)}h0" for x, y in points)


def _coordinate(value: float, size: int) -> str:
    """To a tenth of a pixel, and near the picture: a wild answer stays at its border."""
    return f"{min(max(value, -_BEYOND), size + _BEYOND):.1f}".removesuffix(".0")


def point_chart(digest: Digest) -> list[Chart]:
    """The mean sample with each point as large as its error; the reader picks the model."""
    values: Values = []
    for key in digest.selection.shown:
        samples = digest.samples.get(key)
        if samples is None or not samples.point_errors:
            continue
        for number, ((x, y), error) in enumerate(
            zip(samples.mean_points, samples.point_errors, strict=True), 1
        ):
            row = {"model": digest.selection.label(key), "point": number}
            values.append(row | {"x": x, "y": y, "error": round(error, 3)})
    if not values:
        return []
    models = list(dict.fromkeys(value["model"] for value in values))
    scheme = alt.Scale(scheme="viridis", reverse=True, zero=True)
    tips = [alt.Tooltip("point:Q"), alt.Tooltip("error:Q", title="error, px", format=".2f")]
    axis: dict[str, Any] = {"scale": alt.Scale(zero=False, padding=14), "axis": None}
    drawing = (
        alt.Chart(inline(values))
        .mark_circle(opacity=1, stroke="var(--text)", strokeWidth=0.6)
        .encode(
            x=alt.X("x:Q", **axis),
            y=alt.Y("y:Q", sort="descending", **axis),
            size=alt.Size("error:Q", scale=alt.Scale(range=[15, 260], zero=True), title="error, px"),
            color=alt.Color("error:Q", title="error, px", scale=scheme),
            tooltip=tips,
        )
        .add_params(picker("model", "Model ", models))
        .transform_filter(chosen("model"))
    )
    first = [value for value in values if value["model"] == models[0]]
    worst = sorted(first, key=lambda value: -value["error"])[:3]
    told = ", ".join(f"{value['point']} ({value['error']:.2f} px)" for value in worst)
    text = f"{models[0]}: largest at points {told}, of {len(first)}; numbered from 1."
    return [
        finish(drawing, "points", "Error of each point on the mean sample", text, height=400, square=True)
    ]
