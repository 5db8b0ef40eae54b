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


class Dynamic4(Tuned):
    """Dense layers but the last at 4 bits a weight, the others at 8, rounded while tuning.

    The float weights that are trained stand behind the rounded ones, which the network answers with; the gradient
    passes the rounding as if it were not there. The file holds the rounded weights exactly.
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
        """The network with rounding layers in the place of its dense layers and convolutions."""
        for layer in form.network.layers:
            if not networks.is_plain(layer):
                message = f"dynamic4 cannot round inside {layer.name} ({type(layer).__name__}): use dynamic."
                raise RefusedCompressionError(message)
        last = form.network.layers[-1].name

        def rounding(layer: tf_keras.layers.Layer) -> list[surgery.NewLayer] | None:
            kind = rounding_layers().get(f"Rounding{type(layer).__name__}")
            if kind is None:
                return None
            four = type(layer).__name__ == "Dense" and layer.name != last
            return [(kind(bits=4 if four else 8, **layer.get_config()), layer.get_weights())]

        network = surgery.rebuild(form.network, rounding)
        return Form(network, form.with_export(precision="dynamic4").export)

    def finish(self, form: Form) -> Form:
        """Plain layers with the rounded weights."""
        from tf_keras import layers as keras

        def plain(layer: tf_keras.layers.Layer) -> list[surgery.NewLayer] | None:
            if type(layer) not in rounding_layers().values():
                return None
            kernel, *rest = layer.get_weights()
            config = layer.get_config()
            weights = [rounded(kernel, config.pop("bits")).numpy(), *rest]
            kind = getattr(keras, type(layer).__name__.removeprefix("Rounding"))
            return [(kind.from_config(config), weights)]

        return Form(surgery.rebuild(form.network, plain), form.export, form.changes)

    @classmethod
    def custom_layers(cls) -> dict[str, type]:
        """Dense layers and convolutions whose kernels are rounded."""
        return rounding_layers()


def rounded(kernel: tf.Tensor, bits: int) -> tf.Tensor:
    """A kernel [..., units] on the nearest multiples of a step; of each unit, its largest weight is the last multiple.

    Symmetric about zero, as TFLite stores weights: 7 multiples either way at 4 bits, 127 at 8.
    """
    import tensorflow as tf

    kernel = tf.convert_to_tensor(kernel)
    axes = list(range(len(kernel.shape) - 1))
    largest = tf.reduce_max(tf.abs(kernel), axis=axes, keepdims=True)
    step = tf.maximum(largest, 1e-12) / (2 ** (bits - 1) - 1)
    return tf.round(kernel / step) * step


@cache
def rounding_layers() -> dict[str, type]:
    """`RoundingDense` and `RoundingConv2D`; made when first asked for, since TensorFlow loads slowly."""
    import tensorflow as tf
    import tf_keras

    def straight_through(kernel: tf.Tensor, bits: int) -> tf.Tensor:
        kernel = tf.convert_to_tensor(kernel)
        return kernel + tf.stop_gradient(rounded(kernel, bits) - kernel)

    class RoundingDense(tf_keras.layers.Dense):  # type: ignore[misc]
        computes_in_bfloat16 = True

        def __init__(self, units: int, bits: int, **options: Any) -> None:
            super().__init__(units, **options)
            self.bits = bits

        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            outputs = inputs @ straight_through(self.kernel, self.bits)
            return self.activation(outputs + self.bias if self.use_bias else outputs)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "bits": self.bits}

    class RoundingConv2D(tf_keras.layers.Conv2D):  # type: ignore[misc]
        computes_in_bfloat16 = True

        def __init__(self, filters: int, kernel_size: Any, bits: int, **options: Any) -> None:
            super().__init__(filters, kernel_size, **options)
            self.bits = bits

        def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
            return super().convolution_op(inputs, straight_through(kernel, self.bits))

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "bits": self.bits}

    return {"RoundingDense": RoundingDense, "RoundingConv2D": RoundingConv2D}
