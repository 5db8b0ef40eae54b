"""Tucker decomposition of a whole network: convolutions, the dense layer behind the feature map, dense layers."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from compressors import multilinear
from compressors.evbmf import evb_rank
from compressors.factorising import Factorising, Plan, Ranks
from compressors.low_rank import Powers
from compressors.moments import Moments, root
from compressors.multilinear import Tensor, Tucker
from compressors.svd import matrix_plans
from mlbench import surgery
from mlbench.contracts import Context

if TYPE_CHECKING:
    import tf_keras

_KINDS = ("conv", "map", "dense")
_RIDGE = 0.01  # of a mode's mean variance: directions that faces never take still count a little
_PROBED_CORE = 1 << 24  # entries of a core that ranks for a target are read from
_HOOI_ITERATIONS = 2


class _TensorPlan(Plan):
    """A layer whose weights are seen as a tensor, decomposed in some of its modes.

    Where responses shall stay near, each input mode is scaled by a root of its covariance before, and its factor
    unscaled after, so that an error counts as much as it moves the response (a Kronecker-factored metric).
    """

    def __init__(
        self, layer: tf_keras.layers.Layer, tensor: Tensor, modes: tuple[int, ...], moments: Moments | None
    ) -> None:
        """Plan for a layer; `moments` of the inputs along the tensor's input modes, None: weights count."""
        self.layer, self.modes = layer, modes
        self.sizes = tuple(self._largest(tensor.shape, mode) for mode in modes)
        self._weights, self._moments = tensor, moments
        self._roots: dict[int, npt.NDArray[np.float64]] = {}
        if moments is not None:
            self._roots = {m: root(moments.covariance(self._axis(m)), _RIDGE) for m in self._input_modes}

    @property
    def _input_modes(self) -> tuple[int, ...]:
        last = self._weights.ndim - 1
        return tuple(mode for mode in self.modes if mode != last)

    @abstractmethod
    def _axis(self, mode: int) -> int:
        """The axis of the moments that belongs to an input mode."""

    @staticmethod
    def _largest(shape: tuple[int, ...], mode: int) -> int:
        return min(shape[mode], math.prod(shape) // shape[mode])

    @cached_property
    def _scaled(self) -> Tensor:
        scaled = self._weights
        for mode, lower in self._roots.items():
            scaled = multilinear.times(scaled, lower.astype(np.float32), mode)
        return scaled

    @cached_property
    def _spectra(self) -> dict[int, tuple[Powers, Tensor]]:
        return {m: multilinear.eigenvectors(multilinear.gram(self._scaled, m)) for m in self.modes}

    def _bases(self, ranks: Ranks) -> dict[int, Tensor]:
        return {m: np.ascontiguousarray(self._spectra[m][1][:, :r]) for m, r in zip(self.modes, ranks, strict=True)}

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
            power = multilinear.eigenvectors(multilinear.gram(self._weights, mode))[0]
            rows = self._weights.shape[mode]
            ranks.append(min(size, max(1, evb_rank(power, rows, self._weights.size // rows))))
        return tuple(ranks)

    @cached_property
    def _probed(self) -> Tucker:
        """The HOSVD, without what carries nothing: truncating it gives approximations of all smaller ranks."""
        ranks = list(self.ranks_for(1 - 1e-6))
        others = self._weights.size // math.prod(self._weights.shape[mode] for mode in self.modes)
        while others * math.prod(ranks) > _PROBED_CORE:
            largest = int(np.argmax(ranks))
            ranks[largest] = ranks[largest] * 4 // 5
        return multilinear.hosvd(self._scaled, self._bases(tuple(ranks)))

    def power(self) -> Powers:
        """Squared entries of the HOSVD's core, summed over modes that stay whole."""
        core = np.square(self._probed.core, dtype=np.float64)
        return core.sum(axis=tuple(mode for mode in range(core.ndim) if mode not in self.modes))

    def energy(self, ranks: Ranks) -> float:
        """Share of the power that the HOSVD of these ranks keeps at least."""
        lost = sum(
            float(self._spectra[mode][0][rank:].sum()) for mode, rank in zip(self.modes, ranks, strict=True)
        )
        return max(0.0, 1 - lost / max(float(self._spectra[self.modes[0]][0].sum()), 1e-300))

    def _decomposed(self, ranks: Ranks, improved: bool) -> Tucker:
        """Core and factors of the weights themselves."""
        if improved:
            found = multilinear.hooi(self._scaled, self._bases(ranks), _HOOI_ITERATIONS)
        else:
            found = self._probed.truncated(dict(zip(self.modes, ranks, strict=True)))
        factors = dict(found.factors)
        for mode, lower in self._roots.items():
            factors[mode] = np.linalg.solve(lower.T, factors[mode].astype(np.float64)).astype(np.float32)
        return Tucker(found.core, factors)

    def _bias(self, response: Tensor, approximated: Tensor) -> Tensor:
        """The bias with which the mean input gets the response that it had, bias apart: x W and x Ŵ."""
        bias = self.layer.bias.numpy() if self.layer.use_bias else np.zeros_like(response)
        return (bias + response - approximated).astype(np.float32)


class ConvPlan(_TensorPlan):
    """A k×k convolution: 1×1 to r₁ channels, k×k to r₂, 1×1 (Kim et al. 2016, equations 2 to 5).

    With one input channel the first is left out.
    """

    def __init__(self, layer: tf_keras.layers.Conv2D, moments: Moments | None) -> None:
        """Plan for a convolution; `moments` of its input channels."""
        kernel = layer.kernel.numpy()
        modes = (2, 3) if kernel.shape[2] > 1 else (3,)
        super().__init__(layer, kernel, modes, moments)

    def _axis(self, mode: int) -> int:
        return 0

    def _ends(self, ranks: Ranks) -> tuple[int, int]:
        return (ranks[0], ranks[1]) if len(ranks) == 2 else (1, ranks[0])

    def _weights_in_parts(self, ranks: Ranks) -> tuple[int, int, int]:
        height, width, inputs, outputs = self._weights.shape
        first, last = self._ends(ranks)
        return (inputs * first if inputs > 1 else 0), height * width * first * last, last * outputs

    def parameters(self, ranks: Ranks) -> int:
        """Of the three convolutions, and the bias."""
        return sum(self._weights_in_parts(ranks)) + self._weights.shape[3]

    def macs(self, ranks: Ranks) -> int:
        """The first at each input position, the others at each output position."""
        before, core, after = self._weights_in_parts(ranks)
        given, made = (math.prod(s[1:-1]) for s in (self.layer.input_shape, self.layer.output_shape))
        return before * given + (core + after) * made

    def layers(self, ranks: Ranks, *, improved: bool = True) -> list[surgery.NewLayer]:
        """1×1 → k×k → 1×1."""
        from tf_keras import layers as keras

        found, layer = self._decomposed(ranks, improved), self.layer
        parts: list[surgery.NewLayer] = []
        if 2 in found.factors:
            first = keras.Conv2D(ranks[0], 1, use_bias=False, name=f"{layer.name}_in")
            parts.append((first, [found.factors[2][None, None]]))
        core = keras.Conv2D(
            found.core.shape[3], layer.kernel_size, use_bias=False, name=f"{layer.name}_core"
        )
        last = keras.Conv2D(layer.filters, 1, activation=layer.activation, name=f"{layer.name}_out")
        mean = np.zeros(self._weights.shape[2]) if self._moments is None else self._moments.mean
        bias = self._bias(*(mean @ w.sum(axis=(0, 1)) for w in (self._weights, found.tensor())))
        return [*parts, (core, [found.core]), (last, [found.factors[3].T[None, None], bias])]


class MapPlan(_TensorPlan):
    """A dense layer behind a feature map [h,w,c], as a tensor [h,w,c,units] decomposed in all four modes.

    The channels are contracted by a 1×1 convolution. Seen as [h, w·r, 1] without moving a number, the map's
    rows are contracted by a convolution whose kernel spans the height, and its columns likewise; what is left
    meets the core and the units' factor as two dense layers. No transposition, so one delegate partition.
    """

    def __init__(
        self, layer: tf_keras.layers.Dense, map_shape: tuple[int, int, int], moments: Moments | None
    ) -> None:
        """Plan for a dense layer; `moments` of its inputs [h,w,c]."""
        self._map = map_shape
        super().__init__(layer, layer.kernel.numpy().reshape(*map_shape, -1), (0, 1, 2, 3), moments)
        self._mean = np.zeros(map_shape, np.float32) if moments is None else moments.mean.astype(np.float32)
        self._mean_response = self._mean.reshape(-1) @ layer.kernel.numpy()

    def _axis(self, mode: int) -> int:
        return mode

    def parameters(self, ranks: Ranks) -> int:
        """Of four factors, the core and the bias."""
        shape = self._weights.shape
        return math.prod(ranks) + sum(n * r for n, r in zip(shape, ranks, strict=True)) + shape[3]

    def macs(self, ranks: Ranks) -> int:
        """Of the contractions in their order: channels, rows, columns, core, units."""
        (h, w, c), (rh, rw, rc, ru) = self._map, ranks
        return h * w * c * rc + h * w * rc * rh + w * rc * rh * rw + math.prod(ranks) + ru * self._weights.shape[3]

    def layers(self, ranks: Ranks, *, improved: bool = True) -> list[surgery.NewLayer]:
        """1×1, h×1 and w×1 convolutions between reshapes, then two dense layers."""
        from tf_keras import layers as keras

        (h, w, _), (rh, rw, rc, ru) = self._map, ranks
        found, name = self._decomposed(ranks, improved), self.layer.name
        rows, columns, channels, units = (found.factors[mode] for mode in self.modes)
        mean = self._mean
        for mode, factor in enumerate((rows, columns, channels)):
            mean = multilinear.times(mean, factor, mode)
        response = np.tensordot(mean, found.core, 3) @ units.T
        core = found.core.transpose(2, 0, 1, 3).reshape(-1, ru)
        last = keras.Dense(self._weights.shape[3], activation=self.layer.activation, name=f"{name}_units")

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
            (last, [units.T, self._bias(self._mean_response, response)]),
        ]


class TuckerDecomposition(Factorising):
    """Tucker-2 of convolutions, a 4-way Tucker of the dense layer behind the feature map, SVD of other layers."""

    name: ClassVar[str] = "tucker"
    summary: ClassVar[str] = "convolutions and the dense layer behind the map as small tensors; SVD of the rest"
    source: ClassVar[str] = (
        "Kim et al. 2016, section 3; De Lathauwer et al. 2000 (HOSVD, HOOI); ranks: Nakajima et al. 2013"
    )
    works_on: ClassVar[str] = "convolutions and dense layers"
    exact: ClassVar[dict[str, str]] = {"energy": "1"}
    example: ClassVar[dict[str, str]] = {"rank": "4"}
    default_energy: ClassVar[float] = 0.99

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

    def plans(self, network: tf_keras.Model, context: Context) -> list[Plan]:
        """Plans for the chosen kinds of layers, in the order of the network."""
        found = _by_kind(network)
        chosen = {kind: found[kind] if kind in self.layers.split("/") else [] for kind in _KINDS}
        moments: dict[str, Moments] = {}
        if self.of == "responses":
            moments = _moments(network, chosen["conv"], chosen["map"], context)
        plans: list[Plan] = [ConvPlan(layer, moments.get(layer.name)) for layer in chosen["conv"]]
        plans += [MapPlan(layer, _map_of(network, layer), moments.get(layer.name)) for layer in chosen["map"]]
        plans += matrix_plans(network, chosen["dense"], context, self.of)
        order = [layer.name for layer in network.layers]
        return sorted(plans, key=lambda plan: order.index(plan.layer.name))


def _by_kind(network: tf_keras.Model) -> dict[str, list[tf_keras.layers.Layer]]:
    """Trainable layers by how they are decomposed; 1×1 convolutions are matrices, as dense layers are."""
    from tf_keras import layers as keras

    found: dict[str, list[tf_keras.layers.Layer]] = {kind: [] for kind in _KINDS}
    for layer in network.layers:
        if not layer.trainable:
            continue
        if type(layer) is keras.Conv2D and _plain(layer):
            matrix = layer.kernel_size == (1, 1)
            # A kernel over one channel that spans the map is a factor already.
            if matrix or min(layer.kernel_size) > 1:
                found["dense" if matrix else "conv"].append(layer)
        elif isinstance(layer, keras.Dense):
            found["map" if _map_of(network, layer) else "dense"].append(layer)
    return found


def _plain(layer: tf_keras.layers.Conv2D) -> bool:
    settings = layer.strides, layer.dilation_rate, layer.groups, layer.padding
    return settings == ((1, 1), (1, 1), 1, "valid")


def _map_of(network: tf_keras.Model, dense: tf_keras.layers.Dense) -> tuple[int, int, int] | None:
    """The shape [h,w,c] of the feature map that a dense layer is given flattened, if it is."""
    from tf_keras import layers as keras

    before = network.layers[network.layers.index(dense) - 1]
    if not isinstance(before, keras.Flatten) or len(before.input_shape) != 4:
        return None
    height, width, channels = (int(n) for n in before.input_shape[1:])
    return (height, width, channels) if height > 1 and width > 1 and channels > 1 else None


def _moments(
    network: tf_keras.Model,
    convolutions: list[tf_keras.layers.Layer],
    behind_maps: list[tf_keras.layers.Layer],
    context: Context,
) -> dict[str, Moments]:
    shapes = {layer.name: (int(layer.kernel.shape[2]),) for layer in convolutions}
    for layer in behind_maps:
        shapes[layer.name] = _map_of(network, layer) or ()
    moments = {name: Moments(shape) for name, shape in shapes.items()}
    if moments:
        chosen = [*convolutions, *behind_maps]
        for inputs in surgery.inputs_of(network, chosen, context.calibration.images):
            for name, values in inputs.items():
                moments[name].add(values.reshape(-1, *shapes[name]))
    return moments
