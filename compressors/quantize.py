"""Fewer bits a weight: when the file is written (post-training), or trained for it before (`qat`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from mlbench.contracts import Compressor, Context, Form, Order, Precision, Tuned
from mlbench.errors import RefusedCompressionError, UsageError
from mlbench.networks import graph

if TYPE_CHECKING:
    import tf_keras


class _PostTraining(Compressor):
    """Marks the form to be written in another precision; the network itself stays float32."""

    order: ClassVar[Order] = Order.QUANTISE
    needs_tuning: ClassVar[bool] = False
    precision: ClassVar[Precision]

    def compress(self, form: Form, context: Context) -> Form:
        """The same network, to be written in this precision."""
        return form.with_export(precision=self.precision)


class Float16(_PostTraining):
    """Weights as 16-bit floats: half the bytes, computed in float32."""

    name: ClassVar[str] = "float16"
    summary: ClassVar[str] = "16-bit float weights, float32 arithmetic"
    source: ClassVar[str] = "TFLite converter, post-training float16 quantisation"
    precision: ClassVar[Precision] = "float16"


class Dynamic(_PostTraining):
    """Weights as 8-bit integers, activations quantised on the fly."""

    name: ClassVar[str] = "dynamic"
    summary: ClassVar[str] = "int8 weights, activations quantised at run time"
    source: ClassVar[str] = "TFLite converter, post-training dynamic-range quantisation"
    precision: ClassVar[Precision] = "dynamic"


class Int4(_PostTraining):
    """Weights as 4-bit integers with a scale a channel; computed in float."""

    name: ClassVar[str] = "int4"
    summary: ClassVar[str] = "4-bit weights, float32 arithmetic; needs a runtime newer than TFLite 2.16"
    source: ClassVar[str] = "ai-edge-quantizer, recipe weight_only_wi4_afp32"
    precision: ClassVar[Precision] = "int4"


class Int8(_PostTraining):
    """Weights and activations as 8-bit integers, ranges calibrated on training faces."""

    name: ClassVar[str] = "int8"
    summary: ClassVar[str] = "int8 weights and activations, calibrated on training faces"
    source: ClassVar[str] = "Jacob et al. 2018; TFLite converter, full-integer quantisation"
    precision: ClassVar[Precision] = "int8"

    last: Annotated[
        Literal["float", "int8"],
        Field(description="the last layer: float, or int8, whose coordinates come in 256 steps"),
    ] = "float"

    def compress(self, form: Form, context: Context) -> Form:
        """The same network, to be written as int8 with ranges from the calibration faces."""
        if not len(context.calibration):
            message = "int8 needs training faces to measure ranges on: give some, or use dynamic."
            raise UsageError(message)
        for layer in form.network.layers:
            if not graph.is_plain(layer):
                message = (
                    f"int8 cannot measure ranges inside {layer.name} ({type(layer).__name__}): use dynamic."
                )
                raise RefusedCompressionError(message)
        return form.with_export(precision=self.precision, float_output=self.last == "float")


class QuantizationAware(Tuned):
    """Fake quantisation of weights and activations while tuning; written as int8 with the ranges learned."""

    name: ClassVar[str] = "qat"
    summary: ClassVar[str] = "tuned with int8 arithmetic simulated, then written as int8; last layer in float"
    source: ClassVar[str] = "Jacob et al. 2018; TFMOT quantization-aware training"
    order: ClassVar[Order] = Order.QUANTISE

    def compress(self, form: Form, context: Context) -> Form:
        """The network with fake quantisation, its ranges measured on calibration faces to start with."""
        if not len(context.calibration):
            message = "qat needs training faces to measure ranges on: give some."
            raise UsageError(message)
        images = context.calibration.spread(_RANGE_FACES).images
        network = _calibrated(_annotated(form.network), form.network, images)
        return Form(network, form.with_export(precision="int8", ranges="learned").export)

    @classmethod
    def custom_layers(cls) -> dict[str, type]:
        """TFMOT's wrappers, as its `quantize_scope` names them."""
        from tensorflow_model_optimization.python.core.quantization.keras import (
            quantize_aware_activation,
            quantize_layer,
            quantize_wrapper,
            quantizers,
        )
        from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
            default_8bit_quantize_registry,
        )

        return {
            **default_8bit_quantize_registry._types_dict(),
            **quantizers._types_dict(),
            "QuantizeAwareActivation": quantize_aware_activation.QuantizeAwareActivation,
            "NoOpActivation": quantize_aware_activation.NoOpActivation,
            "QuantizeLayer": quantize_layer.QuantizeLayer,
            "QuantizeWrapperV2": quantize_wrapper.QuantizeWrapperV2,
        }


_RANGE_FACES = 120


def _annotated(network: tf_keras.Model) -> tf_keras.Model:
    """A copy with every layer but the last quantised; TFMOT leaves such a last layer's answers in float."""
    import tf_keras
    from tensorflow_model_optimization.python.core.quantization.keras import quantize

    copy = graph.copy(network)
    last = copy.layers[-1].name

    def annotate(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        skip = layer.name == last or isinstance(layer, tf_keras.layers.InputLayer)
        return layer if skip else quantize.quantize_annotate_layer(layer)

    try:
        return quantize.quantize_apply(tf_keras.models.clone_model(copy, clone_function=annotate))
    except (RuntimeError, ValueError) as error:
        message = f"qat cannot handle this network: {str(error).splitlines()[0]}"
        raise RefusedCompressionError(message) from error


def _calibrated(quantised: tf_keras.Model, network: tf_keras.Model, images: np.ndarray) -> tf_keras.Model:
    """Ranges of weights by one pass, of activations as the network has them (TFMOT would start at ±6)."""
    crops = images[..., None].astype(np.float32) / 255
    quantised(crops[:1], training=True)
    extremes = {"quantize_layer": (0.0, 1.0)}
    following = network.layers[1:]
    for found in graph.inputs_of(network, following, images):
        for layer, before in zip(following, network.layers, strict=False):
            low, high = extremes.get(before.name, (0.0, 0.0))
            values = found[layer.name]
            extremes[before.name] = min(low, float(values.min())), max(high, float(values.max()))
    for layer in quantised.layers:
        # The layer for the input is TFMOT's own, and Keras counts those of a process in their names.
        own = type(layer).__name__ == "QuantizeLayer"
        bare = "quantize_layer" if own else getattr(layer, "layer", layer).name
        for weight in layer.weights:
            end = weight.name.rsplit("/", 1)[-1].split(":")[0]
            if bare in extremes and end.endswith(("_min", "_max")) and not end.startswith("kernel"):
                weight.assign(extremes[bare][end.endswith("_max")])
    return quantised
