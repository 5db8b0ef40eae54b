"""Networks of Keras 2: read from files, or taken from memory, by tf_keras."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench.contracts.network import Shapes
from mlbench.errors import UsageError
from mlbench.networks import graph, storage
from mlbench.networks.importing import trials
from mlbench.networks.importing.formats import NetworkFile
from mlbench.system.quiet import quiet_tensorflow

if TYPE_CHECKING:
    import tf_keras

Found = tuple["tf_keras.Model", list[npt.NDArray[Any]]]

#: What decides no answer.
_LEFT_OUT = re.compile(
    r".*_(initializer|regularizer|constraint)|build_config|compile_config|shared_object_id"
)
_BATCH = "batch_input_shape"


def of_file(file: NetworkFile) -> Found:
    """The network of a file of Keras 2, and what it answers.

    Raises:
        UsageError: it holds anything but plain layers, or weights of another network.
    """
    network = storage.built(cleaned(file.config), file.path)
    with tempfile.TemporaryDirectory(prefix="mlbench-") as scratch:
        weights = file.place_weights(Path(scratch))
        try:
            network.load_weights(weights)
        except Exception as error:  # Keras and h5py raise nearly anything where weights fit no network
            message = (
                f"{file.path} has weights that do not fit its layers ({error}): save it again by model.save."
            )
            raise UsageError(message) from error
    return settled(network), trials.answers_of(network)


def of_memory(model: Any, told: str) -> Found:
    """A network of tf_keras, and what it answers.

    Raises:
        UsageError: it is none, or is no graph of layers.
    """
    quiet_tensorflow()
    import tf_keras

    if not isinstance(model, tf_keras.Model):
        message = f"{told} gave {type(model).__name__}: give a network of tf_keras or Keras 3."
        raise UsageError(message)
    if not getattr(model, "_is_graph_network", False):
        message = (
            f"{told} gave a network without known inputs or of a custom class: build it of Input and layers, "
            "as tf_keras.Model(inputs, outputs) or tf_keras.Sequential."
        )
        raise UsageError(message)
    return settled(model), trials.answers_of(model)


def cleaned(config: Any, within_input: bool = False) -> Any:
    """A configuration without what decides no answer: initialisers and the like, types of arithmetic, frozen layers."""
    if isinstance(config, list):
        return [cleaned(item) for item in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "Model":  # of Keras before 2.3
        config = config | {"class_name": "Functional"}
    found: dict[str, Any] = {}
    for key, value in config.items():
        if (key == "dtype" and not within_input) or _LEFT_OUT.fullmatch(key):
            continue
        if key == _BATCH and isinstance(value, list) and value:
            found[key] = [None, *value[1:]]  # a batch of one size is no part of what the network computes
        elif key == "config" and isinstance(value, dict):
            found[key] = cleaned(value, config.get("class_name") == "InputLayer")
        else:
            found[key] = True if key == "trainable" else cleaned(value)
    return found


def settled(network: tf_keras.Model) -> tf_keras.Model:
    """The network with what Normalization layers learnt as a part of them: as weights it is lost in copies."""
    import tf_keras

    def replace(layer: tf_keras.layers.Layer) -> list[graph.NewLayer] | None:
        if type(layer) is not tf_keras.layers.Normalization or layer.input_mean is not None:
            return None
        learnt = {"mean": np.ravel(layer.mean).tolist(), "variance": np.ravel(layer.variance).tolist()}
        return [(tf_keras.layers.Normalization.from_config({**layer.get_config(), **learnt}), None)]

    flat = graph.flattened(network)
    kinds = [type(layer) for layer in flat.layers]
    return graph.rebuild(flat, replace) if tf_keras.layers.Normalization in kinds else flat


def sized(network: tf_keras.Model, inputs: Shapes) -> tf_keras.Model:
    """A network whose inputs have the given shapes in place of sizes that it leaves open.

    Raises:
        UsageError: it does not take inputs of such shapes.
    """
    import tf_keras

    given = []
    for layer in graph.input_layers(network):
        shape = [own or size for own, size in zip(layer.output.shape[1:], inputs[layer.name], strict=False)]
        given.append(tf_keras.Input(shape, name=layer.name, dtype=layer.output.dtype))
    try:
        return graph.with_inputs(network, given)
    except Exception as error:  # layers raise nearly anything where a shape does not fit
        told = ", ".join("×".join(map(str, shape)) for shape in inputs.values())
        message = f"{network.name} takes inputs of many sizes, but none of {told} ({error})."
        raise UsageError(message) from error
