"""Tucker decomposition of tensors: T ≈ core ×₁ F₁ ×₂ F₂ …, in chosen modes. Pure functions on numpy arrays.

De Lathauwer, De Moor & Vandewalle 2000: the higher-order SVD (HOSVD) takes the leading eigenvectors of each
mode's Gram matrix; orthogonal iteration (HOOI) improves them in turn. Gram matrices are summed over slices of
the tensor, so that a 46×46×64×1000 tensor needs no copy of itself in another order; `tensorly.partial_tucker`,
which unfolds it and takes full SVDs, needs minutes and several times the tensor's memory there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[np.float32]
Gram = npt.NDArray[np.float64]

_BLOCK = 1 << 23  # elements of the tensor worked on at a time


@dataclass(frozen=True)
class Tucker:
    """core [r₁,…] and factors [n_k,r_k] by mode; modes without a factor are whole."""

    core: Tensor
    factors: dict[int, Tensor]

    def tensor(self) -> Tensor:
        """The approximated tensor."""
        whole = self.core
        for mode, factor in self.factors.items():
            whole = times(whole, factor.T, mode)
        return whole

    def truncated(self, ranks: dict[int, int]) -> Tucker:
        """The leading part of the core and of the factors."""
        cut = tuple(slice(ranks.get(mode)) for mode in range(self.core.ndim))
        factors = {mode: factor[:, : ranks[mode]] for mode, factor in self.factors.items()}
        return Tucker(np.ascontiguousarray(self.core[cut]), factors)


def gram(tensor: Tensor, mode: int) -> Gram:
    """T₍ₖ₎ T₍ₖ₎ᵀ [n_k,n_k] of the mode's unfolding."""
    size, suffix = tensor.shape[mode], int(np.prod(tensor.shape[mode + 1 :]))
    parts = tensor.reshape(-1, size, suffix)
    step = max(1, _BLOCK // (size * suffix))
    total = np.zeros((size, size))
    for start in range(0, len(parts), step):
        block = parts[start : start + step]
        if suffix == 1:
            total += block[..., 0].T @ block[..., 0]
        else:
            total += np.matmul(block, block.transpose(0, 2, 1)).sum(axis=0)
    return total


def times(tensor: Tensor, factor: Tensor, mode: int) -> Tensor:
    """T ×ₖ Fᵀ: the mode's n_k entries become the r of F [n_k,r]."""
    shape = (*tensor.shape[:mode], factor.shape[1], *tensor.shape[mode + 1 :])
    suffix = int(np.prod(tensor.shape[mode + 1 :]))
    if suffix == 1:
        return (tensor.reshape(-1, len(factor)) @ factor).reshape(shape)
    return np.matmul(factor.T, tensor.reshape(-1, len(factor), suffix)).reshape(shape)


def eigenvectors(matrix: Gram) -> tuple[npt.NDArray[np.float64], Tensor]:
    """Eigenvalues, descending and not negative, and eigenvectors [n,n] as columns."""
    values, vectors = np.linalg.eigh(matrix)
    return np.maximum(values[::-1], 0), np.ascontiguousarray(vectors[:, ::-1], np.float32)


def hosvd(tensor: Tensor, bases: dict[int, Tensor]) -> Tucker:
    """The core that given orthonormal bases [n_k,r_k] leave, most reducing mode first."""
    core = tensor
    for mode in sorted(bases, key=lambda m: bases[m].shape[1] / bases[m].shape[0]):
        core = times(core, bases[mode], mode)
    return Tucker(core, dict(bases))


def hooi(tensor: Tensor, bases: dict[int, Tensor], iterations: int = 2) -> Tucker:
    """Improve bases [n_k,r_k] in turn, each on the tensor projected on the others.

    The reconstruction error never rises. The largest mode is projected away once an iteration.
    """
    if not bases:
        return Tucker(tensor, {})
    bases = dict(bases)
    largest = max(bases, key=lambda mode: bases[mode].shape[0])
    for _ in range(iterations):
        small = times(tensor, bases[largest], largest)
        others = {mode: basis for mode, basis in bases.items() if mode != largest}
        for mode in others:
            rest = {m: basis for m, basis in others.items() if m != mode}
            others[mode] = _leading(hosvd(small, rest).core, mode, bases[mode].shape[1])
        bases = others | {largest: _leading(hosvd(tensor, others).core, largest, bases[largest].shape[1])}
    return hosvd(tensor, bases)


def refitted(
    core: npt.NDArray[np.float32],
    features: npt.NDArray[np.floating],
    residual: npt.NDArray[np.floating],
    ridge: float,
) -> npt.NDArray[np.float32]:
    """The core nearest to the given one that explains what it left unexplained: ridge regression.

    Args:
        core: [features, outputs].
        features: [samples, features], centred.
        residual: [samples, outputs], what the core leaves of the outputs.
        ridge: of the mean variance a sample or feature (whichever are fewer) has.
    """
    Z = features.astype(np.float32, copy=False)
    tall = len(Z) > Z.shape[1]
    square = (Z.T @ Z if tall else Z @ Z.T).astype(np.float64)
    square[np.diag_indices_from(square)] += ridge * max(np.trace(square) / len(square), 1e-30)
    given = Z.T @ residual if tall else residual
    solved = np.linalg.solve(square, given).astype(np.float32)
    return core + (solved if tall else Z.T @ solved)


def _leading(tensor: Tensor, mode: int, rank: int) -> Tensor:
    return eigenvectors(gram(tensor, mode))[1][:, :rank]
