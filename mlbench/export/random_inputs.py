"""Random inputs for a network that is measured without data, the same on every device.

Imports numpy alone: the measuring process loads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlbench.export.interpreter import Port

#: Samples that are drawn, and taken in turn.
COUNT = 8


def drawn(ports: Sequence[Port], seed: int) -> list[list[np.ndarray]]:
    """Samples of one array per input, as the file takes it, with its batch."""
    rng = np.random.default_rng(seed)
    return [[port.drawn(rng) for port in ports] for _ in range(COUNT)]
