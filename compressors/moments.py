"""First and second moments of what flows through a network, summed batch by batch: pure numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from compressors import multilinear

Matrix = npt.NDArray[np.float64]


class Moments:
    """Mean and covariances along each axis of tensors of one shape.

    The covariance along an axis is that of its n entries over samples and all other axes; every entry of the
    tensor is centred on its own mean first.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Nothing seen yet; tensors have this shape."""
        self._count = 0
        self._total = np.zeros(shape)
        self._second = [np.zeros((size, size)) for size in shape]

    def add(self, batch: npt.NDArray[np.float32]) -> None:
        """Take in tensors [samples, *shape]."""
        self._count += len(batch)
        self._total += batch.sum(axis=0, dtype=np.float64)
        for axis, second in enumerate(self._second):
            second += multilinear.gram(batch, axis + 1)

    @property
    def mean(self) -> Matrix:
        """Mean tensor, [*shape]."""
        return self._total / max(self._count, 1)

    def covariance(self, axis: int) -> Matrix:
        """Covariance [n,n] along an axis, summed over the others."""
        centre = multilinear.gram(self.mean.astype(np.float32), axis)
        return self._second[axis] / max(self._count, 1) - centre


def root(covariance: Matrix, ridge: float) -> Matrix:
    """L with L Lᵀ = covariance / its mean variance + ridge · 1, lower triangular and always invertible."""
    scale = max(float(np.trace(covariance)) / len(covariance), 1e-30)
    return np.linalg.cholesky(covariance / scale + ridge * np.eye(len(covariance)))
