"""How many bright blobs are in a small image: a task, a network and a compressor that join mlbench by entry points."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from mlbench.contracts import (
    Context,
    Form,
    Metric,
    NetworkSource,
    Order,
    Picture,
    Samples,
    Task,
    Tuned,
    unchanged,
)
from mlbench.contracts.network import Shapes
from mlbench.contracts.reading import AS_STORED, Reading
from mlbench.contracts.task import Arrays, Floats, Purpose
from mlbench.data.array_files import read_samples, usual_encoding
from mlbench.errors import RefusedCompressionError, UsageError
from mlbench.networks import graph
from mlbench.records import LayerChange

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

_SIDE, _MOST = 24, 4  # pixels of an image's side, blobs in it
_PLACES = 9  # for blobs: three rows of three, 8 pixels apart
_ENLARGED = 6  # pixels of a picture per pixel of the image


def drawn(count: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images [count, 24, 24] of 0 to 4 blobs, and how many each holds [count]."""
    counts = rng.integers(0, _MOST + 1, count)
    images = rng.uniform(0, 40, (count, _SIDE, _SIDE))
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    for image, blobs in zip(images, counts, strict=True):
        for place in rng.choice(_PLACES, blobs, replace=False):
            y, x = np.array(divmod(place, 3)) * 8 + rng.uniform(2.5, 4.5, 2)
            image += 200 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 2)
    return np.clip(images, 0, 255).astype(np.uint8), counts


def exact(answers: Arrays, targets: Arrays) -> Floats:
    """1 where the count is right [n]."""
    return (_difference(answers, targets) == 0).astype(np.float64)


def count_error(answers: Arrays, targets: Arrays) -> Floats:
    """How far a count is off [n]."""
    return np.abs(_difference(answers, targets))


def _difference(answers: Arrays, targets: Arrays) -> Floats:
    (found,), (true,) = answers.values(), targets.values()
    return found.reshape(len(found)).astype(np.float64) - true


class Counting(Task):
    """How many blobs are in an image; `y` holds whole numbers."""

    name: ClassVar[str] = "counting"
    summary: ClassVar[str] = "how many bright blobs an image holds"
    losses: ClassVar[tuple[str, ...]] = ("squared",)
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("exact", "exact counts", "%", 0.002, per_sample=exact, better="higher", scale=100, digits=1),
        Metric("count_error", "count error", "blobs", per_sample=count_error),
    )

    def read(self, path: Path, label: str, tell: Callable[[str], None], how: Reading = AS_STORED) -> Samples:
        samples = read_samples(path, label, how, tell)
        for name, counts in samples.targets.items():
            if counts.ndim != 1 or np.any(counts < 0) or np.any(counts != np.floor(counts)):
                message = f"{path}: {name} holds no counts: give one whole number per sample."
                raise UsageError(message)
        return samples

    def sample(self, count: int, seed: int, purpose: Purpose = "data") -> Samples:
        place = ("data", "tuning", "test").index(purpose)
        images, counts = drawn(count, np.random.default_rng([seed, place]))
        ids = np.array([f"{purpose}{seed}-{row}" for row in range(count)])
        return Samples({"x": images}, {"y": counts}, ids, ids, {"x": usual_encoding(images)}, unit="image")

    def outputs(self, samples: Samples) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(samples.targets, (1,))

    def wanted(
        self, targets: Arrays, shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, npt.NDArray[np.float32]]:
        return {
            name: counts.reshape(-1, *shapes[name]).astype(np.float32) for name, counts in targets.items()
        }

    def answers(self, outputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        return {name: np.maximum(np.rint(values), 0) for name, values in outputs.items()}

    def loss(
        self, name: str, network: tf_keras.Model
    ) -> Callable[[dict[str, tf.Tensor], dict[str, tf.Tensor]], tf.Tensor]:
        import tensorflow as tf

        def of_batch(outputs: dict[str, tf.Tensor], targets: dict[str, tf.Tensor]) -> tf.Tensor:
            (found,), (true,) = outputs.values(), targets.values()
            return tf.reduce_mean(tf.square(found - true))

        return of_batch

    def prior(self, train: Samples) -> dict[str, npt.NDArray[np.float32]]:
        return {name: np.array([counts.mean()], np.float32) for name, counts in train.targets.items()}

    def picture(self, samples: Samples, row: int) -> Picture:
        (images,), (counts,) = samples.inputs.values(), samples.targets.values()
        out = io.BytesIO()
        pixels = images[row].reshape(images.shape[1:3])
        Image.fromarray(pixels.repeat(_ENLARGED, 0).repeat(_ENLARGED, 1)).save(out, "PNG")
        return Picture(out.getvalue(), _told(int(counts[row])))

    def picture_of_answer(self, answers: Arrays, row: int, samples: Samples | None = None) -> Picture:
        (counts,) = answers.values()
        return Picture(text=_told(int(counts[row].item())))


def _told(count: int) -> str:
    return f"{count} blob{'s' * (count != 1)}"


@dataclass(frozen=True)
class BlobNet(NetworkSource):
    """A convolution, a residual block, a strided one and two dense layers, for one image."""

    name: str = "blobnet"
    summary: str = "a small residual network for images"
    filters: int = 12
    hidden: int = 32

    def build(self, inputs: Shapes, outputs: Shapes, seed: int) -> tf_keras.Model:
        import tf_keras

        if len(inputs) != 1 or len(outputs) != 1 or len(next(iter(inputs.values()))) != 3:
            message = (
                f"{self.name} takes one image and gives one output: use another network for such samples."
            )
            raise UsageError(message)
        ((given, shape),), ((answered, size),) = inputs.items(), outputs.items()
        layers, seeds = tf_keras.layers, iter(range(seed * 100, seed * 100 + 100))

        def drawn() -> dict[str, Any]:
            return {"kernel_initializer": tf_keras.initializers.HeNormal(next(seeds))}

        def conv(x: Any, name: str, strides: int = 1) -> Any:
            made = layers.Conv2D(self.filters, 3, strides, "same", use_bias=False, **drawn(), name=name)
            return layers.BatchNormalization(name=f"{name}_norm")(made(x))

        image = tf_keras.Input(shape, name=given)
        stem = layers.ReLU(name="stem_relu")(conv(image, "stem", 2))
        inner = layers.ReLU(name="first_relu")(conv(stem, "first"))
        joined = layers.ReLU(name="joined_relu")(layers.Add(name="joined")([stem, conv(inner, "second")]))
        pooled = layers.Flatten(name="flatten")(layers.MaxPool2D(2, name="pool")(joined))
        hidden = layers.Dense(self.hidden, activation="relu", **drawn(), name="hidden")(pooled)
        return tf_keras.Model(
            image, layers.Dense(int(np.prod(size)), **drawn(), name=answered)(hidden), name=self.name
        )

    def key(self) -> Any:
        return [self.name, self.filters, self.hidden, 1]  # the last is raised when `build` changes


BLOBNET = BlobNet()


class Halve(Tuned):
    """Keeps the heavier half of the units of hidden dense layers, where dense layers alone take from them."""

    name: ClassVar[str] = "halve"
    summary: ClassVar[str] = "the heavier half of the units of hidden dense layers"
    source: ClassVar[str] = "Han et al. 2015, section 3, by whole units"
    order: ClassVar[Order] = Order.REPLACE

    def compress(self, form: Form, context: Context) -> Form:
        kept: dict[str, npt.NDArray[np.intp]] = {}
        left: list[LayerChange] = []
        for layer in form.network.layers:
            if reason := _why_whole(form.network, layer):
                left += [unchanged(layer, reason)] if layer.count_params() and layer.trainable else []
            else:
                weight = np.abs(layer.kernel.numpy()).sum(axis=0)
                kept[layer.name] = np.sort(np.argsort(weight)[len(weight) // 2 :])
        if not kept:
            message = "halve found no hidden dense layer that dense layers alone take from: leave it out."
            raise RefusedCompressionError(message)
        network = graph.rebuild(form.network, lambda layer: _halved(form.network, layer, kept))
        return Form(network, form.export, (*_changes(form.network, network, kept), *left))


def _why_whole(network: tf_keras.Model, layer: tf_keras.layers.Layer) -> str:
    """Why a layer keeps all of its units; "" where it does not."""
    import tf_keras

    if type(layer) is not tf_keras.layers.Dense:
        return "no dense layer"
    if layer in graph.last_layers(network):
        return "it gives the answers"
    if others := [x.name for x in graph.consumers(network, layer) if type(x) is not tf_keras.layers.Dense]:
        return f"{others[0]}, which takes from it, is no dense layer"
    return "" if layer.units > 1 else "it has one unit alone"


def _halved(
    network: tf_keras.Model, layer: tf_keras.layers.Layer, kept: Mapping[str, npt.NDArray[np.intp]]
) -> list[graph.NewLayer] | None:
    """A layer with the units that are kept, of its own and of the one before; None: it stays as it is."""
    before = graph.producers(network, layer)
    rows = kept.get(before[0].name) if before else None
    units = kept.get(layer.name)
    if rows is None and units is None:
        return None
    weights = layer.get_weights()
    if rows is not None:
        weights[0] = weights[0][rows]
    if units is not None:
        weights = [values[..., units] for values in weights]
    config = {**layer.get_config(), "units": weights[0].shape[1]}
    return [(type(layer).from_config(config), weights)]


def _changes(
    before: tf_keras.Model, after: tf_keras.Model, kept: Mapping[str, npt.NDArray[np.intp]]
) -> list[LayerChange]:
    return [
        LayerChange(
            layer=name,
            shape=tuple(before.get_layer(name).kernel.shape),
            parameters_before=before.get_layer(name).count_params(),
            parameters_after=after.get_layer(name).count_params(),
        )
        for name in kept
    ]
