"""The calls of a network's layers as data: what stands for a tensor, and excerpts of what a call gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

#: What stands for a tensor, with its number.
TENSOR = "tensor"

_EXCERPT = 1000


def with_tensors(value: Any, tensors: Mapping[int, Any]) -> Any:
    """Arguments with tensors in the place of what stands for them."""
    if isinstance(value, list | tuple):
        return [with_tensors(item, tensors) for item in value]
    if isinstance(value, dict) and value.keys() == {TENSOR}:
        return tensors[value[TENSOR]]
    if isinstance(value, dict):
        return {key: with_tensors(item, tensors) for key, item in value.items()}
    return value


def excerpt(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """At most 1,000 values, evenly from all."""
    flat = np.ravel(values)
    return flat[np.linspace(0, flat.size - 1, min(_EXCERPT, flat.size)).round().astype(int)]
