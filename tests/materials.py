"""What tests learn from: sampled landmarks, divided as a run divides them."""

from __future__ import annotations

from mlbench.contracts import Samples
from mlbench.data.split import split
from mlbench.faces.landmarks import Landmarks
from mlbench.training.baselines import Material


def material_of(samples: Samples, seed: int = 7) -> Material:
    """Samples of landmarks, their test split by this seed."""
    return Material(Landmarks(), samples, split(samples, "file-order", seed))
