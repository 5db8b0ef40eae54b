"""Which layers of a network an operator of its file carries out: several where the converter joins them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlbench.export.operators import Operator
from mlbench.networks import graph

if TYPE_CHECKING:
    import tf_keras

_OUTPUT = re.compile(r"StatefulPartitionedCall:(\d+)")
_OF_KERNELS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "CONV_3D", "BATCH_MATMUL")


def layers_of(operators: Sequence[Operator], network: tf_keras.Model) -> dict[int, tuple[str, ...]]:
    """Names of the layers that each operator carries out, in the network's order; none of what stands between them.

    The converter names what an operator gives after all that it joined: `net/relu/Relu;net/norm/…;net/conv/Conv2D`.
    What it names nowhere (a normalisation that became part of weights, say) goes with the layer before it.

    Args:
        operators: of the file that the converter wrote, with names.
        network: without networks within (`graph.flattened`).
    """
    sources = {layer.name for layer in graph.input_layers(network)}
    order = [layer.name for layer in network.layers if layer.name not in sources]
    named = {operator.number: _named(operator, network.name, order) for operator in operators}
    for operator in operators:
        if not named[operator.number]:
            mentioned = {name for found in named.values() for name in found}
            named[operator.number] = _of_output(operator, network, mentioned)
    homes = {name: number for number, found in named.items() for name in found}
    _settle(network, order, homes)
    found: dict[int, list[str]] = {operator.number: [] for operator in operators}
    for name in order:
        for number, names in named.items():
            if name in names or homes.get(name) == number:
                found[number].append(name)
    return {number: tuple(names) for number, names in found.items()}


def _named(operator: Operator, network: str, layers: Sequence[str]) -> set[str]:
    found = set[str]()
    for part in operator.made_name.split(";"):
        while part.startswith(f"{network}/"):
            part = part.removeprefix(f"{network}/")
        fitting = [name for name in layers if part == name or part.startswith(f"{name}/")]
        found |= {max(fitting, key=len)} if fitting else set()
    return found


def _of_output(operator: Operator, network: tf_keras.Model, mentioned: set[str]) -> set[str]:
    """The layer that gives an output of the network and, up to one with a kernel, those before that no other names."""
    match = _OUTPUT.fullmatch(operator.made_name)
    if not match or int(match[1]) >= len(network.outputs):
        return set()
    layer, found = graph.last_layers(network)[int(match[1])], set[str]()
    while True:
        found.add(layer.name)
        before = graph.producers(network, layer)
        if hasattr(layer, "kernel") or operator.kind not in _OF_KERNELS or len(before) != 1:
            return found
        [layer] = before
        if layer.name in mentioned:
            return found


def _settle(network: tf_keras.Model, order: Sequence[str], homes: dict[str, int]) -> None:
    """Give layers without an operator that of the layer before, or else behind."""
    for step, names in ((graph.producers, order), (graph.consumers, list(reversed(order)))):
        for name in names:
            if name not in homes:
                near = (other.name for other in step(network, network.get_layer(name)))
                home = next((homes[other] for other in near if other in homes), None)
                if home is not None:
                    homes[name] = home


def carriers(
    layers: Mapping[int, tuple[str, ...]], macs: Mapping[str, int], parameters: Mapping[str, int]
) -> dict[int, str]:
    """Of each operator the layer that stands for it: with most arithmetic, then parameters, then the first."""
    return {
        number: max(names, key=lambda name: (macs.get(name, 0), parameters.get(name, 0)))
        for number, names in layers.items()
        if names
    }
