"""The built-in precisions: what TensorFlow Lite's converter and ai-edge-quantizer write.

Limits: measured, mean |file - network| over the standard deviation of the outputs (some 1.5 times their spread), on
`basic` (120 sampled images, 1 epoch) and on networks of 35,000 and 1.2 million weights whose last layer was fitted to
300 sampled images: float32 0.000005 (0.0015 without spread), dynamic 0.004 to 0.03, int8 0.01 to 0.05, int4 0.09 to
0.48, dynamic4 0.02 to 0.31. Whatever the spread, outputs of magnitude 48 are off by 0.009 in float16 and by 0.10 to
0.28 in int8 with 256 output steps.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy.typing as npt

from mlbench.contracts.precision import ExportOptions, Precision
from mlbench.errors import UsageError
from mlbench.export.repacking import self_contained
from mlbench.networks.graph import input_layers

if TYPE_CHECKING:
    import tf_keras
    from ai_edge_quantizer import quantizer

Inputs = Sequence[npt.NDArray[Any]]

#: How the converter names what the last layers give.
_OUTPUT = r"StatefulPartitionedCall:\d+"

_CALIBRATED = 500  # samples that ranges are measured on


class Float32(Precision):
    """Weights as they are; zeros sparsely where asked."""

    name: ClassVar[str] = "float32"
    summary: ClassVar[str] = "4 bytes per weight"
    share: ClassVar[float] = 0.002
    floor: ClassVar[float] = 0.00002
    weight_bytes: ClassVar[float] = 4.0

    def write(self, network: tf_keras.Model, inputs: Inputs, options: ExportOptions) -> bytes:
        """See `Precision.write`."""
        import tensorflow as tf

        converter = _converter(network)
        if options.sparse:
            converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
        return bytes(converter.convert())


class Float16(Precision):
    """Weights as half floats. Zeros are stored as any number: sparse float16 files answer NaN."""

    name: ClassVar[str] = "float16"
    summary: ClassVar[str] = "2 bytes per weight, computed in float32"
    share: ClassVar[float] = 0.1
    floor: ClassVar[float] = 0.001
    weight_bytes: ClassVar[float] = 2.0

    def write(self, network: tf_keras.Model, inputs: Inputs, options: ExportOptions) -> bytes:
        """See `Precision.write`."""
        import tensorflow as tf

        converter = _quantising(network)
        converter.target_spec.supported_types = [tf.float16]
        return bytes(converter.convert())


class Dynamic(Precision):
    """Weights as bytes, activations quantised while running. Zeros are stored as any number."""

    name: ClassVar[str] = "dynamic"
    summary: ClassVar[str] = "1 byte per weight, activations quantised while running"
    share: ClassVar[float] = 0.25
    floor: ClassVar[float] = 0.005
    weight_bytes: ClassVar[float] = 1.0

    def write(self, network: tf_keras.Model, inputs: Inputs, options: ExportOptions) -> bytes:
        """See `Precision.write`."""
        return bytes(_quantising(network).convert())


class Int8(Precision):
    """Weights and activations as bytes, with ranges measured on samples or learned. Sparse files do not load."""

    name: ClassVar[str] = "int8"
    summary: ClassVar[str] = "1 byte per weight and activation"
    share: ClassVar[float] = 0.5
    floor: ClassVar[float] = 0.005
    weight_bytes: ClassVar[float] = 1.0

    def write(self, network: tf_keras.Model, inputs: Inputs, options: ExportOptions) -> bytes:
        """See `Precision.write`."""
        import tensorflow as tf

        converter = _quantising(network)
        if options.ranges == "learned":
            return bytes(converter.convert())
        if not len(inputs[0]):
            message = "int8 needs training samples to measure ranges on: give some."
            raise UsageError(message)
        converter.representative_dataset = lambda: _one_by_one(network, inputs, _CALIBRATED)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        return (
            _with_float_output(converter, network, inputs)
            if options.float_output
            else bytes(converter.convert())
        )


def _with_float_output(converter: Any, network: tf_keras.Model, inputs: Inputs) -> bytes:
    """int8 up to the last layer, which answers in float: outputs are not rounded to 256 steps.

    That layer is left out of the quantisation, then its weights alone are quantised.
    """
    import tensorflow as tf
    from ai_edge_quantizer import qtyping, quantizer

    debugger = tf.lite.experimental
    outputs = [f"StatefulPartitionedCall:{number}" for number in range(len(network.outputs))]
    chosen = debugger.QuantizationDebugger(
        converter=converter,
        debug_dataset=lambda: _one_by_one(network, inputs, 1),
        debug_options=debugger.QuantizationDebugOptions(denylisted_nodes=outputs),
    )
    last = quantizer.Quantizer(bytearray(chosen.get_nondebug_quantized_model()))
    dense, whole = qtyping.TFLOperationName.FULLY_CONNECTED, qtyping.QuantGranularity.TENSORWISE
    last.add_dynamic_config(_OUTPUT, dense, 8, granularity=whole)
    return _quantised(last)


class Int4(Precision):
    """Weights as 4-bit integers with a scale per channel, computed in float."""

    name: ClassVar[str] = "int4"
    summary: ClassVar[str] = "half a byte per weight, computed in float32"
    share: ClassVar[float] = 0.8
    floor: ClassVar[float] = 0.005
    weight_bytes: ClassVar[float] = 0.5

    def write(self, network: tf_keras.Model, inputs: Inputs, options: ExportOptions) -> bytes:
        """See `Precision.write`."""
        from ai_edge_quantizer import quantizer, recipe

        content = Float32().write(network, inputs, ExportOptions())
        return _quantised(quantizer.Quantizer(bytearray(content), recipe.weight_only_wi4_afp32()))


class Dynamic4(Precision):
    """Dense weights as 4-bit integers but for the last layer's, others as 8-bit; computed in int8."""

    name: ClassVar[str] = "dynamic4"
    summary: ClassVar[str] = "half a byte per weight of dense layers, one elsewhere; as dynamic"
    share: ClassVar[float] = 0.7
    floor: ClassVar[float] = 0.005
    weight_bytes: ClassVar[float] = 0.5

    def write(self, network: tf_keras.Model, inputs: Inputs, options: ExportOptions) -> bytes:
        """See `Precision.write`."""
        from ai_edge_quantizer import qtyping, quantizer

        content = Float32().write(network, inputs, ExportOptions())
        mixed, names = quantizer.Quantizer(bytearray(content)), qtyping.TFLOperationName
        mixed.add_dynamic_config(".*", names.CONV_2D, 8)
        mixed.add_dynamic_config(".*", names.FULLY_CONNECTED, 4)
        mixed.add_dynamic_config(_OUTPUT, names.FULLY_CONNECTED, 8)
        return _quantised(mixed)


def _converter(network: tf_keras.Model) -> Any:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(_as_one_function(network))
    # Per-channel dynamic-range dense layers need FULLY_CONNECTED version 12, which phones' TFLite 2.16 refuses.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    return converter


def _as_one_function(network: tf_keras.Model) -> Any:
    """A network's answers as one function, saved in a fraction of the time: Keras traces each layer several times.

    The files are the same, bit by bit.
    """
    import tensorflow as tf

    def call(*given: Any) -> dict[str, Any]:
        found = network(list(given) if len(given) > 1 else given[0], training=False)
        outputs = found if len(network.outputs) > 1 else [found]
        return dict(zip(network.output_names, outputs, strict=True))

    inputs = zip(network.inputs, input_layers(network), strict=True)
    signature = [tf.TensorSpec(given.shape, given.dtype, name=layer.name) for given, layer in inputs]
    module = tf.Module()
    module.held, module.call = network.variables, tf.function(call, input_signature=signature)
    return module


def _quantising(network: tf_keras.Model) -> Any:
    import tensorflow as tf

    converter = _converter(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter


def _one_by_one(network: tf_keras.Model, inputs: Inputs, count: int) -> Iterator[Any]:
    """Samples as the converter takes them: a list for one input, by name for several."""
    for row in range(min(count, len(inputs[0]))):
        values = [array[row : row + 1] for array in inputs]
        yield values if len(values) == 1 else dict(zip(network.input_names, values, strict=True))


def _quantised(planned: quantizer.Quantizer) -> bytes:
    with contextlib.redirect_stdout(io.StringIO()):  # it prints sizes, where --json prints records
        return self_contained(bytes(planned.quantize().quantized_model))
