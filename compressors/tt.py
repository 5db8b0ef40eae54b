"""Tensor-train decomposition of dense layers: the matrix as three small cores, contracted one after another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mlbench.compressors import multilinear
from mlbench.compressors.factorising import Factorising, Plan, Ranks
from mlbench.compressors.multilinear import Tensor
from mlbench.compressors.refit import Batches, Refit, batches_of
from mlbench.compressors.tucker import TensorPlan
from mlbench.contracts import Context
from mlbench.networks import graph

if TYPE_CHECKING:
    import tf_keras

_CORES = 3
_SMALLEST = 1024  # weights of a layer; in a file, the operators that contract cores take 1 to 2 KB
_NOMINAL = 8  # the rank that sizes of cores are chosen for


class TrainPlan(TensorPlan):
    """A dense layer [M,N] as a TT-matrix: G₁ [1,m₁,n₁,r₁], G₂ [r₁,m₂,n₂,r₂], G₃ [r₂,m₃,n₃,1], with M = m₁ m₂ m₃.

    Entry (i,j) of the matrix is G₁[i₁,j₁] G₂[i₂,j₂] G₃[i₃,j₃] (Novikov et al. 2015, equation 3), i counted as
    (i₁,i₂,i₃), j as (j₂,j₃,j₁): so the network's cores, the last first, give the outputs in their order, and two
    transpositions are enough. The ranks are those of the modes 1 and 3 of the tensor [m₁n₁, m₂n₂, m₃n₃].
    """

    def __init__(self, layer: tf_keras.layers.Dense, inputs: Batches | None) -> None:
        """Plan for a layer; with `inputs` its responses shall stay near, without them its weights."""
        kernel = layer.kernel.numpy()
        self.rows, self.columns = parted(*kernel.shape)
        (n1, n2, n3), self._inputs = self.columns, inputs
        tensor = kernel.reshape(*self.rows, n2, n3, n1).transpose(0, 5, 1, 3, 2, 4)
        sizes = [m * n for m, n in zip(self.rows, self.columns, strict=True)]
        super().__init__(layer, np.ascontiguousarray(tensor).reshape(sizes), (0, 2), None)

    def _shapes(self, ranks: Ranks) -> list[tuple[int, int, int, int]]:
        bonds = (1, *ranks, 1)
        return list(zip(bonds[:-1], self.rows, self.columns, bonds[1:], strict=True))

    def parameters(self, ranks: Ranks) -> int:
        """Of the cores, and a factor and the bias of each unit."""
        return sum(map(math.prod, self._shapes(ranks))) + 2 * math.prod(self.columns)

    def macs(self, ranks: Ranks) -> int:
        """Of the contractions, the last core first, and the factors of units."""
        shapes = self._shapes(ranks)
        return sum(math.prod(shapes[k]) * self._places(k) for k in range(_CORES)) + math.prod(self.columns)

    def _places(self, core: int) -> int:
        """How often a core is applied: at each place of the inputs not yet, and the outputs already contracted."""
        return math.prod(self.rows[:core]) * math.prod(self.columns[core + 1 :])

    def energy(self, ranks: Ranks) -> float:
        """Share of the weights' power that the cores keep: TT-SVD projects, so what it gives has no more."""
        power = np.ones((1, 1))
        for core in self.cores(ranks):
            power = np.einsum("ab,amnc,bmnd->cd", power, core, core, optimize=True)
        return float(power[0, 0] / max(float(np.square(self._weights, dtype=np.float64).sum()), 1e-300))

    def cores(self, ranks: Ranks) -> list[Tensor]:
        """The cores, by TT-SVD; a rank beyond what its neighbours can use is filled with zeros."""
        import tensorly
        from tensorly.decomposition import tensor_train

        with tensorly.backend_context("numpy", local_threadsafe=True):
            found = tensor_train(self._weights, [1, *ranks, 1], svd=self._svd)
        cores = []
        for core, shape in zip(found, self._shapes(ranks), strict=True):
            core = core.reshape(core.shape[0], *shape[1:3], core.shape[-1])
            missing = [(0, size - given) for size, given in zip(shape, core.shape, strict=True)]
            cores.append(np.pad(core, missing).astype(np.float32))
        return cores

    def _svd(self, matrix: Tensor, n_eigenvecs: int, **_: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Truncated SVD by the Gram matrix of the shorter side: full ones of these matrices take minutes and GB."""
        if matrix.shape == (len(self._weights), self._weights.size // len(self._weights)):
            left = self._of_weights(0)[1][:, :n_eigenvecs]  # known from when ranks were chosen
            return left, np.ones(n_eigenvecs, np.float32), left.T @ matrix
        if len(matrix) > matrix.shape[1]:
            right = multilinear.eigenvectors(multilinear.gram(matrix, 1))[1][:, :n_eigenvecs]
            return matrix @ right, np.ones(n_eigenvecs, np.float32), right.T
        left = multilinear.eigenvectors(multilinear.gram(matrix, 0))[1][:, :n_eigenvecs]
        return left, np.ones(n_eigenvecs, np.float32), left.T @ matrix

    def layers(self, ranks: Ranks, *, improved: bool = True) -> list[graph.NewLayer]:
        """A dense layer for each core, the last first, between reshapes and transpositions; then the bias."""
        from tf_keras import layers as keras

        cores, name, units = self.cores(ranks), self.layer.name, math.prod(self.columns)
        bias = self.layer.bias.numpy() if self.layer.use_bias else np.zeros(units, np.float32)
        kernels = [_kernel(core) for core in cores]
        if improved and self._inputs is not None:
            kernels[0], bias = self._refitted(self._inputs(), kernels)
        # Reshaped to a map of one place, units get a bias of their own from a depthwise convolution of size 1.
        last = keras.DepthwiseConv2D(1, activation=self.layer.activation, name=f"{name}_units")
        return [
            *self._contractions(kernels),
            (keras.Reshape((1, 1, units), name=f"{name}_answers"), []),
            (last, [np.ones((1, 1, units, 1), np.float32), bias]),
            (keras.Flatten(name=f"{name}_flatten"), []),
        ]

    def _contractions(self, kernels: list[Tensor]) -> list[graph.NewLayer]:
        """Layers that contract the cores, the last core first.

        Before core k, the last axis has n outputs of r units each, made at places of which the core's inputs m are the
        last part: n goes in front of the places, m to r.
        """
        from tf_keras import layers as keras

        name, made = self.layer.name, list[graph.NewLayer]()
        for k in reversed(range(_CORES)):
            if k + 1 < _CORES:
                places, n, part = self._places(k + 1), self.columns[k + 1], f"{name}_{k + 2}"
                made += [
                    (keras.Reshape((places, n, kernels[k + 1].shape[1] // n), name=f"{part}_parts"), []),
                    (keras.Permute((2, 1, 3), name=f"{part}_turned"), []),
                ]
            core = keras.Dense(kernels[k].shape[1], use_bias=False, name=f"{name}_{k + 1}")
            made += [
                (keras.Reshape((self._places(k), len(kernels[k])), name=f"{name}_{k + 1}_rows"), []),
                (core, [kernels[k]]),
            ]
        return made

    def _refitted(self, batches: Iterator[graph.Array], kernels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Core 1 and the bias that give the responses to training samples what the other cores can tell of them."""
        fit, parts = Refit(self._places(0), *kernels[0].shape), self._contractions(kernels)[:-1]
        for batch in batches:
            fit.add(graph.applied(parts, batch), graph.response_of(self.layer, batch))
        core, shift = fit.solved(kernels[0])
        return core, shift.reshape(-1)


def _kernel(core: Tensor) -> Tensor:
    """A core [r,m,n,r'] as the matrix [m r', n r] that contracts its inputs and the rank behind it."""
    before, m, n, behind = core.shape
    return np.ascontiguousarray(core.transpose(1, 3, 2, 0).reshape(m * behind, n * before))


@lru_cache
def parted(rows: int, columns: int) -> tuple[Ranks, Ranks]:
    """Sizes of the cores: three factors of the rows and three of the columns, that make few parameters and MACs."""

    def cost(parts: tuple[Ranks, Ranks]) -> tuple[int, ...]:
        (m1, m2, m3), (n1, n2, n3) = parts
        first, second, third = m1 * n1 * _NOMINAL, m2 * n2 * _NOMINAL**2, m3 * n3 * _NOMINAL
        macs = third * m1 * m2 + second * m1 * n3 + first * n2 * n3
        return (first + second + third) * macs, macs, *parts[0], *parts[1]

    return min(((m, n) for m in _triples(rows) for n in _triples(columns)), key=cost)


def _triples(number: int) -> list[Ranks]:
    """All ways to write a number as a product of three, in their order."""
    divisors = [n for n in range(1, number + 1) if number % n == 0]
    return [(a, b, number // (a * b)) for a in divisors for b in divisors if number % (a * b) == 0]


class TensorTrain(Factorising):
    """Tensor-train decomposition of every dense layer that gets smaller by it."""

    name: ClassVar[str] = "tt"
    summary: ClassVar[str] = "dense layers as TT-matrices of three small cores, by tensor-train decomposition"
    source: ClassVar[str] = (
        "Novikov et al. 2015, arXiv 1509.06569; TT-SVD: Oseledets 2011, by tensorly (Kossaifi et al. 2019); "
        "last core: Zhang et al. 2016"
    )
    works_on: ClassVar[str] = "dense layers that take a row per sample"
    exact: ClassVar[dict[str, str]] = {"energy": "0.999999"}
    example: ClassVar[dict[str, str]] = {"rank": "4"}

    def default_ranks(self, plan: Plan) -> Ranks:
        """Rank 16 in both places, or the largest below that halves the layer."""
        least, *larger = (
            tuple(min(rank, s) for s in plan.sizes) for rank in range(1, DEFAULT_TRAIN_RANK + 1)
        )
        return max((ranks for ranks in larger if plan.parameters(ranks) <= plan.whole / 2), default=least)

    def plans(self, network: tf_keras.Model, context: Context) -> list[Plan]:
        """A plan for each dense layer that is not refused."""
        samples = graph.encoded(network, context.calibration) if self.of == "responses" else None
        return [
            TrainPlan(layer, samples if samples is None else batches_of(network, layer, samples))
            for layer in graph.dense_layers(network)
            if not self.refusal(layer, network)
        ]

    def refusal(self, layer: tf_keras.layers.Layer, network: tf_keras.Model) -> str:
        """Of dense layers that are too small, or take more than a row per sample."""
        if type(layer).__name__ != "Dense" or not layer.trainable:
            return ""
        if len(layer.get_input_shape_at(0)) > 2:
            return "it takes more than a row per sample: svd factorises it"
        few = math.prod(layer.kernel.shape) < _SMALLEST
        return f"of fewer than {_SMALLEST:,} weights: a file's operators for cores take more" if few else ""


#: Where neither rank, energy nor target is given; docs/reference/compressors/tt.md says what it costs.
DEFAULT_TRAIN_RANK = 16
