"""Random inputs on which two forms of a network are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import tf_keras

_SEED = 7
_OPEN = 64  # in place of a size that the network leaves open
_SPREADS = (1.0, 255.0)  # of networks for values about 0, and for bytes of images

#: Shape of one sample, None where it is open, and dtype.
Wanted = tuple[Sequence[int | None], str]


def trial_inputs(wanted: Mapping[str, Wanted]) -> dict[str, npt.NDArray[Any]]:
    """Inputs [4, …] by name: two samples of values in -1..1, two in 0..255; whole numbers are 0 or 1."""
    rng = np.random.default_rng(_SEED)
    found = {}
    for name, (sizes, dtype) in wanted.items():
        shape = (2, *(size or _OPEN for size in sizes))
        if np.dtype(dtype).kind != "f":
            found[name] = rng.integers(0, 2, (2 * len(_SPREADS), *shape[1:])).astype(dtype)
            continue
        near, far = rng.uniform(-_SPREADS[0], _SPREADS[0], shape), rng.uniform(0, _SPREADS[1], shape)
        found[name] = np.concatenate([near, far]).astype(dtype)
    return found


def answers_of(network: tf_keras.Model) -> list[npt.NDArray[Any]]:
    """What a network of tf_keras answers to its trial inputs, one array per output."""
    import tensorflow as tf

    named = dict(zip(network.input_names, network.inputs, strict=True))
    inputs = trial_inputs(
        {name: (tensor.shape[1:].as_list(), tensor.dtype.name) for name, tensor in named.items()}
    )
    given = [inputs[name] for name in named]
    outputs = network(given if len(given) > 1 else given[0], training=False)
    return [value.numpy() for value in tf.nest.flatten(outputs)]
