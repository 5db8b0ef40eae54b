"""Keras networks built from the definition of a variant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlbench.contracts import Variant
from mlbench.faces.dataset import LANDMARKS
from mlbench.system.quiet import quiet_tensorflow

if TYPE_CHECKING:
    import tf_keras


def build(variant: Variant, seed: int) -> tf_keras.Model:
    """The untrained network of a variant: [batch,96,96,1] of pixels / 255 -> [batch,136] pixels of the crop.

    Every kernel is drawn by Glorot's rule from a seed of its own, so equal seeds give equal networks.
    """
    quiet_tensorflow()
    import tf_keras

    layers = tf_keras.layers
    seeds = iter(range(seed * 1000, seed * 1000 + 100))

    def kernel() -> tf_keras.initializers.Initializer:
        return tf_keras.initializers.GlorotUniform(seed=next(seeds))

    stack = [layers.InputLayer((variant.size, variant.size, 1), name="crop")]
    for number, block in enumerate(variant.blocks, 1):
        name = f"conv{number}"
        stack.append(
            layers.Conv2D(
                block.filters, block.kernel, activation="relu", kernel_initializer=kernel(), name=name
            )
        )
        if block.pool:
            stack.append(layers.MaxPool2D(2, name=f"pool{number}"))
    stack.append(layers.Flatten(name="flatten"))
    for number, units in enumerate(variant.dense, 1):
        stack.append(
            layers.Dense(units, activation="relu", kernel_initializer=kernel(), name=f"dense{number}")
        )
    last = f"dense{len(variant.dense) + 1}"
    stack.append(layers.Dense(2 * LANDMARKS, kernel_initializer=kernel(), name=last))
    return tf_keras.Sequential(stack, name=variant.name)


def start_from_mean(network: tf_keras.Model, mean_points: npt.NDArray[np.float32]) -> None:
    """Let the untrained network answer with the mean face [68,2], so that training starts from there."""
    network.layers[-1].bias.assign(mean_points.reshape(-1))
