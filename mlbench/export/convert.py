"""One conversion to `.tflite`, in a process of its own: `python -m mlbench.export.convert job.json`.

Converting the largest network takes up to 8 GB, which a process of its own gives back. The written file is
loaded again and compared with the network on real crops before it gets its name.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mlbench.errors import UsageError
from mlbench.export.artifacts import answers
from mlbench.networks import counting, storage
from mlbench.system.files import write_atomically

if TYPE_CHECKING:
    import tf_keras
    from ai_edge_quantizer import quantizer


class _Limits(NamedTuple):
    """What is asked of a file in one precision."""

    share: float  # of the network's `spread_of` that a file's outputs may differ by, below 1
    floor: float  # px; below it nothing is refused: networks that answer alike for all faces have no spread
    weight_bytes: float  # that a weight takes at least


#: Measured, mean |file - network| over the standard deviation of the outputs (some 1.5 times their spread), on `basic`
#: (120 sampled faces, 1 epoch) and on networks of 35,000 and 1.2 million weights whose last layer was fitted to 300
#: sampled faces: float32 0.000005 (0.0015 without spread), dynamic 0.004 to 0.03, int8 0.01 to 0.05, int4 0.09 to
#: 0.48, dynamic4 0.02 to 0.31. float16 is off by 0.009 px and int8 with 256 output steps by 0.10 to 0.28 px, whatever
#: the spread: coordinates of 48 px come in steps of 0.03 and 0.4 px.
TOLERANCES = {
    "float32": _Limits(0.002, 0.001, 4.0),
    "float16": _Limits(0.1, 0.05, 2.0),
    "dynamic": _Limits(0.25, 0.25, 1.0),
    "int8": _Limits(0.5, 0.25, 1.0),
    "int4": _Limits(0.8, 0.25, 0.5),
    "dynamic4": _Limits(0.7, 0.25, 0.5),
}


#: Files of up to so many bytes are trimmed: of larger ones it would be less than a thousandth.
_TRIMMED_UP_TO = 4 << 20

#: Precisions that are a plain float file first.
_FROM_FLOAT = ("float32", "int4", "dynamic4")

#: How the converter names what the last layer gives.
_OUTPUT = "StatefulPartitionedCall:0"


def main() -> None:
    """Read the job, convert, check, and print the result as JSON."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        result = convert(**job)
    except UsageError as error:
        result = {"error": str(error)}
    print(json.dumps(result))


def convert(
    network: str,
    out: str,
    crops: str,
    precision: str,
    sparse: bool,
    frozen_graph: str | None,
    ranges: str = "calibrated",
    float_output: bool = False,
) -> dict[str, Any]:
    """Convert a saved network to a file.

    Args:
        network: folder of the saved network.
        out: the `.tflite` to write.
        crops: `.npy` of crops uint8 [n,96,96]: the first 64 check the file, all calibrate int8.
        precision: a key of `TOLERANCES`.
        sparse: whether zeros are stored sparsely.
        frozen_graph: a `.pb` to write too (the paper's format), or None.
        ranges: of int8: `calibrated` on the crops, or `learned` by the network's fake quantisation.
        float_output: of int8: whether the last layer answers in float.

    Raises:
        UsageError: the file is too small to hold the weights, or its outputs are not the network's.
    """
    model = storage.load(Path(network))
    faces = np.load(crops, allow_pickle=False)
    images = faces[..., None].astype(np.float32) / 255
    parameters = counting.parameters_of(model)
    content = _converted(model, images, precision, sparse, ranges, float_output)
    floor = (
        parameters * TOLERANCES[precision].weight_bytes * (0.0 if sparse and precision == "float32" else 0.9)
    )
    if len(content) < floor:
        message = (
            f"{out} would hold {len(content):,} bytes for {parameters:,} parameters: the weights are missing."
        )
        raise UsageError(message)
    if len(content) <= _TRIMMED_UP_TO:
        content = trimmed(content)
    error = _error_of(content, model, faces[:64], out, precision)
    with write_atomically(Path(out)) as part:
        part.write_bytes(content)
    if frozen_graph:
        _write_frozen_graph(model, Path(frozen_graph))
    return {"export_error": error}


def _converted(
    model: tf_keras.Model,
    images: npt.NDArray[np.float32],
    precision: str,
    sparse: bool,
    ranges: str = "calibrated",
    float_output: bool = False,
) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(_static(model))
    # Per-channel dynamic-range dense layers need FULLY_CONNECTED version 12, which phones' TFLite 2.16 refuses.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    converter.optimizations = [] if precision in _FROM_FLOAT else [tf.lite.Optimize.DEFAULT]
    if sparse and precision == "float32":
        # Sparse float16 files answer NaN and sparse int8 files do not load: zeros are stored there as any number.
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8" and ranges == "calibrated":
        if not len(images):
            message = "int8 needs training faces to measure ranges on: give some."
            raise UsageError(message)
        converter.representative_dataset = lambda: ([image[None]] for image in images[:500])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if float_output:
            return _with_float_output(converter, images)
    content = bytes(converter.convert())
    if precision == "int4":
        return in_four_bits(content)
    return in_four_and_eight_bits(content) if precision == "dynamic4" else content


def _with_float_output(converter: Any, images: npt.NDArray[np.float32]) -> bytes:
    """int8 up to the last layer, which answers in float: coordinates are not rounded to 256 steps.

    That layer is left out of the quantisation, then its weights alone are quantised.
    """
    import tensorflow as tf
    from ai_edge_quantizer import qtyping, quantizer

    debugger = tf.lite.experimental
    options = debugger.QuantizationDebugOptions(denylisted_nodes=[_OUTPUT])
    faces = lambda: ([image[None]] for image in images[:1])  # noqa: E731
    chosen = debugger.QuantizationDebugger(converter=converter, debug_dataset=faces, debug_options=options)
    last = quantizer.Quantizer(bytearray(chosen.get_nondebug_quantized_model()))
    dense, whole = qtyping.TFLOperationName.FULLY_CONNECTED, qtyping.QuantGranularity.TENSORWISE
    last.add_dynamic_config(re.escape(_OUTPUT), dense, 8, granularity=whole)
    return _quantised(last)


def in_four_bits(content: bytes) -> bytes:
    """Weights of a float file as 4-bit integers with a scale a channel, computed in float."""
    from ai_edge_quantizer import quantizer, recipe

    return _quantised(quantizer.Quantizer(bytearray(content), recipe.weight_only_wi4_afp32()))


def in_four_and_eight_bits(content: bytes) -> bytes:
    """Dense weights of a float file as 4-bit integers but for the last layer's, others as 8-bit; computed in int8."""
    from ai_edge_quantizer import qtyping, quantizer

    mixed, names = quantizer.Quantizer(bytearray(content)), qtyping.TFLOperationName
    mixed.add_dynamic_config(".*", names.CONV_2D, 8)
    mixed.add_dynamic_config(".*", names.FULLY_CONNECTED, 4)
    mixed.add_dynamic_config(re.escape(_OUTPUT), names.FULLY_CONNECTED, 8)
    return _quantised(mixed)


def _quantised(planned: quantizer.Quantizer) -> bytes:
    with contextlib.redirect_stdout(io.StringIO()):  # it prints sizes, where --json prints records
        return self_contained(bytes(planned.quantize().quantized_model))


def trimmed(content: bytes) -> bytes:
    """The same file without what no runtime needs: names of tensors within the network, notes of the converter."""
    model = _read(content)
    model.metadata = [note for note in model.metadata or [] if note.name != b"CONVERSION_METADATA"]
    read = {0} | {note.buffer for note in model.metadata}
    for graph in model.subgraphs:
        ends = {*graph.inputs, *graph.outputs}
        for number, tensor in enumerate(graph.tensors):
            read.add(tensor.buffer)
            if number not in ends:
                tensor.name = None
    for number, buffer in enumerate(model.buffers):
        if number not in read:
            buffer.data = None
    return _packed(model, len(content))


def self_contained(content: bytes) -> bytes:
    """The same file with every buffer inside the flatbuffer, where each reader of the format looks for it."""
    return _packed(_read(content), len(content))


def _read(content: bytes) -> Any:
    """A file as the schema's `ModelT`, with what the writer laid behind the flatbuffer taken in.

    ai-edge-quantizer does so from 256 KiB of weights on, the TFLite converter near 2 GiB; offsets of 0 and 1 are
    none (schema.fbs, `Buffer.offset`).
    """
    from ai_edge_litert import schema_py_generated as schema

    def behind(offset: int, size: int) -> npt.NDArray[np.uint8]:
        return np.frombuffer(content, np.uint8, size, offset)

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for buffer in model.buffers:
        if buffer.offset > 1:
            buffer.data = behind(buffer.offset, buffer.size)
        buffer.offset = buffer.size = 0
    for operator in (operator for graph in model.subgraphs for operator in graph.operators):
        if operator.largeCustomOptionsOffset > 1:
            operator.customOptions = behind(
                operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize
            )
        operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0
    return model


def _packed(model: Any, size: int) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(size)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _static(model: tf_keras.Model) -> tf_keras.Model:
    # A batch of exactly 1 keeps the whole network in one delegate partition.
    import tf_keras

    crop = tf_keras.Input(batch_shape=(1, *model.input_shape[1:]), name="crop")
    return tf_keras.Model(crop, model(crop), name=model.name)


def spread_of(outputs: npt.NDArray[np.float32]) -> float:
    """Mean distance of outputs [n,…] from their median over the faces, px: no constant answer comes closer."""
    return float(np.abs(outputs - np.median(outputs, axis=0)).mean())


def _error_of(
    content: bytes, model: tf_keras.Model, crops: npt.NDArray[np.uint8], out: str, precision: str
) -> float:
    expected = model(crops[..., None].astype(np.float32) / 255, training=False).numpy()
    difference = np.abs(answers(content, crops).reshape(expected.shape) - expected)
    limits, spread = TOLERANCES[precision], spread_of(expected)
    allowed = max(limits.floor, limits.share * spread)
    if not difference.mean() <= allowed:
        message = (
            f"{out} does not compute what the network does: outputs differ by {difference.mean():.3f} px on average, "
            f"{allowed:.3f} px are allowed for {precision} (outputs spread by {spread:.2f} px over faces); "
            "train longer or choose another precision."
        )
        raise UsageError(message)
    return float(difference.max())


def _write_frozen_graph(model: tf_keras.Model, path: Path) -> None:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    static = _static(model)
    function = tf.function(lambda crop: static(crop, training=False))
    graph = convert_variables_to_constants_v2(
        function.get_concrete_function(tf.TensorSpec(static.input_shape, tf.float32, name="crop"))
    ).graph.as_graph_def()
    with write_atomically(path) as part:
        part.write_bytes(graph.SerializeToString())


if __name__ == "__main__":
    main()
