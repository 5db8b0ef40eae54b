"""Writes small networks of the paper's kind as `.tflite` files: `python small_networks.py FOLDER`.

In a process of its own, because TensorFlow takes seconds and 680 MB.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import flatbuffers
import numpy as np
import tensorflow as tf
import tf_keras
from ai_edge_litert import schema_py_generated as schema
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


def mixed() -> tf_keras.Model:
    """A picture of three channels and five ids in, an answer of three numbers and one of one out; batch open."""
    tf_keras.utils.set_random_seed(9)
    picture = tf_keras.Input((8, 8, 3), name="picture")
    ids = tf_keras.Input((5,), dtype=tf.int32, name="ids")
    words = layers.Flatten()(layers.Embedding(50, 4)(ids))
    x = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(picture))
    x = layers.Dense(8, activation="tanh")(layers.Concatenate()([x, 10 * words]))
    return tf_keras.Model(
        [picture, ids], {"scores": layers.Dense(3, name="scores")(x), "size": layers.Dense(1, name="size")(x)}
    )


def words() -> tf_keras.Model:
    """Ids in, a class's number (int64) and whether there is a low id (bool) out: no real numbers at the ends."""
    tf_keras.utils.set_random_seed(9)
    ids = tf_keras.Input((5,), dtype=tf.int32, name="ids")
    scores = layers.Dense(4)(layers.Flatten()(layers.Embedding(50, 4)(ids)))
    low = tf.reduce_any(ids < 5, axis=-1, keepdims=True)
    return tf_keras.Model(ids, {"class": tf.argmax(scores, axis=-1)[:, None], "low": low})


def pictures_and_ids() -> list[dict[str, np.ndarray]]:
    """Inputs to calibrate `mixed` with."""
    random = np.random.default_rng(3)
    return [
        {
            "picture": random.random((1, 8, 8, 3), dtype=np.float32) * 4 - 2,
            "ids": random.integers(0, 50, (1, 5), dtype=np.int32),
        }
        for _ in range(20)
    ]


def mixed_integers() -> bytes:
    """The picture and both answers in 8 bits, the ids as they are."""
    made = converter(mixed())
    made.optimizations = [tf.lite.Optimize.DEFAULT]
    made.representative_dataset = pictures_and_ids
    made.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    made.inference_input_type = made.inference_output_type = tf.int8
    made._experimental_disable_per_channel_quantization_for_dense_layers = True
    return made.convert()


def batch_of_three(data: bytes) -> bytes:
    """The same file with inputs that are prepared for three samples; the batch stays open."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    (graph,) = model.subgraphs
    for index in graph.inputs:
        assert graph.tensors[index].shapeSignature[0] == -1, "the batch is not open"
        graph.tensors[index].shape = [3, *graph.tensors[index].shape[1:]]
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


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
        "mixed": batch_of_three(converter(mixed()).convert()),
        "mixed_int8": mixed_integers(),
        "words": converter(words()).convert(),
    }
    for name, data in forms.items():
        (folder / f"{name}.tflite").write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
