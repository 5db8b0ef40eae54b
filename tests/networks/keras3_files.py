"""Networks of Keras 3 as files, with their answers: `python keras3_files.py FOLDER`, in a process without tf_keras."""

import sys
from pathlib import Path

import keras
import numpy as np

layers, ops = keras.layers, keras.ops


def branched():
    """Two inputs, two outputs, a shared network called twice, functions in place of layers, learnt normalisation."""
    image, numbers = keras.Input((12, 12, 3), name="image"), keras.Input((4,), name="numbers")
    normal = layers.Normalization(name="learnt")
    normal.adapt(np.random.default_rng(1).normal(3, 2, (50, 12, 12, 3)).astype("float32"))
    x = layers.Rescaling(1 / 255, offset=-0.5)(normal(image))
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = layers.Conv2D(8, 3, strides=2, use_bias=False, activation="hard_silu")(x)
    x = layers.BatchNormalization(name="norm")(x, training=False)
    inner = keras.Input((6, 6, 8))
    y = layers.DepthwiseConv2D(3, padding="same", activation="hard_silu")(inner)
    shared = keras.Model(inner, layers.ReLU(6.0)(y + inner))
    x = shared(x) + shared(layers.LeakyReLU(negative_slope=0.3)(x))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(8, 1, activation="hard_sigmoid")(gate)
    x = layers.Activation("silu")(ops.multiply(x, gate)) * 2.0 - 1.0
    row = layers.Dropout(0.3)(ops.mean(x, axis=(1, 2)))
    row = layers.Concatenate()([row, layers.Dense(4, activation="leaky_relu")(1.0 - numbers)])
    row = ops.concatenate([row, row], axis=-1)
    classes = layers.Dense(3, activation="softmax", name="classes")(row)
    size = layers.Dense(1, name="size")(ops.reshape(row, (-1, 24)))
    return keras.Model([image, numbers], [classes, size], name="branched")


def classifier(batch=None):
    """Small, compiled, and half of it frozen."""
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(batch, 8, 8, 1)),
            layers.Conv2D(8, 3, activation=keras.activations.relu, kernel_regularizer="l2"),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ],
        name="classifier",
    )
    model.layers[0].trainable = False
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def called():
    """Without an input of its own: built by its first call."""
    model = keras.Sequential([layers.Dense(5, activation="tanh"), layers.Dense(2)], name="called")
    model(np.zeros((1, 6), "float32"))
    return model


def open_sized():
    """For images of any size."""
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, activation="relu")(image)
    return keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)), name="open_sized")


def attention():
    """A layer that is called with several tensors, by name too."""
    given = keras.Input((6, 8))
    x = layers.LayerNormalization()(layers.MultiHeadAttention(2, 4)(given, value=given))
    return keras.Model(given, layers.Dense(2)(layers.Flatten()(x)), name="attention")


def deaf():
    """Answers that hardly depend on the layers before the last, as those of a deep network that is not trained."""
    image = keras.Input((8, 8, 3))
    x = layers.Activation("hard_silu")(layers.Conv2D(8, 3)(image))
    barely = keras.initializers.RandomNormal(stddev=1e-9)
    answers = layers.Dense(2, kernel_initializer=barely)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, answers, name="deaf")


@keras.saving.register_keras_serializable("mine")
class Doubling(layers.Layer):
    """A layer of one's own."""

    def call(self, x):
        return x * 2


def custom():
    return keras.Sequential([keras.Input((4,)), Doubling()])


def code():
    return keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x * 2)])


def sized(shape):
    return [4 if size is None else size for size in shape]


def main(folder):
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(5)
    made = [branched(), classifier(), called(), attention()]
    for model in made:
        for weight in model.weights:
            if "moving" in weight.path:
                weight.assign(rng.uniform(0.5, 2, weight.shape))
        given = [rng.uniform(0, 2, sized(tensor.shape)).astype("float32") for tensor in model.inputs]
        answers = keras.tree.flatten(model(given if len(given) > 1 else given[0], training=False))
        arrays = {f"x{n}": value for n, value in enumerate(given)}
        np.savez(
            folder / f"{model.name}.npz", **arrays, **{f"y{n}": np.array(v) for n, v in enumerate(answers)}
        )
        model.save(folder / f"{model.name}.keras")
        model.save(folder / f"{model.name}.h5")
    fixed = classifier(batch=8)
    fixed.set_weights(made[1].get_weights())
    fixed.save(folder / "fixed.keras")
    open_sized().save(folder / "open_sized.keras")
    deaf().save(folder / "deaf.keras")
    custom().save(folder / "custom.keras")
    code().save(folder / "lambda.keras")
    made[1].save_weights(folder / "alone.weights.h5")
    keras.applications.MobileNetV3Small((32, 32, 3), weights=None, classes=5).save(folder / "mobilenet.keras")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
