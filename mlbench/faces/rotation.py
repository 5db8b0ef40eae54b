"""The head turned and nodded as a 3-D shape: half an ellipsoid with a nose, drawn by us.

Landmarks have no depth; each gets one from where it lies on the mean face, is rotated with the head, and seen from afar
(orthographic). The outline of the jaw is moved as if it were fixed to the skin, so that large angles are not true.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: How far the nose stands out, in half widths of the head, by landmark.
_NOSE = dict(zip(range(27, 36), (0.05, 0.15, 0.25, 0.35, 0.05, 0.12, 0.18, 0.12, 0.05), strict=True))
_DEEP, _LONG = 1.1, 2.3  # half axes of the ellipsoid, in half widths of the head
_EDGE = 1.05  # the jaw's ends lie a little before the middle plane


def rotated(points: Floats, mean_shape: npt.NDArray[np.floating], yaw: float, nod: float) -> Floats:
    """Landmarks [68,2], px, of a head turned by `yaw` and nodded by `nod`, radians, about their own middle."""
    middle, half = (points[0] + points[16]) / 2, float(np.linalg.norm(points[16] - points[0])) / 2
    x, y = ((points - middle) / half).T
    z = depths(mean_shape)
    across, towards = x * np.cos(yaw) + z * np.sin(yaw), z * np.cos(yaw) - x * np.sin(yaw)
    seen = np.stack([across, y * np.cos(nod) + towards * np.sin(nod)], axis=1) * half + middle
    return np.asarray(seen + points.mean(0) - seen.mean(0), np.float64)


def depths(mean_shape: npt.NDArray[np.floating]) -> Floats:
    """How far each landmark lies before the jaw's ends, [68], in half widths of the head."""
    middle, half = (mean_shape[0] + mean_shape[16]) / 2, float(np.ptp(mean_shape[[0, 16], 0])) / 2
    x, y = ((mean_shape - middle) / half).astype(np.float64).T
    found: Floats = _DEEP * np.sqrt(np.clip(_EDGE - x**2 - (y / _LONG) ** 2, 0, None))
    found[list(_NOSE)] += list(_NOSE.values())
    return found
