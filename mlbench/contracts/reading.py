"""How a file of samples is to be taken: which array is what, and how stored values become inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

#: Numbers by the name of an input; "" for every input.
Numbers = Mapping[str, tuple[float, ...]]

Channels = Literal["", "grey", "rgb"]


@dataclass(frozen=True)
class Expected:
    """An array that a file of samples holds, for people.

    Attributes:
        name: of the array.
        shape: as `[n, …]`.
        dtype: what its values may be.
        holds: what it is.
        optional: whether a file may lack it.
    """

    name: str
    shape: str
    dtype: str
    holds: str
    optional: bool = False


@dataclass(frozen=True)
class Reading:
    """What options say of a file; what they leave open, the file says, or the usual rule.

    Attributes:
        columns: name of the array by what it is: x, x.NAME, y, y.NAME, group, split, id.
        scale: what stored values are divided by; one number, or one per channel.
        mean: what is subtracted after that: likewise.
        std: what that is divided by: likewise.
        size: height and width of images, of a folder; None: as the first image has.
        channels: of images, of a folder; "": as most have.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    scale: Numbers = field(default_factory=dict)
    mean: Numbers = field(default_factory=dict)
    std: Numbers = field(default_factory=dict)
    size: tuple[int, int] | None = None
    channels: Channels = ""

    def experiment(self) -> dict[str, object]:
        """As a table of the file of an experiment; what is not set is None or empty."""
        return {
            "columns": [f"{role}={name}" for role, name in self.columns.items()],
            "scale": _texts(self.scale),
            "mean": _texts(self.mean),
            "std": _texts(self.std),
            "image_size": "x".join(map(str, self.size)) if self.size else None,
            "channels": self.channels or None,
        }


#: Nothing is said: names and values are taken as they are stored.
AS_STORED = Reading()


def _texts(numbers: Numbers) -> list[str]:
    told = {name: ",".join(f"{one!r}" for one in values) for name, values in numbers.items()}
    return [f"{name}={text}" if name else text for name, text in told.items()]
