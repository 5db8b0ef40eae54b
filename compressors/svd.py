"""Truncated SVD of dense layers: one layer becomes two, whose factors stay apart in the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from mlbench.compressors import low_rank
from mlbench.compressors.evbmf import evb_rank
from mlbench.compressors.factorising import Factorising, Plan, Ranks
from mlbench.contracts import Context
from mlbench.networks import graph

if TYPE_CHECKING:
    import tf_keras


#: Kinds whose kernel joins all channels at each position.
CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D")


class MatrixPlan(Plan):
    """A dense layer or a 1×1 convolution, W [m,n], as two of rank r: m r + r n weights."""

    def __init__(self, layer: tf_keras.layers.Layer, spectrum: low_rank.Spectrum) -> None:
        """Plan for a layer whose output directions are given."""
        self.layer = layer
        self.matrix_shape = int(layer.kernel.shape[-2]), int(layer.kernel.shape[-1])
        self.sizes = (min(self.matrix_shape),)
        self._spectrum = spectrum

    @property
    def _places(self) -> int:
        return int(np.prod(self.shapes[1][:-1]))

    def parameters(self, ranks: Ranks) -> int:
        """M r + r n, and the bias."""
        return ranks[0] * sum(self.matrix_shape) + self.matrix_shape[1]

    def macs(self, ranks: Ranks) -> int:
        """M r + r n at each place."""
        return ranks[0] * sum(self.matrix_shape) * self._places

    def power(self) -> low_rank.Powers:
        """Squared singular values, or variances of the responses."""
        return self._spectrum.power[: self.sizes[0]]

    def ranks_for(self, energy: float) -> Ranks:
        """The smallest rank that keeps this share."""
        return (min(self._spectrum.rank_for(energy), self.sizes[0]),)

    def vbmf_ranks(self) -> Ranks:
        """EVBMF on the weights."""
        weights = low_rank.weight_spectrum(self._kernel)
        return (max(1, evb_rank(weights.power, *self.matrix_shape)),)

    def energy(self, ranks: Ranks) -> float:
        """Share of the power within the rank."""
        return self._spectrum.energy(ranks[0])

    @cached_property
    def _kernel(self) -> low_rank.Matrix:
        return self.layer.kernel.numpy().reshape(self.matrix_shape)

    def layers(self, ranks: Ranks, *, improved: bool = True) -> list[graph.NewLayer]:
        """X → x A → x A B + bias, of the same kind as the layer."""
        first, second = low_rank.factorise(self._kernel, self._spectrum, ranks[0])
        units, layer = self.matrix_shape[1], self.layer
        bias = layer.bias.numpy() if layer.use_bias else np.zeros(units, np.float32)
        spatial = layer.kernel.shape[:-2]
        kernels = [factor.reshape(*spatial, *factor.shape) for factor in (first, second)]
        weights = [low_rank.recentred_bias(bias, self._spectrum, ranks[0])]
        strides = getattr(layer, "strides", 1)
        return [
            (graph.like(layer, f"{layer.name}_a", ranks[0], bias=False, strides=strides), [kernels[0]]),
            (
                graph.like(layer, f"{layer.name}_b", units, activation=layer.activation),
                [kernels[1], *weights],
            ),
        ]


def matrix_plans(
    network: tf_keras.Model,
    layers: list[tf_keras.layers.Layer],
    context: Context,
    of: Literal["responses", "weights"],
) -> list[Plan]:
    """Plans for dense layers and 1×1 convolutions, from their weights or from responses to calibration samples."""
    if of == "weights" or not layers:
        return [MatrixPlan(layer, _weight_spectrum(layer)) for layer in layers]
    sums = {layer.name: low_rank.ResponseSums(int(layer.kernel.shape[-1])) for layer in layers}
    samples = graph.encoded(network, context.calibration)
    for inputs in graph.inputs_of(network, layers, samples):
        for layer in layers:
            sums[layer.name].add(graph.response_of(layer, inputs[layer.name]))
    return [MatrixPlan(layer, sums[layer.name].spectrum()) for layer in layers]


def _weight_spectrum(layer: tf_keras.layers.Layer) -> low_rank.Spectrum:
    """Of a layer's weights; what it answers to nothing, its bias, stays where it is."""
    spectrum = low_rank.weight_spectrum(layer.kernel.numpy().reshape(-1, layer.kernel.shape[-1]))
    return replace(spectrum, centre=layer.bias.numpy()) if layer.use_bias else spectrum


def is_matrix(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer is a convolution of size 1, which multiplies each position by a matrix."""
    kind = type(layer).__name__
    return kind in CONVOLUTIONS and set(layer.kernel_size) == {1} and not refused_convolution(layer)


def refused_convolution(layer: tf_keras.layers.Layer) -> str:
    """Why a convolution cannot be factorised; "" where it can, and of other layers."""
    if getattr(layer, "groups", 1) > 1:
        return "a convolution in groups of channels has a kernel for each"
    if getattr(layer, "data_format", None) == "channels_first":
        return "channels come first, where factors expect them last"
    return ""


def _is_factor(layer: tf_keras.layers.Layer, network: tf_keras.Model) -> bool:
    """Whether nothing but a shape stands between a convolution and another linear layer: it is a factor already."""
    behind = _beside(layer, network, graph.consumers)
    before = _beside(layer, network, graph.producers)
    alone = _is_linear(layer) and bool(behind) and all(hasattr(other, "kernel") for other in behind)
    return alone or any(hasattr(other, "kernel") and _is_linear(other) for other in before)


def _beside(
    layer: tf_keras.layers.Layer,
    network: tf_keras.Model,
    step: Callable[[tf_keras.Model, tf_keras.layers.Layer], list[tf_keras.layers.Layer]],
) -> list[tf_keras.layers.Layer]:
    """The next layers, behind what only gives another shape."""
    found = []
    for other in step(network, layer):
        shape_only = type(other).__name__ in ("Reshape", "Flatten", "Permute")
        found += _beside(other, network, step) if shape_only else [other]
    return found


def _is_linear(layer: tf_keras.layers.Layer) -> bool:
    return getattr(getattr(layer, "activation", None), "__name__", "") == "linear"


class Svd(Factorising):
    """Truncated SVD of every dense layer and 1×1 convolution that gets smaller by it."""

    name: ClassVar[str] = "svd"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = (
        "dense layers and 1×1 convolutions as products of two thin matrices, by truncated SVD"
    )
    source: ClassVar[str] = (
        "Eckart & Young 1936; of responses: Zhang et al. 2016, section 3.1; ranks: Nakajima et al. 2013"
    )
    works_on: ClassVar[str] = "dense layers and 1×1 convolutions"
    exact: ClassVar[dict[str, str]] = {"energy": "0.999999"}
    example: ClassVar[dict[str, str]] = {"rank": "4"}

    def default_ranks(self, plan: Plan) -> Ranks:
        """A quarter of the full rank, 64 at most; 16 at least, as far as the layer has them."""
        return tuple(min(size, max(_FEWEST, min(DEFAULT_RANK, size // 4))) for size in plan.sizes)

    def plans(self, network: tf_keras.Model, context: Context) -> list[Plan]:
        """A plan for each dense layer and each 1×1 convolution that is not a factor already."""
        dense = graph.dense_layers(network)
        chosen = [layer for layer in network.layers if layer in dense or _is_wanted(layer, network)]
        return matrix_plans(network, chosen, context, self.of)

    def refusal(self, layer: tf_keras.layers.Layer, network: tf_keras.Model) -> str:
        """Of convolutions of size 1 that cannot be factorised."""
        matrix = type(layer).__name__ in CONVOLUTIONS and set(layer.kernel_size) == {1}
        return refused_convolution(layer) if matrix and layer.trainable else ""


def _is_wanted(layer: tf_keras.layers.Layer, network: tf_keras.Model) -> bool:
    return is_matrix(layer) and layer.trainable and not _is_factor(layer, network)


#: Where neither rank, energy nor target is given; docs/reference/compressors/svd.md says what it gives and costs.
DEFAULT_RANK = 64

#: Of a layer of few units each direction counts: two are too few for ten classes.
_FEWEST = 16
