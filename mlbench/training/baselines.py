"""Baselines: a variant trained on faces, kept in the cache under the hash of all that determines its weights."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlbench.contracts import Progress, Variant
from mlbench.errors import UsageError
from mlbench.faces.dataset import Faces, Split
from mlbench.faces.overlap import Seen
from mlbench.networks import building, storage
from mlbench.networks.growing import grown
from mlbench.plugins import did_you_mean
from mlbench.records import Epoch
from mlbench.system.cache import cache_folder, one_at_a_time
from mlbench.system.environment import versions
from mlbench.system.files import key_of, write_atomically
from mlbench.training.loop import Fit, fit, history_from_json, history_to_json
from mlbench.training.options import TrainingOptions

if TYPE_CHECKING:
    import tf_keras

#: Raised when a change of the code changes the weights that equal options give.
TRAINING_VERSION = 2

#: Packages that decide the weights that equal options give.
LIBRARIES = ("tensorflow", "tf_keras", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class Trained:
    """A finished training in the cache; the network is loaded when asked for.

    `seen` is what it, and what it started from, learnt from.
    """

    key: str
    folder: Path
    history: tuple[Epoch, ...]
    reused: bool
    seen: Seen

    @property
    def best(self) -> Epoch:
        """The epoch whose weights were kept."""
        return min(self.history, key=lambda epoch: epoch.validation_mae_px)

    def network(self) -> tf_keras.Model:
        """The network with its best weights."""
        return storage.load(self.folder)


def train_baseline(
    variant: Variant,
    faces: Faces,
    split: Split,
    options: TrainingOptions,
    progress: Progress,
    start: Trained | None = None,
) -> Trained:
    """Train a variant, or take it from the cache; an interrupted training goes on.

    Args:
        variant: what is trained.
        faces: all faces.
        split: which of them are for what.
        options: see `TrainingOptions`.
        progress: shows epochs and the time left.
        start: a finished baseline, of this variant or another, to start from (see `grown`).

    Raises:
        UsageError: see `mlbench.training.loop.fit` and `mlbench.networks.growing.grown`; or `start` has seen faces
            that this split keeps back.
    """
    if start is not None:
        require_apart(start, faces, split)
    key = baseline_key(variant, faces, split, options, start)
    folder = cache_folder() / "baselines" / f"{variant.name}-{key}"
    if (done := finished(folder, key)) is not None:
        return done
    with one_at_a_time(folder, progress):
        if (done := finished(folder, key)) is not None:
            return done
        network, fitted = _fit(variant, faces, split, options, progress, start, folder)
        seen = Seen.of(faces, split)
        return keep(network, fitted.history, folder, key, seen | start.seen if start else seen)


def _fit(
    variant: Variant,
    faces: Faces,
    split: Split,
    options: TrainingOptions,
    progress: Progress,
    start: Trained | None,
    folder: Path,
) -> tuple[tf_keras.Model, Fit]:
    from mlbench.training.step import use_threads  # imports TensorFlow

    use_threads(options.threads)
    train = faces.take(split.train)
    if start is None:
        network = building.build(variant, options.seed)
        building.start_from_mean(network, train.points.mean(axis=0))
    else:
        network = grown(variant, start.network(), options.seed)
    title = f"Training {variant.name}"
    return network, fit(network, train, faces.take(split.validation), options, folder, progress, title=title)


def require_apart(used: Trained, faces: Faces, split: Split) -> None:
    """Refuse a finished baseline that has learnt from faces which this split keeps back.

    Raises:
        UsageError: how many of them it has seen.
    """
    validated = used.seen.validation_trained_on(faces.take(split.validation))
    tested = np.isin(faces.image_keys[split.test], np.union1d(used.seen.trained, used.seen.validated)).sum()
    if validated or tested:
        message = (
            f"{used.folder.name} has seen {tested:,} of the {len(split.test):,} test and {validated:,} of the "
            f"{len(split.validation):,} validation faces of this run: name a baseline of the same --data, --split and "
            "--seed, or of other faces."
        )
        raise UsageError(message)


def baseline_key(
    variant: Variant, faces: Faces, split: Split, options: TrainingOptions, start: Trained | None = None
) -> str:
    """The hash of what determines a baseline's weights."""
    before = () if start is None else (start.key,)
    return key_of(
        "baseline",
        TRAINING_VERSION,
        dataclasses.asdict(variant),
        options.deciding(),
        split.key(faces),
        versions(*LIBRARIES),
        *before,
    )


def baseline_named(name: str) -> Trained:
    """The finished baseline of a name that `mlbench train` gave, as two_pool-1a2b3c4d5e6f7a8b.

    Raises:
        UsageError: there is none in the cache.
    """
    folder = cache_folder() / "baselines"
    known = [path.parent.name for path in sorted(folder.glob("*/seen.npz")) if _done(path.parent)]
    if name in known and (done := finished(folder / name, name.rpartition("-")[2])):
        return done
    message = f'There is no finished baseline "{name}" in {folder}{did_you_mean(name, known)}'
    raise UsageError(message)


def finished(folder: Path, key: str) -> Trained | None:
    """The finished training in a folder of the cache, or None."""
    if not _done(folder):
        return None
    history = history_from_json((folder / "history.json").read_text(encoding="utf-8"))
    seen = storage.load_arrays(folder / "seen.npz")
    return Trained(key, folder, tuple(history), reused=True, seen=Seen(**seen))


def _done(folder: Path) -> bool:
    return (folder / "history.json").exists()


def keep(network: tf_keras.Model, history: tuple[Epoch, ...], folder: Path, key: str, seen: Seen) -> Trained:
    """Store a trained network; its checkpoints are no longer needed. The history, written last, marks it done."""
    storage.save(network, folder)
    storage.save_arrays(dict(vars(seen)), folder / "seen.npz")
    with write_atomically(folder / "history.json") as part:
        part.write_text(history_to_json(history), encoding="utf-8")
    for leftover in ("checkpoint.npz", "best.npz"):
        (folder / leftover).unlink(missing_ok=True)
    return Trained(key, folder, history, reused=False, seen=seen)
