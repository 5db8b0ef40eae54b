"""What the paper reports (its Tables 1 and 2), to stand beside our figures and never among them."""

from __future__ import annotations

from dataclasses import dataclass

from mlbench.records import TaskFacts


@dataclass(frozen=True)
class PaperResult:
    """One network; `fps` is on an HTC 10, detector included, None where it could not be loaded."""

    accuracy: float
    loss: float
    file_mb: float
    fps: float | None


PAPER_RESULTS = {
    "basic": PaperResult(accuracy=0.63, loss=0.17, file_mb=32.5, fps=15),
    "two_pool": PaperResult(accuracy=0.64, loss=0.12, file_mb=120, fps=None),
    "one_pool": PaperResult(accuracy=0.69, loss=0.38, file_mb=518, fps=None),
}

#: The paper's task: of networks for another, its figures say nothing.
_TASK = "landmarks"


def paper_result(variant: str, task: TaskFacts | None) -> PaperResult | None:
    """What the paper reports of a network; None where it has none of this name and task."""
    return PAPER_RESULTS.get(variant) if task is not None and task.name == _TASK else None


#: The detector alone, at 864×480.
PAPER_DETECTOR_FPS = 17
