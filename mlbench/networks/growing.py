"""A network that starts from the trained weights of another one, whose feature map may be coarser or finer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlbench.errors import UsageError
from mlbench.networks import graph

if TYPE_CHECKING:
    import tf_keras

Array = npt.NDArray[np.float32]


def grown(network: tf_keras.Model, trained: tf_keras.Model) -> tf_keras.Model:
    """An untrained network, given the weights of a trained one.

    Convolutions and dense layers behind the first are taken as they are. The first dense layer looks at the
    feature map: its weights are interpolated, bilinearly, at the places of the sample that the new map's cells look
    at, and scaled by the cells' area, so that its sums stay what they were where the features are smooth.

    Raises:
        UsageError: the networks differ in more than their pools.
    """
    for layer in network.layers:
        if not layer.weights:
            continue
        weights, kernel = _weights_of(layer.name, trained), getattr(layer, "kernel", None)
        if weights and kernel is not None and weights[0].shape != tuple(kernel.shape):
            weights[0] = _resized(weights[0], layer.name, trained, network)
        if [value.shape for value in weights] != [tuple(value.shape) for value in layer.weights]:
            message = (
                f"{network.name} cannot start from {trained.name}: their layers {layer.name} differ in more than "
                "the pools before them; start from a network with the same filters and units."
            )
            raise UsageError(message)
        layer.set_weights(weights)
    return network


def _weights_of(name: str, trained: tf_keras.Model) -> list[Array]:
    return next((layer.get_weights() for layer in trained.layers if layer.name == name), [])


def _resized(kernel: Array, name: str, trained: tf_keras.Model, network: tf_keras.Model) -> Array:
    """A dense kernel [h·w·c, units] behind the map of `trained`, for the map of `network`; as it is elsewhere."""
    old, new = _Map.before(name, trained), _Map.before(name, network)
    if old is None or new is None or old.channels != new.channels:
        return kernel
    grid = kernel.reshape(*old.sides, -1)
    for axis in (0, 1):
        (start, step), (new_start, new_step) = old.cells[axis], new.cells[axis]
        at = (new_start + new_step * np.arange(new.sides[axis]) - start) / step
        size = old.sides[axis]
        mixing = _linear(np.clip(at, 0, size - 1), size) * np.float32(new_step / step)
        grid = np.moveaxis(np.tensordot(mixing, grid, (1, axis)), 0, axis)
    return np.ascontiguousarray(grid).reshape(-1, kernel.shape[1])


@dataclass(frozen=True)
class _Map:
    """The feature map before a flatten layer.

    Attributes:
        sides: height and width.
        channels: of each cell.
        cells: of height and width: where in the sample the first cell looks at (its field's centre), and the step
            between cells.
    """

    sides: tuple[int, int]
    channels: int
    cells: tuple[tuple[float, float], tuple[float, float]]

    @classmethod
    def before(cls, name: str, network: tf_keras.Model) -> _Map | None:
        """Of a dense layer behind a flattened map that one path of convolutions and pools leads to; else None."""
        path = list(_path_to(network.get_layer(name), network))
        if not path or type(path[0]).__name__ != "Flatten" or len(path[0].input_shape) != 4:
            return None
        height, width, channels = (int(n) for n in path[0].input_shape[1:])
        rows, columns = (_cells(path[:0:-1], axis) for axis in (0, 1))
        return cls((height, width), channels, (rows, columns)) if rows and columns else None


def _path_to(layer: tf_keras.layers.Layer, network: tf_keras.Model) -> Iterator[tf_keras.layers.Layer]:
    """Layers before a layer, the nearest first, as far as each has one alone before it."""
    before = graph.producers(network, layer)
    while len(before) == 1:
        yield before[0]
        before = graph.producers(network, before[0])


def _cells(layers: list[tf_keras.layers.Layer], axis: int) -> tuple[float, float] | None:
    """Where the first cell behind layers looks at, and the step between cells; None: not known."""
    centre, step = 0.0, 1.0
    for layer in layers:
        kind = type(layer).__name__
        if kind in ("Conv2D", "DepthwiseConv2D", "MaxPooling2D", "AveragePooling2D"):
            size = (layer.pool_size if kind.endswith("Pooling2D") else layer.kernel_size)[axis]
            reach = (size - 1) * getattr(layer, "dilation_rate", (1, 1))[axis]
            strides = layer.strides[axis]
            if layer.padding == "same":  # as many in front as behind, of an odd number one more behind
                given = int(layer.input_shape[1 + axis])
                reach -= 2 * (max(reach + 1 - strides + -given % strides, 0) // 2)
            centre += step * reach / 2
            step *= strides
        elif kind not in ("InputLayer", "ReLU", "Activation", "BatchNormalization", "Dropout"):
            return None
    return centre, step


def _linear(at: npt.NDArray[np.float64], size: int) -> Array:
    """Matrix [places, size] that interpolates between whole numbers linearly."""
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(size))).astype(np.float32)
