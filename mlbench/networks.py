"""Keras networks: built from a variant, saved and loaded as data, counted.

A saved network is a folder with `network.json` (layers) and `weights.npz` (arrays); neither can carry code.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench import registry
from mlbench.contracts import Variant
from mlbench.errors import UsageError
from mlbench.faces.dataset import LANDMARKS
from mlbench.faces.npz_arrays import NPZ_ERRORS
from mlbench.files import write_atomically
from mlbench.quiet import muted_standard_error
from mlbench.records import Layer

if TYPE_CHECKING:
    import tf_keras


@lru_cache(maxsize=1)
def quiet_tensorflow() -> None:
    """Import TensorFlow with legacy Keras, on the CPU, and without the notes that it prints while it starts."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    with muted_standard_error():
        import tensorflow

        tensorflow.config.list_physical_devices()
        tensorflow.get_logger().setLevel("ERROR")  # its advice on tracing is for who writes the loop


def build(variant: Variant, seed: int) -> tf_keras.Model:
    """The untrained network of a variant: [batch,96,96,1] of pixels / 255 -> [batch,136] pixels of the crop.

    Every kernel is drawn by Glorot's rule from a seed of its own, so equal seeds give equal networks.
    """
    quiet_tensorflow()
    import tf_keras

    layers = tf_keras.layers
    seeds = iter(range(seed * 1000, seed * 1000 + 100))

    def kernel() -> tf_keras.initializers.Initializer:
        return tf_keras.initializers.GlorotUniform(seed=next(seeds))

    stack = [layers.InputLayer((variant.size, variant.size, 1), name="crop")]
    for number, block in enumerate(variant.blocks, 1):
        name = f"conv{number}"
        stack.append(
            layers.Conv2D(
                block.filters, block.kernel, activation="relu", kernel_initializer=kernel(), name=name
            )
        )
        if block.pool:
            stack.append(layers.MaxPool2D(2, name=f"pool{number}"))
    stack.append(layers.Flatten(name="flatten"))
    for number, units in enumerate(variant.dense, 1):
        stack.append(
            layers.Dense(units, activation="relu", kernel_initializer=kernel(), name=f"dense{number}")
        )
    last = f"dense{len(variant.dense) + 1}"
    stack.append(layers.Dense(2 * LANDMARKS, kernel_initializer=kernel(), name=last))
    return tf_keras.Sequential(stack, name=variant.name)


def start_from_mean(network: tf_keras.Model, mean_points: npt.NDArray[np.float32]) -> None:
    """Let the untrained network answer with the mean face [68,2], so that training starts from there."""
    network.layers[-1].bias.assign(mean_points.reshape(-1))


def save(network: tf_keras.Model, folder: Path) -> None:
    """Write a network's layers and weights to a folder, each file by atomic rename, the layers last."""
    save_arrays(dict(enumerate_weights(network)), folder / "weights.npz")
    with write_atomically(folder / "network.json") as part:
        part.write_text(network.to_json(), encoding="utf-8")


def load(folder: Path) -> tf_keras.Model:
    """Read a network that `save` wrote.

    Raises:
        UsageError: not such a folder, truncated, or holding anything but plain layers.
    """
    quiet_tensorflow()

    try:
        text = (folder / "network.json").read_text(encoding="utf-8")
        layers = json.loads(text)["config"]["layers"]
        if "Lambda" in _classes(layers):
            message = f"{folder / 'network.json'} holds a Lambda layer, which is code: only plain layers are loaded."
            raise UsageError(message)
        network = _from_json(text, _classes(layers))
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{folder} does not hold a saved network ({error}): train one with `mlbench train`."
        raise UsageError(message) from error
    load_weights(network, folder / "weights.npz")
    return network


def _classes(config: Any) -> set[str]:
    """Names of all classes in a network's configuration, wrapped ones too."""
    if isinstance(config, list):
        return set().union(*(_classes(item) for item in config))
    if not isinstance(config, dict):
        return set()
    named = {str(config["class_name"])} if "class_name" in config else set()
    return named.union(*(_classes(value) for value in config.values()))


def _from_json(text: str, classes: set[str]) -> tf_keras.Model:
    """A network from JSON, with the layers of installed compressors where it holds others than Keras' own."""
    import tf_keras

    kinds = tf_keras.layers, tf_keras.initializers, tf_keras.regularizers, tf_keras.constraints
    if all(any(hasattr(kind, name) for kind in kinds) for name in classes):
        return tf_keras.models.model_from_json(text)
    found: dict[str, type] = {}
    for compressor in registry.names("compressors"):
        found |= registry.load("compressors", compressor).custom_layers()
    config = json.loads(text)
    for layer in config["config"]["layers"]:
        # Layers are built as they are added; TFMOT's would be built, and hold their weights, twice.
        layer.pop("build_config", None)
    return tf_keras.models.model_from_json(json.dumps(config), custom_objects=found)


def enumerate_weights(network: tf_keras.Model) -> list[tuple[str, npt.NDArray[Any]]]:
    """The weights of a network with stable names, in order."""
    return [(f"{i:03d}", value) for i, value in enumerate(network.get_weights())]


def load_weights(network: tf_keras.Model, path: Path) -> None:
    """Set a network's weights from a file of `save_arrays`.

    Raises:
        UsageError: the file is damaged or belongs to another network.
    """
    arrays = load_arrays(path)
    values = [arrays[key] for key in sorted(arrays)]
    expected = [tuple(w.shape) for w in network.weights]
    if [value.shape for value in values] != expected:
        message = f"{path} holds weights of another network: remove it and train again."
        raise UsageError(message)
    network.set_weights(values)


def save_arrays(arrays: dict[str, npt.NDArray[Any]], path: Path) -> None:
    """Write named arrays as an uncompressed `.npz`, by atomic rename."""
    with write_atomically(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read what `save_arrays` wrote.

    Raises:
        UsageError: missing, truncated or not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except NPZ_ERRORS as error:
        message = f"{path} is damaged ({error}): remove it and run again."
        raise UsageError(message) from error


def parameters_of(network: tf_keras.Model) -> int:
    """Weights and biases of a network; what pruning, clustering and fake quantisation keep beside them do not count."""
    return sum(map(_parameters, network.layers))


def _parameters(layer: tf_keras.layers.Layer) -> int:
    inner = _bare(layer)
    if type(layer).__name__ == "QuantizeLayer":
        return 0
    if inner is layer:
        return int(layer.count_params())
    # A wrapper may put a tensor in the kernel's place, which the layer then does not count as its weight.
    parts = (getattr(inner, name, None) for name in ("kernel", "bias"))
    return sum(int(np.prod(part.shape)) for part in parts if part is not None)


def is_plain(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer is one of Keras' own."""
    import tf_keras

    return bool(getattr(tf_keras.layers, type(layer).__name__, None) is type(layer))


def computes_in_bfloat16(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer can compute in bfloat16: Keras' own can, and those that say so of themselves."""
    return is_plain(layer) or getattr(layer, "computes_in_bfloat16", False)


def _bare(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """The layer inside a wrapper, or the layer."""
    return getattr(layer, "layer", layer)


def layer_table(network: tf_keras.Model) -> list[Layer]:
    """Every layer that holds weights or changes the shape, with parameters and multiply-accumulates."""
    rows = []
    for layer in network.layers:
        output = (
            tuple(int(n) for n in layer.output_shape[1:]) if isinstance(layer.output_shape, tuple) else ()
        )
        rows.append(
            Layer(
                name=layer.name,
                kind=type(_bare(layer)).__name__.lower(),
                output=output,
                parameters=_parameters(layer),
                macs=_macs(layer, output),
            )
        )
    return [row for row in rows if row.output]


def _macs(layer: tf_keras.layers.Layer, output: tuple[int, ...]) -> int:
    if isinstance(told := getattr(_bare(layer), "macs", None), int):
        return told  # a layer of a compressor's own
    kernel = getattr(_bare(layer), "kernel", None)
    if kernel is None:
        return 0
    size = int(np.prod(kernel.shape))
    # A convolution's kernel is applied once a position of its output, a dense layer's once.
    return size * int(np.prod(output[:-1])) if len(kernel.shape) == 4 else size
