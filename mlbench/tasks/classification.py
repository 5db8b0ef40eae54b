"""Classification: a class per sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from mlbench.contracts.samples import Samples
from mlbench.contracts.task import Arrays, Floats, Metric, Picture, Task
from mlbench.data.array_files import read_samples
from mlbench.errors import UsageError
from mlbench.networks import graph
from mlbench.tasks.pictures import picture_of

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

_KEEPING = ("Dropout", "Flatten", "Reshape", "Permute")

_LEAST = 1e-7  # probability, so that a cross-entropy is finite


def correct(answers: Arrays, targets: Arrays) -> Floats:
    """1 where the likeliest class is the true one [n]."""
    probabilities, classes = _only(answers), _only(targets)
    return (probabilities.argmax(axis=1) == classes).astype(np.float64)


def cross_entropy(answers: Arrays, targets: Arrays) -> Floats:
    """Minus the logarithm of the true class's probability [n], nats; of a class without an output it is the least."""
    probabilities, classes = _only(answers), _only(targets)
    known = classes < probabilities.shape[1]
    likely = np.where(known, probabilities[np.arange(len(classes)), np.where(known, classes, 0)], 0)
    return -np.log(np.maximum(likely, _LEAST)).astype(np.float64)


def macro_f1(answers: Arrays, targets: Arrays) -> float:
    """Mean over the classes that occur of the harmonic mean of precision and recall."""
    found, classes = _only(answers).argmax(axis=1), _only(targets)
    scores = []
    for value in np.unique(classes):
        right = np.sum((found == value) & (classes == value))
        scores.append(2 * right / (np.sum(found == value) + np.sum(classes == value)))
    return float(np.mean(scores))


class Classification(Task):
    """One class of several per sample; `y` holds class numbers from 0, or names."""

    name: ClassVar[str] = "classification"
    summary: ClassVar[str] = "one class per sample; metrics top1, cross-entropy, macro F1"
    losses: ClassVar[tuple[str, ...]] = ("cross-entropy",)
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("top1", "top-1", "%", 0.002, per_sample=correct, better="higher", scale=100, digits=2),
        Metric("cross_entropy", "cross-entropy", "nats", 0.005, per_sample=cross_entropy),
        Metric("macro_f1", "macro F1", "%", 0.002, whole=macro_f1, better="higher", scale=100, digits=2),
    )

    def read(self, path: Path, label: str, tell: Callable[[str], None]) -> Samples:
        """See `Task.read`; class names become numbers in alphabetical order."""
        return _with_numbers(read_samples(path, label), path)

    def outputs(self, samples: Samples) -> dict[str, tuple[int, ...]]:
        """See `Task.outputs`: one number per class."""
        return {name: (int(classes.max()) + 1,) for name, classes in samples.targets.items()}

    def wanted(
        self, targets: Arrays, shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, npt.NDArray[np.float32]]:
        """See `Task.wanted`: one-hot [n, classes]."""
        return {name: _one_hot(values, shapes[name]) for name, values in targets.items()}

    def answers(self, outputs: Arrays) -> dict[str, npt.NDArray[np.float32]]:
        """See `Task.answers`: probabilities [n, classes]."""
        return {name: _probabilities(values.reshape(len(values), -1)) for name, values in outputs.items()}

    def loss(
        self, name: str, network: tf_keras.Model
    ) -> Callable[[dict[str, tf.Tensor], dict[str, tf.Tensor]], tf.Tensor]:
        """See `Task.loss`: the cross-entropy of softmax outputs, or of logits."""
        import tensorflow as tf

        softmax = _ends_in_softmax(network)

        def of_batch(outputs: dict[str, tf.Tensor], targets: dict[str, tf.Tensor]) -> tf.Tensor:
            (values,), (wanted,) = outputs.values(), targets.values()
            if softmax:
                likely = tf.math.log(tf.maximum(values, _LEAST))
                return -tf.reduce_mean(tf.reduce_sum(wanted * likely, axis=-1))
            return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(wanted, values))

        return of_batch

    def taught(self, outputs: dict[str, tf.Tensor], network: tf_keras.Model) -> dict[str, tf.Tensor]:
        """See `Task.taught`: the teacher's probabilities."""
        import tensorflow as tf

        return outputs if _ends_in_softmax(network) else {k: tf.nn.softmax(v) for k, v in outputs.items()}

    def told(self, network: tf_keras.Model, samples: Samples) -> list[str]:
        """See `Task.told`: whether it answers probabilities or logits, and classes without samples."""
        form = (
            "probabilities: it ends in softmax"
            if _ends_in_softmax(network)
            else "logits: it ends without softmax"
        )
        found = [f"answers {form}."]
        answered, known = int(np.prod(network.outputs[0].shape[1:])), int(_only(samples.targets).max()) + 1
        if answered > known:
            found.append(f"answers {answered:,} classes, the samples are of {known:,}.")
        return found

    def picture(self, samples: Samples, row: int) -> Picture:
        """See `Task.picture`."""
        return picture_of(samples, row, f"class {_only(samples.targets)[row]}")

    def picture_of_answer(self, answers: Arrays, row: int) -> Picture:
        """See `Task.picture_of_answer`: the likeliest class and its probability."""
        likely = _only(answers)[row]
        return Picture(text=f"class {int(likely.argmax())} ({likely.max():.0%})")


def _only(arrays: Arrays) -> npt.NDArray[np.generic]:
    """The array of the one output that a classifier has."""
    (values,) = arrays.values()
    return values


def _with_numbers(samples: Samples, path: Path) -> Samples:
    name, *others = samples.targets
    if others:
        message = f"{path} has the targets {', '.join(samples.targets)}: a classifier has one; name it by FILE:ARRAY."
        raise UsageError(message)
    classes = samples.targets[name]
    if classes.ndim == 2 and classes.shape[1] == 1:
        classes = classes[:, 0]
    if classes.ndim != 1 or not (classes.dtype.kind in "US" or _whole(classes)):
        message = (
            f"{path}: {name} is {classes.dtype} {classes.shape}, not one class number or name per sample."
        )
        raise UsageError(message)
    named = dict[str, tuple[str, ...]]()
    if classes.dtype.kind in "US":
        found, classes = np.unique(classes, return_inverse=True)
        named[name] = tuple(
            one if isinstance(one, str) else one.decode("utf-8", "replace") for one in found.tolist()
        )
    classes = classes.astype(np.int64)
    if classes.min() < 0:
        message = f"{path}: {name} holds the class {classes.min()}: number classes from 0."
        raise UsageError(message)
    if len(np.unique(classes)) < 2:
        message = f"{path}: all samples are of one class: there is nothing to learn."
        raise UsageError(message)
    return replace(samples, targets={name: classes}, classes=named)


def _whole(values: npt.NDArray[np.generic]) -> bool:
    """Whether these are whole numbers, of whatever type."""
    return values.dtype.kind in "biu" or (
        values.dtype.kind == "f" and bool(np.isfinite(values).all() and (values == np.rint(values)).all())
    )


def _one_hot(classes: npt.NDArray[np.generic], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    count = int(np.prod(shape))
    if count == 1:
        message = "The network answers one number, a classifier one per class: let it end in Dense(classes)."
        raise UsageError(message)
    if int(classes.max()) >= count:
        message = (
            f"The class {int(classes.max())} has no output: the network answers classes 0 to {count - 1}."
        )
        raise UsageError(message)
    return np.eye(count, dtype=np.float32)[classes]


def _probabilities(outputs: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Outputs that are probabilities already, within what int8 rounds, or the softmax of logits."""
    values = outputs.astype(np.float32)
    if values.min() >= -0.01 and np.abs(values.sum(axis=1) - 1).max() < 0.05:
        return values
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def _ends_in_softmax(network: tf_keras.Model) -> bool:
    """Whether outputs are probabilities: the last layer that changes values is or has a softmax."""
    network = graph.flattened(network)
    (last,) = graph.last_layers(network)
    while _keeps_values(last) and (before := graph.producers(network, last)):
        last = before[0]
    inner = getattr(last, "layer", last)
    activation = getattr(inner, "activation", None)
    return type(inner).__name__ == "Softmax" or getattr(activation, "__name__", "") == "softmax"


def _keeps_values(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer gives the values that it is given, in whatever shape."""
    linear = getattr(getattr(layer, "activation", None), "__name__", "") == "linear"
    return type(layer).__name__ in _KEEPING or (type(layer).__name__ == "Activation" and linear)
