"""How a network is written to a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "float16", "dynamic", "int8", "int4", "dynamic4"]


@dataclass(frozen=True)
class ExportOptions:
    """How a network is written to a file."""

    precision: Precision = "float32"
    sparse: bool = False  # store zeros sparsely
    #: int8 alone: ranges measured on training faces, or those that tuning learned (fake quantisation).
    ranges: Literal["calibrated", "learned"] = "calibrated"
    float_output: bool = False  # int8 alone: the last layer answers in float, not in 256 steps
