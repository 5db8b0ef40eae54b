"""The picture of docs/evidence/ready-models.md: error against bytes of the ready models, others' networks beside them.

python -m tests.benchmarks.error_by_bytes docs/pictures/error-by-bytes.svg
"""

from __future__ import annotations

import sys
from pathlib import Path

import altair as alt

from mlbench.export import ready_models
from tests.benchmarks.pictures import write_picture

TEST_SET = "human_dev:human (frontal)"  # manual labels, of people whom no network has seen
GREY, BLUE = "#8a8f98", "#3f51b5"

#: Bytes and NME, %, as measured by others with each network's own crop, on the same kind of faces.
OTHERS = {
    "face-api tiny": (77_224, 5.4),
    "MediaPipe": (1_242_398, 5.3),
    "PFLD": (2_987_921, 3.8),
}


def main() -> None:
    """Write the picture."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write_picture(chart([*map(point, ready_models.models())]), 620, 320, Path(sys.argv[1]))


def point(model: ready_models.Model) -> dict[str, object]:
    """A ready model: name, bytes and NME, %, as recorded."""
    error = next(scores for scores in model.scores if scores.test_set == TEST_SET).metrics["nme"].value
    return {"name": model.name, "bytes": model.artifact.file_bytes, "nme": 100 * error}


def front(points: list[dict[str, object]]) -> list[dict[str, object]]:
    """Those that no smaller one beats, from the smallest on."""
    found: list[dict[str, object]] = []
    for one in sorted(points, key=lambda one: (one["bytes"], one["nme"])):
        if not found or one["nme"] < found[-1]["nme"]:  # type: ignore[operator]
            found.append(one)
    return found


def chart(ours: list[dict[str, object]]) -> alt.LayerChart:
    """Points by bytes, on a logarithmic axis, and error; a line through our front."""
    others = [{"name": name, "bytes": size, "nme": nme} for name, (size, nme) in OTHERS.items()]
    sizes = alt.Axis(
        values=[30_000, 10**5, 3 * 10**5, 10**6, 3 * 10**6],
        labelExpr="datum.value < 1e6 ? datum.value / 1e3 + ' KB' : datum.value / 1e6 + ' MB'",
        labelFontSize=12,
    )
    x = alt.X(
        "bytes:Q",
        scale=alt.Scale(type="log", domain=[25_000, 6_000_000]),
        axis=sizes,
        title="size of the file, logarithmic",
    )
    y = alt.Y("nme:Q", scale=alt.Scale(domain=[3.6, 5.6]), title="NME, %, manual labels, frontal faces")
    layers: list[alt.Chart] = [
        alt.Chart(alt.Data(values=front(ours))).mark_line(color="#c5cae9", strokeWidth=3).encode(x=x, y=y)
    ]
    for points, color in ((ours, BLUE), (others, GREY)):
        base = alt.Chart(alt.Data(values=points)).encode(x=x, y=y)
        layers += [
            base.mark_point(color=color, filled=True, size=110, opacity=1),
            base.mark_text(color=color, fontSize=12, dx=9, align="left").encode(text="name:N"),
        ]
    return alt.layer(*layers)


if __name__ == "__main__":
    main()
