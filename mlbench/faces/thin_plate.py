"""Thin-plate smoothing splines: the smoothest warp that takes points near points, and exactly where.

Bookstein 1989, "Principal warps", with Wahba's smoothing. The kernel is the shifted s log s, s = r² + c²,
which has no singularity at r = 0: a map of it can be computed at nodes and interpolated between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

# Of 4 to 9 px² and 32 to 64 px² these interpolate best between nodes; the warp misses its targets by 0.3 px (mean).
_SHIFT = 9.0  # c², px²
_SMOOTHING = 48.0  # px²
_NEWTON_STEPS = 8
_CONVERGED = 1e-2  # px; the error after the last step is about its square
_STEP = 2  # pixels between nodes


@dataclass(frozen=True)
class ThinPlate:
    """A warp of the plane.

    Attributes:
        sources: where the kernels stand, px, [n,2].
        weights: of the n kernels, then of (1, x, y), for x and y; [n+3,2].
    """

    sources: Points
    weights: Points

    @classmethod
    def through(cls, sources: Points, targets: Points) -> ThinPlate:
        """The spline that takes each source near its target, both [n,2]."""
        n = len(sources)
        squared = _squared_distances(sources, sources)
        system = np.zeros((n + 3, n + 3))
        system[:n, :n] = squared * np.log(squared) + _SMOOTHING * np.eye(n)
        system[:n, n] = system[n, :n] = 1
        system[:n, n + 1 :] = sources
        system[n + 1 :, :n] = sources.T
        weights = np.linalg.solve(system, np.vstack([targets, np.zeros((3, 2))]))
        return cls(sources, np.asarray(weights, np.float64))

    def __call__(self, points: Points) -> Points:
        """Where the warp takes points, [m,2]."""
        return np.asarray(_spline(points, self.sources, self.weights), np.float64)

    def dense(self, side: int) -> npt.NDArray[np.float32]:
        """Where it takes every pixel of a square image, for `cv2.remap`: float32 [side,side,2] of x and y."""
        nodes, rows = _upsampling(side)
        coarse = _spline(nodes, self.sources.astype(np.float32), self.weights.astype(np.float32))
        fine = np.empty((side, side, 2), np.float32)
        for axis in range(2):
            fine[..., axis] = rows @ coarse[:, axis].reshape(rows.shape[1], -1) @ rows.T
        return fine

    def preimages(self, targets: Points, near: Points) -> tuple[Points, float]:
        """The points that the warp takes to targets, by Newton's method from `near`; both [m,2].

        Returns:
            The points, and the smallest determinant of the warp's Jacobian among them: where it is not
            positive the warp folds (or the method did not converge): do not trust the points.
        """
        points = near
        for _ in range(_NEWTON_STEPS):
            values, (xx, xy, yx, yy) = self._values_and_slopes(points)
            determinant = xx * yy - xy * yx
            x, y = (values - targets).T
            step = np.stack([yy * x - xy * y, xx * y - yx * x], axis=1) / determinant[:, None]
            points = points - np.clip(step, -2, 2)
            if (miss := np.abs(step).max()) < _CONVERGED:
                return points, float(determinant.min())
        return points, -float(miss)

    def _values_and_slopes(self, points: Points) -> tuple[Points, Points]:
        squared = _squared_distances(points, self.sources)
        log = np.log(squared)
        affine = self.weights[-2:]
        values = (squared * log) @ self.weights[:-3] + self.weights[-3] + points @ affine
        # The slope of s log s is 2 (log s + 1) times the difference; over all kernels the 1 sums to nothing.
        sums = log @ self._moments
        slopes = sums[:, :2, None] * points[:, None, :] - sums[:, 2:].reshape(-1, 2, 2) + affine.T
        return values, slopes.reshape(-1, 4).T

    @cached_property
    def _moments(self) -> Points:
        kernels = 2 * self.weights[:-3]
        return np.hstack([kernels, kernels[:, :1] * self.sources, kernels[:, 1:] * self.sources])


def settled(points: Points, where: npt.NDArray[np.float32], targets: Points) -> Points:
    """Points, already near, moved to where a dense map, read bilinearly, shows their targets; all [m,2].

    One step of Newton's method with the slopes of the cell that each point lies in. Points that the map does
    not reach stay.
    """
    corner = np.floor(points).astype(int)
    reached = ((corner >= 0) & (corner < len(where) - 1)).all(axis=1)
    (x, y), (a, b) = corner[reached].T, (points - corner)[reached].T[..., None]
    first, right, below, last = where[y, x], where[y, x + 1], where[y + 1, x], where[y + 1, x + 1]
    by_x = (right - first) * (1 - b) + (last - below) * b
    by_y = (below - first) * (1 - a) + (last - right) * a
    miss = first + by_x * a + (below - first) * b - targets[reached]
    moved = points.copy()
    moved[reached] -= np.linalg.solve(np.stack([by_x, by_y], axis=2), miss[..., None])[..., 0]
    return moved


def pulled(image: npt.NDArray[np.generic], where: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The image that shows, at each pixel, what `image` [h,w] or [h,w,c] shows `where` [n,n,2] says.

    Bilinear; beyond the image's edge its edge goes on.
    """
    x, y = np.ascontiguousarray(where[..., 0]), np.ascontiguousarray(where[..., 1])
    seen = cv2.remap(np.asarray(image, np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, np.float32)


def _squared_distances(
    at: npt.NDArray[np.floating], sources: npt.NDArray[np.floating]
) -> npt.NDArray[np.floating]:
    """r² + c² of points [m,2] and sources [n,2]: [m,n], in one product. c² is far above what rounding loses."""
    lifted = np.ones((len(at), 4), at.dtype)
    lifted[:, :2] = at
    np.einsum("ij,ij->i", at, at, out=lifted[:, 2])
    across = np.ones((4, len(sources)), sources.dtype)
    across[:2] = -2 * sources.T
    across[3] = np.einsum("ij,ij->i", sources, sources) + _SHIFT
    return lifted @ across


def _spline(
    at: npt.NDArray[np.floating], sources: npt.NDArray[np.floating], weights: npt.NDArray[np.floating]
) -> npt.NDArray[np.floating]:
    kernels = _squared_distances(at, sources)
    kernels *= np.log(kernels)
    return kernels @ weights[:-3] + weights[-3] + at @ weights[-2:]


@cache
def _upsampling(side: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The nodes [k²,2], and the matrix [side,k] of Keys' cubic convolution between them.

    (`cv2.resize` has another cubic, which does not even leave a straight line straight.)
    """
    nodes = np.arange(-1, -(-side // _STEP) + 2, dtype=np.float32) * _STEP
    d = np.abs(np.arange(side)[:, None] - nodes) / _STEP
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    at = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    return at, np.where(d <= 1, near, np.where(d < 2, far, 0)).astype(np.float32)
