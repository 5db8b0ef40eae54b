"""Training and tuning: one loop for both, which stops and resumes to the same weights.

Every random choice of an epoch follows from (seed, epoch, batch), and all that an epoch needs (weights,
optimiser, history) is in its checkpoint: a run killed at any moment ends with the weights of an uninterrupted one.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import TypeAdapter

from mlbench.contracts import Advance, Progress, Task
from mlbench.contracts.samples import Samples
from mlbench.contracts.task import Arrays
from mlbench.data.npz_arrays import NPZ_ERRORS
from mlbench.errors import UsageError
from mlbench.evaluation.metrics import figures
from mlbench.networks import storage
from mlbench.networks.ports import Ports
from mlbench.records import Epoch
from mlbench.training.options import TrainingOptions
from mlbench.training.varying import varied

if TYPE_CHECKING:
    import tf_keras

    from mlbench.training.step import Trainer


Batch = tuple[Arrays, Arrays]


#: What a training that stopped goes on from.
CHECKPOINT, BEST = "checkpoint.npz", "best.npz"

_AHEAD = 8  # batches prepared while the network computes


_HISTORY = TypeAdapter(list[Epoch])


@dataclass(frozen=True)
class Fit:
    """What training gave: the network's weights are set to the best epoch's."""

    history: tuple[Epoch, ...]
    best_epoch: int


def fit(
    network: tf_keras.Model,
    task: Task,
    train: Samples,
    validation: Samples,
    options: TrainingOptions,
    folder: Path,
    progress: Progress,
    *,
    title: str,
    teacher: tf_keras.Model | None = None,
    before_step: Callable[[tf_keras.Model, int, int], None] | None = None,
    settle: Callable[[tf_keras.Model], None] | None = None,
    first_settled: int = 0,
    until: int | None = None,
) -> Fit:
    """Train a network in place and leave it with its best weights by the primary metric on validation.

    The network as given counts as epoch 0, so that tuning never leaves it worse. A training that pauses goes on
    when it is asked for more epochs, to the weights of an uninterrupted one.

    Args:
        network: its inputs and outputs are those of the samples.
        task: what is learnt.
        train: samples to learn from.
        validation: samples to choose the best epoch by.
        options: see `TrainingOptions`.
        folder: where checkpoints live; an interrupted training goes on from there.
        progress: shows epochs, loss, samples/s and the time left.
        title: what is being trained, for people.
        teacher: a network whose outputs are a share of the target (distillation).
        before_step: called with the network, the step and the number of steps before each step.
        settle: called with the network before its weights are judged or kept.
        first_settled: the first epoch whose weights may be kept; a training that pauses before it is left with its
            last weights.
        until: the epoch after which it pauses, in the schedule of all of them; None: it does not.

    Raises:
        UsageError: the loss is not finite, or the checkpoint is damaged.
    """
    from mlbench.training.step import Trainer  # imports TensorFlow

    ports = Ports.of(network, train)
    steps = -(-len(train) // options.batch)
    trainer = Trainer(network, teacher, ports, task, options, steps, before_step, settle)
    checkpoint, best = folder / CHECKPOINT, folder / BEST
    history = history_from_json(trainer.restore(checkpoint)) if checkpoint.exists() else []

    first_settled = min(first_settled, options.epochs)
    last = options.epochs if until is None else min(until, options.epochs)

    def finish(epoch: Epoch) -> None:
        rivals = [merit(task, e) for e in history[first_settled:]]
        if epoch.epoch >= first_settled and merit(task, epoch) < min(rivals, default=(np.inf,)):
            storage.save_arrays(dict(storage.enumerate_weights(trainer.current())), best)
        history.append(epoch)
        trainer.save(checkpoint, history_to_json(history))

    total, done = last * len(train) or len(validation), max(0, len(history) - 1) * len(train)
    with progress.task(title, total, "samples", done) as advance:
        if not history:
            finish(_epoch(trainer, task, validation, number=0, loss=None, seconds=0.0, seen=0))
        while len(history) <= last and not _stalled(task, history[first_settled:], options.patience):
            finish(_train_epoch(trainer, task, train, validation, options, len(history), advance))
            advance(0, _told(history[-1], task, options.epochs), mark=True)
    settled = history[first_settled:]
    if not settled:
        trainer.current()
        return Fit(tuple(history), history[-1].epoch)
    storage.load_weights(network, best)
    return Fit(tuple(history), min(settled, key=lambda epoch: merit(task, epoch)).epoch)


def epochs_behind(folder: Path) -> int:
    """Epochs that a training which stopped has behind it, by its checkpoint; 0 where there is none."""
    try:
        with np.load(folder / CHECKPOINT, allow_pickle=False) as file:
            return len(history_from_json(str(file["history"]))) - 1
    except NPZ_ERRORS:  # a damaged one is told when it is taken up
        return 0


def merit(task: Task, epoch: Epoch) -> tuple[float, ...]:
    """The metrics on validation, lower is better: the primary one, and where that is equal the others in order.

    Few validation samples give shares of right answers that are often equal.
    """
    known = [(metric, epoch.validation.get(metric.name)) for metric in task.metrics]
    return tuple(
        value if metric.better == "lower" else -value for metric, value in known if value is not None
    )


def _told(epoch: Epoch, task: Task, of: int) -> str:
    """A finished epoch for people."""
    metric = task.primary
    return (
        f"epoch {epoch.epoch} of {of}, loss {epoch.loss:.3g}, "
        f"validation {metric.title} {metric.told(epoch.validation[metric.name])}"
    )


def _stalled(task: Task, history: list[Epoch], patience: int) -> bool:
    merits = [merit(task, epoch) for epoch in history]
    return bool(patience and merits) and len(merits) - 1 - merits.index(min(merits)) >= patience


def _train_epoch(
    trainer: Trainer,
    task: Task,
    train: Samples,
    validation: Samples,
    options: TrainingOptions,
    number: int,
    advance: Advance,
) -> Epoch:
    started, losses, seen = time.perf_counter(), [], 0
    for inputs, targets in batches(train, task, options, number):
        losses.append(trainer.step(inputs, targets))
        count = len(next(iter(targets.values())))
        seen += count
        rate = seen / (time.perf_counter() - started)
        # Reading the loss waits for the step: every tenth is enough for people.
        shown = (
            f"epoch {number}, loss {float(losses[-1]):.3g}, {rate:.0f}/s" if len(losses) % 10 == 1 else None
        )
        advance(count, shown)
    loss = float(np.mean([float(value) for value in losses]))
    if not np.isfinite(loss):
        message = (
            f"Training diverged in epoch {number} (loss {loss}): give a smaller --rate than {options.rate}."
        )
        raise UsageError(message)
    return _epoch(trainer, task, validation, number, loss, time.perf_counter() - started, len(train))


def _epoch(
    trainer: Trainer,
    task: Task,
    validation: Samples,
    number: int,
    loss: float | None,
    seconds: float,
    seen: int,
) -> Epoch:
    answers = task.answers(trainer.predict(validation))
    return Epoch(
        epoch=number,
        loss=loss,
        validation=figures(task, answers, validation.targets),
        learning_rate=trainer.rate,
        samples_per_s=seen / seconds if seconds else 0.0,
        seconds=seconds,
    )


def batches(samples: Samples, task: Task, options: TrainingOptions, epoch: int) -> Iterator[Batch]:
    """The batches of an epoch in its own order, augmented, prepared in a thread ahead of their use.

    Yields:
        stored inputs and targets [n, …] by name; n is the batch size, less in the last.
    """
    order = np.random.default_rng([options.seed, epoch]).permutation(len(samples))
    ready: queue.Queue[Batch | BaseException | None] = queue.Queue(_AHEAD)
    stop = threading.Event()

    def put(item: Batch | BaseException | None) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                ready.put(item, timeout=0.2)
                return

    def produce() -> None:
        try:
            for number, start in enumerate(range(0, len(order), options.batch)):
                rows = np.sort(order[start : start + options.batch])
                inputs: Arrays = {name: values[rows] for name, values in samples.inputs.items()}
                targets: Arrays = {name: values[rows] for name, values in samples.targets.items()}
                if options.augment:
                    rng = np.random.default_rng([options.seed, epoch, number])
                    inputs, targets = task.augment(inputs, targets, options.augment_strength, rng)
                    inputs = varied(inputs, samples.encodings, options.vary, options.augment_strength, rng)
                put((inputs, targets))
            put(None)
        except BaseException as error:  # handed to the consumer, which raises it
            put(error)

    threading.Thread(target=produce, daemon=True, name="batches").start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()


def history_to_json(history: Iterable[Epoch]) -> str:
    """Training history as JSON text."""
    return _HISTORY.dump_json(list(history)).decode()


def history_from_json(text: str) -> list[Epoch]:
    """Training history from the text of `history_to_json`."""
    return _HISTORY.validate_json(text)
