"""Networks as graphs: what stands before and behind a layer, and surgery. The given network is never changed.

A network is a functional model of tf_keras (`Sequential` is one): layers, each called once or several times, with
branches, several inputs and several outputs. What a network is given is an array [n,…], or a mapping from the names
of its inputs to arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench.contracts.samples import Samples
from mlbench.system import quiet

if TYPE_CHECKING:
    import tf_keras

_BATCH = 64

#: Of values, as far as is known; a network of 224×224 images has 30 MB of them per sample.
_MEMORY = 1 << 30
_ALIVE = 4  # tensors that a network holds at a time on its way

Array = npt.NDArray[Any]

#: What a network is given: its one input, or its inputs by name; encoded, one entry per sample.
Inputs = Array | Mapping[str, Array]

#: A layer to build, and its weights; None: it has them already.
NewLayer = tuple["tf_keras.layers.Layer", list[npt.NDArray[Any]] | None]


def encoded(network: tf_keras.Model, samples: Samples) -> Inputs:
    """Samples as a network takes them: its one input, whatever it is called, or its inputs by name."""
    values = samples.encoded()
    return next(iter(values.values())) if len(values) == 1 else values


def count(inputs: Inputs) -> int:
    """Number of samples."""
    return len(next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs)


def calls(network: tf_keras.Model, layer: tf_keras.layers.Layer | None = None) -> list[Any]:
    """The calls of all layers (or of one), as nodes of Keras, each behind those that it takes from."""
    by_depth = network._nodes_by_depth
    nodes = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
    return [node for node in nodes if layer is None or node.layer is layer]


def producers(network: tf_keras.Model, layer: tf_keras.layers.Layer) -> list[tf_keras.layers.Layer]:
    """The layers that a layer is given the outputs of, in the order of its inputs; input layers too."""
    found = (made._keras_history.layer for node in calls(network, layer) for made in node.keras_inputs)
    return list({id(other): other for other in found if other is not layer}.values())


def consumers(network: tf_keras.Model, layer: tf_keras.layers.Layer) -> list[tf_keras.layers.Layer]:
    """The layers that are given a layer's outputs, in the order of their calls."""
    own = {id(made) for node in calls(network, layer) for made in _outputs(node)}
    found = (node.layer for node in calls(network) if own & {id(made) for made in node.keras_inputs})
    return list({id(other): other for other in found if other is not layer}.values())


def input_layers(network: tf_keras.Model) -> list[tf_keras.layers.InputLayer]:
    """The layers that stand for the inputs, in the order of them; `Sequential` does not list its own."""
    return [made._keras_history.layer for made in network.inputs]


def last_layers(network: tf_keras.Model) -> list[tf_keras.layers.Layer]:
    """The layers whose outputs are the network's, in the order of its outputs."""
    return [made._keras_history.layer for made in network.outputs]


def layers_with_kernel(network: tf_keras.Model) -> list[tf_keras.layers.Layer]:
    """The layers that have a kernel, in order."""
    return [x for x in network.layers if hasattr(x, "kernel") or hasattr(x, "depthwise_kernel")]


def dense_layers(network: tf_keras.Model) -> list[tf_keras.layers.Dense]:
    """The dense layers of a network that can be trained, in order."""
    import tf_keras

    kinds = tf_keras.layers.Dense
    return [layer for layer in network.layers if isinstance(layer, kinds) and layer.trainable]


def rebuild(
    network: tf_keras.Model, replace: Callable[[tf_keras.layers.Layer], list[NewLayer] | None]
) -> tf_keras.Model:
    """Copy a network, asking for each layer but the inputs what stands in its place.

    Args:
        network: a functional model.
        replace: asked once a layer; gives the layers (with weights) that stand, one after another, in its place,
            none to drop it, or None to keep it. Of several outputs each keeps its name, by which targets find it.
    """
    named = {id(layer) for layer in last_layers(network)} if len(network.outputs) > 1 else set()
    made: dict[int, list[tf_keras.layers.Layer]] = {}

    def call(layer: tf_keras.layers.Layer, args: Any, kwargs: Any) -> Any:
        if id(layer) in made:
            return _one_after_another(made[id(layer)], args, kwargs)
        replaced = replace(layer)
        parts = kept(layer) if replaced is None else replaced
        if parts and id(layer) in named:
            parts[-1][0]._name = layer.name
        made[id(layer)] = [part for part, _ in parts]
        values = _one_after_another(made[id(layer)], args, kwargs if replaced is None else {})
        for part, weights in parts:
            if weights is not None:
                part.set_weights(weights)
        return values

    return _copied(network, call)


def with_layers(network: tf_keras.Model, made: Mapping[str, list[NewLayer]]) -> tf_keras.Model:
    """The same network with other layers in the place of those that are named; see `rebuild`."""
    return rebuild(network, lambda layer: made.get(layer.name))


def _one_after_another(layers: list[tf_keras.layers.Layer], args: Any, kwargs: Any) -> Any:
    values = args[0]
    for number, layer in enumerate(layers):
        values = layer(*args, **kwargs) if not number else layer(values)
    return values


def copy(network: tf_keras.Model) -> tf_keras.Model:
    """The same network with weights of its own."""
    return rebuild(network, lambda layer: None)


def flattened(network: tf_keras.Model) -> tf_keras.Model:
    """The network with the layers of networks in it in their place, named `network_layer`; itself if there are none."""
    if not any(map(_is_graph, network.layers)):
        return network
    copies: dict[int, tf_keras.layers.Layer] = {}

    def within(prefix: str) -> Callable[[tf_keras.layers.Layer, Any, Any], Any]:
        def call(layer: tf_keras.layers.Layer, args: Any, kwargs: Any) -> Any:
            import tensorflow as tf

            if _is_graph(layer):
                found = _followed(layer, tf.nest.flatten(args[0]), within(f"{prefix}{layer.name}_"))
                return tf.nest.pack_sequence_as(layer._nested_outputs, found)
            if id(layer) in copies:
                return copies[id(layer)](*args, **kwargs)
            named = {**layer.get_config(), "name": prefix + layer.name}
            copies[id(layer)] = type(layer).from_config(named)
            values = copies[id(layer)](*args, **kwargs)
            copies[id(layer)].set_weights(layer.get_weights())
            return values

        return call

    return _copied(network, within(""))


def _is_graph(layer: tf_keras.layers.Layer) -> bool:
    return bool(getattr(layer, "_is_graph_network", False))


def _copied(
    network: tf_keras.Model, call: Callable[[tf_keras.layers.Layer, Any, Any], Any]
) -> tf_keras.Model:
    """A network with inputs of its own and what `call` makes of them."""
    quiet.quiet_tensorflow()
    import tf_keras

    sources = (source.get_config() for source in input_layers(network))
    inputs = [tf_keras.layers.InputLayer.from_config(source).output for source in sources]
    return _made_of(network, inputs, call)


def with_inputs(network: tf_keras.Model, inputs: Sequence[Any]) -> tf_keras.Model:
    """A copy with weights of its own, on inputs of other sizes, in the order of the network's."""
    copies: dict[int, tf_keras.layers.Layer] = {}

    def call(layer: tf_keras.layers.Layer, args: Any, kwargs: Any) -> Any:
        if id(layer) not in copies:
            copies[id(layer)] = type(layer).from_config(layer.get_config())
            values = copies[id(layer)](*args, **kwargs)
            copies[id(layer)].set_weights(layer.get_weights())
            return values
        return copies[id(layer)](*args, **kwargs)

    return _made_of(network, inputs, call)


def _made_of(
    network: tf_keras.Model,
    inputs: Sequence[Any],
    call: Callable[[tf_keras.layers.Layer, Any, Any], Any],
) -> tf_keras.Model:
    import tensorflow as tf
    import tf_keras

    outputs = _followed(network, inputs, call)
    return tf_keras.Model(
        tf.nest.pack_sequence_as(network._nested_inputs, inputs),
        tf.nest.pack_sequence_as(network._nested_outputs, outputs),
        name=network.name,
    )


def _followed(
    network: tf_keras.Model, inputs: Sequence[Any], call: Callable[[tf_keras.layers.Layer, Any, Any], Any]
) -> list[Any]:
    """What a network's outputs are, by the order of them, with other inputs and another way to call its layers."""
    values = {id(made): value for made, value in zip(network.inputs, inputs, strict=True)}
    _follow([node for node in calls(network) if not node.is_input], values, call)
    return [values[id(made)] for made in network.outputs]


def _follow(
    nodes: Iterable[Any], values: dict[int, Any], call: Callable[[tf_keras.layers.Layer, Any, Any], Any]
) -> None:
    """Carry out calls of layers, one after another, on values that are known by the tensor that they stand for."""
    import tensorflow as tf

    for node in nodes:
        given = tf.nest.map_structure(lambda x: values.get(id(x), x), (node.call_args, node.call_kwargs))
        made = call(node.layer, *given)
        values.update(zip(map(id, _outputs(node)), tf.nest.flatten(made), strict=True))


def _outputs(node: Any) -> list[Any]:
    import tensorflow as tf

    found: list[Any] = tf.nest.flatten(node.outputs)
    return found


def kept(layer: tf_keras.layers.Layer) -> list[NewLayer]:
    """A copy of a layer with its weights."""
    return [(type(layer).from_config(layer.get_config()), layer.get_weights())]


def like(
    layer: tf_keras.layers.Layer,
    name: str,
    units: int,
    *,
    activation: Any = None,
    bias: bool = True,
    strides: tuple[int, ...] | int = 1,
) -> tf_keras.layers.Layer:
    """A dense layer or a convolution of size 1, as the given layer is, with other outputs."""
    import tf_keras

    if rank := getattr(layer, "rank", None):
        kind = getattr(tf_keras.layers, f"Conv{rank}D")
        return kind(units, 1, strides=strides, activation=activation, use_bias=bias, name=name)
    return tf_keras.layers.Dense(units, activation=activation, use_bias=bias, name=name)


def built_copy(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """A copy of a layer that has its weights already, for wrappers that look at them."""
    copied = type(layer).from_config(layer.get_config())
    copied.build(layer.get_input_shape_at(0))
    copied.set_weights(layer.get_weights())
    return copied


def rows_at_once(network: tf_keras.Model, most: int, wanted: Iterable[Any] = ()) -> int:
    """How many samples a network is given at a time, so that its values stay in about 1 GiB.

    Args:
        network: that is given them.
        most: samples, where they are small.
        wanted: tensors of the network whose values are asked for, besides those that it needs on its way.
    """
    largest = max(map(_sample_bytes, [made for node in calls(network) for made in _outputs(node)]))
    asked = 2 * sum(map(_sample_bytes, wanted))  # as tensors and as arrays
    return max(1, min(most, _MEMORY // (_ALIVE * largest + asked)))


def _sample_bytes(made: Any) -> int:
    return math.prod(size or 1 for size in made.shape[1:]) * int(made.dtype.size)


def inputs_of(
    network: tf_keras.Model, layers: Sequence[tf_keras.layers.Layer], inputs: Inputs
) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    """What layers are given, by name, for a network's inputs; at most 64 samples at a time.

    Of a layer with several inputs it is the first, of one that is called several times what it is given in each call,
    one after another.
    """
    wanted = [[node.keras_inputs[0] for node in calls(network, layer)] for layer in layers]
    return _named(network, layers, wanted, inputs)


def outputs_of(
    network: tf_keras.Model, layers: Sequence[tf_keras.layers.Layer], inputs: Inputs
) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    """What layers give, by name, for a network's inputs, as `inputs_of`; the first output of each call."""
    wanted = [[_outputs(node)[0] for node in calls(network, layer)] for layer in layers]
    return _named(network, layers, wanted, inputs)


def _named(
    network: tf_keras.Model,
    layers: Sequence[tf_keras.layers.Layer],
    wanted: list[list[Any]],
    inputs: Inputs,
) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    for values in _values(network, [made for part in wanted for made in part], inputs):
        parts = iter(values)
        found = {layer.name: [next(parts) for _ in made] for layer, made in zip(layers, wanted, strict=True)}
        yield {name: part[0] if len(part) == 1 else np.concatenate(part) for name, part in found.items()}


def _values(network: tf_keras.Model, tensors: list[Any], inputs: Inputs) -> Iterator[list[Array]]:
    """Arrays for tensors of a network, at most 64 samples at a time."""
    import tf_keras

    probe, rows = tf_keras.Model(network.inputs, tensors), rows_at_once(network, _BATCH, tensors)
    for start in range(0, count(inputs), rows):
        found = probe(given(network, inputs, slice(start, start + rows)), training=False)
        yield [value.numpy() for value in (found if len(tensors) > 1 else [found])]


def given(network: tf_keras.Model, inputs: Inputs, rows: slice = slice(None)) -> Any:
    """Rows of a network's inputs as it is called with them: an array, or a list in its own order."""
    if not isinstance(inputs, Mapping):
        return inputs[rows]
    found = [inputs[layer.name][rows] for layer in input_layers(network)]
    return found if len(found) > 1 else found[0]


def answers_of(network: tf_keras.Model, inputs: Inputs) -> list[npt.NDArray[np.float32]]:
    """What a network answers, one array [n,…] per output."""
    parts = list(_values(network, list(network.outputs), inputs))
    return [np.concatenate(output) for output in zip(*parts, strict=True)]


def response_of(layer: tf_keras.layers.Layer, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What a dense or convolution layer gives before its activation."""
    dense = len(layer.kernel.shape) == 2
    response = inputs @ layer.kernel if dense else layer.convolution_op(inputs, layer.kernel)
    return (response + layer.bias if layer.use_bias else response).numpy()


class Probe:
    """Measures how far a network's answers move when one layer is replaced."""

    def __init__(self, network: tf_keras.Model, inputs: Inputs) -> None:
        """Probe with a network's inputs; those of all samples at once are in memory."""
        self._network, self._inputs = network, inputs
        self._answers = answers_of(network, inputs)
        spreads = [max(float(answers.var(axis=0).mean()), 1e-12) for answers in self._answers]
        self._units = [spread / spreads[0] for spread in spreads]

    def errors(self, layer: tf_keras.layers.Layer, candidates: Iterable[list[NewLayer]]) -> list[float]:
        """Mean squared change of the answers with each candidate in the place of a layer.

        Of several outputs it is the sum, each one's change measured by the spread of its own answers, in the square
        of the first one's unit.
        """
        nodes = _from(self._network, layer)
        inside = {id(made) for node in nodes for made in _outputs(node)}
        needed = {id(made): made for node in nodes for made in node.keras_inputs if id(made) not in inside}
        parts = zip(*_values(self._network, list(needed.values()), self._inputs), strict=True)
        known = dict(zip(needed, map(np.concatenate, parts), strict=True))
        return [self._error(layer, candidate, nodes, dict(known)) for candidate in candidates]

    def _error(
        self, layer: tf_keras.layers.Layer, parts: list[NewLayer], nodes: list[Any], values: dict[int, Any]
    ) -> float:
        def call(found: tf_keras.layers.Layer, args: Any, kwargs: Any) -> Any:
            return applied(parts, args[0]) if found is layer else found(*args, **kwargs)

        _follow(nodes, values, call)
        outputs = zip(self._network.outputs, self._answers, self._units, strict=True)
        moved = (
            float(np.square(np.asarray(values[id(made)]) - answers).mean()) / unit
            for made, answers, unit in outputs
            if id(made) in values
        )
        return sum(moved)


def _from(network: tf_keras.Model, layer: tf_keras.layers.Layer) -> list[Any]:
    """A layer's calls and those of all layers that its outputs reach."""
    found: list[Any] = []
    reached: set[int] = set()
    for node in calls(network):
        if node.layer is layer or reached & {id(made) for made in node.keras_inputs}:
            found.append(node)
            reached |= {id(made) for made in _outputs(node)}
    return found


def applied(parts: list[NewLayer], inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What new layers, one after another, make of inputs."""
    values: Any = inputs
    for layer, weights in parts:
        if not layer.built:
            layer.build(values.shape)
            if weights is not None:
                layer.set_weights(weights)
        values = layer(values)
    return np.asarray(values)


def is_plain(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer is one of Keras' own."""
    import tf_keras

    return bool(getattr(tf_keras.layers, type(layer).__name__, None) is type(layer))


def computes_in_bfloat16(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer can compute in bfloat16: Keras' own can, and those that say so of themselves."""
    return is_plain(layer) or getattr(layer, "computes_in_bfloat16", False)
