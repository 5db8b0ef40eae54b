"""What a task offers: its metrics, losses, augmentation and pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from mlbench.contracts.reading import AS_STORED, Expected, Reading
from mlbench.contracts.runner import Pipeline
from mlbench.contracts.samples import Samples
from mlbench.errors import UsageError

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

Arrays = Mapping[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]

#: What `Task.settings` found, by name; a file holds it, and its record.
Settings = Mapping[str, float]

#: What samples are drawn for: a run's data, more to tune on, or a test.
Purpose = Literal["data", "tuning", "test"]


@dataclass(frozen=True)
class Metric:
    """One figure of a network's answers; records, tables, budgets, conditions and charts follow from it.

    Either `per_sample` or `whole` computes it, both from answers and targets by name.

    Attributes:
        name: as in records, `--budget` and `--fail-if`.
        title: as in tables.
        unit: of the shown value: "px", "%", "years".
        same: how large a difference still counts as none, in the stored unit.
        per_sample: values [n] whose mean is the figure; NaN for samples that do not count, whatever their answers.
        whole: one number of a set of samples, which is resampled by rows.
        of_mean: what is shown of the mean: the root, say.
        better: whether lower or higher values are better.
        scale: shown value / stored value.
        digits: of the shown value.
    """

    name: str
    title: str
    unit: str
    same: float = 0.0
    per_sample: Callable[[Arrays, Arrays], Floats] | None = None
    whole: Callable[[Arrays, Arrays], float] | None = None
    of_mean: Callable[[Floats], Floats] | None = None
    better: Literal["lower", "higher"] = "lower"
    scale: float = 1.0
    digits: int = 3

    def mean(self, values: Floats) -> float:
        """The figure, of values per sample [n]."""
        mean = np.nanmean(values, keepdims=True)
        return float((self.of_mean(mean) if self.of_mean else mean)[0])

    def told(self, value: float) -> str:
        """A stored value as people read it, with its unit."""
        return f"{value * self.scale:.{self.digits}f} {self.unit}".rstrip()


@dataclass(frozen=True)
class Picture:
    """A sample for people.

    Attributes:
        png: the picture, or nothing where a sample cannot be shown.
        text: what it is, in words.
        points: (x, y) to mark on the picture, in its pixels.
    """

    png: bytes = b""
    text: str = ""
    points: tuple[tuple[float, float], ...] = ()


class Task(ABC):
    """What is learnt. A class without state: its class variables and methods say all.

    A sample's targets are what the data set holds; answers are what a network's outputs mean, in the same form.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    #: Raised when a change of the code changes weights or figures: it is part of the cache's keys.
    version: ClassVar[int] = 1
    #: The first is the primary one: it has values per sample, chooses the best epoch, and is compared.
    metrics: ClassVar[tuple[Metric, ...]]
    #: What samples that the task draws by itself are, for people.
    drawn: ClassVar[str] = "samples drawn by the task"
    #: Unit of what `answers` gives, for people.
    answer_unit: ClassVar[str] = ""
    #: Names of losses; the first is the default.
    losses: ClassVar[tuple[str, ...]]
    #: How images may be changed at random, by `--vary`, without changing what targets say of them.
    varying: ClassVar[tuple[str, ...]] = ("shift", "turn", "flip", "light")

    @property
    def primary(self) -> Metric:
        """The metric by which networks are chosen and compared."""
        return self.metrics[0]

    #: What a file of samples holds.
    expected: ClassVar[tuple[Expected, ...]] = ()

    @abstractmethod
    def read(self, path: Path, label: str, tell: Callable[[str], None], how: Reading = AS_STORED) -> Samples:
        """Read a file of samples.

        Args:
            path: the file, or folder.
            label: name of the array with the targets; "" for the usual one.
            tell: called with a sentence about what was skipped.
            how: what options say of the file.

        Raises:
            UsageError: the file cannot be read as samples of this task.
        """

    def looked(
        self, path: Path, label: str, tell: Callable[[str], None], how: Reading = AS_STORED
    ) -> tuple[Samples | None, list[str]]:
        """The samples of a file as far as they can be read, and all that is wrong with them; see `read`."""
        try:
            return self.read(path, label, tell, how), []
        except UsageError as error:
            return None, [str(error)]

    def class_targets(self, samples: Samples) -> tuple[str, ...]:
        """Names of those targets that are class numbers."""
        return ()

    def doubts(self, outputs: Arrays) -> list[str]:
        """What outputs [n, …] of a network, by target, are taken for, where that may be wrong: a sentence each."""
        return []

    def outputs_told(self, outputs: Arrays) -> str:
        """What outputs [n, …] of a network, by target, are taken for; "" where there is no choice."""
        return ""

    def recognises(self, path: Path, arrays: Arrays) -> bool:
        """Whether a file plainly holds samples of this task, for where none is named.

        Args:
            path: the file, or folder.
            arrays: of the file, by what they are; none where it is no `.npz`.
        """
        return False

    def sample(self, count: int, seed: int, purpose: Purpose = "data") -> Samples:
        """Samples that the task can draw by itself; none of one purpose is one of another, whatever the seeds.

        Raises:
            UsageError: it cannot.
        """
        message = f"The task {self.name} has no samples of its own: give --data."
        raise UsageError(message)

    def sample_cut(
        self, margins: Mapping[str, float], count: int, seed: int, purpose: Purpose = "data"
    ) -> Samples:
        """As `sample`, with these margins of inputs, by name; see `mlbench.contracts.Encoding`. 1 where none is given.

        Raises:
            UsageError: it cannot.
        """
        if other := [margin for margin in margins.values() if margin != 1]:
            message = f"The task {self.name} draws no samples with a margin of {other[0]:g}: give --data."
            raise UsageError(message)
        return self.sample(count, seed, purpose)

    def require_scorable(self, samples: Samples, where: str) -> None:
        """Refuse test samples that a metric is not defined for, before hours of work.

        Args:
            samples: to be tested on.
            where: they come from, for people.

        Raises:
            UsageError: which sample, and why.
        """
        return

    def sampling_key(self) -> object:
        """JSON values that change whenever `sample` would draw others."""
        return None

    @abstractmethod
    def outputs(self, samples: Samples) -> dict[str, tuple[int, ...]]:
        """Shapes of what a network for these samples answers, by target."""

    @abstractmethod
    def wanted(
        self, targets: Arrays, shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Targets in the form of the network's outputs [n, *shape], for the loss and the teacher's blend.

        Args:
            targets: by name.
            shapes: of one sample's outputs, by the target's name.

        Raises:
            UsageError: the targets cannot be what such outputs answer.
        """

    @abstractmethod
    def answers(self, outputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """What outputs [n, …] mean, in the form that metrics take."""

    def settings(self, outputs: Arrays, targets: Arrays) -> dict[str, float]:
        """What one needs beside a file's outputs to use them, such as a threshold; by name, none by default.

        Args:
            outputs: of the file for validation samples [n, …], by target: no others may choose them.
            targets: of these samples.
        """
        return {}

    def settled(self, outputs: Arrays, settings: Settings) -> dict[str, npt.NDArray[Any]]:
        """As `answers`, with a file's settings."""
        return self.answers(outputs)

    @abstractmethod
    def loss(
        self, name: str, network: tf_keras.Model
    ) -> Callable[[dict[str, tf.Tensor], dict[str, tf.Tensor]], tf.Tensor]:
        """A loss: from outputs and targets (see `wanted`) of a batch to one number."""

    def taught(self, outputs: dict[str, tf.Tensor], network: tf_keras.Model) -> dict[str, tf.Tensor]:
        """A teacher's outputs as targets; the teacher's network says what they are."""
        return outputs

    def augment(
        self, inputs: Arrays, targets: Arrays, strength: float, rng: np.random.Generator
    ) -> tuple[Arrays, Arrays]:
        """A batch of stored inputs and targets, seen anew; unchanged by default."""
        return inputs, targets

    def prior(self, train: Samples) -> dict[str, npt.NDArray[np.float32]]:
        """Biases [units] by output, with which the last layer of an untrained network answers what is usual."""
        return {}

    def details(self, answers: Arrays, targets: Arrays) -> dict[str, Floats]:
        """What a record tells beside the metrics, such as the error of each output; by name."""
        return {}

    def subsets(self, samples: Samples) -> dict[str, npt.NDArray[np.bool_]]:
        """Parts of a test set that are scored apart too: rows by name."""
        return {}

    def pipeline(self, count: int, seed: int, photos: Path | None, detector: str = "") -> Pipeline | None:
        """What stands before the network in use, with `count` frames to measure it on; None where nothing does.

        Args:
            count: of frames.
            seed: of their making.
            photos: a folder of photographs to make them of.
            detector: the name of the plug-in that finds the network's input in them; "": the task's own.

        Raises:
            UsageError: the photographs cannot be read, or the detector cannot be used.
        """
        return None

    def mean_points(self, samples: Samples) -> tuple[tuple[float, float], ...]:
        """The mean of the true points, where targets are points."""
        return ()

    def picture(self, samples: Samples, row: int) -> Picture:
        """One sample with its truth."""
        return Picture(text=str(samples.ids[row]))

    def picture_of_answer(self, answers: Arrays, row: int, samples: Samples | None = None) -> Picture:
        """What a network answers for a sample: words, or points to mark on the sample's picture.

        Args:
            answers: of all samples.
            row: of the sample.
            samples: that the answers are for, which may name classes.
        """
        return Picture()
