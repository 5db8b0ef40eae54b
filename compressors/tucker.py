"""Tucker decomposition of a whole network: convolutions, the dense layer behind the feature map, dense layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from mlbench.compressors import multilinear
from mlbench.compressors.evbmf import evb_rank
from mlbench.compressors.factorising import TARGETS, Factorising, Plan, Ranks, ThreeConvolutions
from mlbench.compressors.low_rank import Powers, ResponseSums, Spectrum
from mlbench.compressors.multilinear import Tensor, Tucker
from mlbench.compressors.svd import CONVOLUTIONS, Svd, is_matrix, matrix_plans, refused_convolution
from mlbench.contracts import Context, Tried
from mlbench.networks import graph

if TYPE_CHECKING:
    import tf_keras

_KINDS = ("conv", "map", "dense")
_RIDGE = 0.1  # the best of 0.001 to 1 by the error on samples that were not in the regression
_PROBED_CORE = 1 << 24  # entries of a core that ranks for a target are read from
_HOOI_ITERATIONS = 2
CONV_SAMPLES = 128
#: What may stand between a flattened map and a dense layer.
_ENTRY_BY_ENTRY = ("Activation", "ReLU", "LeakyReLU", "Dropout", "BatchNormalization")


@dataclass(frozen=True)
class Flow:
    """What flows through a layer on calibration samples.

    Attributes:
        mean: mean input: [c] of a convolution's channels, [h,w,c] of a feature map.
        spectrum: of the layer's responses.
        inputs: gives the layer's inputs again, batch by batch.
    """

    mean: npt.NDArray[np.float32]
    spectrum: Spectrum
    inputs: Callable[[], Iterator[npt.NDArray[np.float32]]]


class TensorPlan(Plan):
    """A layer whose weights are seen as a tensor [..., units], decomposed in some of its modes.

    Where responses shall stay near (`flow`), the units' mode takes their principal directions, as svd does; the
    other modes take what keeps most of the weights.
    """

    def __init__(
        self, layer: tf_keras.layers.Layer, tensor: Tensor, modes: tuple[int, ...], flow: Flow | None
    ) -> None:
        """Plan for a layer; without `flow` its weights alone count."""
        self.layer, self.modes = layer, modes
        self.sizes = tuple(min(tensor.shape[m], tensor.size // tensor.shape[m]) for m in modes)
        self._weights, self._flow = tensor, flow
        self._known: dict[int, tuple[Powers, Tensor]] = {}

    def _of_weights(self, mode: int) -> tuple[Powers, Tensor]:
        """Power and directions of a mode of the weights; each takes a pass over all of them, so once."""
        if mode not in self._known:
            self._known[mode] = multilinear.eigenvectors(multilinear.gram(self._weights, mode))
        return self._known[mode]

    @cached_property
    def _spectra(self) -> dict[int, tuple[Powers, Tensor]]:
        """Power and directions of each mode, descending."""
        found = {}
        for mode in self.modes:
            if self._flow is not None and mode == self._weights.ndim - 1:
                found[mode] = self._flow.spectrum.power, self._flow.spectrum.directions
            else:
                found[mode] = self._of_weights(mode)
        return found

    def _bases(self, ranks: Ranks) -> dict[int, Tensor]:
        chosen = zip(self.modes, ranks, strict=True)
        return {m: np.ascontiguousarray(self._spectra[m][1][:, :rank]) for m, rank in chosen}

    def ranks_for(self, energy: float) -> Ranks:
        """Each mode may lose an equal share; then at least this energy is kept (De Lathauwer 2000, property 10)."""
        lost = (1 - energy) / len(self.modes)
        ranks = []
        for mode, size in zip(self.modes, self.sizes, strict=True):
            shares = np.cumsum(self._spectra[mode][0]) / max(float(self._spectra[mode][0].sum()), 1e-300)
            ranks.append(min(int(np.searchsorted(shares, (1 - lost) * (1 - 1e-7))) + 1, size))
        return tuple(ranks)

    def vbmf_ranks(self) -> Ranks:
        """EVBMF on each unfolding of the weights."""
        ranks = []
        for mode, size in zip(self.modes, self.sizes, strict=True):
            power = self._of_weights(mode)[0]
            rows = self._weights.shape[mode]
            ranks.append(min(size, max(1, evb_rank(power, rows, self._weights.size // rows))))
        return tuple(ranks)

    def energy(self, ranks: Ranks) -> float:
        """Share of the power that is kept at least: what each mode loses adds up."""
        kept = 1.0
        for mode, rank in zip(self.modes, ranks, strict=True):
            power = self._spectra[mode][0]
            kept -= float(power[rank:].sum()) / max(float(power.sum()), 1e-300)
        return max(0.0, kept)

    @cached_property
    def _probed(self) -> Tucker:
        """The HOSVD, without what carries nothing: truncating it gives approximations of all smaller ranks."""
        ranks = list(self.ranks_for(1 - 1e-6))
        others = self._weights.size // math.prod(self._weights.shape[mode] for mode in self.modes)
        while others * math.prod(ranks) > _PROBED_CORE:
            largest = int(np.argmax(ranks))
            ranks[largest] = ranks[largest] * 4 // 5
        return multilinear.hosvd(self._weights, self._bases(tuple(ranks)))

    def power(self) -> Powers:
        """Squared entries of the core, summed over whole modes, each direction of the units by its power."""
        core = np.square(self._probed.core, dtype=np.float64)
        core = core.sum(axis=tuple(mode for mode in range(core.ndim) if mode not in self.modes))
        wanted = self._spectra[self.modes[-1]][0][: core.shape[-1]]
        found = core.sum(axis=tuple(range(core.ndim - 1)))
        return core * (wanted / np.maximum(found, 1e-300))

    def _decomposed(self, ranks: Ranks, improved: bool) -> Tucker:
        if not improved:
            return self._probed.truncated(dict(zip(self.modes, ranks, strict=True)))
        bases = self._bases(ranks)
        if self._flow is None:
            return multilinear.hooi(self._weights, bases, _HOOI_ITERATIONS)
        last = self._weights.ndim - 1
        units = bases.pop(last)
        found = multilinear.hooi(multilinear.times(self._weights, units, last), bases, _HOOI_ITERATIONS)
        return Tucker(found.core, found.factors | {last: units})

    def _bias(self, response: Tensor, approximated: Tensor) -> Tensor:
        """The bias with which the mean input gets the response that it had; bias apart, x W and x Ŵ."""
        bias = self.layer.bias.numpy() if self.layer.use_bias else np.zeros_like(response)
        return (bias + response - approximated).astype(np.float32)


class ConvPlan(ThreeConvolutions, TensorPlan):
    """A k×k convolution: 1×1 to r₁ channels, k×k to r₂, 1×1 (Kim et al. 2016, equations 2 to 5).

    Of one to three dimensions; the k×k core has the strides, the padding and the dilation. With one input channel
    the first is left out.
    """

    def __init__(self, layer: tf_keras.layers.Layer, flow: Flow | None) -> None:
        """Plan for a convolution."""
        kernel = layer.kernel.numpy()
        inputs, outputs = kernel.ndim - 2, kernel.ndim - 1
        super().__init__(layer, kernel, (inputs, outputs) if kernel.shape[-2] > 1 else (outputs,), flow)

    def _ends(self, ranks: Ranks) -> tuple[int, int]:
        return (ranks[0], ranks[1]) if len(ranks) == 2 else (1, ranks[0])

    def weights_in_parts(self, ranks: Ranks) -> tuple[int, int, int]:
        """See `ThreeConvolutions.weights_in_parts`."""
        *size, inputs, outputs = self._weights.shape
        first, last = self._ends(ranks)
        return (inputs * first if inputs > 1 else 0), math.prod(size) * first * last, last * outputs

    def layers(self, ranks: Ranks, *, improved: bool = True) -> list[graph.NewLayer]:
        """1×1 → k×k → 1×1."""
        found, layer = self._decomposed(ranks, improved), self.layer
        size, inputs = self._weights.shape[:-2], self._weights.ndim - 2
        point = (1,) * len(size)
        parts: list[graph.NewLayer] = []
        if inputs in found.factors:
            factor = found.factors[inputs]
            first = graph.like(layer, f"{layer.name}_in", ranks[0], bias=False)
            parts.append((first, [factor.reshape(*point, *factor.shape)]))
        core = type(layer)(
            found.core.shape[-1],
            layer.kernel_size,
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
            use_bias=False,
            name=f"{layer.name}_core",
        )
        last = graph.like(layer, f"{layer.name}_out", layer.filters, activation=layer.activation)
        mean = np.zeros(self._weights.shape[-2]) if self._flow is None else self._flow.mean
        taps = tuple(range(len(size)))
        bias = self._bias(*(mean @ w.sum(axis=taps) for w in (self._weights, found.tensor())))
        after = found.factors[inputs + 1].T
        return [*parts, (core, [found.core]), (last, [after.reshape(*point, *after.shape), bias])]


class MapPlan(TensorPlan):
    """A dense layer behind a feature map [h,w,c], as a tensor [h,w,c,units] decomposed in all four modes.

    The channels are contracted by a 1×1 convolution. Seen as [h, w·r, 1] without moving a number, the map's
    rows are contracted by a convolution whose kernel spans the height, and its columns likewise; what is left
    meets the core and the units' factor as two dense layers. No transposition, so one delegate partition.
    """

    def __init__(
        self, layer: tf_keras.layers.Dense, map_shape: tuple[int, int, int], flow: Flow | None
    ) -> None:
        """Plan for a dense layer behind a map of this shape."""
        self._map = map_shape
        self._known_features: tuple[Tensor, Tensor] | None = None
        super().__init__(layer, layer.kernel.numpy().reshape(*map_shape, -1), (0, 1, 2, 3), flow)

    def parameters(self, ranks: Ranks) -> int:
        """Of four factors, the core and the bias."""
        shape = self._weights.shape
        return math.prod(ranks) + sum(n * r for n, r in zip(shape, ranks, strict=True)) + shape[3]

    def macs(self, ranks: Ranks) -> int:
        """Of the contractions in their order: channels, rows, columns, core, units."""
        (h, w, c), (rh, rw, rc, ru) = self._map, ranks
        return (
            h * w * c * rc
            + h * w * rc * rh
            + w * rc * rh * rw
            + math.prod(ranks)
            + ru * self._weights.shape[3]
        )

    def layers(self, ranks: Ranks, *, improved: bool = True) -> list[graph.NewLayer]:
        """1×1, h×1 and w×1 convolutions between reshapes, then two dense layers."""
        from tf_keras import layers as keras

        (h, w, _), (rh, rw, rc, ru) = self._map, ranks
        found, name = self._decomposed(ranks, improved), self.layer.name
        rows, columns, channels, units = (found.factors[mode] for mode in self.modes)
        tensor, bias = found.core, self.layer.bias.numpy() if self.layer.use_bias else np.zeros(len(units))
        if self._flow is not None:
            tensor, bias = self._refitted(found, self._flow, improved)
        core = tensor.transpose(2, 0, 1, 3).reshape(-1, ru)
        last = keras.Dense(len(units), activation=self.layer.activation, name=f"{name}_units")

        def conv(filters: int, kernel: Any, part: str) -> tf_keras.layers.Layer:
            return keras.Conv2D(filters, kernel, use_bias=False, name=f"{name}_{part}")

        return [
            (keras.Reshape((h, w, self._map[2]), name=f"{name}_map"), []),
            (conv(rc, 1, "channels"), [channels[None, None]]),
            (keras.Reshape((h, w * rc, 1), name=f"{name}_by_row"), []),
            (conv(rh, (h, 1), "rows"), [rows[:, None, None, :]]),
            (keras.Reshape((w, rc * rh, 1), name=f"{name}_by_column"), []),
            (conv(rw, (w, 1), "columns"), [columns[:, None, None, :]]),
            (keras.Flatten(name=f"{name}_flatten"), []),
            (keras.Dense(ru, use_bias=False, name=f"{name}_core"), [core]),
            (last, [units.T, bias]),
        ]

    def power(self) -> Powers:
        """Squared entries of the core, each by the power that its feature has on calibration samples."""
        if self._flow is None:
            return super().power()
        features, _ = self._probed_features(self._flow)
        core = np.square(self._probed.core, dtype=np.float64)
        core *= np.einsum("n...,n...->...", features, features)[..., None]
        wanted = self._spectra[3][0][: core.shape[3]]
        return core * (wanted / np.maximum(core.sum(axis=(0, 1, 2)), 1e-300))

    def _probed_features(self, flow: Flow) -> tuple[Tensor, Tensor]:
        """What calibration samples give in the bases of which smaller ranks are a part; found once."""
        if self._known_features is None:
            self._known_features = self._features(self._probed.factors, flow)
        return self._known_features

    def _features(self, factors: dict[int, Tensor], flow: Flow) -> tuple[Tensor, Tensor]:
        """Centred maps [n,r_h,r_w,r_c] and responses [n,r_u] of calibration samples in the factors' bases."""
        units, features, responses = factors[3], [], []
        exact = self._weights.reshape(-1, len(units)) @ units
        for inputs in flow.inputs():
            centred = inputs - flow.mean
            features.append(_contracted(centred, factors))
            responses.append(centred.reshape(len(centred), -1) @ exact)
        return np.concatenate(features), np.concatenate(responses)

    def _refitted(self, found: Tucker, flow: Flow, improved: bool) -> tuple[Tensor, Tensor]:
        """Core and bias that give the responses to calibration samples what the smaller map can tell of them."""
        rows, columns, channels, ranks = found.core.shape
        if improved:
            features, responses = self._features(found.factors, flow)
        else:
            features, responses = self._probed_features(flow)
            features, responses = features[:, :rows, :columns, :channels], responses[:, :ranks]
        flat, core = features.reshape(len(features), -1), found.core.reshape(-1, ranks)
        core = multilinear.refitted(core, flat, responses - flat @ core, _RIDGE)
        mean = _contracted(flow.mean[None], found.factors).reshape(1, -1)
        shift = flow.spectrum.centre - (mean @ core @ found.factors[3].T)[0]
        return core.reshape(found.core.shape), shift.astype(np.float32)


def _contracted(maps: Tensor, factors: dict[int, Tensor]) -> Tensor:
    """Feature maps [n,h,w,c] in the factors' bases [n,r_h,r_w,r_c]."""
    for mode in (2, 0, 1):
        maps = multilinear.times(maps, factors[mode], mode + 1)
    return maps


class TuckerDecomposition(Factorising):
    """Tucker-2 of convolutions, a 4-way Tucker of the dense layer behind the feature map, SVD of other layers."""

    name: ClassVar[str] = "tucker"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = (
        "convolutions and the dense layer behind the map as small tensors; SVD of the rest"
    )
    source: ClassVar[str] = (
        "Kim et al. 2016, section 3; De Lathauwer et al. 2000 (HOSVD, HOOI); ranks: Nakajima et al. 2013"
    )
    works_on: ClassVar[str] = "convolutions and dense layers"
    exact: ClassVar[dict[str, str]] = {"energy": "0.999999"}
    example: ClassVar[dict[str, str]] = {"rank": "4"}
    layers: Annotated[
        str, Field(description="which kinds: conv, map (the dense layer behind the feature map), dense")
    ] = "conv/map/dense"

    @field_validator("layers")
    @classmethod
    def _layers_are_kinds(cls, value: str) -> str:
        kinds = value.split("/")
        if not set(kinds) <= set(_KINDS) or len(set(kinds)) != len(kinds):
            message = f"layers are some of {'/'.join(_KINDS)}"
            raise ValueError(message)
        return value

    @classmethod
    def tried(cls) -> Tried:
        """All kinds of layers, or those alone that hold most weights."""
        options = "target={target},epochs={epochs}"
        return Tried(
            (f"{cls.name}({options})", f"{cls.name}({options},layers=map/dense)"), {"target": TARGETS}
        )

    def default_ranks(self, plan: Plan) -> Ranks:
        """Half the channels of convolutions; of the map 10×10×24×64 at most; of dense layers as svd."""
        if isinstance(plan, MapPlan):
            return tuple(min(most, size) for most, size in zip(DEFAULT_MAP_RANKS, plan.sizes, strict=True))
        if isinstance(plan, ConvPlan):
            return tuple(max(1, size // 2) for size in plan.sizes)
        return Svd().default_ranks(plan)

    def refusal(self, layer: tf_keras.layers.Layer, network: tf_keras.Model) -> str:
        """Of convolutions that cannot be decomposed, where convolutions are to be."""
        wanted = "conv" in self.layers.split("/") and layer.trainable
        return refused_layer(layer) if wanted else ""

    def plans(self, network: tf_keras.Model, context: Context) -> list[Plan]:
        """Plans for the chosen kinds of layers, in the order of the network."""
        found = _by_kind(network)
        chosen = {kind: found[kind] if kind in self.layers.split("/") else [] for kind in _KINDS}
        flows: dict[str, Flow] = {}
        if self.of == "responses":
            # Each sample gives thousands of positions of a convolution, but one response of a dense layer.
            few = graph.encoded(network, context.calibration.spread(CONV_SAMPLES))
            flows = _flows(network, chosen["conv"], few)
            flows |= _flows(network, chosen["map"], graph.encoded(network, context.calibration))
        plans: list[Plan] = [ConvPlan(layer, flows.get(layer.name)) for layer in chosen["conv"]]
        maps = [(layer, _map_of(network, layer)) for layer in chosen["map"]]
        plans += [MapPlan(layer, shape, flows.get(layer.name)) for layer, shape in maps if shape]
        plans += matrix_plans(network, chosen["dense"], context, self.of)
        order = [layer.name for layer in network.layers]
        return sorted(plans, key=lambda plan: order.index(plan.layer.name))


def refused_layer(layer: tf_keras.layers.Layer) -> str:
    """Why a convolution is not decomposed; "" of those that are, and of other layers."""
    kind = type(layer).__name__
    if kind.startswith("DepthwiseConv"):
        return "a depthwise convolution joins no channels: nothing to factorise"
    if kind.startswith("SeparableConv"):
        return "give a separable convolution as a depthwise and a 1×1 convolution"
    if kind.endswith("Transpose"):
        return "transposed convolutions are not decomposed"
    return refused_convolution(layer) if kind in CONVOLUTIONS else ""


def _by_kind(network: tf_keras.Model) -> dict[str, list[tf_keras.layers.Layer]]:
    """Trainable layers by how they are decomposed; 1×1 convolutions are matrices, as dense layers are."""
    from tf_keras import layers as keras

    found: dict[str, list[tf_keras.layers.Layer]] = {kind: [] for kind in _KINDS}
    for layer in network.layers:
        if not layer.trainable:
            continue
        if is_matrix(layer):
            found["dense"].append(layer)
        elif type(layer).__name__ in CONVOLUTIONS and not refused_convolution(layer):
            # A kernel of a row or column over one channel is a factor already.
            if layer.kernel.shape[-2] > 1 or min(layer.kernel_size) > 1:
                found["conv"].append(layer)
        elif isinstance(layer, keras.Dense):
            found["map" if _map_of(network, layer) else "dense"].append(layer)
    return found


def _map_of(network: tf_keras.Model, layer: tf_keras.layers.Layer) -> tuple[int, int, int] | None:
    """The shape [h,w,c] of the feature map that a layer is given flattened, if it is: at once, or entry by entry."""
    while type(layer).__name__ != "Flatten":
        before = graph.producers(network, layer)
        once = len(graph.calls(network, layer)) == 1 and len(before) == 1
        if not once or type(before[0]).__name__ not in ("Flatten", *_ENTRY_BY_ENTRY):
            return None
        [layer] = before
    shape = layer.get_input_shape_at(0)
    if len(shape) != 4 or None in shape[1:] or layer.data_format == "channels_first":
        return None
    height, width, channels = (int(n) for n in shape[1:])
    return (height, width, channels) if height > 1 and width > 1 and channels > 1 else None


def _flows(
    network: tf_keras.Model, layers: list[tf_keras.layers.Layer], samples: graph.Inputs
) -> dict[str, Flow]:
    """One pass over samples: mean inputs and responses of layers."""
    if not layers:
        return {}
    shapes = {layer.name: _map_of(network, layer) or (int(layer.kernel.shape[-2]),) for layer in layers}
    totals = {name: np.zeros(shape) for name, shape in shapes.items()}
    counts = dict.fromkeys(shapes, 0)
    sums = {layer.name: ResponseSums(int(layer.kernel.shape[-1])) for layer in layers}
    for inputs in graph.inputs_of(network, layers, samples):
        for layer in layers:
            name, values = layer.name, inputs[layer.name]
            sums[name].add(graph.response_of(layer, values))
            rows = values.reshape(-1, *shapes[name])
            totals[name] += rows.sum(axis=0, dtype=np.float64)
            counts[name] += len(rows)

    def again(layer: tf_keras.layers.Layer) -> Callable[[], Iterator[npt.NDArray[np.float32]]]:
        shape = shapes[layer.name]
        return lambda: (
            found[layer.name].reshape(-1, *shape) for found in graph.inputs_of(network, [layer], samples)
        )

    return {
        layer.name: Flow(
            (totals[layer.name] / counts[layer.name]).astype(np.float32),
            sums[layer.name].spectrum(),
            again(layer),
        )
        for layer in layers
    }


#: Rows, columns, channels, units of the dense layer behind the map; docs/reference/compressors/tucker.md has figures.
DEFAULT_MAP_RANKS = (10, 10, 24, 64)
