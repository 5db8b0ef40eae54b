"""Four small networks of different make, whose answers differ from sample to sample, for tests of what works on any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench.contracts import Encoding, Samples
from mlbench.networks import graph
from mlbench.system.quiet import quiet_tensorflow

if TYPE_CHECKING:
    import tf_keras

Array = npt.NDArray[np.float32]

_SIDE = 16
_FACTS = 12  # of the second input


def sequential(seed: int) -> tf_keras.Model:
    """Convolutions, pools and dense layers, one after another: [16,16,1] -> [10]."""
    layers, kernels = _layers(seed)
    chain = [
        layers.InputLayer((_SIDE, _SIDE, 1), name="image"),
        layers.Conv2D(8, 3, activation="relu", **next(kernels), name="conv1"),
        layers.MaxPool2D(2, name="pool1"),
        layers.Conv2D(12, 2, activation="relu", **next(kernels), name="conv2"),
        layers.Flatten(name="flatten"),
        layers.Dense(24, activation="relu", **next(kernels), name="dense1"),
        layers.Dense(16, activation="relu", **next(kernels), name="dense2"),
        layers.Dense(10, **next(kernels), name="answers"),
    ]
    import tf_keras

    return tf_keras.Sequential(chain, name="sequential")


def residual(seed: int) -> tf_keras.Model:
    """Two blocks with batch normalisation around sums, one of them strided: [16,16,1] -> [10]."""
    layers, kernels = _layers(seed)
    import tf_keras

    def convolved(x: Any, filters: int, name: str, size: int = 3, strides: int = 1) -> Any:
        options = {**next(kernels), "strides": strides, "padding": "same", "use_bias": False}
        x = layers.Conv2D(filters, size, **options, name=name)(x)
        return layers.BatchNormalization(name=f"{name}_norm")(x)

    def relu(x: Any, name: str) -> Any:
        return layers.ReLU(name=f"{name}_relu")(x)

    image = tf_keras.Input((_SIDE, _SIDE, 1), name="image")
    stem = relu(convolved(image, 12, "stem"), "stem")
    inner = relu(convolved(stem, 12, "first_a"), "first_a")
    first = relu(layers.Add(name="first_sum")([stem, convolved(inner, 12, "first_b")]), "first")
    inner = relu(convolved(first, 16, "second_a", strides=2), "second_a")
    way = convolved(first, 16, "second_way", size=1, strides=2)
    second = relu(layers.Add(name="second_sum")([way, convolved(inner, 16, "second_b")]), "second")
    pooled = layers.GlobalAveragePooling2D(name="pooled")(second)
    hidden = layers.Dense(24, activation="relu", **next(kernels), name="hidden")(pooled)
    answers = layers.Dense(10, **next(kernels), name="answers")(hidden)
    return _lively(tf_keras.Model(image, answers, name="residual"), seed)


def separable(seed: int) -> tf_keras.Model:
    """Depthwise and 1×1 convolutions in turn, with batch normalisation: [16,16,1] -> [10]."""
    layers, kernels = _layers(seed)
    import tf_keras

    image = tf_keras.Input((_SIDE, _SIDE, 1), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", **next(kernels), name="stem")(image)
    for number, (filters, strides) in enumerate([(16, 1), (24, 2), (24, 1)], 1):
        depthwise = {"depthwise_initializer": next(kernels)["kernel_initializer"]}
        options = {**depthwise, "strides": strides, "padding": "same", "use_bias": False}
        x = layers.DepthwiseConv2D(3, **options, name=f"depthwise{number}")(x)
        x = layers.BatchNormalization(name=f"depthwise{number}_norm")(x)
        x = layers.ReLU(name=f"depthwise{number}_relu")(x)
        x = layers.Conv2D(filters, 1, use_bias=False, **next(kernels), name=f"pointwise{number}")(x)
        x = layers.BatchNormalization(name=f"pointwise{number}_norm")(x)
        x = layers.ReLU(name=f"pointwise{number}_relu")(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    answers = layers.Dense(10, **next(kernels), name="answers")(x)
    return _lively(tf_keras.Model(image, answers, name="separable"), seed)


def two_inputs(seed: int) -> tf_keras.Model:
    """An image and a row of facts, joined, and two answers: [16,16,1], [12] -> [10], [3]."""
    layers, kernels = _layers(seed)
    import tf_keras

    image = tf_keras.Input((_SIDE, _SIDE, 1), name="image")
    facts = tf_keras.Input((_FACTS,), name="facts")
    seen = layers.Conv2D(8, 3, strides=2, activation="relu", **next(kernels), name="conv")(image)
    seen = layers.Flatten(name="flatten")(layers.MaxPool2D(2, name="pool")(seen))
    seen = layers.Dense(32, activation="relu", **next(kernels), name="seen")(seen)
    told = layers.Dense(16, activation="relu", **next(kernels), name="told")(facts)
    joined = layers.Concatenate(name="joined")([seen, told])
    hidden = layers.Dense(24, activation="relu", **next(kernels), name="hidden")(joined)
    first = layers.Dense(10, **next(kernels), name="answers")(hidden)
    second = layers.Dense(3, **next(kernels), name="further")(hidden)
    return tf_keras.Model([image, facts], [first, second], name="two_inputs")


def _layers(seed: int) -> tuple[Any, Iterator[dict[str, Any]]]:
    """The layers of Keras, and initialisers of kernels, each drawn from a seed of its own."""
    quiet_tensorflow()
    import tf_keras

    seeds = range(seed * 1000, seed * 1000 + 100)
    kernels = ({"kernel_initializer": tf_keras.initializers.HeUniform(seed=number)} for number in seeds)
    return tf_keras.layers, kernels


def _lively(network: tf_keras.Model, seed: int) -> tf_keras.Model:
    """The network with normalisations as training leaves them: statistics of samples, scales and shifts that differ."""
    rng, samples = np.random.default_rng([seed, 1]), samples_for(network, 64, seed)
    for layer in network.layers:
        if type(layer).__name__ == "BatchNormalization":
            [found] = graph.inputs_of(network, [layer], graph.encoded(network, samples))
            rows = found[layer.name].reshape(-1, found[layer.name].shape[-1])
            scale, shift = rng.uniform(0.7, 1.3, rows.shape[1]), rng.uniform(-0.2, 0.4, rows.shape[1])
            layer.set_weights([scale, shift, rows.mean(axis=0), rows.var(axis=0)])
    return network


def samples_for(network: tf_keras.Model, count: int, seed: int) -> Samples:
    """Samples that differ at large and in detail: each entry of an input has a mean of its own sample and chance."""
    rng = np.random.default_rng(seed)
    found = {}
    for made in network.inputs:
        shape = tuple(int(n) for n in made.shape[1:])
        level = rng.uniform(0, 0.5, (count, *(1 for _ in shape)))
        ramp = rng.normal(0, 0.3, (count, *shape[:1], *(1 for _ in shape[1:])))
        found[made._keras_history.layer.name] = (level + ramp + rng.uniform(0, 0.5, (count, *shape))).astype(
            np.float32
        )
    ids = np.arange(count).astype(np.str_)
    targets = {
        name: np.zeros((count, *made.shape[1:]), np.float32)
        for name, made in zip(network.output_names, network.outputs, strict=True)
    }
    encodings = {name: Encoding(values.shape[1:]) for name, values in found.items()}
    return Samples(found, targets, ids, ids, encodings, unit="sample")


#: The four, by name; each is built from a seed.
NETWORKS: dict[str, Callable[[int], tf_keras.Model]] = {
    made.__name__: made for made in (sequential, residual, separable, two_inputs)
}
