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
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy.typing as npt

from mlbench.contracts.precision import ExportOptions, Precision
from mlbench.errors import UsageError
from mlbench.export.finished import answering, entrance
from mlbench.export.repacking import self_contained
from mlbench.networks.graph import input_layers
from mlbench.system.quiet import muted_standard_error

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

    def requantise(self, content: bytes, inputs: Inputs) -> bytes:
        """See `Precision.requantise`."""
        from ai_edge_quantizer import algorithm_manager, qtyping, quantizer

        halves = quantizer.Quantizer(bytearray(content))
        casting = algorithm_manager.AlgorithmName.FLOAT_CASTING
        halves.add_weight_only_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, 16, algorithm_key=casting)
        return _quantised(halves)


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

    def requantise(self, content: bytes, inputs: Inputs) -> bytes:
        """See `Precision.requantise`."""
        return _quantised(_dynamic(content))


class Int8(Precision):
    """Weights and activations as bytes, with ranges measured on samples or learned. Sparse files do not load."""

    name: ClassVar[str] = "int8"
    summary: ClassVar[str] = "1 byte per weight and activation"
    share: ClassVar[float] = 0.5
    floor: ClassVar[float] = 0.005
    weight_bytes: ClassVar[float] = 1.0
    needs_ranges: ClassVar[bool] = True

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

    def requantise(self, content: bytes, inputs: Inputs) -> bytes:
        """See `Precision.requantise`; inputs and outputs stay float."""
        from ai_edge_quantizer import algorithm_manager, calibrator, qtyping, quantizer, recipe_manager
        from ai_edge_quantizer.utils import qsv_utils

        if not inputs or not len(inputs[0]):
            message = (
                "int8 needs samples to measure ranges on: give --data FILE.npz with them, or use dynamic."
            )
            raise UsageError(message)
        recipe, names = recipe_manager.RecipeManager(), qtyping.TFLOperationName
        recipe.add_static_config(".*", names.ALL_SUPPORTED, 8, 8)
        untouched = algorithm_manager.AlgorithmName.NO_QUANTIZE
        for ends in (names.INPUT, names.OUTPUT):
            recipe.add_static_config(".*", ends, 8, 8, algorithm_key=untouched)
        key, entries = entrance(content)
        rows = zip(*(array[:_CALIBRATED] for array in inputs), strict=True)
        samples = [dict(zip(entries, row, strict=True)) for row in rows]
        with warnings.catch_warnings(), muted_standard_error():
            warnings.simplefilter("ignore")  # of memory for all tensors, which calibration needs
            # A moving average, its default, cuts off what few samples reach: 11 times the error on a small network.
            ranges = calibrator.Calibrator(
                memoryview(content), num_threads=1, qsv_update_func=qsv_utils.min_max_update
            )
            ranges.calibrate({key: samples}, recipe)
        planned = quantizer.Quantizer(bytearray(content), recipe.get_quantization_recipe())
        return _quantised(planned, ranges.get_model_qsvs())


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
        return self.requantise(Float32().write(network, inputs, ExportOptions()), inputs)

    def requantise(self, content: bytes, inputs: Inputs) -> bytes:
        """See `Precision.requantise`."""
        from ai_edge_quantizer import quantizer, recipe

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

    def requantise(self, content: bytes, inputs: Inputs) -> bytes:
        """See `Precision.requantise`."""
        from ai_edge_quantizer import qtyping

        mixed, dense = _dynamic(content, 4), qtyping.TFLOperationName.FULLY_CONNECTED
        for name in answering(content):
            mixed.add_dynamic_config(
                re.escape(name), dense, 8, granularity=qtyping.QuantGranularity.TENSORWISE
            )
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


def _dynamic(content: bytes, dense_bits: int = 8) -> quantizer.Quantizer:
    """Dynamic quantisation to 8 bits; dense layers of 8 have one scale: with more they need a version 12."""
    from ai_edge_quantizer import qtyping, quantizer

    names, grain = qtyping.TFLOperationName, qtyping.QuantGranularity
    planned = quantizer.Quantizer(bytearray(content))
    planned.add_dynamic_config(".*", names.ALL_SUPPORTED, 8)
    scales = grain.TENSORWISE if dense_bits == 8 else grain.CHANNELWISE
    planned.add_dynamic_config(".*", names.FULLY_CONNECTED, dense_bits, granularity=scales)
    return planned


def _quantised(planned: quantizer.Quantizer, ranges: Any = None) -> bytes:
    # It prints sizes, where --json prints records, and bars; that a part is quantised already is meant.
    with (
        contextlib.redirect_stdout(io.StringIO()),
        muted_standard_error(),
        warnings.catch_warnings(action="ignore"),
    ):
        return self_contained(bytes(planned.quantize(ranges).quantized_model))
