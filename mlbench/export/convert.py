"""One conversion to `.tflite`, in a process of its own: `python -m mlbench.export.convert job.json`.

Converting the largest network takes up to 8 GB, which a process of its own gives back. The written file is
loaded again and compared with the network on real samples before it gets its name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench import plugins
from mlbench.contracts import Encoding, ExportOptions, Precision, Samples
from mlbench.errors import UsageError
from mlbench.export.artifacts import answers
from mlbench.export.repacking import trimmed
from mlbench.networks import counting, storage
from mlbench.networks.graph import input_layers
from mlbench.networks.ports import Ports
from mlbench.system.files import write_atomically
from mlbench.system.quiet import muted_standard_error

if TYPE_CHECKING:
    import tf_keras

#: Files of up to so many bytes are trimmed: of larger ones it would be less than a thousandth.
_TRIMMED_UP_TO = 4 << 20

_CHECKED = 64  # samples that a file is compared on


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
    samples: str,
    encodings: dict[str, dict[str, Any]],
    targets: list[str],
    frozen_graph: str | None,
    **options: Any,
) -> dict[str, Any]:
    """Convert a saved network to a file.

    Args:
        network: folder of the saved network.
        out: the `.tflite` to write.
        samples: `.npz` of stored inputs: the first 64 check the file, all calibrate it.
        encodings: of each input.
        targets: names of what the network answers.
        frozen_graph: a `.pb` to write too (the paper's format), or None.
        options: see `ExportOptions`.

    Raises:
        UsageError: the file is too small to hold the weights, or its outputs are not the network's.
    """
    model, how = storage.load(Path(network)), ExportOptions(**options)
    precision: Precision = plugins.load("precisions", how.precision)()
    given = _samples(Path(samples), encodings, targets)
    ports = Ports.of(model, given)
    encoded = given.encoded()
    with muted_standard_error():  # the converter's C++ notes
        content = precision.write(static(model), [encoded[name] for name in ports.inputs], how)
    _require_weights(content, precision, how, counting.parameters_of(model), out)
    if len(content) <= _TRIMMED_UP_TO:
        content = trimmed(content)
    error = _error_of(content, precision, model, given.take(slice(0, _CHECKED)), out)
    with write_atomically(Path(out)) as part:
        part.write_bytes(content)
    if frozen_graph:
        _write_frozen_graph(model, Path(frozen_graph))
    return {"export_error": error}


def _samples(path: Path, encodings: dict[str, dict[str, Any]], targets: list[str]) -> Samples:
    with np.load(path, allow_pickle=False) as file:
        inputs = {name: file[name] for name in file.files}
    count = len(next(iter(inputs.values())))
    ids = np.arange(count).astype(np.str_)
    made = {name: Encoding(**{**one, "shape": tuple(one["shape"])}) for name, one in encodings.items()}
    return Samples(inputs, dict.fromkeys(targets, np.zeros(count)), ids, ids, made)


def _require_weights(
    content: bytes, precision: Precision, options: ExportOptions, parameters: int, out: str
) -> None:
    sparse = options.sparse and precision.weight_bytes >= 4
    if not sparse and len(content) < 0.9 * parameters * precision.weight_bytes:
        message = (
            f"{out} would hold {len(content):,} bytes for {parameters:,} parameters: the weights are missing."
        )
        raise UsageError(message)


def static(model: tf_keras.Model) -> tf_keras.Model:
    """The network for a batch of exactly 1, which keeps the whole of it in one delegate partition."""
    import tf_keras

    given = [
        tf_keras.Input(batch_shape=(1, *layer.output.shape[1:]), name=layer.name, dtype=layer.output.dtype)
        for layer in input_layers(model)
    ]
    outputs = model(given if len(given) > 1 else given[0])
    if len(model.outputs) > 1:
        named = zip(model.output_names, outputs, strict=True)  # the file names them so
        outputs = [tf_keras.layers.Activation("linear", name=name)(output) for name, output in named]
    return tf_keras.Model(given, outputs, name=model.name)


def spread_of(outputs: npt.NDArray[np.floating]) -> float:
    """Mean distance of outputs [n, …] from their median over the samples: no constant answer comes closer."""
    return float(np.abs(outputs - np.median(outputs, axis=0)).mean())


def allowed_error(precision: Precision, outputs: npt.NDArray[np.floating]) -> float:
    """How far a file's outputs may lie, in the mean, from these of its network."""
    return max(precision.floor * float(np.abs(outputs).mean()), precision.share * spread_of(outputs))


def _error_of(
    content: bytes, precision: Precision, model: tf_keras.Model, samples: Samples, out: str
) -> float:
    found, largest = answers(content, samples), 0.0
    for name, expected in Ports.of(model, samples).predictor(model)(samples).items():
        difference = np.abs(found[name].reshape(expected.shape) - expected)
        allowed = allowed_error(precision, expected)
        if not difference.mean() <= allowed:
            message = (
                f"{out} does not compute what the network does: outputs {name} differ by {difference.mean():.3g} on "
                f"average, {allowed:.3g} are allowed for {precision.name} (they spread by "
                f"{spread_of(expected):.3g} over samples); train longer or choose another precision."
            )
            raise UsageError(message)
        largest = max(largest, float(difference.max()))
    return largest


def _write_frozen_graph(model: tf_keras.Model, path: Path) -> None:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    fixed = static(model)
    function = tf.function(lambda *given: fixed(list(given) if len(given) > 1 else given[0], training=False))
    wanted = [
        tf.TensorSpec(given.shape, given.dtype, name=layer.name)
        for given, layer in zip(fixed.inputs, input_layers(fixed), strict=True)
    ]
    graph = convert_variables_to_constants_v2(function.get_concrete_function(*wanted)).graph.as_graph_def()
    with write_atomically(path) as part:
        part.write_bytes(graph.SerializeToString())


if __name__ == "__main__":
    main()
