"""A rectangle of whole pixels, which detectors give and croppers cut. Imports nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels; it may lie partly outside the image."""

    left: int
    top: int
    width: int
    height: int

    @property
    def area(self) -> int:
        """In pixels."""
        return self.width * self.height

    def scaled(self, margin: float) -> Box:
        """The box with sides `margin` times as long around the same centre, rounded to whole pixels."""
        width, height = max(1, round(self.width * margin)), max(1, round(self.height * margin))
        left, top = self.left + (self.width - width) / 2, self.top + (self.height - height) / 2
        return Box(round(left), round(top), width, height)

    def common(self, other: Box) -> int:
        """Pixels that both boxes have."""
        width = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        height = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        return max(width, 0) * max(height, 0)

    def overlap(self, other: Box) -> float:
        """Intersection over union, 0 to 1."""
        common = self.common(other)
        return common / (self.area + other.area - common)


def largest_first(boxes: list[Box]) -> list[Box]:
    """Boxes by area, those of one area from left to right."""
    return sorted(boxes, key=lambda box: (-box.area, box.left, box.top))
