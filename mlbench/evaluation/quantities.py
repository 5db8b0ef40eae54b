"""What budgets and conditions are about: size, memory, latency and a task's metrics; how their values are written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mlbench.contracts.task import Metric
from mlbench.errors import UsageError
from mlbench.plugins import did_you_mean
from mlbench.records import MetricFacts
from mlbench.system.sizes import parse_size

Against = Literal["", "difference", "share"]


@dataclass(frozen=True)
class Quantity:
    """Something to limit.

    Attributes:
        name: as it is written.
        unit: of the written value; "bytes" takes 512KB and 5MB too.
        better: whether lower or higher values are better.
        scale: written value / stored value.
    """

    name: str
    unit: str
    better: Literal["lower", "higher"] = "lower"
    scale: float = 1.0

    @property
    def worse(self) -> int:
        """Sign of a change for the worse."""
        return 1 if self.better == "lower" else -1

    @property
    def step(self) -> str:
        """Unit of a difference: percentage points for what is in %."""
        return "pp" if self.unit == "%" else self.unit

    def value(self, text: str) -> float:
        """A value with its unit: `1.2px`, `98%`, `5MB`; in the stored unit.

        Raises:
            UsageError: not a number above 0 of this unit.
        """
        if self.unit == "bytes":
            return float(self._size(text))
        found = _split(text)
        if found is None or found[1] != self.unit or not 0 < found[0] / self.scale < math.inf:
            message = (
                f"{self.name}={text} is not a limit{f' in {self.unit}' * bool(self.unit)}: write a number above 0"
                f"{' with its unit' * bool(self.unit)}, as {self.name}=4{self.unit}."
            )
            raise UsageError(message)
        return found[0] / self.scale

    def change(self, text: str) -> tuple[float, Against]:
        """A change, in the stored unit or as a share: `+0.1px`, `-1pp`, `5%` (of what is not in % itself).

        Raises:
            UsageError: not a finite number of such a unit.
        """
        found = _split(text)
        if found is not None and found[1] == "%" and self.unit != "%":
            return found[0] / 100, "share"
        if self.unit == "bytes" and text[:1] in "+-" and text[1:]:
            return math.copysign(parse_size(text[1:]), float(f"{text[0]}1")), "difference"
        if found is None or found[1] != self.step:
            units = [self.step or "no unit"] + ["%"] * (self.unit != "%")
            message = (
                f"{text} is not a change of {self.name}, which has {' or '.join(units)}; "
                f"write e.g. +1{'KB' if self.unit == 'bytes' else self.step}."
            )
            raise UsageError(message)
        return found[0] / self.scale, "difference"

    def _size(self, text: str) -> int:
        size = parse_size(text)
        if size < _LEAST and text.strip().isdigit():
            message = (
                f"{self.name}={text} has no unit, and would be {size} bytes: write e.g. {self.name}={size}MB."
            )
            raise UsageError(message)
        return size


#: Bytes: a limit below it without a unit is meant in another one.
_LEAST = 1000

_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*)")


def _split(text: str) -> tuple[float, str] | None:
    """Number and unit; None where there is no finite number."""
    match = _NUMBER.fullmatch(text.strip())
    number = float(match.group(1)) if match else math.inf
    return (number, match.group(2)) if match and math.isfinite(number) else None


_ALWAYS = (Quantity("size", "bytes"), Quantity("memory", "bytes"), Quantity("p50", "ms"))


def quantity_named(name: str, metrics: Iterable[Metric | MetricFacts], what: str) -> Quantity:
    """Size, memory, p50 or a metric.

    Args:
        name: as written.
        metrics: of the task.
        what: is said of it in the error, "A budget cannot limit", say.

    Raises:
        UsageError: there is no such quantity.
    """
    own = (Quantity(m.name, m.unit, m.better, m.scale) for m in metrics)
    known = {quantity.name: quantity for quantity in (*own, *_ALWAYS)}
    if name not in known:
        message = f'{what} "{name}"{did_you_mean(name, known)}'
        raise UsageError(message)
    return known[name]
