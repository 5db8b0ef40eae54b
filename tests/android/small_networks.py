"""Writes small networks of the paper's kind as `.tflite` files: `python small_networks.py FOLDER`.

In a process of its own, because TensorFlow takes seconds and 680 MB.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from mlbench.contracts import ExportOptions
from mlbench.export.precisions import Dynamic4, Int4


def network(rank: int | None = None) -> tf_keras.Model:
    """Two convolutions and two dense layers; with `rank` the first dense layer is two thin ones, as SVD leaves it."""
    tf_keras.utils.set_random_seed(7)
    image = tf_keras.Input(batch_shape=(1, 96, 96, 1))
    x = layers.Conv2D(8, 3, activation="relu")(image)
    x = layers.MaxPool2D(4)(x)
    x = layers.Conv2D(16, 2, activation="relu")(x)
    x = layers.MaxPool2D(2)(x)
    x = layers.Flatten()(x)
    if rank:
        x = layers.Dense(rank, use_bias=False)(x)
    x = layers.Dense(64, activation="relu")(x)
    scale = layers.Rescaling(20.0, 48.0)  # spreads the untrained outputs over the crop
    return tf_keras.Model(image, scale(layers.Dense(136)(x)))


def converter(model: tf_keras.Model) -> tf.lite.TFLiteConverter:
    """A converter of a network."""
    return tf.lite.TFLiteConverter.from_keras_model(model)


def faces() -> list[list[np.ndarray]]:
    """Inputs to calibrate with."""
    random = np.random.default_rng(3)
    return [[random.random((1, 96, 96, 1), dtype=np.float32)] for _ in range(20)]


def dynamic(model: tf_keras.Model, per_channel: bool) -> bytes:
    """8-bit weights; per channel gives an operator version that TensorFlow Lite 2.16.1 does not have."""
    made = converter(model)
    made.optimizations = [tf.lite.Optimize.DEFAULT]
    made._experimental_disable_per_channel_quantization_for_dense_layers = not per_channel
    return made.convert()


def integers(model: tf_keras.Model, ends: tf.DType) -> bytes:
    """Everything in integers, input and output too: of 8 bits, or 16 with 8-bit weights."""
    made = converter(model)
    made.optimizations = [tf.lite.Optimize.DEFAULT]
    made.representative_dataset = faces
    sixteen = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    made.target_spec.supported_ops = [sixteen if ends == tf.int16 else tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    made.inference_input_type = made.inference_output_type = ends
    made._experimental_disable_per_channel_quantization_for_dense_layers = True
    return made.convert()


def float16(model: tf_keras.Model) -> bytes:
    """Half-precision weights."""
    made = converter(model)
    made.optimizations = [tf.lite.Optimize.DEFAULT]
    made.target_spec.supported_types = [tf.float16]
    return made.convert()


def main(folder: Path) -> None:
    """Write every form."""
    plain, thin = network(), network(rank=8)
    forms = {
        "float32": converter(plain).convert(),
        "float16": float16(plain),
        "dynamic": dynamic(plain, per_channel=False),
        "int8": integers(plain, tf.int8),
        "uint8": integers(plain, tf.uint8),
        "int16": integers(plain, tf.int16),
        "svd": converter(thin).convert(),
        "svd_dynamic": dynamic(thin, per_channel=False),
        "int4": Int4().write(plain, [], ExportOptions()),
        "dynamic4": Dynamic4().write(plain, [], ExportOptions()),
        "too_new": dynamic(plain, per_channel=True),
    }
    for name, data in forms.items():
        (folder / f"{name}.tflite").write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
