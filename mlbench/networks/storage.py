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
from mlbench.networks import checking
from mlbench.system.files import write_atomically
from mlbench.system.quiet import quiet_tensorflow

if TYPE_CHECKING:
    import tf_keras

#: The files of a saved network.
LAYERS, WEIGHTS = "network.json", "weights.npz"


def save(network: tf_keras.Model, folder: Path) -> None:
    """Write a network's layers and weights to a folder, each file by atomic rename, the layers last."""
    save_arrays(dict(enumerate_weights(network)), folder / WEIGHTS)
    with write_atomically(folder / LAYERS) as part:
        part.write_text(network.to_json(), encoding="utf-8")


def load(folder: Path) -> tf_keras.Model:
    """Read a network that `save` wrote.

    Raises:
        UsageError: not such a folder, truncated, or holding anything but plain layers.
    """
    path = folder / LAYERS
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        message = f"{folder} does not hold a saved network ({error}): train one with `mlbench train`."
        raise UsageError(message) from error
    network = built(config, path)
    load_weights(network, folder / WEIGHTS)
    return network


def built(config: Any, path: Path) -> tf_keras.Model:
    """The network of a configuration, with the layers of installed compressors where it holds others than Keras'.

    Raises:
        UsageError: anything in it is on no list, or it describes no network; `path` is named.
    """
    quiet_tensorflow()
    import tf_keras

    custom = _custom_layers() if checking.needs_custom(config) else {}
    try:
        checking.check(config, custom)
    except UsageError as error:
        message = f"{path}: {error}"
        raise UsageError(message) from error
    if custom:
        for layer in config["config"]["layers"]:
            # Layers are built as they are added; TFMOT's would be built, and hold their weights, twice.
            layer.pop("build_config", None)
    try:
        return tf_keras.models.model_from_json(json.dumps(config), custom_objects=custom)
    except Exception as error:  # Keras and TensorFlow raise nearly anything where values fit no network
        message = f"{path} describes no network ({error}): train one with `mlbench train`."
        raise UsageError(message) from error


def _custom_layers() -> dict[str, type]:
    found: dict[str, type] = {}
    for compressor in plugins.usable("compressors")[0].values():
        found |= compressor.custom_layers()
    return found


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
