"""One run, step by step: train or reuse the baseline, compress, tune, export, measure, judge, record.

Every finished step is in the cache under what determines it, so that a run that was interrupted, or is given
again, does only what is missing; measuring is always done anew.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlbench import __version__, plugins
from mlbench.compression.chain import Chain
from mlbench.compression.stages import Bench, Compressed, compress
from mlbench.contracts import DeviceRunner, Progress, Variant
from mlbench.errors import UsageError
from mlbench.export import artifacts as files_of
from mlbench.export.delivery import export
from mlbench.faces.dataset import Faces, Split
from mlbench.faces.overlap import Seen, overlaps
from mlbench.faces.persons import described
from mlbench.faces.sources import Source, TestSet
from mlbench.networks import counting
from mlbench.records import Artifact, Data, Record, write_record
from mlbench.records import Split as SplitFacts
from mlbench.runs.measuring import Measuring, measure, now
from mlbench.system import environment
from mlbench.system.files import key_of, require_suffix, require_writable
from mlbench.training.baselines import Trained, baseline_named, require_apart, train_baseline
from mlbench.training.doubts import learnt_nothing, slow_arithmetic
from mlbench.training.options import TrainingOptions, TuningOptions

_SPLIT = "test"  # how the run's own test split is called among test sets


@dataclass(frozen=True)
class Plan:
    """What a run shall do; everything that determines its outcome is in here."""

    variants: tuple[str, ...]
    chains: tuple[Chain, ...]  # the baseline is always measured too
    source: Source
    tests: tuple[TestSet, ...]
    training: TrainingOptions
    tuning: TuningOptions
    measuring: Measuring
    start_from: str | None = None  # name of a finished baseline
    frozen_graph: bool = False
    out: Path = Path("runs")
    command: tuple[str, ...] = ()

    def configuration(self) -> dict[str, Any]:
        """The plan as JSON values, for the record."""
        return {
            "variants": list(self.variants),
            "chains": [str(chain) for chain in self.chains],
            "source": self.source.describe(),
            "split": "shuffled" if self.source.shuffle else "file-order",
            "tests": [str(test) for test in self.tests],
            "test_files": [str(test.path) for test in self.tests],
            "training": self.training.model_dump(),
            "start_from": self.start_from,
            "tuning": self.tuning.model_dump(),
            "measuring": self.measuring.configuration(),
        }


@dataclass(frozen=True)
class Finished:
    """A finished run of one variant."""

    record: Record
    folder: Path


def run(plan: Plan, progress: Progress) -> list[Finished]:
    """Carry out a plan; one record a variant.

    Raises:
        UsageError: bad input, or no candidate could be made. What finished before is kept.
    """
    variants: list[Variant] = [plugins.load("variants", name) for name in plan.variants]
    runners = plan.measuring.runners()
    _require_own_names(plan.tests, {_SPLIT: "the run's own test split"})
    start, teacher = _named(plan.start_from), _named(plan.tuning.teacher)
    require_writable(plan.out / "report.html")
    given = {test.name: test.load(progress) for test in plan.tests}
    faces, split = _divided(plan.source, (start, teacher), progress)
    tests = {_SPLIT: plan.source.tests(faces, split)} | given
    return [
        _Run(plan, variant, start, teacher, runners, faces, split, tests, progress).finish()
        for variant in variants
    ]


def _divided(source: Source, used: Sequence[Trained | None], progress: Progress) -> tuple[Faces, Split]:
    """The faces of a run and their split, of which the baselines that it uses have seen none that is kept back."""
    faces = source.load(progress)
    split = source.split(faces)
    progress.say(
        f"{len(faces):,} faces of {described(faces.persons)}: {len(split.train):,} to train on, "
        f"{len(split.validation):,} to validate, {len(split.test):,} to test."
    )
    for baseline in filter(None, used):
        require_apart(baseline, faces, split)
    return faces, split


def _require_own_names(tests: Sequence[TestSet], taken: dict[str, str]) -> None:
    """Refuse two test sets of one name; `taken` says what else has which name."""
    owners = dict(taken)
    for test in tests:
        if test.name in owners:
            message = (
                f'{test.path} would be called "{test.name}" in tables, as {owners[test.name]} is: '
                "give it once, or rename the file."
            )
            raise UsageError(message)
        owners[test.name] = str(test.path)


@dataclass
class _Run:
    """One variant's way through the plan."""

    plan: Plan
    variant: Variant
    start: Trained | None
    teacher: Trained | None
    runners: list[DeviceRunner]
    faces: Faces
    split: Split
    tests: dict[str, Faces]
    progress: Progress

    def finish(self) -> Finished:
        plan = self.plan
        prints = {name: faces.fingerprint for name, faces in self.tests.items()}
        name = key_of(plan.configuration(), self.faces.fingerprint, prints)[:8]
        folder = plan.out / f"{self.variant.name}-{name}"
        warnings = plan.source.warnings() + self._seen_tests()
        warnings += _told(slow_arithmetic(plan.training, plan.tuning), self.progress)
        made = self._artifacts(folder, warnings)
        findings = measure(
            [artifact for artifact, _ in made],
            folder,
            self.tests,
            plan.measuring,
            self.runners,
            self.progress,
        )
        record = Record(
            mlbench_version=__version__,
            created=now(),
            command=plan.command,
            configuration=plan.configuration(),
            environment=environment.machine() | environment.software(),
            data=self._data(),
            layers={artifact.id: tuple(counting.layer_table(c.network())) for artifact, c in made},
            stages={artifact.id: compressed.stages for artifact, compressed in made},
            **findings.with_warnings(warnings),
        )
        write_record(record, folder / "record.json")
        return Finished(record, folder)

    def _seen_tests(self) -> list[str]:
        """Notes on test faces, and rows left out, that training has seen; told before hours of work too."""
        seen = Seen.of(self.faces, self.split)
        for used in filter(None, (self.start, self.teacher)):
            seen |= used.seen
        found = list(overlaps(seen, self.tests))
        if self.split.left_out:
            found.append(
                f"{self.split.left_out:,} faces were left out of training: their images are also in the test or "
                "validation split."
            )
        for text in found:
            self.progress.say(text)
        return found

    def _artifacts(self, folder: Path, warnings: list[str]) -> list[tuple[Artifact, Compressed]]:
        """The baseline first, then a candidate a chain; a refused chain becomes a warning."""
        plan = self.plan
        baseline = train_baseline(
            self.variant, self.faces, self.split, plan.training, self.progress, self.start
        )
        self.progress.say(
            f"Baseline {self.variant.name} {'from the cache' if baseline.reused else 'trained'}: "
            f"{baseline.best.validation_mae_px:.3f} px on the validation split."
        )
        nothing = learnt_nothing(self.variant.name, baseline.history, plan.training.rate)
        warnings += _told(nothing, self.progress)
        bench = Bench(self.faces, self.split, plan.tuning, self.progress)
        made, refused = list[tuple[Artifact, Compressed]](), list[str]()
        for text, chain in {str(chain): chain for chain in (Chain(()), *plan.chains)}.items():
            try:
                compressed = compress(baseline, chain, bench)
                self.progress.say(f"Writing {self.variant.name} · {text} …")
                artifact = export(
                    compressed,
                    self.variant,
                    text,
                    bench.calibration(),
                    folder,
                    frozen_graph=plan.frozen_graph,
                )
            except UsageError as error:
                if not made:  # the baseline, without which nothing can be compared
                    raise
                # One chain of many that cannot be made is no reason to lose the others.
                refused.append(f"{self.variant.name} · {text} was not made: {error}")
                self.progress.say(refused[-1])
                continue
            made.append((artifact, compressed))
        if refused and len(made) == 1:
            raise UsageError(refused[0])
        warnings.extend(refused)
        return made

    def _data(self) -> Data:
        split = self.split
        return Data(
            source=self.plan.source.describe(),
            fingerprint=self.faces.fingerprint,
            faces=len(self.faces),
            persons=len(set(self.faces.persons.tolist())),
            sampled=self.plan.source.sampled,
            split=SplitFacts(
                train=len(split.train),
                validation=len(split.validation),
                test=len(split.test),
                rule=split.rule,
            ),
        )


def _told(warnings: list[str], progress: Progress) -> list[str]:
    """The warnings, which are told at once too."""
    for warning in warnings:
        progress.say(f"Warning: {warning}")
    return warnings


def _named(name: str | None) -> Trained | None:
    """A finished baseline that the options name, looked up before hours of work, not after."""
    return baseline_named(name) if name else None


def _require_network_file(out: Path) -> None:
    """Check where a network's file shall go before hours of work, not after."""
    require_suffix(out, ".tflite")
    require_writable(out)


def train_only(
    variant: str,
    source: Source,
    training: TrainingOptions,
    start_from: str | None,
    out: Path | None,
    frozen_graph: bool,
    progress: Progress,
) -> str:
    """Train a baseline into the cache and, where `out` is given, write its file; says what was done.

    Raises:
        UsageError: bad input.
    """
    definition: Variant = plugins.load("variants", variant)
    if out is not None:
        _require_network_file(out)
    start = _named(start_from)
    _told(slow_arithmetic(training), progress)
    faces, split = _divided(source, (start,), progress)
    baseline = train_baseline(definition, faces, split, training, progress, start)
    best = baseline.best
    error = f"{best.validation_mae_px:.3f} px in epoch {best.epoch}"
    message = f"{variant}: validation MAE {error}, kept in {baseline.folder}."
    message = "\n".join([*learnt_nothing(variant, baseline.history, training.rate), message])
    if out is None:
        return message
    untuned = TuningOptions()  # the empty chain is not tuned
    written = compress_only(
        variant, Chain(()), source, training, untuned, start_from, out, frozen_graph, progress
    )
    return f"{message}\n{written}"


def compress_only(
    variant: str,
    chain: Chain,
    source: Source,
    training: TrainingOptions,
    tuning: TuningOptions,
    start_from: str | None,
    out: Path,
    frozen_graph: bool,
    progress: Progress,
) -> str:
    """Compress a baseline and write its file to `out`, without measuring; says what was done.

    Raises:
        UsageError: bad input, or the compression was refused.
    """
    definition: Variant = plugins.load("variants", variant)
    _require_network_file(out)
    start = _named(start_from)
    _told(slow_arithmetic(training, tuning), progress)
    faces, split = _divided(source, (start, _named(tuning.teacher)), progress)
    baseline = train_baseline(definition, faces, split, training, progress, start)
    _told(learnt_nothing(variant, baseline.history, training.rate), progress)
    bench = Bench(faces, split, tuning, progress)
    compressed = compress(baseline, chain, bench)
    artifact = export(
        compressed,
        definition,
        str(chain),
        bench.calibration(),
        out.parent,
        name=out.stem,
        frozen_graph=frozen_graph,
    )
    stage = compressed.stages[-1]
    return (
        f"Wrote {out.parent / artifact.path}: {artifact.file_bytes:,} bytes, {artifact.parameters:,} parameters, "
        f"validation MAE {stage.validation_mae_px:.3f} px."
    )


def measure_files(
    files: list[Path],
    tests: list[TestSet],
    measuring: Measuring,
    out: Path,
    command: tuple[str, ...],
    progress: Progress,
) -> Finished:
    """Measure `.tflite` files side by side; the first is the baseline of the differences.

    Raises:
        UsageError: the first file is not a landmark network, one cannot be read, or other bad input.
    """
    _require_own_names(tests, {})
    artifacts = _told_apart(
        [files_of.artifact_of(files[0]), *(files_of.described(path) for path in files[1:])]
    )
    require_writable(out / "record.json")
    runners = measuring.runners()
    sampled = not tests
    sets = {test.name: test.load(progress) for test in tests} or {
        "sampled": Source(None, _SAMPLED_TEST_FACES, shuffle=False, seed=measuring.seed, purpose="test").load(
            progress
        )
    }
    configuration = {"files": [a.sha256 for a in artifacts], "measuring": measuring.configuration()}
    prints = {name: faces.fingerprint for name, faces in sets.items()}
    folder = out / f"measure-{key_of(configuration, prints)[:8]}"
    findings = measure(artifacts, folder, sets, measuring, runners, progress, _faults(artifacts[1:]))
    warnings = [_SAMPLED_TEST_WARNING] if sampled else []
    record = Record(
        mlbench_version=__version__,
        created=now(),
        command=command,
        configuration=configuration,
        environment=environment.machine() | environment.software(),
        **findings.with_warnings(warnings),
    )
    write_record(record, folder / "record.json")
    return Finished(record, folder)


def _told_apart(artifacts: list[Artifact]) -> list[Artifact]:
    """Artifacts whose names differ: files of one name go by their paths, a file that is given again by its turn."""
    names = Counter(name for name, _ in {(artifact.id, artifact.path) for artifact in artifacts})
    apart = dict[str, Artifact]()
    for artifact in artifacts:
        alone = names[artifact.id] == 1
        name, file = (artifact.id, artifact.chain) if alone else (artifact.path, artifact.path)
        turns = itertools.chain([""], (f" ({number})" for number in itertools.count(2)))
        turn = next(turn for turn in turns if name + turn not in apart)
        update = {"id": name + turn, "variant": name + turn, "chain": file + turn}
        apart[name + turn] = artifact.model_copy(update=update)
    return list(apart.values())


def _faults(artifacts: list[Artifact]) -> dict[str, str]:
    """Why files cannot be measured at all, by the artifact's name."""
    found = {}
    for artifact in artifacts:
        try:
            files_of.require_landmark_model(Path(artifact.path))
        except UsageError as error:
            found[artifact.id] = str(error)
    return found


_SAMPLED_TEST_FACES = 500
_SAMPLED_TEST_WARNING = "Tested on faces sampled from the appearance model: give --data with real faces."
