"""The picture of README: size and error of three networks before and after compression, from their records.

python -m tests.benchmarks.headline_picture docs/pictures/headline.svg
"""

from __future__ import annotations

import sys
from pathlib import Path

import altair as alt

from mlbench.records import Record, read_record
from mlbench.system.sizes import format_size
from tests.benchmarks.pictures import write_picture

RECORDS = Path(__file__).parents[2] / "docs" / "records"
TEST_SET = "faces_dev"  # people whom no network has seen
GREY, BLUE = "#8a8f98", "#3f51b5"


def main() -> None:
    """Write the picture."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rows = [row(read_record(RECORDS / f"{name}.json")) for name in ("one_pool", "two_pool", "basic")]
    write_picture(chart(rows), 620, 210, Path(sys.argv[1]))


def row(record: Record) -> dict[str, object]:
    """The baseline and the last file of a record: bytes and mean error."""
    ends = record.artifacts[0], record.artifacts[-1]
    before, after = (
        next(s for s in record.scores if (s.artifact, s.test_set) == (file.id, TEST_SET)).metrics["mae"].value
        for file in ends
    )
    return {
        "network": ends[0].variant,
        "before": ends[0].file_bytes,
        "after": ends[1].file_bytes,
        "told_before": f"{format_size(ends[0].file_bytes)}, error {before:.2f} px",
        "told_after": f"{format_size(ends[1].file_bytes)}, error {after:.2f} px",
        "times": f"{ends[0].file_bytes / ends[1].file_bytes:,.0f} times smaller",
        "middle": (ends[0].file_bytes * ends[1].file_bytes) ** 0.5,
    }


def chart(rows: list[dict[str, object]]) -> alt.LayerChart:
    """A line per network from its size before to that after, on a logarithmic axis."""
    network = alt.Y(
        "network:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False, labelFontSize=14)
    )
    sizes = alt.Axis(
        values=[10**5, 10**6, 10**7, 10**8, 10**9],
        labelExpr="{'100000': '100 KB', '1000000': '1 MB', '10000000': '10 MB', '100000000': '100 MB'}[datum.label]"
        " || '1 GB'",
        format="d",
        labelFontSize=12,
        grid=True,
    )
    scale = alt.Scale(type="log", domain=[1.5e4, 3e9])

    def x(field: str) -> alt.X:
        return alt.X(f"{field}:Q", scale=scale, axis=sizes, title="size of the file, logarithmic")

    base = alt.Chart(alt.Data(values=rows)).encode(y=network)
    dots = {"filled": True, "size": 150, "opacity": 1}
    words = {"fontSize": 13, "align": "center"}
    layers = [
        base.mark_rule(strokeWidth=3, color="#c5cae9").encode(x=x("before"), x2="after:Q"),
        base.mark_point(color=GREY, **dots).encode(x=x("before")),
        base.mark_point(color=BLUE, **dots).encode(x=x("after")),
        base.mark_text(dy=-16, color=GREY, **words).encode(x=x("before"), text="told_before:N"),
        base.mark_text(dy=-16, color=BLUE, **words).encode(x=x("after"), text="told_after:N"),
        base.mark_text(dy=16, color="#555", **words).encode(x=x("middle"), text="times:N"),
    ]
    return alt.layer(*layers)


if __name__ == "__main__":
    main()
