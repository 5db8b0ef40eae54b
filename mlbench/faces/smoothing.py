"""The One Euro filter (Casiez, Roussel and Vogel 2012): still points do not tremble, fast ones do not lag."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]


class OneEuro:
    """Smooths points by an exponential filter whose cut-off frequency rises with their speed.

    Attributes:
        cutoff: of a point that does not move, Hz: less trembles less.
        beta: Hz per px/s of speed: more lags less.
        speed_cutoff: of the speed itself, Hz.
    """

    def __init__(self, cutoff: float = 1.0, beta: float = 0.3, speed_cutoff: float = 1.0) -> None:
        self.cutoff, self.beta, self.speed_cutoff = cutoff, beta, speed_cutoff
        self._seconds = 0.0
        self._points: Points | None = None
        self._speed: Points = np.zeros(1)

    def __call__(self, points: Points, seconds: float) -> Points:
        """Points [n,2] at a time, smoothed; times that do not rise are taken for 1 ms later."""
        if self._points is None:
            self._points, self._speed = points, np.zeros_like(points)
        else:
            step = max(seconds - self._seconds, 1e-3)
            speed = (points - self._points) / step
            self._speed = self._speed + _share(self.speed_cutoff, step) * (speed - self._speed)
            share = _share(self.cutoff + self.beta * np.abs(self._speed), step)
            self._points = self._points + share * (points - self._points)
        self._seconds = seconds
        return self._points


def _share(cutoff: float | Points, step: float) -> Points:
    """How much of a new value an exponential filter of this cut-off frequency, Hz, takes after a step, s."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * cutoff * step)))
