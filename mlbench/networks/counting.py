"""Parameters and multiply-accumulates of networks, layer by layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlbench.networks import graph
from mlbench.records import Layer

if TYPE_CHECKING:
    import tf_keras

Shape = tuple[int, ...]

#: What a layer holds of its own; a wrapper may put tensors in their place, which it then does not count as weights.
_WEIGHTS = (
    "kernel",
    "depthwise_kernel",
    "pointwise_kernel",
    "bias",
    "gamma",
    "beta",
    "moving_mean",
    "moving_variance",
)


def parameters_of(network: tf_keras.Model) -> int:
    """Weights and biases of a network; what pruning, clustering and fake quantisation keep beside them do not count."""
    return sum(map(_parameters, network.layers))


def _parameters(layer: tf_keras.layers.Layer) -> int:
    inner = _bare(layer)
    if type(layer).__name__ == "QuantizeLayer":
        return 0
    if inner is layer or graph.is_plain(layer):
        return int(layer.count_params())
    parts = (getattr(inner, name, None) for name in _WEIGHTS)
    return sum(math.prod(part.shape) for part in parts if part is not None)


def _bare(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """The layer inside a wrapper, or the layer."""
    return getattr(layer, "layer", layer)


def layer_table(network: tf_keras.Model) -> list[Layer]:
    """Every layer but the inputs, with parameters and multiply-accumulates; of layers called twice for both calls.

    Of a layer with several outputs the shape is that of the first.
    """
    network = graph.flattened(network)
    rows = []
    for layer in network.layers:
        nodes = [node for node in graph.calls(network, layer) if not node.is_input]
        if nodes:
            shapes = [_shapes(node) for node in nodes]
            rows.append(
                Layer(
                    name=layer.name,
                    kind=type(_bare(layer)).__name__.lower(),
                    output=shapes[0][1],
                    parameters=_parameters(layer),
                    macs=sum(macs_of(layer, *pair) for pair in shapes),
                )
            )
    return rows


def _shapes(node: Any) -> tuple[Shape, Shape]:
    """Shapes of the first input and the first output of a call, without the batch; 1 where a size is not known."""
    import tensorflow as tf

    first = node.keras_inputs[0], tf.nest.flatten(node.outputs)[0]
    given, made = (tuple(int(n or 1) for n in tensor.shape[1:]) for tensor in first)
    return given, made


def macs_of(layer: tf_keras.layers.Layer, given: Shape, made: Shape) -> int:
    """Multiply-accumulates of one call of a layer.

    A kernel is applied once at each position of the output; of a transposed convolution, at each of the input.
    Convolutions and matrix products count, what is done entry by entry (normalisation, activation, sums) does not.

    Args:
        layer: any; what it is not known how to count is 0.
        given: shape of a sample's input.
        made: shape of its output.
    """
    inner = _bare(layer)
    if isinstance(told := getattr(inner, "macs", None), int):
        return told  # a layer of a compressor's own
    if recurrent := _recurrent(layer):
        return given[0] * recurrent
    sizes = [
        math.prod(kernel.shape)
        for name in ("kernel", "depthwise_kernel", "pointwise_kernel")
        if (kernel := getattr(inner, name, None)) is not None
    ]
    transposed = type(inner).__name__.endswith("Transpose")
    return sum(sizes) * _positions(inner, given if transposed else made)


def _positions(layer: tf_keras.layers.Layer, shape: Shape) -> int:
    """Positions of a map [...,c], or [c,...]; a row alone is one."""
    first = getattr(layer, "data_format", None) == "channels_first"
    return math.prod(shape[1:] if first else shape[:-1])


def _recurrent(layer: tf_keras.layers.Layer) -> int:
    """Products of a step of a recurrent layer, both ways of a bidirectional one; 0 of other layers."""
    ways = [getattr(layer, f"{way}_layer", None) for way in ("forward", "backward")]
    cells = [getattr(way, "cell", None) for way in (ways if all(ways) else [layer])]
    kernels = [getattr(cell, name, None) for cell in cells for name in ("kernel", "recurrent_kernel")]
    return sum(math.prod(kernel.shape) for kernel in kernels if kernel is not None)
