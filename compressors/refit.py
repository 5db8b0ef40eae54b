"""The last of several linear layers fitted to responses on samples: ridge regression from sums over batches.

What an approximated layer gives, z B with features z of its first factors, is brought near to what the whole layer
gave (Zhang et al. 2016, section 3.1, asks for the same of matrices): of all B near the decomposition's own the best.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlbench.networks import graph

if TYPE_CHECKING:
    import tf_keras

Array = npt.NDArray[np.float32]

#: Gives what flows into a layer, batch by batch, each time it is called.
Batches = Callable[[], Iterator[Array]]

_RIDGE = 1e-3  # of the mean variance of a feature


class Refit:
    """Sums over features [n,places,f] and responses [n,places,u]; each place has its mean, all share B [f,u]."""

    def __init__(self, places: int, features: int, units: int) -> None:
        """Nothing seen yet."""
        self._count = 0
        self._features, self._responses = np.zeros((places, features)), np.zeros((places, units))
        self._square, self._cross = np.zeros((features, features)), np.zeros((features, units))

    def add(self, features: Array, responses: Array) -> None:
        """Take in a batch."""
        Z, Y = (
            x.reshape(-1, *sums.shape)
            for x, sums in ((features, self._features), (responses, self._responses))
        )
        self._count += len(Z)
        self._features += Z.sum(axis=0, dtype=np.float64)
        self._responses += Y.sum(axis=0, dtype=np.float64)
        rows = Z.reshape(-1, Z.shape[-1])
        self._square += rows.T @ rows
        self._cross += rows.T @ Y.reshape(-1, Y.shape[-1])

    def solved(self, start: Array) -> tuple[Array, Array]:
        """B [f,u], the nearer to the given one the less samples tell, and the shift [places,u] that goes with it."""
        z, y = self._features / self._count, self._responses / self._count
        square = self._square - self._count * z.T @ z
        cross = self._cross - self._count * z.T @ y
        ridge = _RIDGE * max(float(np.trace(square)) / len(square), 1e-30)
        found = start + np.linalg.solve(square + ridge * np.eye(len(square)), cross - square @ start)
        return found.astype(np.float32), (y - z @ found).astype(np.float32)


def batches_of(network: tf_keras.Model, layer: tf_keras.layers.Layer, samples: graph.Inputs) -> Batches:
    """What flows into a layer of a network that is given samples."""
    return lambda: (found[layer.name] for found in graph.inputs_of(network, [layer], samples))
