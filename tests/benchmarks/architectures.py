"""Table and picture of docs/evidence/architectures.md, from what searches over filters, kernels and pools left.

python -m tests.benchmarks.architectures runs/search-*/search.json docs/pictures/architectures.svg
"""

from __future__ import annotations

import sys
from pathlib import Path

import altair as alt

from mlbench.records import SearchRecord, SearchTrial
from mlbench.system.sizes import format_size
from tests.benchmarks.pictures import write_picture


def main() -> None:
    """Print the table, write the picture."""
    *found, picture = sys.argv[1:] or sys.exit(__doc__)
    records = [SearchRecord.model_validate_json(Path(path).read_text(encoding="utf-8")) for path in found]
    networks = {
        trial.network: trial for record in records for trial in record.trials if trial.state == "complete"
    }
    trials = sorted(networks.values(), key=lambda trial: trial.macs or 0)
    write_picture(chart(trials), 560, 340, Path(picture))
    print("| filters | kernels | max-pools | parameters | file | MACs | validation MAE, px |")
    print("|---|---|---|---|---|---|---|")
    for trial in trials:
        print(" | ".join(["", *_cells(trial), ""]).strip())


def _cells(trial: SearchTrial) -> list[str]:
    values = trial.values
    size = format_size(trial.file_bytes or 0)
    return [
        values["f"],
        values["k"],
        values["p"],
        f"{trial.parameters:,}",
        size,
        f"{(trial.macs or 0) / 1e6:.1f} M",
        f"{trial.value:.2f}",
    ]


def chart(trials: list[SearchTrial]) -> alt.LayerChart:
    """Error against multiply-accumulates, a line per number of pools and size of kernels."""
    rows = [
        {
            "macs": (one.macs or 0) / 1e6,
            "error": one.value,
            "pools": f"{one.values['p']} max-pool" + "s" * (one.values["p"] != "1"),
            "kernels": one.values["k"],
            "filters": one.values["f"],
        }
        for one in trials
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("macs:Q", scale=alt.Scale(type="log"), title="million multiply-accumulates, logarithmic"),
        y=alt.Y("error:Q", scale=alt.Scale(zero=False), title="validation MAE, px"),
        color=alt.Color("pools:N", title=None),
    )
    line = base.mark_line().encode(strokeDash=alt.StrokeDash("kernels:N", title="kernels"))
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(
        shape=alt.Shape("filters:N", title="filters", sort=["8-8-16", "16-16-32", "32-32-64"])
    )
    return alt.layer(line, dots)


if __name__ == "__main__":
    main()
