"""CP decomposition of convolutions: a k×k one becomes 1×1, depthwise k×k and 1×1."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mlbench.compressors import canonical
from mlbench.compressors.canonical import Canonical, Factors
from mlbench.compressors.evbmf import evb_rank
from mlbench.compressors.factorising import Factorising, Plan, Ranks, ThreeConvolutions
from mlbench.compressors.low_rank import Powers
from mlbench.compressors.refit import Batches, Refit, batches_of
from mlbench.compressors.svd import CONVOLUTIONS
from mlbench.compressors.tucker import CONV_SAMPLES, refused_layer
from mlbench.contracts import Context
from mlbench.contracts.progress import Progress
from mlbench.networks import graph

if TYPE_CHECKING:
    import tf_keras


class CpPlan(ThreeConvolutions):
    """A k×k convolution, as a tensor [k², in, out] of R components: 1×1 to R channels, depthwise k×k, 1×1.

    Lebedev et al. 2015 part the depthwise k×k into k×1 and 1×k. Of one dimension or two; the depthwise convolution has
    the strides, the padding and the dilation.
    """

    def __init__(self, layer: tf_keras.layers.Layer, inputs: Batches | None, progress: Progress) -> None:
        """Plan for a layer; with `inputs` its responses shall stay near, without them its weights."""
        kernel = layer.kernel.numpy()
        self.layer, self._inputs, self._progress = layer, inputs, progress
        self._tensor = kernel.reshape(-1, *kernel.shape[-2:])
        self.sizes = (len(self._tensor) * min(kernel.shape[-2:]),)
        self._known: dict[int, Factors] = {}

    @cached_property
    def _components(self) -> Canonical:
        return canonical.orthogonal(self._tensor)

    def weights_in_parts(self, ranks: Ranks) -> tuple[int, int, int]:
        """See `ThreeConvolutions.weights_in_parts`."""
        taps, inputs, outputs = (size * ranks[0] for size in self._tensor.shape)
        return inputs, taps, outputs

    def power(self) -> Powers:
        """Squared norms of the components before they are improved."""
        return self._components.power

    def ranks_for(self, energy: float) -> Ranks:
        """The smallest rank whose components keep this share already before they are improved."""
        shares = np.cumsum(self.power()) / max(float(self.power().sum()), 1e-300)
        return (min(int(np.searchsorted(shares, energy * (1 - 1e-7))) + 1, *self.sizes),)

    def vbmf_ranks(self) -> Ranks:
        """EVBMF on the matrix [in,out] of each direction of the taps, one rank for all of them."""
        taps = np.linalg.svd(self._tensor.reshape(len(self._tensor), -1), full_matrices=False)[0]
        matrices = np.tensordot(taps.T, self._tensor, 1)
        powers = np.square(np.linalg.svd(matrices, compute_uv=False), dtype=np.float64)
        return (max(1, sum(evb_rank(power, *matrices.shape[1:]) for power in powers)),)

    def energy(self, ranks: Ranks) -> float:
        """Share of the weights' power that the improved components keep."""
        return canonical.kept(self._tensor, self._improved(ranks[0]))

    def _improved(self, rank: int) -> Factors:
        """By ALS; once, since it takes long."""
        if rank not in self._known:
            rounds, name = canonical.iterations_of(self._tensor, rank), self.layer.name
            how = f"in up to {rounds} rounds" if rounds else "in closed form, for want of memory"
            self._progress.say(f"Decomposing {name} into {rank} components {how} …")
            self._known[rank] = canonical.improved(self._tensor, self._components.leading(rank), rounds)
        return self._known[rank]

    def layers(self, ranks: Ranks, *, improved: bool = True) -> list[graph.NewLayer]:
        """1×1 → depthwise k×k → 1×1."""
        taps, inputs, outputs = (self._improved if improved else self._components.leading)(ranks[0])
        last, shift = outputs.T, None
        if improved and self._inputs is not None:
            last, shift = self._refitted(self._inputs(), (taps, inputs), outputs.T)
        layer, bias = self.layer, self.layer.bias.numpy() if self.layer.use_bias else np.zeros(len(outputs))
        end = graph.like(layer, f"{layer.name}_out", len(outputs), activation=layer.activation)
        point = (1,) * len(layer.kernel_size)
        weights = [last.reshape(*point, *last.shape), bias if shift is None else shift[0]]
        return [*self._features(taps, inputs), (end, weights)]

    def _features(self, taps: graph.Array, inputs: graph.Array) -> list[graph.NewLayer]:
        """The layers before the last."""
        from tf_keras import layers as keras

        layer, rank = self.layer, inputs.shape[1]
        first = graph.like(layer, f"{layer.name}_in", rank, bias=False)
        depthwise = getattr(keras, f"DepthwiseConv{layer.rank}D")(
            layer.kernel_size,
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
            use_bias=False,
            name=f"{layer.name}_depthwise",
        )
        point = (1,) * len(layer.kernel_size)
        return [
            (first, [inputs.reshape(*point, *inputs.shape)]),
            (depthwise, [taps.reshape(*layer.kernel_size, rank, 1)]),
        ]

    def _refitted(
        self, batches: Iterator[graph.Array], factors: tuple[graph.Array, graph.Array], last: graph.Array
    ) -> tuple[graph.Array, graph.Array]:
        """The last factor and the bias that give the responses to training samples what the others can tell of them."""
        fit, parts = Refit(1, *last.shape), self._features(*factors)
        for batch in batches:
            fit.add(graph.applied(parts, batch), graph.response_of(self.layer, batch))
        return fit.solved(last)


class CanonicalPolyadic(Factorising):
    """CP decomposition of every k×k convolution that gets smaller by it."""

    name: ClassVar[str] = "cp"
    summary: ClassVar[str] = "convolutions as 1×1, depthwise k×k and 1×1 ones, by CP decomposition"
    source: ClassVar[str] = (
        "Lebedev et al. 2015, arXiv 1412.6553; ALS: tensorly (Kossaifi et al. 2019); last factor: Zhang et al. 2016"
    )
    works_on: ClassVar[str] = "k×k convolutions of one or two dimensions"
    exact: ClassVar[dict[str, str]] = {"energy": "0.999999"}
    example: ClassVar[dict[str, str]] = {"rank": "4"}

    def default_ranks(self, plan: Plan) -> Ranks:
        """As many components as take a third of the kernel's weights."""
        one = plan.parameters((1,)) - plan.parameters((0,))
        return (max(1, min((plan.whole - plan.parameters((0,))) // (3 * one), *plan.sizes)),)

    def plans(self, network: tf_keras.Model, context: Context) -> list[Plan]:
        """A plan for each convolution that is not refused."""
        few = (
            graph.encoded(network, context.calibration.spread(CONV_SAMPLES))
            if self.of == "responses"
            else None
        )
        return [
            CpPlan(layer, few if few is None else batches_of(network, layer, few), context.progress)
            for layer in network.layers
            if layer.trainable and type(layer).__name__ in CONVOLUTIONS and not _refusal(layer)
        ]

    def refusal(self, layer: tf_keras.layers.Layer, network: tf_keras.Model) -> str:
        """Of convolutions that cannot be decomposed."""
        return _refusal(layer) if layer.trainable else ""


def _refusal(layer: tf_keras.layers.Layer) -> str:
    """Why a convolution is not decomposed; "" of those that are, and of other layers."""
    if (reason := refused_layer(layer)) or type(layer).__name__ not in CONVOLUTIONS:
        return reason
    if set(layer.kernel_size) == {1}:
        return "a convolution of size 1 is a matrix: svd factorises it"
    if layer.kernel.shape[-2] == 1:
        return "a kernel over one channel is a matrix: tucker factorises it"
    if layer.rank > 2:
        return "there is no depthwise convolution of three dimensions"
    if layer.padding == "causal":
        return "a depthwise convolution has no causal padding"
    if len(set(layer.strides)) > 1:
        return "a depthwise convolution has the same stride in all directions"
    return ""
