"""Channels that belong together: which layers' outputs and inputs shrink when a channel goes.

Every entry of the last axis of a tensor is a channel that some layer makes. Layers that treat each channel alone
(normalisation, activation, pooling, depthwise convolution) carry it on, sums tie channels to each other, joins and
flattening set them side by side, and a convolution or dense layer takes them. What is not understood, or what the
network answers with, keeps its channels (Fang et al. 2023, "DepGraph", section 3, follows dependencies likewise).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench.networks import graph

if TYPE_CHECKING:
    import tf_keras

Index = npt.NDArray[np.intp]

#: Layers that make channels: the axis of the kernel that they lie on.
_MAKERS = {
    "Dense": -1,
    "Conv1D": -1,
    "Conv2D": -1,
    "Conv3D": -1,
    "Conv1DTranspose": -2,
    "Conv2DTranspose": -2,
    "Conv3DTranspose": -2,
}
_TAKERS = ("Dense", "Conv1D", "Conv2D", "Conv3D")
#: Layers with weights for each channel alone.
_CARRIERS = ("BatchNormalization", "DepthwiseConv1D", "DepthwiseConv2D")
#: Layers without weights that treat each channel alone, with their dimensions left out.
_PASSING = {
    *(
        "Activation",
        "ReLU",
        "LeakyReLU",
        "ELU",
        "ThresholdedReLU",
        "Dropout",
        "SpatialDropoutD",
        "GaussianNoise",
    ),
    *("GaussianDropout", "AlphaDropout", "ActivityRegularization", "MaxPoolingD", "AveragePoolingD"),
    *("GlobalMaxPoolingD", "GlobalAveragePoolingD", "ZeroPaddingD", "CroppingD", "UpSamplingD"),
}
_ENTRY_BY_ENTRY = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")


@dataclass(frozen=True)
class Member:
    """A layer's part in a group.

    Attributes:
        layer: its name.
        channels: for each entry of the axis the group's channel, or -1 of another group's. Of a layer that makes or
            carries it is the axis of its outputs, of one that takes that of its inputs.
    """

    layer: str
    channels: Index

    @property
    def own(self) -> Index:
        """The group's channels that it has, ascending."""
        return np.unique(self.channels[self.channels >= 0])


@dataclass(frozen=True)
class Group:
    """Channels 0, 1, … of `size` that can go, each from all layers that have it, and how layers have them."""

    size: int
    makers: tuple[Member, ...]
    carriers: tuple[Member, ...]  # and layers whose shape is told in their configuration
    takers: tuple[Member, ...]


@dataclass(frozen=True)
class Channels:
    """A network's groups, in the order of the first layer that makes each, and why other layers stay whole.

    Attributes:
        groups: channels that can go.
        whole: reasons by the name of the layer that makes the channels; "" of layers that give the answers.
    """

    groups: tuple[Group, ...]
    whole: Mapping[str, str]


def channels_of(network: tf_keras.Model) -> Channels:
    """Follow the channels of a functional network without networks within."""
    found = _Followed()
    for node in graph.calls(network):
        found.follow(node)
    for made in network.outputs:
        found.fix(found.at[id(made)], "")
    return found.grouped()


class _Followed:
    """Channels as numbers, tied by union-find; some of them fixed, with the reason."""

    def __init__(self) -> None:
        self.at: dict[int, Index] = {}  # channels of each tensor
        self._parent: list[int] = []
        self._fixed: dict[int, str] = {}
        self._roles: dict[str, dict[str, Index]] = {"makers": {}, "carriers": {}, "takers": {}}
        self._opaque: dict[str, str] = {}

    def _new(self, count: int) -> Index:
        start = len(self._parent)
        self._parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def _root(self, channel: int) -> int:
        while self._parent[channel] != channel:
            self._parent[channel] = self._parent[self._parent[channel]]
            channel = self._parent[channel]
        return channel

    def _tie(self, one: Index, other: Index) -> None:
        for a, b in zip(one.tolist(), other.tolist(), strict=True):
            low, high = sorted((self._root(a), self._root(b)))
            self._parent[high] = low
            if high in self._fixed:
                self._fixed.setdefault(low, self._fixed[high])

    def fix(self, channels: Iterable[int], reason: str) -> None:
        """Channels stay; the first reason is kept."""
        for channel in channels:
            self._fixed.setdefault(self._root(int(channel)), reason)

    def _has(self, role: str, layer: tf_keras.layers.Layer, channels: Index) -> Index:
        """Note a layer's part; in every call of a layer its channels are the same."""
        first = self._roles[role].setdefault(layer.name, channels)
        if first is not channels:
            self._tie(first, channels)
        return first

    def follow(self, node: Any) -> None:
        """Note what a call does to channels."""
        import tensorflow as tf

        layer, outputs = node.layer, tf.nest.flatten(node.outputs)
        given = [self.at[id(made)] for made in node.keras_inputs]
        made = None if node.is_input else self._through(layer, given, node)
        for output in outputs:
            if made is None:
                self.at[id(output)] = self._new(int(output.shape[-1] or 1))
                self.fix(self.at[id(output)], "the network's input")
            else:
                self.at[id(output)] = made
        if made is None and not node.is_input:
            for channels in given:
                self.fix(channels, f"{layer.name} ({type(layer).__name__}) mixes or hides them")
            if layer.weights:
                self._opaque[layer.name] = f"channels of a {type(layer).__name__} are not followed"

    def _through(self, layer: tf_keras.layers.Layer, given: list[Index], node: Any) -> Index | None:
        """The channels that a layer gives; None: not understood."""
        kind = type(layer).__name__
        if not graph.is_plain(layer) or getattr(layer, "data_format", None) == "channels_first":
            return None
        if kind in _MAKERS:
            return self._made(layer, given[0])
        if kind in _CARRIERS:
            return self._has("carriers", layer, given[0]) if _channel_by_channel(layer, node) else None
        if "".join(letter for letter in kind if letter not in "123") in _PASSING:
            return None if _activation(layer) == "softmax" else given[0]
        if kind in _ENTRY_BY_ENTRY:
            return self._summed(given)
        if kind == "Concatenate":
            rank = len(node.keras_inputs[0].shape)
            return np.concatenate(given) if layer.axis in (-1, rank - 1) else self._summed(given)
        if kind == "Flatten":
            shape = node.keras_inputs[0].shape[1:]
            return None if None in tuple(shape) else np.tile(given[0], int(np.prod(shape[:-1])))
        if kind == "Reshape" and node.outputs.shape[-1] == len(given[0]):
            return self._has("carriers", layer, given[0])
        return None

    def _made(self, layer: tf_keras.layers.Layer, given: Index) -> Index:
        grouped = getattr(layer, "groups", 1) > 1
        if type(layer).__name__ in _TAKERS and layer.trainable and not grouped:
            self._has("takers", layer, given)
        else:
            self.fix(given, f"{layer.name} ({_make(layer)}) takes them")
        made = self._roles["makers"].get(layer.name)
        if made is None:
            made = self._has(
                "makers", layer, self._new(int(layer.kernel.shape[_MAKERS[type(layer).__name__]]))
            )
        if not layer.trainable or grouped:
            self.fix(made, _make(layer))
        if _activation(layer) == "softmax":
            self.fix(made, "softmax relates its channels to each other")
        return made

    def _summed(self, given: list[Index]) -> Index | None:
        longest = max(given, key=len)
        for channels in given:
            if len(channels) == len(longest):
                self._tie(longest, channels)
            elif len(channels) == 1:  # for all channels alike
                self.fix(channels, "it acts on all channels of others")
            else:
                return None
        return longest

    def grouped(self) -> Channels:
        """Groups of layers whose channels are tied, without those of which a channel is fixed."""
        makers = self._roles["makers"]
        roots = {name: [self._root(int(c)) for c in channels] for name, channels in makers.items()}
        parts: list[tuple[list[str], set[int]]] = []
        for name in makers:
            names, own = [name], set(roots[name])
            for other in [part for part in parts if part[1] & own]:
                parts.remove(other)
                names, own = other[0] + names, other[1] | own
            parts.append((names, own))
        groups, whole = [], dict(self._opaque)
        for names, own in parts:
            reasons = [self._fixed[root] for root in sorted(own) if root in self._fixed]
            if reasons:
                whole |= dict.fromkeys(names, reasons[0])
            else:
                groups.append(self._group(sorted(own)))
        order = list(makers)
        groups.sort(key=lambda group: order.index(group.makers[0].layer))
        return Channels(tuple(groups), whole)

    def _group(self, own: list[int]) -> Group:
        number = {root: place for place, root in enumerate(own)}

        def members(role: str) -> tuple[Member, ...]:
            found = (
                Member(name, np.array([number.get(self._root(int(c)), -1) for c in channels]))
                for name, channels in self._roles[role].items()
            )
            return tuple(member for member in found if len(member.own))

        return Group(len(own), members("makers"), members("carriers"), members("takers"))


def _channel_by_channel(layer: tf_keras.layers.Layer, node: Any) -> bool:
    if type(layer).__name__ == "BatchNormalization":
        return list(layer.axis) == [len(node.keras_inputs[0].shape) - 1]
    return layer.depth_multiplier == 1 and _activation(layer) != "softmax"


def _activation(layer: tf_keras.layers.Layer) -> str:
    return getattr(getattr(layer, "activation", None), "__name__", "")


def _make(layer: tf_keras.layers.Layer) -> str:
    """What keeps a layer's channels from being followed, for people."""
    if not layer.trainable:
        return "not trained"
    return "in groups of channels" if getattr(layer, "groups", 1) > 1 else type(layer).__name__
