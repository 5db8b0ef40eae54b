"""Networks saved and loaded as data.

A saved network is a folder with `network.json` (layers) and `weights.npz` (arrays); neither can carry code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench import plugins
from mlbench.data.npz_arrays import NPZ_ERRORS
from mlbench.errors import UsageError
from mlbench.system.files import write_atomically
from mlbench.system.quiet import quiet_tensorflow

if TYPE_CHECKING:
    import tf_keras


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
    for compressor in plugins.usable("compressors")[0].values():
        found |= compressor.custom_layers()
    config = json.loads(text)
    for layer in config["config"]["layers"]:
        # Layers are built as they are added; TFMOT's would be built, and hold their weights, twice.
        layer.pop("build_config", None)
    return tf_keras.models.model_from_json(json.dumps(config), custom_objects=found)


def enumerate_weights(network: tf_keras.Model) -> list[tuple[str, npt.NDArray[Any]]]:
    """The weights of a network, named by their numbers (`000` and on, in a file)."""
    return numbered("", network.get_weights())


def numbered(kind: str, values: Iterable[npt.NDArray[Any]]) -> list[tuple[str, npt.NDArray[Any]]]:
    """Arrays with the names `kind` and their number, from 000: for `save_arrays`."""
    return [(f"{kind}{number:03d}", value) for number, value in enumerate(values)]


def in_order(kind: str, arrays: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """The arrays that `numbered` named, by number: as text, 1000 would come before 101."""
    found = {key.removeprefix(kind): array for key, array in arrays.items() if key.startswith(kind)}
    return [found[number] for number in sorted(filter(str.isdecimal, found), key=int)]


def load_weights(network: tf_keras.Model, path: Path) -> None:
    """Set a network's weights from a file of `save_arrays`.

    Raises:
        UsageError: the file is damaged or belongs to another network.
    """
    arrays = load_arrays(path)
    values = in_order("", arrays)
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
