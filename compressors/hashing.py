"""HashedNets: a dense layer's virtual matrix [m,n] whose entries share few real weights (buckets).

Chen, Wilson, Tyree, Weinberger & Chen 2015, "Compressing neural networks with the hashing trick", section 4:
W[i,j] = ξ(i,j) b[h(i,j)] with a hash h and a sign hash ξ. Two forms:

* `block`: the inputs are cut into K' blocks of R. G sign hashes ξ_g of the place in the block give G signed sums
  z_kg = Σ_r ξ_g(r) x_kr of each block (a 1×1 convolution), and the buckets [K' G, n] meet them as a dense layer.
  An entry's buckets are then those of its block, one per hash, whose signed sum it is (several hashes per entry: Shi
  et al. 2017, "Functional hashing for compressing neural networks"). The virtual matrix is never formed, in no
  runtime, and the layer computes 1/ratio of the dense layer's products and m G more.
* `entry`: Chen's own, every entry by itself. Files hold the buckets; the runtime forms a few rows of the matrix
  at a time in a loop, so that memory stays small, and is slow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mlbench.compressors import multilinear
from mlbench.contracts import OTHER_KIND, Context, Form, Order, Tried, Tuned, unchanged
from mlbench.errors import RefusedCompressionError
from mlbench.networks import graph
from mlbench.records import LayerChange

if TYPE_CHECKING:
    import tf_keras

Matrix = npt.NDArray[np.float32]

_SKETCHES = 16  # at most
_RIDGE = 0.1
_ROWS = 64  # of the virtual matrix formed at a time in the `entry` form, at most


def sketch_shape(inputs: int, ratio: float) -> tuple[int, int]:
    """Entries a block R (a divisor of m) and sums G of it with R/G nearest to the ratio; of equals, the most sums."""
    choices = [
        (abs(math.log(length / sketches / ratio)), -sketches, length)
        for length in range(2, inputs + 1)
        if inputs % length == 0
        for sketches in range(1, min(_SKETCHES, length - 1) + 1)
    ]
    # A tenth off is as good as exact where it gives more sums.
    _, sketches, length = min(choices, key=lambda choice: (round(choice[0], 1), choice[1]))
    return length, -sketches


def signs(length: int, sketches: int, seed: int) -> Matrix:
    """The sign hashes ξ_g(r) as a matrix of ±1 [R,G] with independent columns."""
    rng = np.random.default_rng([seed, length, sketches])
    while True:
        found = rng.choice(np.array([-1, 1], np.float32), (length, sketches))
        if np.linalg.matrix_rank(found) == sketches:
            return found


def sketched(inputs: Matrix, hashes: Matrix) -> Matrix:
    """Signed sums [n, K' G] of the blocks of inputs [n, m]."""
    return (inputs.reshape(len(inputs), -1, len(hashes)) @ hashes).reshape(len(inputs), -1)


def nearest_buckets(weights: Matrix, hashes: Matrix) -> Matrix:
    """The buckets [K' G, n] whose virtual matrix is nearest to W [m,n] in least squares."""
    blocks = weights.reshape(-1, len(hashes), weights.shape[1])
    inverse = np.linalg.pinv(hashes.astype(np.float64)).astype(np.float32)
    return np.matmul(inverse, blocks).reshape(-1, weights.shape[1])


def virtual_matrix(buckets: Matrix, hashes: Matrix) -> Matrix:
    """W [m,n] that buckets stand for; for tests and understanding, never formed otherwise."""
    parts = buckets.reshape(-1, hashes.shape[1], buckets.shape[1])
    return np.matmul(hashes, parts).reshape(-1, buckets.shape[1])


class Hashing(Tuned):
    """Dense layers whose entries share buckets."""

    name: ClassVar[str] = "hashing"
    summary: ClassVar[str] = "a dense layer's entries share few real weights by a hash (HashedNets)"
    source: ClassVar[str] = "Chen et al. 2015, section 4; several hashes per entry: Shi et al. 2017"
    order: ClassVar[Order] = Order.REPLACE
    positional: ClassVar[str | None] = "ratio"
    example: ClassVar[dict[str, str]] = {"ratio": "8"}

    ratio: Annotated[float, Field(gt=1, le=4096, description="virtual entries per real weight")] = 64
    form: Annotated[
        Literal["block", "entry"],
        Field(description="block: sketches of the input, fast; entry: Chen's own, slow"),
    ] = "block"
    layers: Annotated[
        Literal["largest", "all"], Field(description="the dense layer with most weights, or all dense layers")
    ] = "largest"

    def compress(self, form: Form, context: Context) -> Form:
        """Replace dense layers; buckets start near the trained layer, and nearer on what samples give."""
        dense = graph.dense_layers(form.network)
        largest = self._largest(dense)
        reasons = {layer.name: self._refusal(layer, largest) for layer in dense}
        layers = [layer for layer in dense if not reasons[layer.name]]
        left = [unchanged(layer, reasons[layer.name]) for layer in dense if layer not in layers]
        if not layers:
            message = f"{self.describe()} found no dense layer with {2 * self.ratio:g} inputs: give a smaller ratio."
            raise RefusedCompressionError(message)
        build = self._sketch if self.form == "block" else self._entries
        made = {layer.name: build(layer, form.network, context) for layer in layers}
        changes = [_change(layer, made[layer.name]) for layer in layers]
        for place, change in enumerate(changes):
            if change.parameters_after >= change.parameters_before:
                del made[change.layer]
                told = f"{change.parameters_after:,} numbers, the layer {change.parameters_before:,}"
                changes[place] = unchanged(form.network.get_layer(change.layer), told)
        if not made:
            notes = "; ".join(f"{change.layer}: {change.note}" for change in [*changes, *left])
            message = f"{self.describe()} would not make the network smaller ({notes}): give a larger ratio."
            raise RefusedCompressionError(message)
        network = graph.rebuild(form.network, lambda layer: made.get(layer.name))
        return Form(network, form.export, (*changes, *left))

    @classmethod
    def tried(cls) -> Tried:
        """Ratios of the largest dense layer."""
        ratios = {"low": 8, "high": 512, "log": True}
        return Tried(("hashing({ratio},epochs={epochs})",), {"ratio": ratios})

    def reasons(self, form: Form, context: Context) -> Mapping[str, str]:
        """Of dense layers the options, of others that they are none."""
        dense = graph.dense_layers(form.network)
        largest = self._largest(dense)
        left = graph.layers_with_kernel(form.network)
        told = {layer.name: self._refusal(layer, largest) if layer in dense else OTHER_KIND for layer in left}
        return {name: why for name, why in told.items() if why}

    @staticmethod
    def _largest(dense: list[tf_keras.layers.Dense]) -> tf_keras.layers.Dense | None:
        flat = [layer for layer in dense if len(layer.get_input_shape_at(0)) == 2]
        return max(flat, key=lambda layer: math.prod(layer.kernel.shape), default=None)

    def _refusal(self, layer: tf_keras.layers.Dense, largest: tf_keras.layers.Dense | None) -> str:
        """Why a dense layer keeps its weights; "" of those that are replaced."""
        if len(layer.get_input_shape_at(0)) > 2:
            return "it works at each step of a sequence"
        if self.layers == "largest" and layer is not largest:
            return "not the largest dense layer; layers=all takes it too"
        return "" if layer.kernel.shape[0] >= 2 * self.ratio else f"fewer than {2 * self.ratio:g} inputs"

    def _sketch(
        self, layer: tf_keras.layers.Dense, network: tf_keras.Model, context: Context
    ) -> list[graph.NewLayer]:
        from tf_keras import layers as keras

        weights, inputs = layer.kernel.numpy(), int(layer.kernel.shape[0])
        hashes = signs(*sketch_shape(inputs, self.ratio), context.seed)
        length, sketches = hashes.shape
        bias = layer.bias.numpy() if layer.use_bias else np.zeros(weights.shape[1], np.float32)
        buckets = nearest_buckets(weights, hashes)
        if len(context.calibration):
            buckets, bias = _on_samples(layer, network, context, hashes, buckets)
        name = layer.name
        sketch = keras.Conv2D(sketches, 1, use_bias=False, trainable=False, name=f"{name}_signs")
        dense = keras.Dense(weights.shape[1], activation=layer.activation, name=f"{name}_buckets")
        return [
            (keras.Reshape((inputs // length, 1, length), name=f"{name}_blocks"), []),
            (sketch, [hashes[None, None]]),
            (keras.Flatten(name=f"{name}_flatten"), []),
            (dense, [buckets, bias]),
        ]

    def _entries(
        self, layer: tf_keras.layers.Dense, network: tf_keras.Model, context: Context
    ) -> list[graph.NewLayer]:
        weights = layer.kernel.numpy()
        count = max(1, round(weights.size / self.ratio))
        hashed = hashed_dense()(
            weights.shape[1], count, context.seed, activation=layer.activation, name=f"{layer.name}_hashed"
        )
        hashed.build((None, weights.shape[0]))
        bias = layer.bias.numpy() if layer.use_bias else np.zeros(weights.shape[1], np.float32)
        return [(hashed, [hashed.nearest(weights), bias])]

    @classmethod
    def custom_layers(cls) -> dict[str, type]:
        """Chen's layer."""
        return {"HashedDense": hashed_dense()}


def _on_samples(
    layer: tf_keras.layers.Dense, network: tf_keras.Model, context: Context, hashes: Matrix, buckets: Matrix
) -> tuple[Matrix, Matrix]:
    """Buckets and bias that give the layer's responses to samples, as near to the given buckets as that allows."""
    features, responses = [], []
    for found in graph.inputs_of(network, [layer], graph.encoded(network, context.calibration)):
        features.append(sketched(found[layer.name], hashes))
        responses.append(graph.response_of(layer, found[layer.name]))
    z, y = np.concatenate(features), np.concatenate(responses)
    mean, centre = z.mean(axis=0), y.mean(axis=0)
    z -= mean
    buckets = multilinear.refitted(buckets, z, y - centre - z @ buckets, _RIDGE)
    return buckets, (centre - mean @ buckets).astype(np.float32)


def _change(layer: tf_keras.layers.Dense, made: list[graph.NewLayer]) -> LayerChange:
    after = sum(weight.size for _, weights in made for weight in weights or [])
    return LayerChange(
        layer=layer.name,
        shape=tuple(int(n) for n in layer.kernel.shape),
        parameters_before=layer.count_params(),
        parameters_after=after,
        note=f"{layer.count_params() / after:.1f} entries per real weight",
    )


@cache
def hashed_dense() -> type:
    """The Keras layer of the `entry` form; made when first asked for, since TensorFlow loads slowly."""
    import tensorflow as tf
    import tf_keras

    class HashedDense(tf_keras.layers.Layer):  # type: ignore[misc]
        """x [n,m] -> activation(x W + bias) [n,units], W[i,j] = ξ(i,j) buckets[h(i,j)]."""

        def __init__(
            self, units: int, buckets: int, seed: int, activation: Any = None, **options: Any
        ) -> None:
            super().__init__(**options)
            self.units, self.count, self.seed = units, buckets, seed
            self.activation = tf_keras.activations.get(activation)

        def build(self, input_shape: Any) -> None:
            self.inputs = int(input_shape[-1])
            self.chunk = max(n for n in range(1, _ROWS + 1) if self.inputs % n == 0)
            self.buckets = self.add_weight("buckets", shape=(self.count,))
            self.bias = self.add_weight("bias", shape=(self.units,), initializer="zeros")
            super().build(input_shape)

        @property
        def macs(self) -> int:
            """Products with entries of the virtual matrix."""
            return self.inputs * self.units

        def hashes(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            """H [rows,units] below the number of buckets, and ξ [rows,units] of ±1; int32 that wraps around."""
            places = rows[:, None] * self.units + tf.range(self.units)[None, :]
            mixed = places * 1664525 + (1013904223 + 7919 * (self.seed % 100_000))
            mixed = mixed * (2 * mixed + 1)  # a permutation of 32 bits whose high bits are well mixed
            other = mixed * 22695477 + 1
            other = other * (2 * other + 1)
            bucket = tf.math.floormod(tf.math.floordiv(mixed, 64), self.count)
            sign = 2 * tf.math.floormod(tf.math.floordiv(other, 1 << 20), 2) - 1
            return bucket, tf.cast(sign, tf.float32)

        def rows(self, rows: tf.Tensor) -> tf.Tensor:
            """Rows of the virtual matrix."""
            bucket, sign = self.hashes(rows)
            return tf.gather(self.buckets, bucket) * sign

        def nearest(self, weights: Matrix) -> Matrix:
            """The buckets nearest to W: the mean of the signed entries of each."""
            total, seen = np.zeros(self.count), np.zeros(self.count)
            for start in range(0, self.inputs, self.chunk):
                bucket, sign = self.hashes(tf.range(start, start + self.chunk))
                entries = weights[start : start + self.chunk] * sign.numpy()
                total += np.bincount(bucket.numpy().ravel(), entries.ravel(), self.count)
                seen += np.bincount(bucket.numpy().ravel(), minlength=self.count)
            return (total / np.maximum(seen, 1)).astype(np.float32)

        def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
            if training:  # the whole matrix at once is faster to differentiate
                return self.activation(inputs @ self.rows(tf.range(self.inputs)) + self.bias)

            def add(start: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                # The counter is in the hash, so that no converter folds the matrix into the file.
                part = tf.slice(inputs, tf.stack([0, start]), [tf.shape(inputs)[0], self.chunk])
                return start + self.chunk, total + part @ self.rows(start + tf.range(self.chunk))

            total = tf.zeros((tf.shape(inputs)[0], self.units))
            shapes = (tf.TensorShape([]), tf.TensorShape([inputs.shape[0], self.units]))
            _, total = tf.while_loop(
                lambda start, _: start < self.inputs, add, (tf.constant(0), total), shape_invariants=shapes
            )
            return self.activation(total + self.bias)

        def get_config(self) -> dict[str, Any]:
            return {
                **super().get_config(),
                "units": self.units,
                "buckets": self.count,
                "seed": self.seed,
                "activation": tf_keras.activations.serialize(self.activation),
            }

    return HashedDense
