"""Section 4: the paper's Tables 1 and 2 beside ours."""

from __future__ import annotations

from dataclasses import dataclass

from mlbench.reports.html.digest import Digest
from mlbench.reports.html.rows import Row
from mlbench.reports.paper_results import PAPER_RESULTS, PaperResult, paper_result


@dataclass(frozen=True)
class Beside:
    """One network of the paper, with our baseline and our smallest candidate that keeps its error."""

    variant: str
    paper: PaperResult
    ours: Row
    best: Row | None
    image: str  # shape before the dense layers


def paper_rows(digest: Digest) -> list[Beside]:
    """The paper's networks that the records hold, in its order; the first run of each."""
    rows = []
    for variant, paper in PAPER_RESULTS.items():
        of_paper = [row for row in digest.rows if row.variant == variant and paper_result(variant, row.task)]
        ours = next((row for row in of_paper if row.baseline), None)
        if ours is not None:
            shape = digest.feature_maps[ours.run, ours.model]
            image = "×".join(str(n) for n in shape[:2])
            rows.append(
                Beside(variant, paper, ours, digest.selection.winners.get((variant, ours.metric)), image)
            )
    return rows
