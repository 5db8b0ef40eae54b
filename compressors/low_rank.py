"""Low-rank factorisation of matrices: directions, ranks, factors. Pure functions on numpy arrays.

A matrix W [m,n] becomes A B with A = W V [m,r] and B = Vᵀ [r,n], where the columns of V [n,r] are orthonormal.
Which V is best depends on what shall stay near:

* the weights: the right singular vectors of W (Eckart & Young 1936), found as eigenvectors of WᵀW,
  so that a 135,424×1000 matrix costs one product and a 1000×1000 eigenproblem;
* the responses y = x W + b on given inputs: the principal directions of y
  (Zhang, Zou, He & Sun 2016, "Accelerating very deep convolutional networks", section 3.1, equation 4).

At full rank V Vᵀ = 1 and both are exact, whatever the accuracy of the eigenvectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlbench.compressors import multilinear

Matrix = npt.NDArray[np.float32]
Powers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spectrum:
    """Orthonormal directions in the space of a layer's outputs, and what each carries.

    Attributes:
        power: [n], descending, not negative: squared singular values, or variances of the responses.
        directions: [n,n], column j is the direction with power[j].
        centre: [n], the mean response that factorising leaves where it is; zero for weights.
    """

    power: npt.NDArray[np.float64]
    directions: Matrix
    centre: npt.NDArray[np.float64]

    def energy(self, rank: int) -> float:
        """Share of the power that the first `rank` directions carry."""
        total = float(self.power.sum())
        return float(self.power[:rank].sum()) / total if total else 1.0

    def rank_for(self, energy: float) -> int:
        """The smallest rank, at least 1, whose directions carry this share of the power."""
        total = float(self.power.sum())
        if not total:
            return 1
        shares = np.cumsum(self.power) / total
        return min(int(np.searchsorted(shares, energy * (1 - 1e-12))) + 1, len(self.power))


def weight_spectrum(weights: Matrix) -> Spectrum:
    """Right singular vectors and squared singular values of W [m,n]."""
    gram = multilinear.gram(weights, 1)
    return Spectrum(*multilinear.eigenvectors(gram), np.zeros(len(gram)))


class ResponseSums:
    """Principal directions and variances of responses that come batch by batch."""

    def __init__(self, units: int) -> None:
        """Nothing seen yet."""
        self._count = 0
        self._origin: Powers | None = None
        self._total = np.zeros(units)
        self._second = np.zeros((units, units))

    def add(self, responses: npt.NDArray[np.floating]) -> None:
        """Take in responses [...,n]."""
        rows = responses.reshape(-1, responses.shape[-1]).astype(np.float64)
        if self._origin is None:
            # Sums around a mean that is nearly right lose no digits where variances are small beside it.
            self._origin = rows.mean(axis=0)
        rows -= self._origin
        self._count += len(rows)
        self._total += rows.sum(axis=0)
        self._second += rows.T @ rows

    def spectrum(self) -> Spectrum:
        """Of what was seen; at least one response."""
        shift = self._total / self._count
        gram = self._second / self._count - np.outer(shift, shift)
        centre = shift if self._origin is None else self._origin + shift
        return Spectrum(*multilinear.eigenvectors(gram), centre)


def response_spectrum(responses: npt.NDArray[np.floating]) -> Spectrum:
    """Principal directions and variances of responses [samples,n]."""
    sums = ResponseSums(responses.shape[-1])
    sums.add(responses)
    return sums.spectrum()


def factorise(weights: Matrix, spectrum: Spectrum, rank: int) -> tuple[Matrix, Matrix]:
    """Factors A [m,rank] and B [rank,n] with A B ≈ W [m,n].

    Raises:
        ValueError: rank below 1 or above n.
    """
    if not 1 <= rank <= weights.shape[1]:
        message = f"rank {rank} is not between 1 and {weights.shape[1]}"
        raise ValueError(message)
    kept = spectrum.directions[:, :rank]
    return weights @ kept, np.ascontiguousarray(kept.T)


def recentred_bias(bias: Matrix, spectrum: Spectrum, rank: int) -> Matrix:
    """The bias [n] with which the factors leave the centre of the responses where it is."""
    kept = spectrum.directions[:, :rank].astype(np.float64)
    return (((bias - spectrum.centre) @ kept) @ kept.T + spectrum.centre).astype(np.float32)
