"""Whether samples fit a network, by what the network itself shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlbench.contracts import Samples, Task
from mlbench.data.fitting import Facts, Shapes, doubts_of, require_fit
from mlbench.networks.ports import predict

if TYPE_CHECKING:
    import tf_keras

_FIRST = 4  # layers behind the input in which values are brought to a range
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


def require_network_fits(network: tf_keras.Model, task: Task, samples: Samples) -> None:
    """Refuse samples that a network cannot take, or whose targets it cannot answer, before it is trained.

    Raises:
        UsageError: why, and what to do.
    """
    require_fit(samples, *shapes_of(network), task, f"The network {network.name}")


def doubts_of_network(network: tf_keras.Model, task: Task, samples: Samples) -> list[str]:
    """What is probably not meant about samples and a network, with what was seen; see `mlbench.data.fitting`."""
    outputs = predict(network, samples.spread(_SEEN))
    return doubts_of(samples, *shapes_of(network), task, Facts(rescales(network), outputs))


def outputs_told(network: tf_keras.Model, task: Task, samples: Samples) -> str:
    """What the network's outputs are taken for, by what it answers for some samples; "" where there is no choice."""
    return task.outputs_told(predict(network, samples.spread(_SEEN)))


def rescales(network: tf_keras.Model) -> bool:
    """Whether the first layers of a network bring stored values to another range by themselves."""
    return any(
        type(layer).__name__ in _RESCALING or layer.name.rpartition(".")[2].startswith(_OPERATORS)
        for layer in _first(network)
    )


def _first(network: tf_keras.Model) -> Iterator[tf_keras.layers.Layer]:
    """The first layers behind the input, those of a model within the model too."""
    behind = [layer for layer in network.layers if type(layer).__name__ != "InputLayer"]
    for layer in behind[:_FIRST]:
        yield layer
        if hasattr(layer, "layers"):
            yield from _first(layer)
