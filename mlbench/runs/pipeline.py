"""One run, step by step: train or reuse the baseline, compress, tune, export, measure, judge, record.

Every finished step is in the cache under what determines it, so that a run that was interrupted, or is given
again, does only what is missing; measuring is always done anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlbench import __version__, plugins
from mlbench.system import environment
from mlbench.networks import counting
from mlbench.export.artifacts import artifact_of, described, require_landmark_model
from mlbench.training.baselines import Trained, baseline_named, faces_key, train_baseline
from mlbench.compression.chain import Chain
from mlbench.compression.stages import Bench, Compressed, compress
from mlbench.contracts import DeviceRunner, Progress, Variant
from mlbench.errors import UsageError
from mlbench.export.delivery import export
from mlbench.faces.dataset import Faces, Split
from mlbench.faces.sources import Source, TestSet
from mlbench.system.files import key_of, require_writable
from mlbench.runs.measuring import Measuring, measure, now
from mlbench.records import Artifact, Data, Record, write_record
from mlbench.records import Split as SplitFacts
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
    faces = plan.source.load(progress)
    split = plan.source.split(faces)
    tests = {_SPLIT: plan.source.tests(faces, split)} | given
    return [
        _Run(plan, variant, start, teacher, runners, faces, split, tests, progress).finish()
        for variant in variants
    ]


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
        folder = plan.out / f"{self.variant.name}-{key_of(plan.configuration(), self.faces.fingerprint)[:8]}"
        warnings = plan.source.warnings() + self._known_tests()
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

    def _known_tests(self) -> list[str]:
        """Notes on networks that learnt from other faces, or another part of these, than this run does."""
        used = {"--start-from": self.start, "--teacher": self.teacher}
        own = {faces_key(self.faces, self.split)}
        return [
            f"{option} {network.folder.name} learnt from other faces than this run, or splits them otherwise: "
            "faces of this run's test split may be among them."
            for option, network in used.items()
            if network and network.faces - own
        ]

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
            sampled=self.plan.source.sampled,
            split=SplitFacts(
                train=len(split.train),
                validation=len(split.validation),
                test=len(split.test),
                rule=split.rule,
            ),
        )


def _named(name: str | None) -> Trained | None:
    """A finished baseline that the options name, looked up before hours of work, not after."""
    return baseline_named(name) if name else None


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
        require_writable(out)
    start = _named(start_from)
    faces = source.load(progress)
    baseline = train_baseline(definition, faces, source.split(faces), training, progress, start)
    best = baseline.best
    error = f"{best.validation_mae_px:.3f} px in epoch {best.epoch}"
    told = f"{variant}: validation MAE {error}, kept in {baseline.folder}."
    if out is None:
        return told
    untuned = TuningOptions()  # the empty chain is not tuned
    written = compress_only(
        variant, Chain(()), source, training, untuned, start_from, out, frozen_graph, progress
    )
    return f"{told}\n{written}"


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
    require_writable(out)
    start = _named(start_from)
    _named(tuning.teacher)
    faces = source.load(progress)
    split = source.split(faces)
    baseline = train_baseline(definition, faces, split, training, progress, start)
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
    artifacts = [artifact_of(files[0]), *(described(path) for path in files[1:])]
    if len({artifact.id for artifact in artifacts}) < len(artifacts):
        artifacts = [a.model_copy(update={"id": a.path, "variant": a.path}) for a in artifacts]
    require_writable(out / "record.json")
    runners = measuring.runners()
    sampled = not tests
    sets = {test.name: test.load(progress) for test in tests} or {
        "sampled": Source(None, _SAMPLED_TEST_FACES, shuffle=False, seed=measuring.seed + 1).load(progress)
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


def _faults(artifacts: list[Artifact]) -> dict[str, str]:
    """Why files cannot be measured at all, by the artifact's name."""
    found = {}
    for artifact in artifacts:
        try:
            require_landmark_model(Path(artifact.path))
        except UsageError as error:
            found[artifact.id] = str(error)
    return found


_SAMPLED_TEST_FACES = 500
_SAMPLED_TEST_WARNING = "Tested on faces sampled from the appearance model: give --data with real faces."
