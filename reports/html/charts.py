"""What all charts share: how they look, how they are written, where a reader picks a device or a model.

Colours are CSS variables of the page, so that one drawing serves light, dark and print. The eight hues are those
of Okabe & Ito (2008), chosen to be told apart with any colour vision; shapes, dashes and labels repeat what they say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

HUES = [f"var(--hue-{n})" for n in range(1, 9)]
SHAPES = [
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "cross",
    "triangle-down",
    "triangle-right",
    "triangle-left",
]

#: Rows of data, a dictionary each.
Values = list[dict[str, Any]]

_TEXT, _MUTED, _GRID = "var(--text)", "var(--muted)", "var(--grid)"
_CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": "var(--grid)"},
    "axis": {
        "labelColor": _TEXT,
        "titleColor": _TEXT,
        "gridColor": _GRID,
        "domainColor": _MUTED,
        "tickColor": _MUTED,
        "titleFontWeight": 600,
        "labelLimit": 220,
    },
    "legend": {
        "labelColor": _TEXT,
        "titleColor": _TEXT,
        "orient": "bottom",
        "columns": {"expr": "max(1, floor(width / 260))"},
        "labelLimit": 190,
        "symbolLimit": 40,
        "symbolStrokeWidth": 2,
        "symbolOpacity": 1,
        "symbolBaseFillColor": _TEXT,
        "symbolBaseStrokeColor": _TEXT,
    },
    "title": {"color": _TEXT},
    "text": {"color": _TEXT},
    "range": {"category": HUES, "symbol": SHAPES},
}


@dataclass(frozen=True)
class Chart:
    """A chart as the page embeds it.

    Attributes:
        id: of its place in the page.
        title: what it shows.
        text: the same in words, with the figures that matter: the alternative for who cannot see it.
        spec: Vega-Lite.
    """

    id: str
    title: str
    text: str
    spec: dict[str, Any]
    square: bool = False


def finish(drawing: Any, name: str, title: str, text: str, height: int = 300, square: bool = False) -> Chart:
    """Make a drawing of Altair part of the page: as wide as its place, with its words."""
    sized = drawing.properties(width="container", height=height, description=f"{title}. {text}")
    whole = sized.properties(autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
    # Each is drawn by a browser in the tests; validating it here would take longer than making it.
    spec = whole.to_dict(validate=False)
    spec["config"] = _CONFIG
    spec.pop("$schema", None)
    return Chart(name, title, text, spec, square)


def picker(field: str, label: str, options: Iterable[str]) -> Any:
    """A parameter that the reader sets from a list; the first option is chosen at the start."""
    choices = list(dict.fromkeys(options))
    return alt.param(
        name=f"chosen_{field}", value=choices[0], bind=alt.binding_select(options=choices, name=label)
    )


def chosen(field: str) -> str:
    """The filter that goes with `picker`."""
    return f"datum.{field} == chosen_{field}"


#: Long chains often begin alike: a legend shows how they begin and how they end.
_BOTH_ENDS = (
    "length(datum.label) > 32 ? slice(datum.label, 0, 10) + '…' + slice(datum.label, -21) : datum.label"
)


def colour(field: str, domain: Sequence[str], title: str, legend: Any = alt.Undefined) -> Any:
    """Colour by a field, the same hue for the same value in every chart that gives the same domain."""
    scale = alt.Scale(domain=list(domain), range=[HUES[i % len(HUES)] for i in range(len(domain))])
    return alt.Color(f"{field}:N", title=title, scale=scale, legend=legend)


def shape(field: str, domain: Sequence[str], title: str) -> Any:
    """Shape by a field."""
    scale = alt.Scale(domain=list(domain), range=[SHAPES[i % len(SHAPES)] for i in range(len(domain))])
    return alt.Shape(f"{field}:N", title=title, scale=scale, legend=alt.Legend(labelExpr=_BOTH_ENDS))


def log_axis(kind: Any, field: str, title: str, number: str, padding: int = 12) -> Any:
    """A logarithmic axis (`kind` is alt.X or alt.Y), its numbers written as d3 formats them."""
    scale = alt.Scale(type="log", nice=False, padding=padding)
    return kind(f"{field}:Q", title=title, scale=scale, axis=alt.Axis(format=number, labelOverlap=True))


def line_legend() -> Any:
    """A legend whose signs are lines, for charts of lines."""
    return alt.Legend(symbolType="stroke", symbolSize=300, labelExpr=_BOTH_ENDS)


def inline(values: Values) -> Any:
    """Data that belongs to one chart alone."""
    return alt.Data(values=values)  # type: ignore[no-untyped-call]
