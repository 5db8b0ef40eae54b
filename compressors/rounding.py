"""Weights rounded to few bits while the network is tuned, so that it learns with what its file can hold."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from mlbench import networks, surgery
from mlbench.contracts import Context, Form, Order, Tuned
from mlbench.errors import RefusedCompressionError

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras


_MOST = 7  # multiples of a unit's step either way, in 4 bits


class Dynamic4(Tuned):
    """Dense layers but the last at 4 bits a weight, rounded while tuning; the others at 8 when the file is written.

    The float weights that are trained stand behind the rounded ones, which the network answers with; the gradient
    passes the rounding as if it were not there. 8 bits lose little without tuning (docs/compression.md).
    """

    name: ClassVar[str] = "dynamic4"
    summary: ClassVar[str] = (
        "tuned with 4-bit weights in dense layers (8-bit in others); activations quantised at run time"
    )
    source: ClassVar[str] = (
        "Bengio et al. 2013 (straight-through gradients); Jacob et al. 2018, section 3; ai-edge-quantizer"
    )
    order: ClassVar[Order] = Order.QUANTISE

    def compress(self, form: Form, context: Context) -> Form:
        """The network with rounding layers in the place of its dense layers but the last."""
        for layer in form.network.layers:
            if not networks.is_plain(layer):
                message = f"dynamic4 cannot round inside {layer.name} ({type(layer).__name__}): use dynamic."
                raise RefusedCompressionError(message)
        four_bits = {layer.name for layer in surgery.dense_layers(form.network)}
        four_bits.discard(form.network.layers[-1].name)

        def rounding(layer: tf_keras.layers.Layer) -> list[surgery.NewLayer] | None:
            if layer.name not in four_bits:
                return None
            return [(rounding_dense().from_config(layer.get_config()), layer.get_weights())]

        network = surgery.rebuild(form.network, rounding)
        return Form(network, form.with_export(precision="dynamic4").export)

    def finish(self, form: Form) -> Form:
        """Plain layers with the rounded weights."""
        from tf_keras import layers as keras

        def plain(layer: tf_keras.layers.Layer) -> list[surgery.NewLayer] | None:
            if type(layer) is not rounding_dense():
                return None
            kernel, *rest = layer.get_weights()
            multiples, step = on_grid(kernel)
            return [(keras.Dense.from_config(layer.get_config()), [(multiples * step).numpy(), *rest])]

        return Form(surgery.rebuild(form.network, plain), form.export, form.changes)

    @classmethod
    def custom_layers(cls) -> dict[str, type]:
        """The dense layer whose kernel is rounded."""
        return {"RoundingDense": rounding_dense()}


def on_grid(kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The nearest whole multiples, -7 to 7, of each unit's step: multiples [inputs,units] and steps [1,units].

    A unit's largest weight is the last multiple, as the file's writer has it; its 4 bits could hold -8 too.
    """
    import tensorflow as tf

    kernel = tf.convert_to_tensor(kernel)
    step = tf.maximum(tf.reduce_max(tf.abs(kernel), axis=0, keepdims=True), 1e-12) / _MOST
    return tf.round(kernel / step), step


@cache
def rounding_dense() -> Any:
    """A dense layer that answers with rounded weights; made when first asked for, since TensorFlow loads slowly."""
    import tensorflow as tf
    import tf_keras

    class RoundingDense(tf_keras.layers.Dense):  # type: ignore[misc]
        """x [n,m] -> activation(x W + bias) with W [m,units] rounded; the gradient is that of the float kernel."""

        computes_in_bfloat16 = True

        def add_weight(self, name: str | None = None, **options: Any) -> tf.Variable:
            # In bfloat16 the kernel would lie on another grid than the file's.
            return super().add_weight(name=name, experimental_autocast=name != "kernel", **options)

        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            kernel = tf.convert_to_tensor(self.kernel)
            multiples, step = map(tf.stop_gradient, on_grid(kernel))
            passing = kernel / step
            # Whole numbers up to 7 are exact in bfloat16, and the steps stay in float32.
            whole = tf.cast(passing + tf.stop_gradient(multiples - passing), inputs.dtype)
            outputs = tf.cast(tf.cast(inputs @ whole, tf.float32) * step, inputs.dtype)
            return self.activation(outputs + self.bias if self.use_bias else outputs)

    return RoundingDense
