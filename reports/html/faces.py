"""Section 5: faces with truth and prediction, and the error of each landmark on the mean face."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import altair as alt

from mlbench.faces.dataset import CROP
from mlbench.records import Point
from mlbench.reports.html.charts import Chart, Values, chosen, finish, inline, picker
from mlbench.reports.html.digest import Digest


def dots(points: Iterable[Point]) -> str:
    """Points as an SVG path of strokes without length: round caps make each a dot, in few bytes."""
    return "".join(f"M{_coordinate(x)} {_coordinate(y)}h0" for x, y in points)


def _coordinate(value: float) -> str:
    """To a tenth of a pixel, and near the crop: a wild prediction stays at its border."""
    return f"{min(max(value, -8.0), CROP + 8.0):.1f}".removesuffix(".0")


def landmark_chart(digest: Digest) -> list[Chart]:
    """The mean face with each landmark as large as its error; the reader picks the model."""
    values: Values = []
    for key in digest.selection.shown:
        faces = digest.faces.get(key)
        if faces is None or not faces.by_landmark_px:
            continue
        for number, ((x, y), error) in enumerate(zip(faces.mean_face, faces.by_landmark_px, strict=False), 1):
            row = {"model": digest.selection.label(key), "landmark": number}
            values.append(row | {"x": x, "y": y, "error": round(error, 3)})
    if not values:
        return []
    models = list(dict.fromkeys(value["model"] for value in values))
    scheme = alt.Scale(scheme="viridis", reverse=True, zero=True)
    tips = [alt.Tooltip("landmark:Q"), alt.Tooltip("error:Q", title="error, px", format=".2f")]
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
    told = ", ".join(f"{value['landmark']} ({value['error']:.2f} px)" for value in worst)
    text = f"{models[0]}: largest at landmarks {told}, of 68; numbering from 1 as in the 68-point scheme."
    return [
        finish(drawing, "landmarks", "Error of each landmark on the mean face", text, height=400, square=True)
    ]
