"""Whether samples fit a network, by what the network itself shows."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from mlbench.contracts import Samples, Task
from mlbench.data.fitting import Facts, Shapes, doubts_of, require_fit, scaling_faults
from mlbench.errors import UsageError
from mlbench.networks.ports import predict

if TYPE_CHECKING:
    import tf_keras

_RESCALING = ("Rescaling", "Normalization")
_OPERATORS = ("truediv", "multiply", "subtract")  # names of arithmetic written as such, x / 127.5 - 1
_SEEN = 64  # samples whose outputs are looked at


def shapes_of(network: tf_keras.Model) -> tuple[Shapes, Shapes]:
    """Shapes of one sample's inputs and outputs, by name; None: any size."""
    inputs = zip(network.input_names, network.inputs, strict=True)
    outputs = zip(network.output_names, network.outputs, strict=True)
    return {name: tuple(made.shape[1:]) for name, made in inputs}, {
        name: tuple(made.shape[1:]) for name, made in outputs
    }


def require_network_fits(network: tf_keras.Model, task: Task, samples: Samples, what: str) -> None:
    """Refuse samples that a network cannot take, whose targets it cannot answer, or that would be scaled twice.

    Args:
        network: to be trained, or trained.
        task: of the samples.
        samples: to be learnt from, or tested on.
        what: the network is called, at the start of a sentence.

    Raises:
        UsageError: why, and what to do.
    """
    require_fit(samples, *shapes_of(network), task, what)
    for fault in scaling_faults(samples, divisors_of(network, samples), what):
        raise UsageError(fault)


def facts_of(network: tf_keras.Model, samples: Samples) -> Facts:
    """What a network shows on some of the samples."""
    return Facts(divisors_of(network, samples), predict(network, samples.spread(_SEEN)))


def doubts_of_network(network: tf_keras.Model, task: Task, samples: Samples, facts: Facts) -> list[str]:
    """What is probably not meant about samples and a network, with what was seen; see `mlbench.data.fitting`."""
    return doubts_of(samples, *shapes_of(network), task, facts)


def divisors_of(network: tf_keras.Model, samples: Samples) -> dict[str, float]:
    """What the first layers of a network divide each input by, before they compute anything else of it.

    It is measured, on some samples: how many times narrower their range is behind these layers. 1: as before.
    """
    inputs = zip(network.input_names, network.inputs, strict=True)
    names = list(samples.inputs)
    entries = {names[0] if len(names) == 1 else name: tensor for name, tensor in inputs}
    some = samples.spread(_SEEN)
    return {
        name: _divisor(network, entries[name], some.encodings[name].encode(stored))
        for name, stored in some.inputs.items()
        if name in entries
    }


def _divisor(network: tf_keras.Model, entry: Any, values: Any) -> float:
    before = after = float(np.ptp(values))
    with suppress(
        Exception
    ):  # layers raise nearly anything on other samples than those that they were built for
        for node in _first_nodes(network, entry):
            values = node.layer(*_called_with(node, values), **node.call_kwargs)
            if _rescales(node.layer):
                after = float(np.ptp(values))
    return before / after if before and after else 1.0


def _rescales(layer: tf_keras.layers.Layer) -> bool:
    return type(layer).__name__ in _RESCALING or layer.name.rpartition(".")[2].startswith(_OPERATORS)


def _called_with(node: Any, values: Any) -> list[Any]:
    """The arguments of a call, with values in the place of the tensor."""
    return [values if one is node.keras_inputs[0] else one for one in node.call_args]


def _first_nodes(network: tf_keras.Model, entry: Any) -> Generator[Any, None, bool]:
    """The first calls that a network's input goes through, up to a layer with weights, a branch, or several inputs.

    Returns whether they lead to an output.
    """
    tensor = entry
    while (node := _only_call(network, tensor)) is not None and len(node.keras_inputs) == 1:
        layer = node.layer
        if hasattr(layer, "layers"):  # a network within the network
            if not layer.inputs or not (yield from _first_nodes(layer, layer.inputs[0])):
                return False
        elif layer.weights and type(layer).__name__ not in _RESCALING:
            return False
        else:
            yield node
        tensor = node.outputs
    return any(tensor is output for output in network.outputs)


def _only_call(network: tf_keras.Model, tensor: Any) -> Any:
    """The call of a layer that a tensor goes into; None: there is none, or there are several."""
    nodes = [
        node
        for layer in network.layers
        for node in layer.inbound_nodes
        if any(one is tensor for one in node.keras_inputs)
    ]
    return nodes[0] if len(nodes) == 1 else None
