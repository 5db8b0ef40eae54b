"""A ready model's file as a Keras network that can be trained further: its weights in float32.

    python -m tests.benchmarks.revived models/basic.tflite --rank 24 --out basic.h5
    python -m tests.benchmarks.revived landmarks.tflite --into examples.compact:compact_with_presence --out compact.h5

The files of the paper's variants hold a chain of three convolutions and six matrices (docs/evidence/ready-models.md).
`--into`: those of any chain, in the first layers of a network that has more.
"""

import argparse
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tf_keras
from ai_edge_litert.interpreter import Interpreter, OpResolverType

Weights = list[npt.NDArray[np.float32]]

POOLS = {"basic": (1, 2, 3), "two_pool": (2, 3), "one_pool": (3,)}
_FACTORS = ("dense1_core", "dense1_units", "dense2_a", "dense2_b", "dense3_a", "dense3_b")


def revived(path: Path, rank: int = 0, seed: int = 7) -> tf_keras.Model:
    """The network of a file whose stem is a variant's name, as many pools as that has.

    Args:
        path: of the `.tflite`.
        rank: of the last matrix's factors, if larger than the file's: new directions that give nothing yet.
        seed: of what the new directions read.
    """
    weights = _weights(path)
    layers = tf_keras.layers
    crop = answer = layers.Input((96, 96, 1), name="crop")
    for number in (1, 2, 3):
        answer = _convolution(f"conv{number}", answer, weights[number - 1], "relu")
        if number in POOLS[path.stem]:
            answer = layers.MaxPool2D(name=f"pool{number}")(answer)
    answer = _convolution("dense1_channels", answer, weights[3])
    side, channels, rows = answer.shape[1], answer.shape[3], weights[4][0].shape[3]
    answer = layers.Reshape((side, side * channels, 1), name="dense1_by_row")(answer)
    answer = _convolution("dense1_rows", answer, weights[4])
    answer = layers.Reshape((side, channels * rows, 1), name="dense1_by_column")(answer)
    answer = _convolution("dense1_columns", answer, weights[5])
    answer = layers.Flatten(name="dense1_flatten")(answer)
    factors = [*weights[6:10], *_widened(weights[10], weights[11], rank, np.random.default_rng(seed))]
    for name, given in zip(_FACTORS, factors, strict=True):
        activation = "relu" if name in ("dense1_units", "dense2_b") else None
        answer = _set(
            layers.Dense(given[0].shape[1], activation, use_bias=len(given) > 1, name=name), answer, given
        )
    return tf_keras.Model(crop, answer, name=path.stem)


def filled(network: tf_keras.Model, path: Path) -> tf_keras.Model:
    """A network with a file's weights in its first layers; the others stay as they are."""
    layers = [layer for layer in network.layers if layer.weights]
    for layer, given in zip(layers, _weights(path), strict=False):
        layer.set_weights(given)
    return network


def _weights(path: Path) -> list[Weights]:
    """Of each layer in order: the kernel as Keras has it, and the bias where there is one."""
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    interpreter.allocate_tensors()
    scales = {
        tensor["index"]: tensor["quantization_parameters"]["scales"]
        for tensor in interpreter.get_tensor_details()
    }

    def value(index: int) -> npt.NDArray[np.float32]:
        stored = interpreter.get_tensor(index).astype(np.float32)
        scale = scales[index]
        return stored * scale.reshape(-1, *[1] * (stored.ndim - 1)) if len(scale) else stored

    found = []
    for operator in interpreter._get_ops_details():
        if operator["op_name"] in ("CONV_2D", "FULLY_CONNECTED"):
            _, kernel, bias = operator["inputs"]
            given = value(kernel)
            given = given.transpose(1, 2, 3, 0) if given.ndim == 4 else given.T
            found.append([given, value(bias)] if bias >= 0 else [given])
    return found


def _widened(before: Weights, after: Weights, rank: int, rng: np.random.Generator) -> list[Weights]:
    more = max(0, rank - before[0].shape[1])
    new = rng.standard_normal((len(before[0]), more)).astype(np.float32) * before[0].std()
    silent = np.zeros((more, after[0].shape[1]), np.float32)
    return [[np.hstack([before[0], new])], [np.vstack([after[0], silent]), *after[1:]]]


def _convolution(name: str, below: Any, given: Weights, activation: str | None = None) -> Any:
    height, width, _, filters = given[0].shape
    layer = tf_keras.layers.Conv2D(filters, (height, width), activation=activation, name=name)
    return _set(layer, below, given)


def _set(layer: tf_keras.layers.Layer, below: Any, given: Weights) -> Any:
    answer = layer(below)
    layer.set_weights(given)
    return answer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--into")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.into:
        module, function = arguments.into.split(":")
        made = filled(getattr(importlib.import_module(module), function)(), arguments.file)
    else:
        made = revived(arguments.file, arguments.rank)
    made.save(arguments.out)
