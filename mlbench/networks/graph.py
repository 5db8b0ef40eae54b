"""Surgery on networks: a new network in which some layers are replaced; the given one is not changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import tf_keras


from mlbench.system import quiet

if TYPE_CHECKING:
    import tf_keras

_BATCH = 64

#: A layer to build, and its weights; None: it has them already.
NewLayer = tuple["tf_keras.layers.Layer", list[npt.NDArray[Any]] | None]


def rebuild(
    network: tf_keras.Model, replace: Callable[[tf_keras.layers.Layer], list[NewLayer] | None]
) -> tf_keras.Model:
    """Copy a sequential network, asking for each layer what stands in its place.

    Args:
        network: a chain of layers.
        replace: gives the layers (with weights) for a layer, none to drop it, or None to keep it.
    """
    quiet.quiet_tensorflow()
    import tf_keras

    new = tf_keras.Sequential(
        [tf_keras.layers.InputLayer(network.input_shape[1:], name="crop")], name=network.name
    )
    for layer in network.layers:
        if isinstance(layer, tf_keras.layers.InputLayer):
            continue
        for made, weights in kept(layer) if (parts := replace(layer)) is None else parts:
            new.add(made)
            if weights is not None:
                made.set_weights(weights)
    return new


def kept(layer: tf_keras.layers.Layer) -> list[NewLayer]:
    """A copy of a layer with its weights."""
    return [(type(layer).from_config(layer.get_config()), layer.get_weights())]


def like(
    layer: tf_keras.layers.Layer, name: str, units: int, *, activation: Any = None, bias: bool = True
) -> tf_keras.layers.Layer:
    """A dense layer or a 1×1 convolution, as the given layer is, with other outputs."""
    import tf_keras

    if isinstance(layer, tf_keras.layers.Conv2D):
        return tf_keras.layers.Conv2D(units, 1, activation=activation, use_bias=bias, name=name)
    return tf_keras.layers.Dense(units, activation=activation, use_bias=bias, name=name)


def built_copy(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """A copy of a layer that has its weights already, for wrappers that look at them."""
    copied = type(layer).from_config(layer.get_config())
    copied.build(layer.input_shape)
    copied.set_weights(layer.get_weights())
    return copied


def copy(network: tf_keras.Model) -> tf_keras.Model:
    """The same network with weights of its own."""
    return rebuild(network, lambda layer: None)


def dense_layers(network: tf_keras.Model) -> list[tf_keras.layers.Dense]:
    """The dense layers of a network that can be trained, in order."""
    import tf_keras

    kinds = tf_keras.layers.Dense
    return [layer for layer in network.layers if isinstance(layer, kinds) and layer.trainable]


def inputs_of(
    network: tf_keras.Model, layers: Sequence[tf_keras.layers.Layer], images: npt.NDArray[np.uint8]
) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    """What layers are given, by name, for crops uint8 [n,96,96]; 64 crops at a time."""
    import tf_keras

    probe = tf_keras.Model(network.inputs, [layer.input for layer in layers])
    for start in range(0, len(images), _BATCH):
        inputs = probe(_pixels(images[start : start + _BATCH]), training=False)
        values = inputs if len(layers) > 1 else [inputs]
        yield {layer.name: value.numpy() for layer, value in zip(layers, values, strict=True)}


def response_of(layer: tf_keras.layers.Layer, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What a dense or convolution layer gives before its activation."""
    dense = len(layer.kernel.shape) == 2
    response = inputs @ layer.kernel if dense else layer.convolution_op(inputs, layer.kernel)
    return (response + layer.bias if layer.use_bias else response).numpy()


class Probe:
    """Measures how far a network's answers move when one layer is replaced."""

    def __init__(self, network: tf_keras.Model, images: npt.NDArray[np.uint8]) -> None:
        """Probe with crops uint8 [n,96,96]."""
        self._layers = [layer for layer in network.layers if type(layer).__name__ != "InputLayer"]
        self._network, self._images = network, images
        self._answers = network(_pixels(images), training=False).numpy()

    def errors(self, layer: tf_keras.layers.Layer, candidates: Iterable[list[NewLayer]]) -> list[float]:
        """Mean squared change of the answers, px², with each candidate in the place of a layer."""
        found = inputs_of(self._network, [layer], self._images)
        inputs = np.concatenate([part[layer.name] for part in found])
        return [self._error(layer, parts, inputs) for parts in candidates]

    def _error(
        self, layer: tf_keras.layers.Layer, parts: list[NewLayer], inputs: npt.NDArray[np.float32]
    ) -> float:
        values = applied(parts, inputs)
        for later in self._layers[self._layers.index(layer) + 1 :]:
            values = later(values)
        return float(np.square(np.asarray(values) - self._answers).mean())


def applied(parts: list[NewLayer], inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What new layers, one after another, make of inputs."""
    values: Any = inputs
    for layer, weights in parts:
        layer.build(values.shape)
        if weights is not None:
            layer.set_weights(weights)
        values = layer(values)
    return np.asarray(values)


def _pixels(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.divide(images[..., None], 255, dtype=np.float32)


def is_plain(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer is one of Keras' own."""
    import tf_keras

    return bool(getattr(tf_keras.layers, type(layer).__name__, None) is type(layer))


def computes_in_bfloat16(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer can compute in bfloat16: Keras' own can, and those that say so of themselves."""
    return is_plain(layer) or getattr(layer, "computes_in_bfloat16", False)
