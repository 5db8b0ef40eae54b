"""Surgery on networks: a new network in which some layers are replaced; the given one is not changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench import networks

if TYPE_CHECKING:
    import tf_keras

#: A layer to build, and its weights.
NewLayer = tuple["tf_keras.layers.Layer", list[npt.NDArray[Any]]]


def rebuild(
    network: tf_keras.Model, replace: Callable[[tf_keras.layers.Layer], list[NewLayer] | None]
) -> tf_keras.Model:
    """Copy a sequential network, asking for each layer what stands in its place.

    Args:
        network: a chain of layers.
        replace: gives the layers (with weights) for a layer, none to drop it, or None to keep it.
    """
    networks.quiet_tensorflow()
    import tf_keras

    new = tf_keras.Sequential(
        [tf_keras.layers.InputLayer(network.input_shape[1:], name="crop")], name=network.name
    )
    for layer in network.layers:
        if isinstance(layer, tf_keras.layers.InputLayer):
            continue
        for made, weights in kept(layer) if (parts := replace(layer)) is None else parts:
            new.add(made)
            made.set_weights(weights)
    return new


def kept(layer: tf_keras.layers.Layer) -> list[NewLayer]:
    """A copy of a layer with its weights."""
    return [(type(layer).from_config(layer.get_config()), layer.get_weights())]


def copy(network: tf_keras.Model) -> tf_keras.Model:
    """The same network with weights of its own."""
    return rebuild(network, lambda layer: None)


def dense_layers(network: tf_keras.Model) -> list[tf_keras.layers.Dense]:
    """The dense layers of a network, in order."""
    import tf_keras

    return [layer for layer in network.layers if isinstance(layer, tf_keras.layers.Dense)]


def responses_of(
    network: tf_keras.Model, names: list[str], images: npt.NDArray[np.uint8]
) -> dict[str, npt.NDArray[np.float32]]:
    """What the named dense layers give before their activation, x W + b [n,units], for crops uint8 [n,96,96]."""
    import tf_keras

    layers = [network.get_layer(name) for name in names]
    probe = tf_keras.Model(network.inputs, [layer.input for layer in layers])
    found: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in names}
    for start in range(0, len(images), 64):
        batch = images[start : start + 64, ..., None].astype(np.float32) / 255
        inputs = probe(batch, training=False)
        for layer, values in zip(layers, inputs if len(names) > 1 else [inputs], strict=True):
            found[layer.name].append((values @ layer.kernel + (layer.bias if layer.use_bias else 0)).numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}
