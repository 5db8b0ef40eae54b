"""A network's inputs and outputs by the names that samples give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench.contracts.samples import Encoding, Samples
from mlbench.data.fitting import names_fault, shape_fault
from mlbench.errors import UsageError
from mlbench.networks.graph import rows_at_once

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

Arrays = Mapping[str, npt.NDArray[Any]]
Tensors = dict[str, "tf.Tensor"]

_BATCH = 120


@dataclass(frozen=True)
class Ports:
    """Which input of the samples goes where, and which target an output answers.

    Attributes:
        inputs: names of the samples' inputs, in the order of the network's.
        outputs: names of the samples' targets, in the order of the network's outputs.
        encodings: of the inputs, by name.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    encodings: Mapping[str, Encoding]

    @classmethod
    def of(cls, network: tf_keras.Model, samples: Samples) -> Ports:
        """Match by name; a single input, or a single output, matches whatever it is called.

        Raises:
            UsageError: the samples lack one, or an input has another shape.
        """
        inputs = _matched("input", "x", network.input_names, list(samples.inputs))
        outputs = _matched("output", "y", network.output_names, list(samples.targets))
        for name, tensor in zip(inputs, network.inputs, strict=True):
            if fault := shape_fault(
                "The network", name, tuple(tensor.shape[1:]), samples.encodings[name].shape
            ):
                raise UsageError(fault)
        return cls(tuple(inputs), tuple(outputs), samples.encodings)

    def encoded(self, stored: Tensors) -> list[tf.Tensor]:
        """Stored inputs [n, …] as the network takes them, in its order."""
        import tensorflow as tf

        found = []
        for name in self.inputs:
            encoding = self.encodings[name]
            values, real = tf.reshape(stored[name], (-1, *encoding.shape)), encoding.real
            if np.any(encoding.offset):
                values = tf.cast(values, real) - tf.constant(encoding.offset, real)
            if np.any(np.not_equal(encoding.scale, 1)):
                values = tf.cast(values, real) / tf.constant(encoding.scale, real)
            found.append(tf.cast(values, encoding.dtype))
        return found

    def call(self, network: tf_keras.Model, encoded: list[tf.Tensor], *, training: bool) -> Tensors:
        """A network's outputs [n, …] in float32, by target."""
        import tensorflow as tf

        given = encoded if len(encoded) > 1 else encoded[0]
        outputs = network(given, training=training)
        values = outputs if isinstance(outputs, list | tuple) else [outputs]
        return {name: tf.cast(value, tf.float32) for name, value in zip(self.outputs, values, strict=True)}

    def predictor(self, network: tf_keras.Model) -> Callable[[Samples], dict[str, npt.NDArray[np.float32]]]:
        """A function from samples to the network's outputs [n, …] by target, computed in batches."""
        import tensorflow as tf

        at_once = rows_at_once(network, _BATCH)

        @traced
        def outputs(stored: Tensors) -> Tensors:
            return self.call(network, self.encoded(stored), training=False)

        def predict(samples: Samples) -> dict[str, npt.NDArray[np.float32]]:
            parts = []
            for start in range(0, len(samples), at_once):
                rows = slice(start, start + at_once)
                parts.append(outputs({name: tf.constant(samples.inputs[name][rows]) for name in self.inputs}))
            return {name: np.concatenate([part[name].numpy() for part in parts]) for name in self.outputs}

        return predict


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of tensors [n, …] by name as a graph, traced once: for any n, as the last batch is a smaller one."""
    import tensorflow as tf

    def signature(given: tuple[Tensors, ...]) -> list[dict[str, tf.TensorSpec]]:
        return [
            {name: tf.TensorSpec((None, *part.shape[1:]), part.dtype) for name, part in parts.items()}
            for parts in given
        ]

    made: list[Any] = []

    def call(*given: Tensors) -> Any:
        if not made:
            made.append(tf.function(function, input_signature=signature(given)))
        return made[0](*given)

    return call


def predict(network: tf_keras.Model, samples: Samples) -> dict[str, npt.NDArray[np.float32]]:
    """A network's outputs [n, …] for samples, by target."""
    return Ports.of(network, samples).predictor(network)(samples)


def _matched(kind: str, letter: str, wanted: list[str], given: list[str]) -> list[str]:
    if fault := names_fault("The network", kind, letter, wanted, given):
        raise UsageError(fault)
    return given if len(given) == 1 else wanted
