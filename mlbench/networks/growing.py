"""A variant that starts from the trained weights of another one, whose feature map may be coarser or finer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlbench.contracts import Variant
from mlbench.errors import UsageError
from mlbench.networks import building

if TYPE_CHECKING:
    import tf_keras

Array = npt.NDArray[np.float32]


def grown(variant: Variant, trained: tf_keras.Model, seed: int) -> tf_keras.Model:
    """The network of a variant with the weights of a trained one.

    Convolutions and dense layers behind the first are taken as they are. The first dense layer looks at the
    feature map: its weights are interpolated, bilinearly, at the places of the crop that the new map's cells look
    at, and scaled by the cells' area, so that its sums stay what they were where the features are smooth.

    Raises:
        UsageError: the networks differ in more than their pools.
    """
    network = building.build(variant, seed)
    for layer in network.layers:
        if not layer.weights:
            continue
        weights = _weights_of(layer.name, trained)
        if weights and weights[0].shape != tuple(layer.kernel.shape) and _behind_map(layer, network):
            weights[0] = _resized(weights[0], trained, network)
        if [value.shape for value in weights] != [tuple(value.shape) for value in layer.weights]:
            message = (
                f"{variant.name} cannot start from {trained.name}: their layers {layer.name} differ in more than "
                "the pools before them; start from a network with the same filters and units."
            )
            raise UsageError(message)
        layer.set_weights(weights)
    return network


def _weights_of(name: str, trained: tf_keras.Model) -> list[Array]:
    return next((layer.get_weights() for layer in trained.layers if layer.name == name), [])


def _behind_map(layer: tf_keras.layers.Layer, network: tf_keras.Model) -> bool:
    return type(network.layers[network.layers.index(layer) - 1]).__name__ == "Flatten"


def _resized(kernel: Array, trained: tf_keras.Model, network: tf_keras.Model) -> Array:
    """A dense kernel [h·w·c, units] behind the map of `trained`, for the map of `network`."""
    (size, channels), (new_size, new_channels) = _map_of(trained), _map_of(network)
    if channels != new_channels or len(kernel) != size * size * channels:
        return kernel
    (start, step), (new_start, new_step) = _cells(trained), _cells(network)
    at = (new_start + new_step * np.arange(new_size) - start) / step
    mixing = _linear(np.clip(at, 0, size - 1), size) * np.float32(new_step / step)
    grid = kernel.reshape(size, size, -1)
    for axis in (0, 1):
        grid = np.moveaxis(np.tensordot(mixing, grid, (1, axis)), 0, axis)
    return np.ascontiguousarray(grid).reshape(new_size * new_size * channels, -1)


def _map_of(network: tf_keras.Model) -> tuple[int, int]:
    """Side and channels of the map before the flatten layer."""
    flatten = next(layer for layer in network.layers if type(layer).__name__ == "Flatten")
    return int(flatten.input_shape[1]), int(flatten.input_shape[3])


def _cells(network: tf_keras.Model) -> tuple[float, float]:
    """Where in the crop the first cell of the feature map looks at (its field's centre), and the step between cells."""
    centre, step = 0.0, 1.0
    for layer in network.layers:
        kind = type(layer).__name__
        if kind == "Conv2D":
            centre += step * (layer.kernel_size[0] - 1) / 2
        elif kind == "MaxPooling2D":
            centre += step * (layer.pool_size[0] - 1) / 2
            step *= layer.pool_size[0]
    return centre, step


def _linear(at: npt.NDArray[np.float64], size: int) -> Array:
    """Matrix [places, size] that interpolates between whole numbers linearly."""
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(size))).astype(np.float32)
