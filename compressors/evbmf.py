"""How many components of a matrix are signal: the global analytic solution of empirical variational Bayes.

Nakajima, Sugiyama, Babacan & Tomioka 2013, "Global analytic solution of fully-observed variational Bayesian
matrix factorization", JMLR 14: theorem 9 (the threshold), equations 47 to 52 (the noise variance). Kim et al.
2016 take it as the rank of each unfolding of a layer's weights.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Powers = npt.NDArray[np.float64]

#: τ̲ = 2.5129 √α holds for every aspect ratio α to the fourth digit (Nakajima et al., equation 50).
_TAU = 2.5129
_GRID = 200  # noise variances tried, evenly in their logarithm, before the best is refined
_FLOOR = 1e-12  # of the largest power: what is below counts as zero


def evb_rank(power: Powers, rows: int, columns: int) -> int:
    """The number of components above the noise, which is estimated with them; 0 where all is noise.

    Args:
        power: squared singular values of the matrix, descending, min(rows, columns) of them.
        rows: of the matrix.
        columns: of the matrix.
    """
    small, large = sorted((rows, columns))
    power = np.maximum(np.asarray(power[:small], np.float64), _FLOOR * float(power[0]))
    if not power[0]:
        return 0
    alpha = small / large
    edge = _edge(alpha)
    noise = _noise_variance(power, small, large, edge)
    return int((power > large * noise * edge).sum())


def _edge(alpha: float) -> float:
    """The least x = γ²/(M σ²) of a component that is kept (theorem 9)."""
    tau = _TAU * np.sqrt(alpha)
    return float((1 + tau) * (1 + alpha / tau))


def _noise_variance(power: Powers, small: int, large: int, edge: float) -> float:
    """The σ² of least free energy, between the bounds of equation 51."""
    alpha = small / large
    most = min(int(np.ceil(small / (1 + alpha))) - 1, small - 1)
    rest = power[most:]
    highest = float(power.sum()) / (small * large)
    lowest = max(float(rest[0]) / (large * edge), float(rest.mean()) / large, 1e-9 * highest)
    if lowest >= highest:
        return highest
    candidates = np.geomspace(lowest, highest, _GRID)
    for _ in range(2):
        energies = [_free_energy(noise, power, large, alpha, edge) for noise in candidates]
        best = int(np.argmin(energies))
        around = candidates[max(best - 1, 0)], candidates[min(best + 1, _GRID - 1)]
        candidates = np.geomspace(*around, _GRID)
    return float(candidates[_GRID // 2])


def _free_energy(noise: float, power: Powers, large: int, alpha: float, edge: float) -> float:
    """Equation 52: twice the free energy as a function of σ², but for constants."""
    x = power / (large * noise)
    kept, dropped = x[x > edge], x[x <= edge]
    middle = kept - (1 + alpha)
    tau = 0.5 * (middle + np.sqrt(middle**2 - 4 * alpha))
    signal = kept - tau + np.log((tau + 1) / kept) + alpha * np.log(tau / alpha + 1)
    return float((dropped - np.log(dropped)).sum() + signal.sum())
