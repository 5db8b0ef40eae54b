"""Parameters and multiply-accumulates of networks, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlbench.records import Layer

if TYPE_CHECKING:
    import tf_keras


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
