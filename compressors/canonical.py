"""Canonical polyadic (CP) decomposition of kernels: T ≈ Σᵣ a_r ∘ b_r ∘ c_r. Pure functions on numpy arrays.

A CP decomposition of a given rank has no closed form, its best one need not exist, and alternating least squares
(ALS) may follow huge components that cancel (de Silva & Lim 2008). So a start in closed form, which is nested in its
rank, is what ranks are chosen by; tensorly's ALS improves it, held back by a ridge, and the best iterate is kept.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Factor = npt.NDArray[np.float32]
Factors = tuple[Factor, Factor, Factor]

_RIDGE = 1e-6  # of ALS, on a tensor of norm 1
_SETTLED = 1e-5  # an iteration that wins less of the relative error is the last
_WORK = 1e10  # multiply-accumulates of ALS on a tensor
_ITERATIONS = (3, 50)  # at least and at most, whatever the work
_LARGEST = 1 << 28  # entries of what ALS forms for a mode: the product of the others' sizes and the rank


@dataclass(frozen=True)
class Canonical:
    """Orthogonal components of a tensor [t,m,n], the strongest first.

    Attributes:
        power: [R], squared norms of the components, descending; they add up to that of the tensor.
        factors: [t,R], [m,R] and [n,R] of all components, each with the same norm in all three.
    """

    power: npt.NDArray[np.float64]
    factors: Factors

    def leading(self, rank: int) -> Factors:
        """Factors of the strongest components."""
        first, second, third = (factor[:, :rank] for factor in self.factors)
        return first, second, third


def orthogonal(tensor: Factor) -> Canonical:
    """The components that SVDs give: of the first mode, then of the matrix [m,n] of each of its directions.

    All of them together are the tensor; the strongest R are the best R of them.
    """
    taps = np.linalg.svd(tensor.reshape(len(tensor), -1), full_matrices=False)[0]
    left, values, right = np.linalg.svd(np.tensordot(taps.T, tensor, 1), full_matrices=False)
    order = np.argsort(-values, axis=None, kind="stable")
    tap, place = np.unravel_index(order, values.shape)
    found = taps[:, tap], left[tap, :, place].T, right[tap, place].T
    strengths = values[tap, place]
    return Canonical(np.square(strengths, dtype=np.float64), _scaled(found, np.cbrt(strengths)))


def iterations_of(tensor: Factor, rank: int) -> int:
    """How often ALS may go over all factors; 0 where it would need too much memory."""
    if tensor.size // min(tensor.shape) * rank > _LARGEST:
        return 0
    least, most = _ITERATIONS
    return int(np.clip(_WORK / (3 * tensor.size * rank), least, most))


def improved(tensor: Factor, start: Factors, iterations: int) -> Factors:
    """The best that ALS finds from a start; the start itself where that is nearer to the tensor."""
    import tensorly
    from tensorly.cp_tensor import CPTensor
    from tensorly.decomposition import parafac

    size = float(np.linalg.norm(tensor))
    if not size or not iterations:
        return start
    begin = _scaled(start, np.float32(1 / np.cbrt(size)))
    best, least = list(begin), np.inf

    def keep(found: CPTensor, error: float) -> None:
        nonlocal best, least
        if error < least:
            best, least = list(found.factors), float(error)

    # Components that cannot be told apart end it; what was found before counts.
    with tensorly.backend_context("numpy", local_threadsafe=True), suppress(np.linalg.LinAlgError):
        parafac(
            tensor / np.float32(size),
            start[0].shape[1],
            n_iter_max=iterations,
            init=CPTensor((None, list(begin))),
            l2_reg=_RIDGE,
            tol=_SETTLED,
            callback=keep,
        )
    return balanced(best, size)


def balanced(factors: list[Factor], size: float = 1.0) -> Factors:
    """Factors of the same components times `size`, each component of equal norm in all of them."""
    norms = [np.linalg.norm(factor, axis=0) for factor in factors]
    strengths = np.cbrt(np.prod(norms, axis=0) * size)
    scales = [strengths / np.maximum(norm, 1e-30) for norm in norms]
    first, second, third = (
        np.ascontiguousarray(factor * scale, np.float32)
        for factor, scale in zip(factors, scales, strict=True)
    )
    return first, second, third


def kept(tensor: Factor, factors: Factors) -> float:
    """Share of the tensor's power that is in the approximation: what is missing counts against it."""
    first, second, third = factors
    missing = 0.0
    for tap, row in zip(tensor, first, strict=True):
        missing += float(np.square(tap - (second * row) @ third.T, dtype=np.float64).sum())
    return max(0.0, 1 - missing / max(float(np.square(tensor, dtype=np.float64).sum()), 1e-300))


def _scaled(factors: Factors, scale: npt.NDArray[np.floating] | np.floating) -> Factors:
    first, second, third = (np.ascontiguousarray(factor * scale, np.float32) for factor in factors)
    return first, second, third
