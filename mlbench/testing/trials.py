"""A compressor tried on a small network: what the checks of it look at, made once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench import plugins
from mlbench.contracts import Compressor, Context, ExportOptions, Form, Precision, Samples, Task
from mlbench.errors import RefusedCompressionError
from mlbench.export.artifacts import answers
from mlbench.export.convert import allowed_error
from mlbench.export.written import Written, file_of, written
from mlbench.networks import storage
from mlbench.networks.ports import Ports, predict
from mlbench.system.progress import Silent
from mlbench.testing.networks import samples_for
from mlbench.training.options import TuningOptions

if TYPE_CHECKING:
    import tf_keras

Build = Callable[[int], "tf_keras.Model"]

_SEED = 7
_CALIBRATION, _FURTHER = 100, 20  # samples that a compressor sees, and that its file is asked about
_TUNED_ON = 16


@dataclass(frozen=True)
class Trial:
    """A technique, with the options that it names for tests, on a network.

    Attributes:
        technique: what is tried.
        build: the network from a seed.
    """

    technique: type[Compressor]
    build: Build
    _kept: list[tempfile.TemporaryDirectory[str]] = field(default_factory=list, compare=False)

    @cached_property
    def step(self) -> Compressor:
        """The technique with its example's options."""
        return self.technique.model_validate(dict(self.technique.example))

    @cached_property
    def network(self) -> tf_keras.Model:
        """The network that is given."""
        return self.build(_SEED)

    @cached_property
    def before(self) -> list[npt.NDArray[Any]]:
        """Its weights before it was given."""
        return [weight.copy() for weight in self.network.get_weights()]

    @cached_property
    def samples(self) -> Samples:
        """What the technique may look at."""
        return samples_for(self.network, _CALIBRATION, 3)

    def compressed(self) -> Form:
        """What the technique makes of the network, ready for tuning.

        Raises:
            RefusedCompressionError: it will not.
        """
        assert self.before
        return self.step.compress(Form(self.network), Context(self.samples, _SEED, Silent()))

    @cached_property
    def again(self) -> Form:
        """What it makes of the network the second time."""
        return self.compressed()

    @cached_property
    def outcome(self) -> Form | RefusedCompressionError:
        """What would ship without tuning, or why there is nothing."""
        try:
            form = self.compressed()
        except RefusedCompressionError as refused:
            return refused
        return replace(self.step.finish(form), changes=form.changes)

    @cached_property
    def shipped(self) -> Form | None:
        """What would ship without tuning; None where the technique refused."""
        return None if isinstance(self.outcome, RefusedCompressionError) else self.outcome

    @cached_property
    def file(self) -> Written:
        """What was written of what would ship."""
        return written(self.folder, self.export, self.samples)

    @cached_property
    def export(self) -> ExportOptions:
        """How what would ship is written."""
        return self.shipped.export if self.shipped else ExportOptions()

    @cached_property
    def folder(self) -> Path:
        """Where what would ship is saved."""
        self._kept.append(tempfile.TemporaryDirectory(prefix="mlbench-"))
        folder = Path(self._kept[0].name)
        if self.shipped:
            storage.save(self.shipped.network, folder)
        return folder

    def distances(self) -> Iterator[tuple[str, float, float]]:
        """Of each output how far the file's lie from the network's, in the mean, and how far they may."""
        assert self.file and self.shipped
        precision: Precision = plugins.load("precisions", self.export.precision)()
        further = samples_for(self.network, _FURTHER, 4)
        found = answers(file_of(self.folder, self.export), further)
        for name, expected in predict(self.shipped.network, further).items():
            distance = np.abs(found[name].reshape(expected.shape) - expected).mean()
            yield name, float(distance), allowed_error(precision, expected)

    def tuned(self, task: Task) -> tuple[float, Form]:
        """The loss of one step of tuning on a task, and what would ship then."""
        from mlbench.training.step import Trainer

        form = self.compressed()
        samples = learnable(task, self.network, _TUNED_ON)
        options = TuningOptions(epochs=1, batch=_TUNED_ON, schedule="constant")
        with _eagerly():
            trainer = Trainer(
                form.network,
                None,
                Ports.of(form.network, samples),
                task,
                options,
                1,
                self.step.before_step,
                self.step.settle,
            )
            loss = float(trainer.step(samples.inputs, samples.targets))
            trainer.current()
        return loss, self.step.finish(form)


@cache
def trial(technique: type[Compressor], build: Build) -> Trial:
    """The one trial of a technique on a network."""
    return Trial(technique, build)


@cache
def plainly_written(build: Build) -> Written:
    """The file of a network as it is."""
    with tempfile.TemporaryDirectory(prefix="mlbench-") as folder:
        network = build(_SEED)
        storage.save(network, Path(folder))
        return written(Path(folder), ExportOptions(), samples_for(network, _CALIBRATION, 3))


def learnable(task: Task, network: tf_keras.Model, count: int) -> Samples:
    """Samples for a network with targets that a task can ask of its outputs: class numbers, or numbers."""
    samples = samples_for(network, count, 5)
    rng = np.random.default_rng(6)

    def target(shape: Sequence[int]) -> npt.NDArray[Any]:
        if task.name == "classification":
            return rng.integers(0, shape[-1], count)
        return rng.normal(0, 1, (count, *shape)).astype(np.float32)

    targets = {name: target(values.shape[1:]) for name, values in samples.targets.items()}
    return replace(samples, targets=targets)


@contextmanager
def _eagerly() -> Iterator[None]:
    """Without tracing: of one step it would take most of the time."""
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
