"""Random inputs for a network that is measured without data, the same on every device.

Imports numpy alone: the measuring process loads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlbench.export.interpreter import Port

#: Samples that are drawn, and taken in turn.
COUNT = 8


def drawn(ports: list[Port], seed: int) -> list[list[np.ndarray]]:
    """Samples of one real array [*shape without the batch] per input."""
    rng = np.random.default_rng(seed)
    return [[rng.random(port.shape[1:], np.float32) for port in ports] for _ in range(COUNT)]
