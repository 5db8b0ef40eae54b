"""Classification: a class per sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from mlbench.contracts.reading import Expected
from mlbench.contracts.samples import Samples
from mlbench.contracts.task import Arrays, Floats, Metric, Picture
from mlbench.errors import UsageError
from mlbench.networks import graph
from mlbench.tasks.arrays import ArrayTask, expected, one_hot
from mlbench.tasks.pictures import picture_of

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

_FEW, _OF_EACH = 20, 5  # so many classes, or samples of each: whole numbers that are plainly classes
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


class Classification(ArrayTask):
    """One class of several per sample; `y` holds class numbers from 0, or names."""

    name: ClassVar[str] = "classification"
    summary: ClassVar[str] = "one class per sample; metrics top1, cross-entropy, macro F1"
    version: ClassVar[int] = 2  # 2: of epochs with equal top-1 the one of least cross-entropy is kept
    losses: ClassVar[tuple[str, ...]] = ("cross-entropy",)
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("top1", "top-1", "%", 0.002, per_sample=correct, better="higher", scale=100, digits=2),
        Metric("cross_entropy", "cross-entropy", "nats", 0.005, per_sample=cross_entropy),
        Metric("macro_f1", "macro F1", "%", 0.002, whole=macro_f1, better="higher", scale=100, digits=2),
    )

    expected: ClassVar[tuple[Expected, ...]] = expected(
        "[n]", "whole numbers or text", "class numbers from 0, or names"
    )

    def faults(self, samples: Samples, path: Path) -> list[str]:
        """See `ArrayTask.faults`: one class number or name per sample, of two classes or more."""
        name, *others = samples.targets
        if others:
            told = ", ".join(samples.targets)
            return [
                f"{path} has the targets {told}: a classifier has one; name it by FILE:ARRAY or --column."
            ]
        classes = _flat(samples.targets[name])
        if classes.dtype.kind == "f" and not np.isfinite(classes).all():
            return [f"{path}: {name} holds values that are not finite: remove samples without a class."]
        if one_hot(classes):
            return [
                f"{path}: {name} {classes.shape} is one-hot: give class numbers, as {name}.argmax(axis=1)."
            ]
        if classes.ndim != 1 or not (classes.dtype.kind in "US" or _whole(classes)):
            told = f"{classes.dtype} {classes.shape}"
            return [f"{path}: {name} is {told}, not one class number or name per sample."]
        found = []
        if classes.dtype.kind not in "US" and classes.min() < 0:
            found.append(f"{path}: {name} holds the class {classes.min()}: number classes from 0.")
        if len(np.unique(classes)) < 2:
            found.append(f"{path}: all samples are of one class: there is nothing to learn.")
        return found

    def taken(self, samples: Samples) -> Samples:
        """See `ArrayTask.taken`; class names become numbers in alphabetical order."""
        (name, classes), named = *samples.targets.items(), dict(samples.classes)
        classes = _flat(classes)
        if classes.dtype.kind in "US":
            found, classes = np.unique(classes, return_inverse=True)
            named[name] = tuple(
                one if isinstance(one, str) else one.decode("utf-8", "replace") for one in found.tolist()
            )
        return replace(samples, targets={name: classes.astype(np.int64)}, classes=named)

    def class_targets(self, samples: Samples) -> tuple[str, ...]:
        """See `Task.class_targets`: all."""
        return tuple(samples.targets)

    def doubts(self, outputs: Arrays) -> list[str]:
        """See `Task.doubts`: numbers in 0…1 that do not add up to 1."""
        if not outputs:
            return []
        values = _only(outputs).reshape(len(_only(outputs)), -1)
        if values.shape[1] == 1 or _add_up(values) or values.min() < 0 or values.max() > 1:
            return []
        sums = values.sum(axis=1)
        return [
            f"The network's outputs lie in 0…1, but add up to {sums.min():.3g}…{sums.max():.3g}, as of a sigmoid: they "
            "are taken for logits; the order of classes is right, probabilities and the cross-entropy are not."
        ]

    def outputs_told(self, outputs: Arrays) -> str:
        """See `Task.outputs_told`: probabilities or logits."""
        values = _only(outputs).reshape(len(_only(outputs)), -1)
        if values.shape[1] == 1:
            return f"its output is {'the probability' if _in_unit(values) else 'the logit'} of class 1"
        if _add_up(values):
            return "outputs are probabilities (they add up to 1)"
        return f"outputs are logits ({values.min():.3g}…{values.max():.3g}): softmax is applied"

    def recognises(self, path: Path, arrays: Arrays) -> bool:
        """See `Task.recognises`: a folder, or few whole numbers or names, one per sample."""
        if path.is_dir():
            return True
        targets = [name for name in arrays if name == "y" or name.startswith("y.")]
        if len(targets) != 1:
            return False
        classes = _flat(arrays[targets[0]])
        if classes.ndim != 1 or not len(classes) or classes.dtype.kind not in "biuUS":
            return False
        count = len(np.unique(classes))
        return count <= max(_FEW, len(classes) // _OF_EACH)

    def outputs(self, samples: Samples) -> dict[str, tuple[int, ...]]:
        """See `Task.outputs`: one number per class."""
        return {name: (int(classes.max()) + 1,) for name, classes in samples.targets.items()}

    def wanted(
        self, targets: Arrays, shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, npt.NDArray[np.float32]]:
        """See `Task.wanted`: one-hot [n, classes]; of a network with one output whether it is class 1 [n, 1]."""
        return {name: _one_hot(values, shapes[name]) for name, values in targets.items()}

    def answers(self, outputs: Arrays) -> dict[str, npt.NDArray[np.float32]]:
        """See `Task.answers`: probabilities [n, classes]; one output is that of class 1, or its logit."""
        return {name: _probabilities(values.reshape(len(values), -1)) for name, values in outputs.items()}

    def loss(
        self, name: str, network: tf_keras.Model
    ) -> Callable[[dict[str, tf.Tensor], dict[str, tf.Tensor]], tf.Tensor]:
        """See `Task.loss`: the cross-entropy of probabilities, or of logits."""
        import tensorflow as tf

        one, probable = _has_one_output(network), _answers_probabilities(network)

        def of_batch(outputs: dict[str, tf.Tensor], targets: dict[str, tf.Tensor]) -> tf.Tensor:
            (values,), (wanted,) = outputs.values(), targets.values()
            if one and probable:
                values, wanted = (tf.concat([1 - part, part], axis=-1) for part in (values, wanted))
            if probable:
                likely = tf.math.log(tf.maximum(values, _LEAST))
                return -tf.reduce_mean(tf.reduce_sum(wanted * likely, axis=-1))
            if one:
                return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(wanted, values))
            return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(wanted, values))

        return of_batch

    def taught(self, outputs: dict[str, tf.Tensor], network: tf_keras.Model) -> dict[str, tf.Tensor]:
        """See `Task.taught`: the teacher's probabilities."""
        import tensorflow as tf

        if _answers_probabilities(network):
            return outputs
        likely = tf.nn.sigmoid if _has_one_output(network) else tf.nn.softmax
        return {name: likely(values) for name, values in outputs.items()}

    def picture(self, samples: Samples, row: int) -> Picture:
        """See `Task.picture`."""
        return picture_of(samples, row, _named(int(_only(samples.targets)[row]), samples))

    def picture_of_answer(self, answers: Arrays, row: int, samples: Samples | None = None) -> Picture:
        """See `Task.picture_of_answer`: the likeliest class and its probability."""
        likely = _only(answers)[row]
        told = _named(int(likely.argmax()), samples)
        return Picture(text=f"{told} ({likely.max():.0%})")


def _named(number: int, samples: Samples | None) -> str:
    """A class by its name, where it has one."""
    names = next(iter(samples.classes.values()), ()) if samples else ()
    return names[number] if number < len(names) else f"class {number}"


def _only(arrays: Arrays) -> npt.NDArray[np.generic]:
    """The array of the one output that a classifier has."""
    (values,) = arrays.values()
    return values


def _flat(classes: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """[n] of [n, 1]."""
    return classes[:, 0] if classes.ndim == 2 and classes.shape[1] == 1 else classes


def _whole(values: npt.NDArray[np.generic]) -> bool:
    """Whether these are whole numbers, of whatever type."""
    return values.dtype.kind in "biu" or (
        values.dtype.kind == "f" and bool(np.isfinite(values).all() and (values == np.rint(values)).all())
    )


def _one_hot(classes: npt.NDArray[np.generic], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    count = int(np.prod(shape))
    if count == 1 and int(classes.max()) > 1:
        message = (
            f"The class {int(classes.max())} has no output: the network answers one number, which tells class 0 from "
            "class 1; let it end in Dense(classes)."
        )
        raise UsageError(message)
    if count == 1:
        return classes.astype(np.float32)[:, None]
    if int(classes.max()) >= count:
        message = (
            f"The class {int(classes.max())} has no output: the network answers classes 0 to {count - 1}; "
            "number classes from 0, or let the network end in more units."
        )
        raise UsageError(message)
    return np.eye(count, dtype=np.float32)[classes]


def _probabilities(outputs: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Outputs that are probabilities already, within what int8 rounds, or the softmax of logits."""
    values = outputs.astype(np.float32)
    if values.shape[1] == 1:
        second = values.clip(0, 1) if _in_unit(values) else 1 / (1 + np.exp(-values.clip(-80, 80)))
        return np.concatenate([1 - second, second], axis=1)
    if _add_up(values):
        return values
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def _add_up(values: npt.NDArray[np.generic]) -> bool:
    """Whether outputs [n, classes] are probabilities, within what int8 rounds."""
    return bool(values.min() >= -0.01 and np.abs(values.sum(axis=1) - 1).max() < 0.05)


def _in_unit(values: npt.NDArray[np.generic]) -> bool:
    """Whether numbers are in 0…1, within what int8 rounds."""
    return bool(values.min() >= -0.01 and values.max() <= 1.01)


def _has_one_output(network: tf_keras.Model) -> bool:
    return math.prod(int(size or 1) for size in network.outputs[0].shape[1:]) == 1


def _answers_probabilities(network: tf_keras.Model) -> bool:
    """Whether the last layer that changes values is or has a softmax, or a sigmoid where there is one output."""
    one = _has_one_output(network)
    network = graph.flattened(network)
    (last,) = graph.last_layers(network)
    while _keeps_values(last) and (before := graph.producers(network, last)):
        last = before[0]
    inner = getattr(last, "layer", last)
    activation = getattr(inner, "activation", None)
    name = getattr(activation, "__name__", "")
    return name == "sigmoid" if one else type(inner).__name__ == "Softmax" or name == "softmax"


def _keeps_values(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer gives the values that it is given, in whatever shape."""
    linear = getattr(getattr(layer, "activation", None), "__name__", "") == "linear"
    return type(layer).__name__ in _KEEPING or (type(layer).__name__ == "Activation" and linear)
