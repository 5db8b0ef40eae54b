"""A chain carried out on a baseline, stage by stage; each finished stage is kept in the cache and used again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import TypeAdapter

from mlbench import plugins
from mlbench.compression.chain import Chain
from mlbench.contracts import Compressor, Context, ExportOptions, Form, Progress, Samples, Tuned
from mlbench.contracts.samples import joined
from mlbench.contracts.task import Arrays
from mlbench.data.overlap import without
from mlbench.errors import RefusedCompressionError
from mlbench.evaluation.metrics import figures
from mlbench.export.artifacts import answers
from mlbench.export.written import EXPORT_VERSION, Written, file_of, written
from mlbench.networks import counting, graph, storage
from mlbench.networks.ports import predict
from mlbench.records import Epoch, Stage
from mlbench.system.cache import cache_folder, one_at_a_time
from mlbench.system.environment import versions
from mlbench.system.files import key_of, place_also, write_atomically
from mlbench.training.accelerators import use_threads
from mlbench.training.baselines import LIBRARIES as _OF_TRAINING
from mlbench.training.baselines import Material, Trained, baseline_named, require_apart
from mlbench.training.loop import BEST, CHECKPOINT, epochs_behind, fit
from mlbench.training.options import TuningOptions

if TYPE_CHECKING:
    import tf_keras

#: Raised when a change of the code changes what equal options give.
COMPRESSION_VERSION = 7

#: Packages that decide what a stage leaves.
LIBRARIES = (*_OF_TRAINING, "tensorflow-model-optimization", "ai-edge-quantizer", "ai-edge-litert")

_CALIBRATION = 1000
#: Options of a step that are its tuning's.
_OWN_TUNING = {"epochs", "rate", "augment_strength", "teacher_share"}
_EXPORT = TypeAdapter(ExportOptions)


@dataclass(frozen=True)
class Compressed:
    """The outcome of a chain in the cache: where the network is, how to write it, what each stage did."""

    key: str
    folder: Path
    export: ExportOptions
    stages: tuple[Stage, ...]

    def network(self) -> tf_keras.Model:
        """The compressed network."""
        return storage.load(self.folder)


@dataclass(frozen=True)
class ChainSetup:
    """What every stage works with: what is learnt and from what, how it is tuned, whom it learns from."""

    material: Material
    tuning: TuningOptions
    progress: Progress

    def tuning_as(self, compressor: Compressor) -> ChainSetup:
        """The setup with what a compressor's own options ask of its tuning, if they do."""
        if not isinstance(compressor, Tuned):
            return self
        asked = compressor.model_dump(include=_OWN_TUNING, exclude_none=True)
        return replace(self, tuning=self.tuning.model_copy(update=asked))

    def calibration(self) -> Samples:
        """At most 1,000 samples of the training split, drawn by the seed."""
        rng, rows = np.random.default_rng(self.tuning.seed), self.material.split.train
        chosen = rng.choice(rows, min(_CALIBRATION, len(rows)), replace=False)
        return self.material.samples.take(np.sort(chosen))

    def teacher(self, baseline: Trained) -> tf_keras.Model | None:
        """The network that tuning learns from: the one that the options name, or the baseline; None without a share.

        Raises:
            UsageError: there is none of that name, or it has seen samples that the split keeps back.
        """
        if not self.tuning.teacher_share:
            return None
        name = self.tuning.teacher
        used = baseline_named(name, self.material.task) if name else baseline
        require_apart(used, self.material)
        return used.network()

    def tuning_samples(self) -> Samples:
        """The training split, and as many drawn samples as the tuning asks for; none that the split keeps back."""
        train, count = self.material.train, self.tuning.sampled
        if not count:
            return train
        drawn = self.material.task.sample_cut(train.margins, count, self.tuning.seed, "tuning")
        return without(joined([train, drawn]), self.material.held)

    def deciding(self, compressor: Compressor) -> list[object]:
        """What of the setup decides a stage's weights and figures, for keys of the cache."""
        decided: list[object] = [*self.material.key(), self.tuning.seed]  # of the calibration
        if compressor.needs_tuning:
            decided.append(self.tuning.deciding())
            if self.tuning.sampled:
                decided.append(self.material.task.sampling_key())
        return decided

    def error(self, outputs: Arrays, samples: Samples) -> float:
        """The primary metric of a network's outputs on samples."""
        task = self.material.task
        return figures(task, task.answers(outputs), samples.targets)[task.primary.name]


def start(baseline: Trained, metric: str) -> Compressed:
    """The empty chain: the baseline as it is, judged by a metric."""
    network = baseline.network()
    stage = Stage(
        name="baseline",
        parameters=counting.parameters_of(network),
        macs=sum(layer.macs for layer in counting.layer_table(network)),
        validation_before_tuning=baseline.history[0].validation[metric],
        validation=baseline.best.validation[metric],
        seconds=sum(epoch.seconds for epoch in baseline.history),
        history=baseline.history,
    )
    return Compressed(baseline.key, baseline.folder, ExportOptions(), (stage,))


def compress(baseline: Trained, chain: Chain, setup: ChainSetup, epochs: int | None = None) -> Compressed:
    """Carry out a chain; stages found in the cache are not repeated.

    Args:
        baseline: what is compressed.
        chain: of compressors.
        setup: what every stage works with.
        epochs: of tuning that are spent, over the whole chain in order; None: all.

    Raises:
        RefusedCompressionError: a stage would not make the network smaller.
    """
    use_threads(setup.tuning.threads)  # before `start` makes the first network; a run has pinned them earlier
    current = start(baseline, setup.material.task.primary.name)
    for ahead in stages_ahead(baseline.key, chain, setup, epochs):
        current = carried_out(ahead, current, baseline, setup)
    return current


@dataclass(frozen=True)
class StageAhead:
    """A stage by what names it in the cache, known before it is carried out.

    Attributes:
        compressor: what is done.
        key: of all that decides what it leaves.
        whole: key of the same stage, tuned to its end: equal to `key` where it is.
        epochs: of tuning that it runs.
        of: epochs of the whole tuning.
    """

    compressor: Compressor
    key: str
    whole: str
    epochs: int
    of: int

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return self._folder(self.key)

    @property
    def done(self) -> Path:
        """The file that marks it finished."""
        return self.folder / STAGE_DONE

    @property
    def complete(self) -> bool:
        """Whether it is tuned to its end."""
        return self.key == self.whole

    def began(self) -> list[Path]:
        """Where its tuning may have begun: its own folder, and those of the same stage that paused earlier."""
        return [self.folder, *(self._folder(_paused(self.whole, epoch)) for epoch in range(1, self.epochs))]

    def behind(self) -> int:
        """Epochs of its tuning that need not be run again."""
        return max(map(epochs_behind, self.began()), default=0)

    def _folder(self, key: str) -> Path:
        return cache_folder() / "stages" / f"{self.compressor.name}-{key}"

    @property
    def whole_folder(self) -> Path:
        """Where the same stage, tuned to its end, is kept."""
        return self._folder(self.whole)


#: Written last: marks a stage done.
STAGE_DONE = "stage.json"


def stages_ahead(
    baseline_key: str, chain: Chain, setup: ChainSetup, epochs: int | None = None
) -> list[StageAhead]:
    """The stages of a chain on a baseline, none of which needs to be carried out yet.

    Args:
        baseline_key: of the baseline.
        chain: of compressors.
        setup: what every stage works with.
        epochs: see `compress`.
    """
    found, before, left = list[StageAhead](), baseline_key, epochs
    for compressor in chain.compressors:
        of = setup.tuning_as(compressor).tuning.epochs if compressor.needs_tuning else 0
        spent = of if left is None else min(of, left)
        whole = _key(compressor, before, setup)
        before = whole if spent == of else _paused(whole, spent)
        found.append(StageAhead(compressor, before, whole, spent, of))
        left = None if left is None else left - spent
    return found


def unfinished(key: str, chain: Chain, setup: ChainSetup) -> Iterator[tuple[str, int]]:
    """The stages of a chain that tune and are not in the cache: their keys, and how many samples they tune on.

    Args:
        key: of the baseline.
        chain: to carry out.
        setup: as of `compress`.
    """
    for ahead in stages_ahead(key, chain, setup):
        if ahead.of and not ahead.done.exists():
            sampled = setup.tuning_as(ahead.compressor).tuning.sampled
            yield ahead.key, ahead.of * (len(setup.material.split.train) + sampled)


def _key(compressor: Compressor, before: str, setup: ChainSetup) -> str:
    """The hash of what determines a stage, after another of the key `before`."""
    writers = [plugins.identity(one) for one in plugins.usable("precisions")[0].values()]
    code = (
        COMPRESSION_VERSION,
        EXPORT_VERSION,
        plugins.identity(type(compressor)),
        writers,
        versions(*LIBRARIES),
    )
    options = compressor.model_dump(exclude=_OWN_TUNING)  # they are in the tuning's
    return key_of("stage", *code, before, options, setup.tuning_as(compressor).deciding(compressor))


def _paused(whole: str, epochs: int) -> str:
    """The key of a stage whose tuning pauses: never that of a finished one."""
    return key_of("paused", whole, epochs)


def carried_out(ahead: StageAhead, before: Compressed, baseline: Trained, setup: ChainSetup) -> Compressed:
    """A stage, from the cache where it is there; one that paused or was interrupted goes on.

    Raises:
        RefusedCompressionError: it would not make the network smaller.
    """
    setup = setup.tuning_as(ahead.compressor)
    if not ahead.done.exists():
        with one_at_a_time(ahead.whole_folder, setup.progress.say):
            if not ahead.done.exists():
                _take_up(ahead)
                _keep(*_carry_out(ahead, before, baseline, setup), ahead.done)
                _forget(ahead)
    return kept(ahead, before.stages)


def kept(ahead: StageAhead, before: tuple[Stage, ...] = ()) -> Compressed:
    """A finished stage as the cache holds it, behind those before."""
    export, stage = _kept(ahead.done)
    return Compressed(ahead.key, ahead.folder, export, (*before, stage))


def shipped_file(folder: Path) -> Path:
    """The file that a folder of a finished stage, or of a baseline, would ship, once it is written."""
    done = folder / STAGE_DONE
    return file_of(folder, _kept(done)[0] if done.exists() else ExportOptions())


def _kept(done: Path) -> tuple[ExportOptions, Stage]:
    text = json.loads(done.read_text(encoding="utf-8"))
    return _EXPORT.validate_python(text["export"]), Stage.model_validate(text["stage"])


def _keep(export: ExportOptions, stage: Stage, done: Path) -> None:
    with write_atomically(done) as part:
        text = {"export": _EXPORT.dump_python(export), "stage": stage.model_dump(mode="json")}
        part.write_text(json.dumps(text), encoding="utf-8")


def _take_up(ahead: StageAhead) -> None:
    """Let a tuning go on from where the same stage paused last, if its own checkpoint is not further."""
    furthest = max(ahead.began(), key=epochs_behind)  # the first, its own, where they are equal
    if furthest == ahead.folder:
        return
    for name in (BEST, CHECKPOINT):
        if (furthest / name).exists():  # none is best before the first epoch that may be kept
            place_also(furthest / name, ahead.folder / name)


def _forget(ahead: StageAhead) -> None:
    """Remove the checkpoints that nothing needs to go on from any more."""
    own, *earlier = ahead.began()
    for folder in [own, *earlier] if ahead.complete else earlier:
        for leftover in (CHECKPOINT, BEST):
            (folder / leftover).unlink(missing_ok=True)


def _carry_out(
    ahead: StageAhead, before: Compressed, baseline: Trained, setup: ChainSetup
) -> tuple[ExportOptions, Stage]:
    started, calibration = time.perf_counter(), setup.calibration()
    compressor, folder = ahead.compressor, ahead.folder
    setup.progress.say(f"Compressing with {compressor.describe()} …")
    context = Context(calibration, setup.tuning.seed, setup.progress)
    form = compressor.compress(Form(graph.flattened(before.network()), before.export), context)
    shipped = compressor.finish(form)
    _refuse_larger(
        compressor, counting.parameters_of(shipped.network), before.stages[-1].parameters, "parameters"
    )
    validation = setup.material.validation
    untuned = setup.error(predict(shipped.network, validation), validation)
    history: tuple[Epoch, ...] = ()
    if compressor.needs_tuning and (ahead.epochs or ahead.complete):
        history = _tuned(ahead, form, baseline, setup, validation)
        shipped = compressor.finish(form)
    storage.save(shipped.network, folder)
    facts = written(folder, shipped.export, calibration)
    _refuse_larger_file(compressor, facts, before.stages[-1])
    error = setup.error(answers(file_of(folder, shipped.export), validation), validation)
    return shipped.export, Stage(
        name=compressor.describe(),
        parameters=counting.parameters_of(shipped.network),
        macs=sum(layer.macs for layer in counting.layer_table(shipped.network)),
        validation_before_tuning=untuned if compressor.needs_tuning else error,
        validation=error,
        seconds=time.perf_counter() - started,
        file_bytes=facts.file_bytes,
        deflated_bytes=facts.deflated_bytes,
        changes=form.changes,
        history=history,
    )


def _tuned(
    ahead: StageAhead, form: Form, baseline: Trained, setup: ChainSetup, validation: Samples
) -> tuple[Epoch, ...]:
    """Tune in place, with targets and a teacher's answers, on the run's samples and drawn ones."""
    options, compressor = setup.tuning, ahead.compressor
    return fit(
        form.network,
        setup.material.task,
        setup.tuning_samples(),
        validation,
        options,
        ahead.folder,
        setup.progress,
        title=f"Tuning after {compressor.describe()}",
        teacher=setup.teacher(baseline),
        before_step=compressor.before_step,
        settle=compressor.settle,
        first_settled=compressor.first_settled_epoch(options.epochs),
        until=ahead.epochs,
    ).history


def _refuse_larger_file(compressor: Compressor, facts: Written, before: Stage) -> None:
    """A file may be larger raw or deflated, but not both."""
    weights = 4 * before.parameters  # of a stage that was not written
    raw, deflated = before.file_bytes or weights, before.deflated_bytes or weights
    if facts.deflated_bytes > deflated:
        _refuse_larger(compressor, facts.file_bytes, raw, "bytes")


def _refuse_larger(compressor: Compressor, after: int, before: int, unit: str) -> None:
    if after > before:
        message = (
            f"{compressor.describe()} would make the network larger ({before:,} to {after:,} {unit}): "
            "give other options."
        )
        raise RefusedCompressionError(message)
