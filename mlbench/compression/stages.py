"""A chain carried out on a baseline, stage by stage; each finished stage is kept in the cache and used again."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import TypeAdapter

from mlbench import plugins
from mlbench.compression.chain import Chain
from mlbench.contracts import Compressor, Context, ExportOptions, Form, Progress, Tuned
from mlbench.errors import RefusedCompressionError
from mlbench.export.artifacts import answers
from mlbench.export.written import EXPORT_VERSION, Written, file_of, written
from mlbench.faces.appearance import SAMPLING_VERSION, AppearanceModel
from mlbench.faces.dataset import Faces, Split, joined
from mlbench.faces.overlap import without
from mlbench.networks import counting, storage
from mlbench.records import Epoch, Stage
from mlbench.system.cache import cache_folder, one_at_a_time
from mlbench.system.environment import versions
from mlbench.system.files import key_of, write_atomically
from mlbench.training.baselines import LIBRARIES, Trained, baseline_named, require_apart
from mlbench.training.loop import fit, predict
from mlbench.training.options import TuningOptions

if TYPE_CHECKING:
    import tf_keras

#: Raised when a change of the code changes what equal options give.
COMPRESSION_VERSION = 6

_LIBRARIES = (*LIBRARIES, "tensorflow-model-optimization", "ai-edge-quantizer", "ai-edge-litert")

_CALIBRATION_FACES = 1000
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
class Bench:
    """What every stage works with: the data, how it is tuned, whom it learns from."""

    faces: Faces
    split: Split
    tuning: TuningOptions
    progress: Progress

    def tuning_as(self, compressor: Compressor) -> Bench:
        """The bench with what a compressor's own options ask of its tuning, if they do."""
        if not isinstance(compressor, Tuned):
            return self
        asked = compressor.model_dump(include=_OWN_TUNING, exclude_none=True)
        return replace(self, tuning=self.tuning.model_copy(update=asked))

    def calibration(self) -> Faces:
        """At most 1,000 faces of the training split, drawn by the seed."""
        rng = np.random.default_rng(self.tuning.seed)
        count = min(_CALIBRATION_FACES, len(self.split.train))
        return self.faces.take(np.sort(rng.choice(self.split.train, count, replace=False)))

    def teacher(self, baseline: Trained) -> tf_keras.Model | None:
        """The network that tuning learns from: the one that the options name, or the baseline; None without a share.

        Raises:
            UsageError: there is none of that name, or it has seen faces that the split keeps back.
        """
        if not self.tuning.teacher_share:
            return None
        name = self.tuning.teacher
        used = baseline_named(name) if name else baseline
        require_apart(used, self.faces, self.split)
        return used.network()

    def tuning_faces(self) -> Faces:
        """The training split, and as many sampled faces as the tuning asks for; none that the split keeps back."""
        train = self.faces.take(self.split.train)
        if not self.tuning.sampled_faces:
            return train
        sampled = AppearanceModel.load().sample(
            self.tuning.sampled_faces, seed=self.tuning.seed, purpose="tuning"
        )
        held = self.faces.take(np.concatenate([self.split.validation, self.split.test]))
        return without(joined([train, sampled]), held)

    def deciding(self, compressor: Compressor) -> list[object]:
        """What of the bench decides a stage's weights and figures, for keys of the cache."""
        decided: list[object] = [self.split.key(self.faces), self.tuning.seed]  # of the calibration
        if compressor.needs_tuning:
            decided.append(self.tuning.deciding())
            if self.tuning.sampled_faces:
                decided += [SAMPLING_VERSION, AppearanceModel.load().fingerprint]
        return decided


def start(baseline: Trained) -> Compressed:
    """The empty chain: the baseline as it is."""
    network = baseline.network()
    best = baseline.best.validation_mae_px
    stage = Stage(
        name="baseline",
        parameters=counting.parameters_of(network),
        macs=sum(layer.macs for layer in counting.layer_table(network)),
        validation_mae_before_tuning_px=baseline.history[0].validation_mae_px,
        validation_mae_px=best,
        seconds=sum(epoch.seconds for epoch in baseline.history),
        history=baseline.history,
    )
    return Compressed(baseline.key, baseline.folder, ExportOptions(), (stage,))


def compress(baseline: Trained, chain: Chain, bench: Bench) -> Compressed:
    """Carry out a chain; stages found in the cache are not repeated.

    Raises:
        RefusedCompressionError: a stage would not make the network smaller.
    """
    from mlbench.training.step import use_threads  # imports TensorFlow

    use_threads(bench.tuning.threads)
    current = start(baseline)
    for compressor in chain.compressors:
        current = _stage(compressor, current, baseline, bench)
    return current


def _stage(compressor: Compressor, before: Compressed, baseline: Trained, bench: Bench) -> Compressed:
    bench = bench.tuning_as(compressor)
    code = COMPRESSION_VERSION, EXPORT_VERSION, plugins.identity(type(compressor)), versions(*_LIBRARIES)
    options = compressor.model_dump(exclude=_OWN_TUNING)  # they are in the tuning's
    key = key_of("stage", *code, before.key, options, bench.deciding(compressor))
    folder = cache_folder() / "stages" / f"{compressor.name}-{key}"
    done = folder / "stage.json"
    if not done.exists():
        with one_at_a_time(folder, bench.progress):
            if not done.exists():
                _keep(*_carry_out(compressor, before, baseline, bench, folder), done)
                for leftover in ("checkpoint.npz", "best.npz"):  # of use until the stage is kept
                    (folder / leftover).unlink(missing_ok=True)
    text = json.loads(done.read_text(encoding="utf-8"))
    stage = Stage.model_validate(text["stage"])
    return Compressed(key, folder, _EXPORT.validate_python(text["export"]), (*before.stages, stage))


def _keep(export: ExportOptions, stage: Stage, done: Path) -> None:
    with write_atomically(done) as part:
        text = {"export": _EXPORT.dump_python(export), "stage": stage.model_dump(mode="json")}
        part.write_text(json.dumps(text), encoding="utf-8")


def _carry_out(
    compressor: Compressor, before: Compressed, baseline: Trained, bench: Bench, folder: Path
) -> tuple[ExportOptions, Stage]:
    started, calibration = time.perf_counter(), bench.calibration()
    bench.progress.say(f"Compressing with {compressor.describe()} …")
    context = Context(calibration, bench.tuning.seed, bench.progress)
    form = compressor.compress(Form(before.network(), before.export), context)
    shipped = compressor.finish(form)
    _refuse_larger(
        compressor, counting.parameters_of(shipped.network), before.stages[-1].parameters, "parameters"
    )
    validation = bench.faces.take(bench.split.validation)
    untuned = float(np.abs(predict(shipped.network, validation.images) - validation.points).mean())
    history: tuple[Epoch, ...] = ()
    if compressor.needs_tuning:
        history = _tuned(compressor, form, baseline, bench, validation, folder)
        shipped = compressor.finish(form)
    storage.save(shipped.network, folder)
    facts = written(folder, shipped.export, calibration)
    _refuse_larger_file(compressor, facts, before.stages[-1])
    error = float(
        np.abs(answers(file_of(folder, shipped.export), validation.images) - validation.points).mean()
    )
    return shipped.export, Stage(
        name=compressor.describe(),
        parameters=counting.parameters_of(shipped.network),
        macs=sum(layer.macs for layer in counting.layer_table(shipped.network)),
        validation_mae_before_tuning_px=untuned if compressor.needs_tuning else error,
        validation_mae_px=error,
        seconds=time.perf_counter() - started,
        file_bytes=facts.file_bytes,
        deflated_bytes=facts.deflated_bytes,
        changes=form.changes,
        history=history,
    )


def _tuned(
    compressor: Compressor, form: Form, baseline: Trained, bench: Bench, validation: Faces, folder: Path
) -> tuple[Epoch, ...]:
    """Tune in place, with labels and a teacher's answers, on the run's faces and sampled ones."""
    options = bench.tuning
    return fit(
        form.network,
        bench.tuning_faces(),
        validation,
        options,
        folder,
        bench.progress,
        title=f"Tuning after {compressor.describe()}",
        teacher=bench.teacher(baseline),
        before_step=compressor.before_step,
        settle=compressor.settle,
        first_settled=compressor.first_settled_epoch(options.epochs),
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
