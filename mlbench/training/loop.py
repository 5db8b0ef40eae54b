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
import numpy.typing as npt
from pydantic import TypeAdapter

from mlbench.contracts import Progress
from mlbench.errors import UsageError
from mlbench.faces.augmentation import NO_AUGMENTATION, Augmentation
from mlbench.faces.dataset import Faces
from mlbench.networks import storage
from mlbench.records import Epoch
from mlbench.training.options import TrainingOptions

if TYPE_CHECKING:
    import tf_keras

    from mlbench.training.step import Trainer


Batch = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]


_AHEAD = 8  # batches prepared while the network computes


_HISTORY = TypeAdapter(list[Epoch])


@dataclass(frozen=True)
class Fit:
    """What training gave: the network's weights are set to the best epoch's."""

    history: tuple[Epoch, ...]
    best_epoch: int


def fit(
    network: tf_keras.Model,
    train: Faces,
    validation: Faces,
    options: TrainingOptions,
    folder: Path,
    progress: Progress,
    *,
    title: str,
    teacher: tf_keras.Model | None = None,
    before_step: Callable[[tf_keras.Model, int, int], None] | None = None,
    settle: Callable[[tf_keras.Model], None] | None = None,
    first_settled: int = 0,
) -> Fit:
    """Train a network in place and leave it with its best weights by validation MAE.

    The network as it came counts as epoch 0, so that tuning never leaves it worse.

    Args:
        network: [batch,96,96,1] pixels / 255 -> [batch,136] pixels.
        train: faces to learn from.
        validation: faces to choose the best epoch by.
        options: see `TrainingOptions`.
        folder: where checkpoints live; an interrupted training goes on from there.
        progress: shows epochs, loss, images/s and the time left.
        title: what is being trained, for people.
        teacher: a network whose outputs are a share of the target (distillation).
        before_step: called with the network, the step and the number of steps before each step.
        settle: called with the network before its weights are judged or kept.
        first_settled: the first epoch whose weights may be kept.

    Raises:
        UsageError: the loss is not finite, or the checkpoint is damaged.
    """
    from mlbench.training.step import Trainer  # imports TensorFlow

    if teacher is not None and not options.augment:
        # The faces stay as they are, so the teacher is asked once; the squared loss of a mean is the same.
        train, teacher = blended(train, teacher, options.teacher_share), None
    trainer = Trainer(network, teacher, options, -(-len(train) // options.batch), before_step, settle)
    checkpoint, best = folder / "checkpoint.npz", folder / "best.npz"
    history = history_from_json(trainer.restore(checkpoint)) if checkpoint.exists() else []

    first_settled = min(first_settled, options.epochs)

    def finish(epoch: Epoch) -> None:
        rivals = [e.validation_mae_px for e in history[first_settled:]]
        if epoch.epoch >= first_settled and epoch.validation_mae_px < min(rivals, default=np.inf):
            storage.save_arrays(dict(storage.enumerate_weights(trainer.current())), best)
        history.append(epoch)
        trainer.save(checkpoint, history_to_json(history))

    with progress.task(title, options.epochs * len(train), "images") as advance:
        if not history:
            finish(_epoch(trainer, validation, number=0, loss=None, seconds=0.0, images=0))
        advance((len(history) - 1) * len(train), "")
        while len(history) <= options.epochs and not _stalled(history[first_settled:], options.patience):
            finish(_train_epoch(trainer, train, validation, options, len(history), advance))
    storage.load_weights(network, best)
    settled = history[first_settled:]
    return Fit(tuple(history), min(settled, key=lambda epoch: epoch.validation_mae_px).epoch)


def blended(faces: Faces, teacher: tf_keras.Model, share: float) -> Faces:
    """The faces with labels that are by `share` the teacher's answers."""
    answers = predict(teacher, faces.images)
    points = ((1 - share) * faces.points + share * answers).astype(np.float32)
    return Faces(faces.images, points, faces.names, faces.extra)


def _stalled(history: list[Epoch], patience: int) -> bool:
    errors = [epoch.validation_mae_px for epoch in history]
    return bool(patience and errors) and len(errors) - 1 - int(np.argmin(errors)) >= patience


def _train_epoch(
    trainer: Trainer,
    train: Faces,
    validation: Faces,
    options: TrainingOptions,
    number: int,
    advance: Callable[[int, str | None], None],
) -> Epoch:
    started, losses, seen = time.perf_counter(), [], 0
    unit = "px²" if options.loss == "squared" else "px"
    for images, points in batches(train, options, number):
        losses.append(trainer.step(images, points))
        seen += len(images)
        rate = seen / (time.perf_counter() - started)
        # Reading the loss waits for the step: every tenth is enough for people.
        shown = (
            f"epoch {number}, loss {float(losses[-1]):.2f} {unit}, {rate:.0f}/s"
            if len(losses) % 10 == 1
            else None
        )
        advance(len(images), shown)
    loss = float(np.mean([float(value) for value in losses]))
    if not np.isfinite(loss):
        message = (
            f"Training diverged in epoch {number} (loss {loss}): give a smaller --rate than {options.rate}."
        )
        raise UsageError(message)
    return _epoch(trainer, validation, number, loss, time.perf_counter() - started, len(train))


def _epoch(
    trainer: Trainer, validation: Faces, number: int, loss: float | None, seconds: float, images: int
) -> Epoch:
    errors = trainer.predict(validation.images) - validation.points
    return Epoch(
        epoch=number,
        loss=loss,
        validation_mae_px=float(np.abs(errors).mean()),
        validation_rmse_px=float(np.sqrt(np.square(errors).mean())),
        learning_rate=trainer.rate,
        images_per_s=images / seconds if seconds else 0.0,
        seconds=seconds,
    )


def batches(faces: Faces, options: TrainingOptions, epoch: int) -> Iterator[Batch]:
    """The batches of an epoch in its own order, augmented, prepared in a thread ahead of their use.

    Yields:
        images uint8 [n,96,96] and points float32 [n,68,2]; n is the batch size, less in the last.
    """
    augmentation = Augmentation().times(options.augment_strength) if options.augment else NO_AUGMENTATION
    order = np.random.default_rng([options.seed, epoch]).permutation(len(faces))
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
                images, points = faces.images[rows], faces.points[rows]
                if options.augment:
                    rng = np.random.default_rng([options.seed, epoch, number])
                    images, points = augmentation.apply(images, points, rng)
                put((images, points))
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


def predict(network: tf_keras.Model, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Landmarks [n,68,2] in pixels that a network gives for crops uint8 [n,96,96]."""
    from mlbench.training.step import predictor  # imports TensorFlow

    return predictor(network)(images)
