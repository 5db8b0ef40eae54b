"""Weights rounded to few bits while the network is tuned, so that it learns with what its file can hold."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from mlbench.contracts import Context, Form, Order, Tried, Tuned
from mlbench.errors import RefusedCompressionError
from mlbench.networks import graph

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras


Array = npt.NDArray[np.float32]

_MOST = 7  # multiples of a unit's step either way, in 4 bits
#: Shares of a unit's largest weight, tried as the largest multiple.
_SHARES = np.linspace(0.4, 1, 25, dtype=np.float32)


class Dynamic4(Tuned):
    """Dense layers but the last at 4 bits per weight, rounded while tuning; the others at 8 when the file is written.

    The float weights that are trained stand behind the rounded ones, which the network answers with; the gradient
    passes the rounding as if it were not there, and moves each unit's step between multiples too. 8 bits lose
    little without tuning (docs/reference/compressors/dynamic4.md).
    """

    name: ClassVar[str] = "dynamic4"
    summary: ClassVar[str] = (
        "tuned with 4-bit weights in dense layers (8-bit in others); activations quantised at run time"
    )
    source: ClassVar[str] = (
        "Esser et al. 2020 (learned steps), section 2; Jacob et al. 2018, section 3; ai-edge-quantizer"
    )
    order: ClassVar[Order] = Order.QUANTISE

    @classmethod
    def tried(cls) -> Tried:
        """Rates: learned steps take larger ones than other tuning."""
        return Tried(("dynamic4(epochs={epochs},rate={rate})",), {"rate": [3e-4, 1e-3, 3e-3]})

    def compress(self, form: Form, context: Context) -> Form:
        """The network with rounding layers in the place of its dense layers but the last."""
        for layer in form.network.layers:
            if not graph.is_plain(layer):
                message = f"dynamic4 cannot round inside {layer.name} ({type(layer).__name__}): use dynamic."
                raise RefusedCompressionError(message)
        last = {layer.name for layer in graph.last_layers(form.network) if _sums_are_answers(layer)}
        four_bits = {layer.name for layer in graph.dense_layers(form.network)} - last
        if not four_bits:
            message = "dynamic4 found no dense layer before the output layer: use dynamic."
            raise RefusedCompressionError(message)

        def rounding(layer: tf_keras.layers.Layer) -> list[graph.NewLayer] | None:
            if layer.name not in four_bits:
                return None
            weights = layer.get_weights()
            log_step = np.log(best_steps(weights[0]))
            return [(rounding_dense().from_config(layer.get_config()), [*weights, log_step])]

        network = graph.rebuild(form.network, rounding)
        return Form(network, form.with_export(precision="dynamic4").export)

    def reasons(self, form: Form, context: Context) -> Mapping[str, str]:
        """None: what is not rounded to 4 bits is written in 8."""
        return {}

    def finish(self, form: Form) -> Form:
        """Plain layers with the rounded weights."""
        from tf_keras import layers as keras

        def plain(layer: tf_keras.layers.Layer) -> list[graph.NewLayer] | None:
            if type(layer) is not rounding_dense():
                return None
            kernel, *rest, log_step = layer.get_weights()
            multiples, step = on_grid(kernel, log_step)
            return [(keras.Dense.from_config(layer.get_config()), [(multiples * step).numpy(), *rest])]

        return Form(graph.rebuild(form.network, plain), form.export, form.changes)

    @classmethod
    def custom_layers(cls) -> dict[str, type]:
        """The dense layer whose kernel is rounded."""
        return {"RoundingDense": rounding_dense()}


def _sums_are_answers(layer: tf_keras.layers.Layer) -> bool:
    """Whether a file answers with what a layer's product gives, which it then holds at 8 bits: no operation follows."""
    return getattr(getattr(layer, "activation", None), "__name__", "") in ("linear", "relu", "relu6")


def best_steps(kernel: Array) -> Array:
    """Each unit's step [units] that rounds its weights, [inputs,units], with the least squared error."""
    largest = np.maximum(np.abs(kernel).max(axis=0), 1e-12)
    steps = _SHARES[:, None] * largest / _MOST

    def squared_error(step: Array) -> Array:
        multiples = np.clip(np.rint(kernel / step), -_MOST, _MOST)
        return np.square(multiples * step - kernel).sum(axis=0)

    best = np.argmin([squared_error(step) for step in steps], axis=0)
    return steps[best, np.arange(len(largest))]


def on_grid(kernel: tf.Tensor, log_step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The nearest whole multiples, -7 to 7, of each unit's step: multiples [inputs,units] and steps [units].

    The file's writer takes a unit's largest weight for the seventh multiple, so a step is at most a seventh of it.
    The gradient passes the rounding to the weights that are not cut off, and to the steps.
    """
    import tensorflow as tf

    kernel = tf.convert_to_tensor(kernel)
    largest = tf.maximum(tf.reduce_max(tf.abs(kernel), axis=0), 1e-12)
    step = tf.minimum(tf.exp(log_step), tf.stop_gradient(largest) / _MOST)
    multiples = tf.clip_by_value(kernel / step, -_MOST, _MOST)
    return multiples + tf.stop_gradient(tf.round(multiples) - multiples), step


@cache
def rounding_dense() -> Any:
    """A dense layer that answers with rounded weights; made when first asked for, since TensorFlow loads slowly."""
    import tensorflow as tf
    import tf_keras

    class RoundingDense(tf_keras.layers.Dense):  # type: ignore[misc]
        """x [n,m] -> activation(x W + bias) with W [m,units] rounded; kernel and steps are trained in float32."""

        computes_in_bfloat16 = True

        def build(self, input_shape: Any) -> None:
            super().build(input_shape)
            # Logarithms: steps stay positive, and move by shares of themselves.
            self.log_step = self.add_weight("log_step", shape=(self.units,), initializer="ones")

        def add_weight(self, name: str | None = None, **options: Any) -> tf.Variable:
            # In bfloat16 the kernel would lie on another grid than the file's.
            return super().add_weight(name=name, experimental_autocast=name == "bias", **options)

        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            multiples, step = on_grid(self.kernel, self.log_step)
            # Whole numbers up to 7 are exact in bfloat16, and the steps stay in float32.
            sums = tf.cast(inputs @ tf.cast(multiples, inputs.dtype), tf.float32)
            outputs = tf.cast(sums * step, inputs.dtype)
            return self.activation(outputs + self.bias if self.use_bias else outputs)

    return RoundingDense
