"""The memory that training takes, estimated."""

from __future__ import annotations

import math

from mlbench.contracts import Variant

#: Python and TensorFlow with a few batches of samples.
_PROCESS_BYTES = 733_000_000
#: Of each weight: itself, its gradient, and two moments of Adam.
_TENSORS = 4
#: What is kept per answer of a layer: the answer, its gradient, and half as much again in kernels' buffers.
_KEPT = 2.5
_FLOAT_BYTES = 4


def training_bytes(variant: Variant, batch: int = 120) -> int:
    """About how much memory a process takes that trains a variant in float32 on the CPU; samples come on top.

    The constants are fitted to one measurement: `basic` with batches of 120 took 1.44 GB at its peak.

    Args:
        variant: of known shape and outputs.
        batch: samples per step.
    """
    answers = sum(math.prod(layer.output) for layer in variant.layers() if layer.kind != "flatten")
    return _PROCESS_BYTES + round(_FLOAT_BYTES * (_TENSORS * variant.parameters + _KEPT * batch * answers))
