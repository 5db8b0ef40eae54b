"""Pictures of docs/, drawn with one look."""

from __future__ import annotations

from pathlib import Path

import altair as alt
import vl_convert


def write_picture(layers: alt.LayerChart, width: int, height: int, path: Path) -> None:
    """Write a chart as an SVG; width and height are those of its plot, px."""
    drawn = layers.properties(width=width, height=height, background="white", padding=12)
    drawn = drawn.configure(font="sans-serif")
    path.write_text(vl_convert.vegalite_to_svg(drawn.to_json()) + "\n", encoding="utf-8")
