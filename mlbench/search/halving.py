"""Cheap first: candidates are judged untuned, then after a quarter of their epochs, and few are tuned to the end."""

from __future__ import annotations

from collections.abc import Sequence

from mlbench.compression.chain import Chain
from mlbench.contracts import Tuned
from mlbench.search.front import Point, ranks_of

_PART = 4  # of the epochs, before the last rung
_SHARE = 1 / 3  # of a rung that goes on, and its front


def epochs_of(chain: Chain, usual: int) -> int:
    """Epochs of tuning of a whole chain, of steps that have no epochs of their own `usual`."""
    tuned = [step for step in chain.compressors if step.needs_tuning]
    return sum((step.epochs if isinstance(step, Tuned) else None) or usual for step in tuned)


def rungs_of(epochs: int) -> list[int | None]:
    """After how many epochs of tuning a candidate is judged: untuned, a quarter, all (None)."""
    if not epochs:
        return [None]
    return [0, epochs // _PART, None] if epochs // _PART > 1 else [0, None]


def goes_on(mine: Point, rung: Sequence[Point]) -> bool:
    """Whether a candidate can still reach the front: it is on that of its rung, or in the best third of it.

    Args:
        mine: its figures.
        rung: figures of all candidates that were judged after as many epochs, it among them.
    """
    ranks = ranks_of(rung)
    rank = ranks[rung.index(mine)]
    return rank == 0 or sum(other < rank for other in ranks) < _SHARE * len(rung)
