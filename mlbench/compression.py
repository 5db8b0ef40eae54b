"""A chain carried out on a baseline, stage by stage; each finished stage is kept in the cache and used again."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import TypeAdapter

from mlbench import networks
from mlbench.baselines import Trained
from mlbench.cache import cache_folder
from mlbench.chain import Chain
from mlbench.contracts import Compressor, Context, ExportOptions, Form, Progress
from mlbench.errors import RefusedCompressionError
from mlbench.faces.dataset import Faces, Split
from mlbench.files import key_of, write_atomically
from mlbench.records import Epoch, Stage
from mlbench.training import TrainingOptions, fit, predict

if TYPE_CHECKING:
    import tf_keras

#: Raised when a change of the code changes what equal options give.
COMPRESSION_VERSION = 1

_CALIBRATION_FACES = 1000
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
        return networks.load(self.folder)


@dataclass(frozen=True)
class Bench:
    """What every stage works with: the data, how it is tuned, whom it learns from."""

    faces: Faces
    split: Split
    tuning: TrainingOptions
    progress: Progress

    def calibration(self) -> Faces:
        """At most 1,000 faces of the training split, drawn by the seed."""
        rng = np.random.default_rng(self.tuning.seed)
        count = min(_CALIBRATION_FACES, len(self.split.train))
        return self.faces.take(np.sort(rng.choice(self.split.train, count, replace=False)))


def start(baseline: Trained) -> Compressed:
    """The empty chain: the baseline as it is."""
    network = baseline.network()
    best = baseline.best.validation_mae_px
    stage = Stage(
        name="baseline",
        parameters=network.count_params(),
        macs=sum(layer.macs for layer in networks.layer_table(network)),
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
    current = start(baseline)
    for compressor in chain.compressors:
        current = _stage(compressor, current, baseline, bench)
    return current


def _stage(compressor: Compressor, before: Compressed, baseline: Trained, bench: Bench) -> Compressed:
    tuning = bench.tuning.model_dump(exclude={"threads"}) if compressor.needs_tuning else None
    key = key_of("stage", COMPRESSION_VERSION, before.key, compressor.name, compressor.model_dump(), tuning)
    folder = cache_folder() / "stages" / f"{compressor.name}-{key}"
    done = folder / "stage.json"
    if not done.exists():
        export, stage = _carry_out(compressor, before, baseline, bench, folder)
        with write_atomically(done) as part:
            text = {"export": _EXPORT.dump_python(export), "stage": stage.model_dump(mode="json")}
            part.write_text(json.dumps(text), encoding="utf-8")
    text = json.loads(done.read_text(encoding="utf-8"))
    stage = Stage.model_validate(text["stage"])
    return Compressed(key, folder, _EXPORT.validate_python(text["export"]), (*before.stages, stage))


def _carry_out(
    compressor: Compressor, before: Compressed, baseline: Trained, bench: Bench, folder: Path
) -> tuple[ExportOptions, Stage]:
    started, progress = time.perf_counter(), bench.progress
    progress.say(f"Compressing with {compressor.describe()} …")
    original = before.network()
    size = original.count_params()
    context = Context(bench.calibration(), bench.tuning.seed, progress)
    form = compressor.compress(Form(original, before.export), context)
    _refuse_larger(compressor, form, size)
    del original
    validation = bench.faces.take(bench.split.validation)
    history: tuple[Epoch, ...] = ()
    if compressor.needs_tuning:
        train = bench.faces.take(bench.split.train)
        title = f"Tuning after {compressor.describe()}"
        teacher = baseline.network()
        history = fit(
            form.network, train, validation, bench.tuning, folder, progress, title=title, teacher=teacher
        ).history
        form = compressor.finish(form)
    after = float(np.abs(predict(form.network, validation.images) - validation.points).mean())
    networks.save(form.network, folder)
    for leftover in ("checkpoint.npz", "best.npz"):
        (folder / leftover).unlink(missing_ok=True)
    return form.export, Stage(
        name=compressor.describe(),
        parameters=form.network.count_params(),
        macs=sum(layer.macs for layer in networks.layer_table(form.network)),
        validation_mae_before_tuning_px=history[0].validation_mae_px if history else after,
        validation_mae_px=after,
        seconds=time.perf_counter() - started,
        changes=form.changes,
        history=history,
    )


def _refuse_larger(compressor: Compressor, form: Form, before: int) -> None:
    after = form.network.count_params()
    if after > before:
        message = (
            f"{compressor.describe()} would make the network larger ({before:,} to {after:,} parameters): "
            "give other options."
        )
        raise RefusedCompressionError(message)
