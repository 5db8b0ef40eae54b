"""Fewer bits per weight: when the file is written (post-training), or trained for it before (`qat`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mlbench.contracts import Alone, Compressor, Context, Form, Order, Tried, Tuned, unchanged
from mlbench.errors import RefusedCompressionError, UsageError
from mlbench.networks import graph
from mlbench.records import LayerChange

if TYPE_CHECKING:
    import tf_keras


class _PostTraining(Compressor):
    """Marks the form to be written in another precision; the network itself stays float32."""

    order: ClassVar[Order] = Order.QUANTISE
    needs_tuning: ClassVar[bool] = False
    precision: ClassVar[str]
    bits: ClassVar[int]  # per weight

    def compress(self, form: Form, context: Context) -> Form:
        """The same network, to be written in this precision."""
        return form.with_export(precision=self.precision)

    def reasons(self, form: Form, context: Context) -> Mapping[str, str]:
        """None: every kernel is written in the precision."""
        return {}

    def one_by_one(self, form: Form, context: Context, ratios: Sequence[float]) -> Iterator[Alone]:
        """Each layer's kernel rounded as the file holds it; what it answers stays float. There is one ratio."""
        ratio = 32 / self.bits
        for layer in graph.layers_with_kernel(form.network):
            kernel, *rest = layer.get_weights()
            weights = [_rounded(kernel, self.bits, type(layer).__name__), *rest]
            made: dict[str, list[graph.NewLayer]] = {
                layer.name: [(type(layer).from_config(layer.get_config()), weights)]
            }
            yield Alone((layer.name,), ratio, ratio, graph.with_layers(form.network, made))


def _rounded(kernel: npt.NDArray[np.float32], bits: int, kind: str) -> npt.NDArray[np.float32]:
    """A kernel as whole multiples of a step an output channel, the largest weight the largest multiple."""
    if bits == 16:
        return kernel.astype(np.float16).astype(np.float32)
    channels = (-2, -1) if kind.startswith("Depthwise") else (-2,) if kind.endswith("Transpose") else (-1,)
    axes = tuple(axis for axis in range(kernel.ndim) if axis - kernel.ndim not in channels)
    most = 2 ** (bits - 1) - 1
    step = np.maximum(np.abs(kernel).max(axis=axes, keepdims=True), 1e-12) / most
    return (np.rint(kernel / step) * step).astype(np.float32)


class Float16(_PostTraining):
    """Weights as 16-bit floats: half the bytes, computed in float32."""

    name: ClassVar[str] = "float16"
    summary: ClassVar[str] = "16-bit float weights, float32 arithmetic"
    source: ClassVar[str] = "TFLite converter, post-training float16 quantisation"
    precision: ClassVar[str] = "float16"
    bits: ClassVar[int] = 16


class Dynamic(_PostTraining):
    """Weights as 8-bit integers, activations quantised on the fly."""

    name: ClassVar[str] = "dynamic"
    summary: ClassVar[str] = "int8 weights, activations quantised at run time"
    source: ClassVar[str] = "TFLite converter, post-training dynamic-range quantisation"
    precision: ClassVar[str] = "dynamic"
    bits: ClassVar[int] = 8


class Int4(_PostTraining):
    """Weights as 4-bit integers with a scale per channel; computed in float."""

    name: ClassVar[str] = "int4"
    summary: ClassVar[str] = "4-bit weights, float32 arithmetic; needs a runtime newer than TFLite 2.16"
    source: ClassVar[str] = "ai-edge-quantizer, recipe weight_only_wi4_afp32"
    precision: ClassVar[str] = "int4"
    bits: ClassVar[int] = 4


class Int8(_PostTraining):
    """Weights and activations as 8-bit integers, ranges calibrated on training samples."""

    name: ClassVar[str] = "int8"
    summary: ClassVar[str] = "int8 weights and activations, calibrated on training samples"
    source: ClassVar[str] = "Jacob et al. 2018; TFLite converter, full-integer quantisation"
    precision: ClassVar[str] = "int8"
    bits: ClassVar[int] = 8

    last: Annotated[
        Literal["float", "int8"],
        Field(description="the last layer: float, or int8, whose coordinates come in 256 steps"),
    ] = "float"

    def compress(self, form: Form, context: Context) -> Form:
        """The same network, to be written as int8 with ranges from the calibration samples."""
        if not len(context.calibration):
            message = "int8 needs training samples to measure ranges on: give some, or use dynamic."
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

    @classmethod
    def tried(cls) -> Tried:
        """Epochs."""
        return Tried(("qat(epochs={epochs})",))

    def compress(self, form: Form, context: Context) -> Form:
        """The network with fake quantisation, its ranges measured on calibration samples to start with."""
        if not len(context.calibration):
            message = "qat needs training samples to measure ranges on: give some."
            raise UsageError(message)
        samples = graph.encoded(form.network, context.calibration.spread(_RANGE_SAMPLES))
        network = _calibrated(_annotated(form.network), form.network, samples)
        changes = tuple(_in_float(form.network))
        return Form(network, form.with_export(precision="int8", ranges="learned").export, changes)

    def reasons(self, form: Form, context: Context) -> Mapping[str, str]:
        """What TFMOT cannot quantise."""
        told = {
            layer.name: _unquantised(layer, form.network) for layer in graph.layers_with_kernel(form.network)
        }
        return {name: why for name, why in told.items() if why}

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


_RANGE_SAMPLES = 120


def _annotated(network: tf_keras.Model) -> tf_keras.Model:
    """A copy with every layer but the last ones quantised; TFMOT leaves the answers of such last layers in float."""
    import tf_keras
    from tensorflow_model_optimization.python.core.quantization.keras import quantize

    names = {layer.name for layer in network.layers if _unquantised(layer, network) is None}

    def annotate(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        return quantize.quantize_annotate_layer(layer) if layer.name in names else layer

    try:
        annotated = tf_keras.models.clone_model(graph.copy(network), clone_function=annotate)
        return quantize.quantize_apply(annotated)
    except (RuntimeError, ValueError) as error:
        message = f"qat cannot handle this network: {str(error).splitlines()[0]}"
        raise RefusedCompressionError(message) from error


def _unquantised(layer: tf_keras.layers.Layer, network: tf_keras.Model) -> str | None:
    """Why a layer stays in float, or None; of those that should, and of inputs, without a word."""
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_registry,
    )
    from tf_keras import layers as keras

    if layer in [*graph.input_layers(network), *graph.last_layers(network)]:
        return ""
    if len(graph.calls(network, layer)) > 1:
        return "called more than once, but it would have one range: stays in float"
    before = graph.producers(network, layer)
    if type(layer) is keras.BatchNormalization and type(before[0]) in (
        keras.Conv2D,
        keras.DepthwiseConv2D,
        keras.Dense,
    ):
        return None  # folded into what stands before it
    if type(layer) in (keras.SeparableConv1D, keras.SeparableConv2D):
        return None  # taken apart
    if not default_8bit_quantize_registry.Default8BitQuantizeRegistry().supports(layer):
        return f"TFMOT cannot quantise a {type(layer).__name__} here: stays in float"
    return None


def _in_float(network: tf_keras.Model) -> Iterator[LayerChange]:
    """Layers that are not quantised, with the reason."""
    for layer in network.layers:
        if reason := _unquantised(layer, network):
            yield unchanged(layer, reason)


def _calibrated(quantised: tf_keras.Model, network: tf_keras.Model, samples: graph.Inputs) -> tf_keras.Model:
    """Ranges of weights by one pass, of activations as the network has them (TFMOT would start at ±6)."""
    quantised(graph.given(network, samples, slice(0, 1)), training=True)
    extremes: dict[str, tuple[float, float]] = {}
    layers = {layer.name: layer for layer in [*graph.input_layers(network), *network.layers]}
    for found in graph.outputs_of(network, list(layers.values()), samples):
        for name, values in found.items():
            low, high = extremes.get(name, (0.0, 0.0))
            extremes[name] = min(low, float(values.min())), max(high, float(values.max()))
    for layer in quantised.layers:
        # A layer for an input is TFMOT's own, and Keras counts those of a process in their names.
        own = type(layer).__name__ == "QuantizeLayer"
        bare = graph.producers(quantised, layer)[0].name if own else getattr(layer, "layer", layer).name
        for weight in layer.weights:
            end = weight.name.rsplit("/", 1)[-1].split(":")[0]
            if bare in extremes and end.endswith(("_min", "_max")) and "kernel" not in end:
                weight.assign(extremes[bare][end.endswith("_max")])
    return quantised
