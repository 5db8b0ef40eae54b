"""Whole neurons and filters removed, so that layers shrink and every runtime gains.

What goes together (`mlbench.networks.channels`) goes together: the channels that a sum ties, their normalisation, and
what the layers behind have for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mlbench.contracts import OTHER_KIND, Alone, Context, Form, Order, Tried, Tuned, unchanged
from mlbench.errors import RefusedCompressionError, UsageError
from mlbench.networks import graph
from mlbench.networks.channels import Channels, Group, Member, channels_of
from mlbench.records import LayerChange

if TYPE_CHECKING:
    import tf_keras

Array = npt.NDArray[np.float64]

_RIDGE = 0.01  # of a unit's mean variance, when removed units are told from those that stay
_PLACES = 64  # positions of a feature map that are looked at, at most


@dataclass(frozen=True)
class Removal:
    """Which units stay, and the layer behind them without the others.

    Attributes:
        kept: indices of units that stay, ascending.
        weights: [places, kept, outputs] of the layer behind.
        shift: [outputs], to be added to its bias.
        energy: share of the importance that stays.
    """

    kept: npt.NDArray[np.intp]
    weights: Array
    shift: Array
    energy: float


def importance_of(weights: Array, covariance: Array) -> Array:
    """How far each unit's variation moves the layer behind: its variance times its squared outgoing weights [units].

    Args:
        weights: [places, units, outputs]: outgoing weights of each unit at each place (or kernel tap).
        covariance: [units, units].
    """
    found: Array = np.diag(covariance) * np.square(weights).sum(axis=(0, 2))
    return found


def remove_units(weights: Array, means: Array, covariance: Array, count: int) -> Removal:
    """Keep the `count` units whose variation moves the layer behind the most, and let them stand for the others."""
    importance = importance_of(weights, covariance)
    kept = np.sort(np.argsort(-importance, kind="stable")[:count])
    return without_others(weights, means, covariance, kept)


def without_others(weights: Array, means: Array, covariance: Array, kept: npt.NDArray[np.intp]) -> Removal:
    """The layer behind with the kept units alone.

    A removed unit is predicted from those that stay by ridge regression, and the layer behind takes the prediction
    for it (He, Zhang & Sun 2017, "Channel pruning", equation 2); a constant or duplicate unit goes at no loss. Where
    padding takes a unit's place, at the edges of a map, it is near only.

    Args:
        weights: [places, units, outputs]: outgoing weights of each unit at each place (or kernel tap).
        means: [places, units].
        covariance: [units, units].
        kept: indices of units that stay, ascending.
    """
    importance = importance_of(weights, covariance)
    gone = np.setdiff1d(np.arange(weights.shape[1]), kept)
    inner = covariance[np.ix_(kept, kept)]
    ridge = _RIDGE * max(float(np.trace(inner)) / max(len(kept), 1), 1e-12) / len(covariance)
    told = np.linalg.solve(inner + ridge * np.eye(len(kept)), covariance[np.ix_(kept, gone)])
    taken = np.einsum("kg,pgo->pko", told, weights[:, gone])
    shift = np.einsum("pg,pgo->o", means[:, gone] - means[:, kept] @ told, weights[:, gone])
    total = float(importance.sum())
    energy = float(importance[kept].sum()) / total if total else 1.0
    return Removal(kept, weights[:, kept] + taken, shift, energy)


@dataclass(frozen=True)
class _Taken:
    """What a layer takes of a group, as `remove_units` has it.

    Attributes:
        member: the layer's part.
        index: [places, units]: where on the axis of its inputs each of the member's channels stands.
        weights: [taps · places, units, outputs].
        means: [taps · places, units].
        covariance: [units, units].
    """

    member: Member
    index: npt.NDArray[np.intp]
    weights: Array
    means: Array
    covariance: Array

    @property
    def importance(self) -> Array:
        return importance_of(self.weights, self.covariance)


class Slim(Tuned):
    """Removes the neurons and filters that matter least; the layers behind make up for them."""

    name: ClassVar[str] = "slim"
    summary: ClassVar[str] = (
        "whole neurons and filters removed by importance: smaller layers of the same kind"
    )
    source: ClassVar[str] = "Li et al. 2017 (filters); He, Zhang & Sun 2017, section 3.1 (reconstruction)"
    order: ClassVar[Order] = Order.REPLACE
    positional: ClassVar[str | None] = "share"
    exact: ClassVar[dict[str, str]] = {"share": "0.5"}

    share: Annotated[float, Field(gt=0, lt=1, description="of the units of each layer, to be removed")] = 0.5
    layers: Annotated[
        str, Field(pattern=r"^(conv|dense|conv/dense|dense/conv)$", description="which kinds: conv, dense")
    ] = "conv/dense"

    @classmethod
    def tried(cls) -> Tried:
        """Neurons, filters, or both, each by a share of their own."""
        dense, conv = "slim({dense},layers=dense)", "slim({conv},layers=conv)"
        shares = {"dense": {"low": 0.2, "high": 0.85}, "conv": {"low": 0.1, "high": 0.6}}
        return Tried((dense, conv, f"{conv}+{dense}"), shares)

    def compress(self, form: Form, context: Context) -> Form:
        """Group by group from the input on, each on the network as it is by then."""
        if not len(context.calibration):
            message = "slim needs training samples to tell which units matter: give some."
            raise UsageError(message)
        network, changes = form.network, []
        found = channels_of(network)
        for makers in map(_makers, found.groups):
            group = _group_of(channels_of(network), makers)
            if not self._refusal(network, group):
                network, made = self._slimmed(network, group, context)
                changes += made
        left = [unchanged(form.network.get_layer(name), why) for name, why in found.whole.items() if why]
        if not changes:
            reasons = "; ".join(f"{change.layer}: {change.note}" for change in left)
            message = (
                f"{self.describe()} found no unit to remove: no layer's units feed a convolution or dense layer "
                f"alone, or the share is too small{f' ({reasons})' if reasons else ''}."
            )
            raise RefusedCompressionError(message)
        return Form(network, form.export, (*changes, *left))

    def reasons(self, form: Form, context: Context) -> Mapping[str, str]:
        """Why units stay: what they feed, or the options."""
        found = channels_of(form.network)
        left = dict(found.whole)
        for group in found.groups:
            names = [member.layer for member in (*group.makers, *group.carriers)]
            left |= dict.fromkeys(names, self._refusal(form.network, group))
        kernels = [layer.name for layer in graph.layers_with_kernel(form.network)]
        given = {name: "gives the answers" for name, why in found.whole.items() if not why}
        told = {name: left.get(name, OTHER_KIND) for name in kernels} | given
        return {name: told[name] for name in kernels if told[name]}

    def one_by_one(self, form: Form, context: Context, ratios: Sequence[float]) -> Iterator[Alone]:
        """Each group of layers whose channels go together, without a share of them."""
        for group in channels_of(form.network).groups:
            for ratio in ratios:
                slim = self.model_copy(update={"share": 1 - 1 / ratio})
                if not slim._refusal(form.network, group):
                    network, _ = slim._slimmed(form.network, group, context)
                    yield Alone(_makers(group), ratio, group.size / slim._stay(group.size), network)

    def _refusal(self, network: tf_keras.Model, group: Group) -> str:
        """Why a group's channels stay, or ""."""
        if not all(self._handles(network.get_layer(name)) for name in _makers(group)):
            return OTHER_KIND
        if self._stay(group.size) >= group.size:
            return "the share is too small"
        regular = all(map(_regular, group.takers))
        return "" if regular else "a layer behind takes its channels at different numbers of places"

    def _handles(self, layer: tf_keras.layers.Layer) -> bool:
        kind = "dense" if type(layer).__name__ == "Dense" else "conv"
        return kind in self.layers.split("/")

    def _stay(self, units: int) -> int:
        return max(1, units - round(units * self.share))

    def _slimmed(
        self, network: tf_keras.Model, group: Group, context: Context
    ) -> tuple[tf_keras.Model, list[LayerChange]]:
        taken = _taken(network, group.takers, context)
        importance = _summed_importance(group, taken)
        kept = _kept(importance, group, self._stay(group.size))
        edits = _Edits(network)
        for part in taken:
            edits.take(part, kept)
        for member in group.makers:
            edits.make(member, kept)
        for member in group.carriers:
            edits.carry(member, kept)
        total = float(importance.sum())
        energy = float(importance[kept].sum()) / total if total else 1.0
        changes = [_change(network.get_layer(member.layer), member, kept, energy) for member in group.makers]
        return edits.network(), changes


def _makers(group: Group) -> tuple[str, ...]:
    return tuple(member.layer for member in group.makers)


def _group_of(channels: Channels, makers: tuple[str, ...]) -> Group:
    return next(group for group in channels.groups if _makers(group) == makers)


def _regular(member: Member) -> bool:
    """Whether a layer takes each of its channels at as many places."""
    counts = np.bincount(member.channels[member.channels >= 0])
    return len(set(counts[counts > 0].tolist())) == 1


def _kept(importance: Array, group: Group, count: int) -> npt.NDArray[np.intp]:
    """The most important channels, ascending, and of each layer one at least."""
    order = np.argsort(-importance, kind="stable")
    kept = set(order[:count].tolist())
    for member in (*group.makers, *group.takers):
        if not kept & set(member.own.tolist()):
            kept.add(next(int(channel) for channel in order if channel in member.own))
    return np.array(sorted(kept), np.intp)


def _summed_importance(group: Group, taken: list[_Taken]) -> Array:
    """Importance of a group's channels, each layer behind counting alike, in the first one's unit."""
    total, first = np.zeros(group.size), 0.0
    for part in taken:
        found = part.importance
        first = first or float(found.sum())
        total[part.member.own] += found * (first / float(found.sum()) if found.any() else 1.0)
    return total


def _taken(network: tf_keras.Model, members: Sequence[Member], context: Context) -> list[_Taken]:
    """What layers take in; the network answers once for all of them."""
    indices = {
        member.layer: np.stack([np.flatnonzero(member.channels == channel) for channel in member.own], axis=1)
        for member in members
    }
    sums = {name: _Sums(index, context.seed) for name, index in indices.items()}
    samples = graph.encoded(network, context.calibration)
    for found in graph.inputs_of(network, [network.get_layer(name) for name in sums], samples):
        for name, values in found.items():
            sums[name].add(values)
    return [_taken_by(network, member, indices[member.layer], sums[member.layer]) for member in members]


def _taken_by(network: tf_keras.Model, member: Member, index: npt.NDArray[np.intp], sums: _Sums) -> _Taken:
    kernel = network.get_layer(member.layer).kernel.numpy()
    means, covariance = sums.statistics()
    weights = kernel.reshape(-1, *kernel.shape[-2:])[:, index].astype(np.float64)
    every = np.broadcast_to(means, weights.shape[:-1]).reshape(-1, index.shape[1])
    return _Taken(member, index, weights.reshape(-1, *weights.shape[2:]), every, covariance)


class _Edits:
    """Configurations and weights of layers as they are to be, and the network with them."""

    def __init__(self, network: tf_keras.Model) -> None:
        self._network = network
        self._configs: dict[str, dict[str, Any]] = {}
        self._weights: dict[str, dict[str, npt.NDArray[np.float32]]] = {}

    def _of(self, name: str) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.float32]]]:
        if name not in self._configs:
            layer = self._network.get_layer(name)
            self._configs[name] = layer.get_config()
            names = (weight.name.rsplit("/", 1)[-1].split(":")[0] for weight in layer.weights)
            self._weights[name] = dict(zip(names, layer.get_weights(), strict=True))
        return self._configs[name], self._weights[name]

    def take(self, part: _Taken, kept: npt.NDArray[np.intp]) -> None:
        """Take the kept channels alone, which stand for the others."""
        config, weights = self._of(part.member.layer)
        stays = np.flatnonzero(np.isin(part.member.own, kept))
        removal = without_others(part.weights, part.means, part.covariance, stays)
        kernel = weights["kernel"].astype(np.float64)
        flat = kernel.reshape(-1, *kernel.shape[-2:])
        places = part.index[:, stays]
        flat[:, places] = removal.weights.reshape(len(flat), *places.shape, -1)
        entries = _entries(part.member, kept)
        weights["kernel"] = np.take(kernel, entries, axis=-2).astype(np.float32)
        if norm := self._normalisation_behind(part.member.layer):
            mean = self._of(norm)[1]
            mean["moving_mean"] = (mean["moving_mean"] - removal.shift).astype(np.float32)
            return
        bias = weights.get("bias", np.zeros(kernel.shape[-1], np.float32))
        weights["bias"] = (bias + removal.shift).astype(np.float32)
        config["use_bias"] = True

    def _normalisation_behind(self, name: str) -> str | None:
        """The normalisation that can shift the answers of a layer without bias in its place."""
        layer = self._network.get_layer(name)
        behind = graph.consumers(self._network, layer)
        linear = layer.activation.__name__ == "linear"
        alone = [type(other).__name__ for other in behind] == ["BatchNormalization"]
        return behind[0].name if alone and linear and not layer.use_bias else None

    def make(self, member: Member, kept: npt.NDArray[np.intp]) -> None:
        """Give the kept channels alone."""
        config, weights = self._of(member.layer)
        entries = _entries(member, kept)
        transposed = type(self._network.get_layer(member.layer)).__name__.endswith("Transpose")
        weights["kernel"] = np.take(weights["kernel"], entries, axis=-2 if transposed else -1)
        if "bias" in weights:
            weights["bias"] = weights["bias"][entries]
        config["filters" if "filters" in config else "units"] = len(entries)

    def carry(self, member: Member, kept: npt.NDArray[np.intp]) -> None:
        """Let the kept channels through."""
        config, weights = self._of(member.layer)
        entries = _entries(member, kept)
        for name, values in weights.items():
            weights[name] = np.take(values, entries, axis=-2 if name == "depthwise_kernel" else -1)
        if "target_shape" in config:
            shape = self._network.get_layer(member.layer).output_shape
            config["target_shape"] = (*shape[1:-1], len(entries))

    def network(self) -> tf_keras.Model:
        """The network with the layers as they are now."""

        def made(layer: tf_keras.layers.Layer) -> list[graph.NewLayer] | None:
            if layer.name not in self._configs:
                return None
            made = type(layer).from_config(self._configs[layer.name])
            return [(made, list(self._weights[layer.name].values()))]

        return graph.rebuild(self._network, made)


def _entries(member: Member, kept: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Entries of a member's axis that stay."""
    return np.flatnonzero((member.channels < 0) | np.isin(member.channels, kept))


def _change(
    layer: tf_keras.layers.Layer, member: Member, kept: npt.NDArray[np.intp], energy: float
) -> LayerChange:
    units, count = len(member.channels), len(_entries(member, kept))
    return LayerChange(
        layer=layer.name,
        shape=tuple(int(n) for n in layer.kernel.shape),
        parameters_before=layer.count_params(),
        parameters_after=layer.count_params() * count // units,
        rank=(count,),
        energy=energy,
        note=f"{count} of {units} units stay",
    )


class _Sums:
    """What a layer is given at an index [places, units], summed up sample by sample."""

    def __init__(self, index: npt.NDArray[np.intp], seed: int) -> None:
        places, units = index.shape
        self._index, self._rng, self._count = index, np.random.default_rng(seed), 0
        self._total, self._second = np.zeros((places, units)), np.zeros((units, units))

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Take in what the layer is given [n, …, channels], of feature maps some positions."""
        places, rows = len(self._index), values.reshape(-1, values.shape[-1])
        if places == 1 and len(rows) > 64 * _PLACES:
            rows = rows[self._rng.choice(len(rows), 64 * _PLACES, replace=False)]
        found = np.take(rows, self._index, axis=1).astype(np.float64)
        self._count, self._total = self._count + len(found), self._total + found.sum(axis=0)
        self._second += np.tensordot(found, found, ((0, 1), (0, 1))) / places

    def statistics(self) -> tuple[Array, Array]:
        """Means [places, units], and the covariance [units, units] around them."""
        means = self._total / self._count
        return means, self._second / self._count - means.T @ means / len(means)
