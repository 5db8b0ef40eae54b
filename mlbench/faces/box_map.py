"""From where a face was seen to the box that networks are trained on: three numbers, fitted by least squares.

A face seen at `centre` with an extent `size` has a square box around centre + size × (x, y) with a side of
size × side. That holds for another detector's box (its centre and side) and for landmarks (their mean and their
root mean square distance from it) alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlbench.boxes import Box

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class BoxMap:
    """The side of the box, and where its centre lies, in sizes of what was seen."""

    side: float
    x: float
    y: float

    def box(self, centre: Floats, size: float) -> Box:
        """The box of a face seen at a centre [2], px, with a size, px; its corner is that of its first pixel.

        Whole coordinates are pixel centres, so that a box from left on begins at left - 1/2.
        """
        side = max(1, round(self.side * size))
        left, top = (
            float(at) + size * offset + 0.5 - side / 2
            for at, offset in zip(centre, (self.x, self.y), strict=True)
        )
        return Box(round(left), round(top), side, side)

    @staticmethod
    def fitted(centres: Floats, sizes: Floats, boxes: Floats) -> BoxMap:
        """The map with the least squared errors.

        Args:
            centres: where faces were seen, [n,2].
            sizes: how large, [n].
            boxes: centre x, centre y and side of their true boxes, [n,3].
        """
        wanted = np.column_stack([boxes[:, 2], boxes[:, :2] - centres])
        side, x, y = sizes @ wanted / (sizes @ sizes)
        return BoxMap(float(side), float(x), float(y))


def extent(points: Floats) -> tuple[Floats, float]:
    """Mean [2] of points [n,2] and their root mean square distance from it."""
    centre = points.mean(axis=0)
    return centre, float(np.sqrt(((points - centre) ** 2).sum(axis=1).mean()))
