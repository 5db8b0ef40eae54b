"""Regression: numbers per sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from mlbench.contracts.reading import Expected
from mlbench.contracts.samples import Samples
from mlbench.contracts.task import Arrays, Floats, Metric, Picture
from mlbench.errors import UsageError
from mlbench.tasks.arrays import ArrayTask, expected, one_hot
from mlbench.tasks.pictures import picture_of

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras


_FEW = 20  # so many whole numbers are not plainly numbers to be learnt


def absolute_error(answers: Arrays, targets: Arrays) -> Floats:
    """Mean absolute error of a sample's numbers [n]."""
    return np.mean([np.abs(d).mean(axis=1) for d in _differences(answers, targets)], axis=0)


def squared_error(answers: Arrays, targets: Arrays) -> Floats:
    """Mean squared error of a sample's numbers [n]."""
    return np.mean([np.square(d).mean(axis=1) for d in _differences(answers, targets)], axis=0)


def _differences(answers: Arrays, targets: Arrays) -> list[Floats]:
    flat = [
        (answers[name].reshape(len(values), -1), values.reshape(len(values), -1))
        for name, values in targets.items()
    ]
    return [answer.astype(np.float64) - value for answer, value in flat]


class Regression(ArrayTask):
    """Numbers per sample; `y` holds them, [n] or [n, k], in a unit of yours."""

    name: ClassVar[str] = "regression"
    summary: ClassVar[str] = "numbers per sample; metrics MAE, RMSE"
    losses: ClassVar[tuple[str, ...]] = ("squared", "absolute")
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mae", "MAE", "", 0.0, per_sample=absolute_error),
        Metric("rmse", "RMSE", "", 0.0, per_sample=squared_error, of_mean=np.sqrt),
    )

    expected: ClassVar[tuple[Expected, ...]] = expected(
        "[n] or [n, k]", "numbers", "the numbers to learn, or y.NAME"
    )

    def faults(self, samples: Samples, path: Path) -> list[str]:
        """See `ArrayTask.faults`: finite numbers."""
        found = [
            f"{path}: {name} holds classes ({', '.join(known[:3])}, …), not numbers: use --task classification."
            for name, known in samples.classes.items()
        ]
        for name, values in samples.targets.items():
            if values.dtype.kind in "US":
                found.append(
                    f"{path}: {name} holds text, not numbers: convert it, or use --task classification."
                )
            elif values.dtype.kind not in "fiu" or not values.size or not np.isfinite(values).all():
                told = f"{values.dtype} {values.shape}"
                found.append(f"{path}: {name} is {told}, or not finite: give numbers.")
        return found

    def recognises(self, path: Path, arrays: Arrays) -> bool:
        """See `Task.recognises`: numbers of a type for fractions."""
        targets = [values for name, values in arrays.items() if name == "y" or name.startswith("y.")]
        return bool(targets) and all(
            values.dtype.kind == "f" and not one_hot(values) and not _few_whole(values) for values in targets
        )

    def outputs(self, samples: Samples) -> dict[str, tuple[int, ...]]:
        """See `Task.outputs`: as many numbers as a target has."""
        return {name: (int(np.prod(values.shape[1:])),) for name, values in samples.targets.items()}

    def wanted(
        self, targets: Arrays, shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, npt.NDArray[np.float32]]:
        """See `Task.wanted`: the numbers in the outputs' shape."""
        found = {}
        for name, values in targets.items():
            if values[0].size != np.prod(shapes[name]):
                answered = int(np.prod(shapes[name]))
                message = (
                    f"The targets {name} have {values[0].size} numbers per sample, the network {answered}."
                )
                raise UsageError(message)
            found[name] = values.reshape(len(values), *shapes[name]).astype(np.float32)
        return found

    def answers(self, outputs: Arrays) -> dict[str, npt.NDArray[np.float32]]:
        """See `Task.answers`: the outputs as they are."""
        return dict(outputs)

    def loss(
        self, name: str, network: tf_keras.Model
    ) -> Callable[[dict[str, tf.Tensor], dict[str, tf.Tensor]], tf.Tensor]:
        """See `Task.loss`: the mean over the outputs of the squared or absolute error."""
        import tensorflow as tf

        error = {"squared": tf.square, "absolute": tf.abs}[name]

        def of_batch(outputs: dict[str, tf.Tensor], targets: dict[str, tf.Tensor]) -> tf.Tensor:
            parts = [tf.reduce_mean(error(outputs[key] - wanted)) for key, wanted in targets.items()]
            return tf.add_n(parts) / len(parts)

        return of_batch

    def prior(self, train: Samples) -> dict[str, npt.NDArray[np.float32]]:
        """See `Task.prior`: the mean of the targets."""
        return {k: v.reshape(len(v), -1).mean(axis=0).astype(np.float32) for k, v in train.targets.items()}

    def picture(self, samples: Samples, row: int) -> Picture:
        """See `Task.picture`."""
        return picture_of(
            samples, row, _told({name: values[row] for name, values in samples.targets.items()})
        )

    def picture_of_answer(self, answers: Arrays, row: int, samples: Samples | None = None) -> Picture:
        """See `Task.picture_of_answer`: the numbers."""
        return Picture(text=_told({name: values[row] for name, values in answers.items()}))


def _few_whole(values: npt.NDArray[np.generic]) -> bool:
    """Whether these may be class numbers, written as fractions."""
    if values.ndim > 1 and values[0].size > 1:
        return False
    found = np.unique(values)
    return len(found) <= _FEW and bool(np.all(found == np.rint(found)))


def _told(values: Mapping[str, npt.NDArray[np.generic]]) -> str:
    return "; ".join(", ".join(f"{float(v):.4g}" for v in np.ravel(value)[:8]) for value in values.values())
