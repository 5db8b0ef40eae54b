"""Baselines: networks trained on samples, kept in the cache under the hash of all that determines their weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlbench.contracts import NetworkSource, Progress, Samples, Task
from mlbench.data.overlap import Seen
from mlbench.data.split import Split
from mlbench.errors import UsageError
from mlbench.networks import building, storage
from mlbench.networks.facts import doubts_of_network, facts_of
from mlbench.networks.growing import grown
from mlbench.plugins import did_you_mean, identity
from mlbench.records import Epoch
from mlbench.system.cache import cache_folder, one_at_a_time
from mlbench.system.environment import versions
from mlbench.system.files import key_of, write_atomically
from mlbench.training.accelerators import use_threads
from mlbench.training.loop import BEST, CHECKPOINT, Fit, fit, history_from_json, history_to_json, merit
from mlbench.training.options import TrainingOptions

if TYPE_CHECKING:
    import tf_keras

#: Raised when a change of the code changes the weights that equal options give.
TRAINING_VERSION = 4

#: Written last: marks a baseline done.
BASELINE_DONE = "history.json"

_MARGINS = "margins.json"  # where they are not 1

#: Packages that decide the weights that equal options give.
LIBRARIES = ("tensorflow", "tf_keras", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class Material:
    """What is learnt, and from what.

    Attributes:
        task: what is learnt.
        samples: all of them.
        split: which of them are for what.
    """

    task: Task
    samples: Samples
    split: Split

    @property
    def train(self) -> Samples:
        """The samples to learn from."""
        return self.samples.take(self.split.train)

    @property
    def validation(self) -> Samples:
        """The samples to choose by."""
        return self.samples.take(self.split.validation)

    @property
    def held(self) -> Samples:
        """The samples that nothing may be learnt from."""
        return self.samples.take(np.concatenate([self.split.validation, self.split.test]))

    @cached_property
    def _key(self) -> tuple[object, ...]:
        return identity(type(self.task)), self.split.key(self.samples)

    def key(self) -> list[object]:
        """What of it decides weights, for keys of the cache."""
        return list(self._key)


@dataclass(frozen=True)
class Trained:
    """A finished training in the cache; the network is loaded when asked for.

    Attributes:
        key: of all that determines its weights.
        folder: where it is kept.
        history: its epochs.
        best: the epoch whose weights were kept.
        reused: whether it was there already.
        seen: what it, and what it started from, learnt from.
        margins: of the inputs that it learnt from; see `mlbench.contracts.Samples.margins`.
    """

    key: str
    folder: Path
    history: tuple[Epoch, ...]
    best: Epoch
    reused: bool
    seen: Seen
    margins: Mapping[str, float] = field(default_factory=dict)

    def network(self) -> tf_keras.Model:
        """The network with its best weights."""
        return storage.load(self.folder)


def train_baseline(
    source: NetworkSource,
    material: Material,
    options: TrainingOptions,
    progress: Progress,
    start: Trained | None = None,
) -> Trained:
    """Train a network, or take it from the cache; an interrupted training goes on.

    With 0 epochs a trained network is taken as it is, and has seen nothing of these samples.

    Args:
        source: of the network.
        material: what it learns, and from what.
        options: see `TrainingOptions`.
        progress: shows epochs and the time left.
        start: a finished baseline, of this network or another, to start from (see `grown`).

    Raises:
        UsageError: see `mlbench.training.loop.fit` and `mlbench.networks.growing.grown`; or `start` has seen samples
            that this split keeps back.
    """
    if start is not None:
        require_apart(start, material)
    key = baseline_key(source, material, options, start)
    folder = baseline_folder(source, key)
    if (done := finished(folder, key, material.task)) is not None:
        return done
    with one_at_a_time(folder, progress.say):
        if (done := finished(folder, key, material.task)) is not None:
            return done
        network, fitted = _fit(source, material, options, progress, start, folder)
        seen = Seen.of(material.samples, material.split) if options.epochs else Seen.nothing()
        seen = seen | start.seen if start else seen
        _keep(network, fitted.history, folder, seen, material.samples.margins)
    trained = finished(folder, key, material.task)
    assert trained is not None  # noqa: S101 (kept above)
    return Trained(**vars(trained) | {"reused": False})


def _fit(
    source: NetworkSource,
    material: Material,
    options: TrainingOptions,
    progress: Progress,
    start: Trained | None,
    folder: Path,
) -> tuple[tf_keras.Model, Fit]:
    use_threads(options.threads)
    train, task = material.train, material.task
    # For all samples: one class, say, may be in the test part alone.
    network = building.build(source, task, material.samples, options.seed)
    for doubt in doubts_of_network(network, task, train, facts_of(network, train)):
        progress.warn(doubt)
    if start is None and not source.trained:
        building.start_from_prior(network, task.prior(train))
    elif start is not None:
        network = grown(network, start.network())
    title = f"{'Training' if options.epochs else 'Validating'} {source.name}"
    return network, fit(network, task, train, material.validation, options, folder, progress, title=title)


def require_apart(used: Trained, material: Material) -> None:
    """Refuse a finished baseline that has learnt from samples which this split keeps back, or of another margin.

    Raises:
        UsageError: how many of them it has seen, or the two margins.
    """
    if used.margins != material.samples.margins:
        learnt, given = (
            ", ".join(f"{margin:g}" for margin in margins.values()) or "1"
            for margins in (used.margins, material.samples.margins)
        )
        message = (
            f"{used.folder.name} learnt from inputs with a margin of {learnt}, those of this run have {given}: "
            "name a baseline of the same margin."
        )
        raise UsageError(message)
    keys, split = material.samples.keys, material.split
    validated = np.isin(keys[split.validation], used.seen.trained).sum()
    tested = np.isin(keys[split.test], np.union1d(used.seen.trained, used.seen.validated)).sum()
    if validated or tested:
        message = (
            f"{used.folder.name} has seen {tested:,} of the {len(split.test):,} test and {validated:,} of the "
            f"{len(split.validation):,} validation samples of this run: name a baseline of the same --data, --split "
            "and --seed, or of other samples."
        )
        raise UsageError(message)


def baseline_key(
    source: NetworkSource, material: Material, options: TrainingOptions, start: Trained | None = None
) -> str:
    """The hash of what determines a baseline's weights."""
    before = () if start is None else (start.key,)
    return key_of(
        "baseline",
        TRAINING_VERSION,
        identity(type(source)),
        source.key(),
        options.deciding(),
        material.key(),
        versions(*LIBRARIES),
        *before,
    )


def baseline_folder(source: NetworkSource, key: str) -> Path:
    """Where the baseline of a key is kept."""
    return cache_folder() / "baselines" / f"{source.name}-{key}"


def baseline_named(name: str, task: Task) -> Trained:
    """The finished baseline of a name that `mlbench train` gave, as two_pool-1a2b3c4d5e6f7a8b.

    Raises:
        UsageError: there is none in the cache.
    """
    folder = cache_folder() / "baselines"
    known = [path.parent.name for path in sorted(folder.glob("*/seen.npz")) if _done(path.parent)]
    if name in known and (done := finished(folder / name, name.rpartition("-")[2], task)):
        return done
    message = f'There is no finished baseline "{name}" in {folder}{did_you_mean(name, known)}'
    raise UsageError(message)


def finished(folder: Path, key: str, task: Task) -> Trained | None:
    """The finished training in a folder of the cache, or None."""
    if not _done(folder):
        return None
    history = history_from_json((folder / BASELINE_DONE).read_text(encoding="utf-8"))
    if task.primary.name not in history[0].validation:
        message = f"{folder.name} was trained for another task than {task.name}: name a baseline of this one."
        raise UsageError(message)
    best = min(history, key=lambda epoch: merit(task, epoch))
    seen = Seen(**storage.load_arrays(folder / "seen.npz"))
    kept = folder / _MARGINS
    margins = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    return Trained(key, folder, tuple(history), best, reused=True, seen=seen, margins=margins)


def _done(folder: Path) -> bool:
    return (folder / BASELINE_DONE).exists()


def _keep(
    network: tf_keras.Model,
    history: tuple[Epoch, ...],
    folder: Path,
    seen: Seen,
    margins: Mapping[str, float],
) -> None:
    """Store a trained network; its checkpoints are no longer needed. The history, written last, marks it done."""
    storage.save(network, folder)
    storage.save_arrays(dict(vars(seen)), folder / "seen.npz")
    if margins:
        with write_atomically(folder / _MARGINS) as part:
            part.write_text(json.dumps(dict(margins)), encoding="utf-8")
    with write_atomically(folder / BASELINE_DONE) as part:
        part.write_text(history_to_json(history), encoding="utf-8")
    for leftover in (CHECKPOINT, BEST):
        (folder / leftover).unlink(missing_ok=True)
