"""Measuring artifacts on devices, and all that follows from it: errors, differences, verdicts, doubts."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlbench import plugins
from mlbench.contracts import DeviceRunner, Job, Outcome, Progress
from mlbench.errors import UsageError
from mlbench.evaluation.budgets import PAPER_BUDGETS, Budget, judge_worst
from mlbench.evaluation.statistics import too_few
from mlbench.evaluation.within_run import differences_of, groups_of
from mlbench.faces.accuracy import errors_of
from mlbench.faces.dataset import Faces
from mlbench.faces.frames import compose_frames
from mlbench.faces.gallery import gallery_of
from mlbench.records import Artifact, BudgetVerdict, Difference, Errors, Failure, Measurement, Persons
from mlbench.system import environment

_FRAMES = 40


@dataclass(frozen=True)
class Measuring:
    """How artifacts are measured."""

    devices: tuple[str, ...] = ("host",)
    threads: int = 1
    min_count: int = 200
    min_seconds: float = 3.0
    detector: bool = True
    photos: Path | None = None  # a folder of photographs for the frames; None: sampled faces
    gallery: bool = True  # whether the record may hold pictures of test faces
    budgets: tuple[Budget, ...] = PAPER_BUDGETS
    seed: int = 7

    def configuration(self) -> dict[str, Any]:
        """As JSON values, for the record."""
        return {
            "devices": list(self.devices),
            "threads": self.threads,
            "min_count": self.min_count,
            "min_seconds": self.min_seconds,
            "detector": self.detector,
            "photos": str(self.photos) if self.photos else None,
            "gallery": self.gallery,
            "budgets": {budget.name: budget.limit for budget in self.budgets},
            "seed": self.seed,
        }

    def runners(self) -> list[DeviceRunner]:
        """The device runners, each ready to measure; `android:SERIAL` names one of several devices.

        Raises:
            UsageError: no such runner, or one that cannot run.
        """
        runners = [self._runner(*device.partition(":")[::2]) for device in self.devices]
        for runner in runners:
            runner.require_ready()
        return runners

    @staticmethod
    def _runner(name: str, which: str) -> DeviceRunner:
        runner: type[DeviceRunner] = plugins.load("device_runners", name)
        try:
            return runner(which) if which else runner()  # type: ignore[call-arg]
        except TypeError as error:
            message = f'There is one "{name}" only: write --device {name} without ":{which}".'
            raise UsageError(message) from error


@dataclass(frozen=True)
class Findings:
    """The part of a record that measuring fills."""

    fields: dict[str, Any]

    def with_warnings(self, warnings: list[str]) -> dict[str, Any]:
        """The fields, with further warnings before those of measuring."""
        return self.fields | {"warnings": (*warnings, *self.fields["warnings"])}


def measure(
    artifacts: list[Artifact],
    folder: Path,
    tests: dict[str, Faces],
    measuring: Measuring,
    runners: list[DeviceRunner],
    progress: Progress,
    faults: Mapping[str, str] | None = None,
) -> Findings:
    """Measure artifacts on all devices; the first one is the baseline of all differences.

    Those that `faults` names, with the reason, are not tried: their verdict is that they do not load.

    Raises:
        UsageError: a device cannot be used, or the photographs cannot be read.
    """
    faults = faults or {}
    doubts = environment.doubts(measuring.threads)
    job = Job(
        artifacts=tuple(a for a in artifacts if a.id not in faults),
        folder=folder,
        test_sets={name: faces.images for name, faces in tests.items()},
        frames=compose_frames(_FRAMES if measuring.detector else 0, measuring.seed, measuring.photos).images,
        threads=measuring.threads,
        min_count=measuring.min_count,
        min_seconds=measuring.min_seconds,
        seed=measuring.seed,
    )
    _require_own_devices(runners, measuring.threads)
    outcomes = list[Outcome]()
    for runner in runners:
        outcomes += _measured(runner, job, progress, alone=len(runners) == 1)
        device = runner.device(measuring.threads).id
        outcomes += [_failed(artifact, device, "load", reason) for artifact, reason in faults.items()]
    devices = [runner.device(measuring.threads) for runner in runners]
    persons = {
        subset: Persons.of(faces.persons[rows].tolist())
        for name, faces in tests.items()
        for subset, rows in subsets(name, faces).items()
    }
    errors = [error for outcome in outcomes for error in _errors_of(outcome, tests, persons, measuring.seed)]
    measurements = [outcome.measurement for outcome in outcomes]
    differences = differences_of(artifacts[0].id, measurements, errors, persons, measuring.seed)
    return Findings(
        {
            "test_sets": {name: faces.fingerprint for name, faces in tests.items()},
            "persons": persons,
            "artifacts": tuple(artifacts),
            "devices": tuple(devices),
            "measurements": tuple(measurements),
            "errors": tuple(errors),
            "differences": tuple(differences),
            "budgets": tuple(_verdicts(artifacts, outcomes, errors, tests, measuring.budgets)),
            "gallery": gallery_of(tests, outcomes, measuring.seed) if measuring.gallery else None,
            "warnings": (
                *doubts,
                *_doubts(outcomes),
                *_unjudged(artifacts[0].id, measurements, differences),
                *_few(persons),
            ),
        }
    )


def _require_own_devices(runners: list[DeviceRunner], threads: int) -> None:
    """Name a device that cannot be used, or that is given twice, before anything is measured."""
    given = set[str]()
    for runner in runners:
        device = runner.device(threads)
        if device.id in given:
            message = (
                f'{device.name} is given twice, by its name "{device.id}" and without: give --device once.'
            )
            raise UsageError(message)
        given.add(device.id)


def _measured(runner: DeviceRunner, job: Job, progress: Progress, *, alone: bool) -> list[Outcome]:
    """What a device finds; beside other devices, whose figures are not to be lost, its refusal is a failure."""
    try:
        return list(runner.measure(job, progress))
    except UsageError as error:
        if alone:
            raise
        progress.say(f"{error} The other devices' figures are kept; run again to measure there.")
        device = runner.device(job.threads).id
        return [_failed(artifact.id, device, "device", str(error)) for artifact in job.artifacts]


def _failed(artifact: str, device: str, stage: str, reason: str) -> Outcome:
    failure = Failure(stage=stage, reason=reason[:2000])
    return Outcome(Measurement(artifact=artifact, device=device, failure=failure), {})


def now() -> str:
    """The time, as records hold it: ISO 8601, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def subsets(name: str, faces: Faces) -> dict[str, Any]:
    """The whole test set and, where its file marks them, its frontal faces: names with the rows they take."""
    rows: dict[str, Any] = {name: slice(None)}
    frontal = faces.extra.get("frontal")
    if frontal is not None and frontal.dtype == bool and frontal.any():
        rows[f"{name} (frontal)"] = frontal
    return rows


def _errors_of(
    outcome: Outcome, tests: dict[str, Faces], persons: dict[str, Persons], seed: int
) -> list[Errors]:
    where = (outcome.measurement.artifact, outcome.measurement.device)
    return [
        errors_of(*where, subset, predicted[rows], tests[name].points[rows], seed, groups_of(persons[subset]))
        for name, predicted in outcome.predictions.items()
        for subset, rows in subsets(name, tests[name]).items()
    ]


def _verdicts(
    artifacts: list[Artifact],
    outcomes: list[Outcome],
    errors: list[Errors],
    tests: dict[str, Faces],
    budgets: tuple[Budget, ...],
) -> list[BudgetVerdict]:
    """Each artifact against each budget, by the device where it does worst and the first test set."""
    first = next(iter(tests), "")
    rows = []
    for artifact in artifacts:
        measured = [o.measurement for o in outcomes if o.measurement.artifact == artifact.id]
        tested = {e.device: e for e in errors if (e.artifact, e.test_set) == (artifact.id, first)}
        rows += judge_worst(budgets, artifact, [(m, tested.get(m.device)) for m in measured])
    return rows


#: Fewer persons give intervals that are too narrow: the percentile bootstrap covers about 90 % at twenty.
_FEW_PERSONS = 20


def _few(persons: dict[str, Persons]) -> list[str]:
    """Test sets of too few persons to say much of others."""
    remedy = "test on faces of more persons"
    return [
        f"The faces of {name} are of one person: its intervals say nothing of others; {remedy}."
        if found.count == 1
        else f"The faces of {name} are of {found.count} persons: its intervals are too narrow; {remedy}."
        for name, found in persons.items()
        if found.count < _FEW_PERSONS
    ]


def _unjudged(
    baseline: str, measurements: list[Measurement], differences: list[Difference]
) -> dict[str, None]:
    """Why latencies have no verdict though the baseline's is known, each reason once."""
    bases = {m.device: m.network for m in measurements if m.artifact == baseline and m.network}
    judged = {(d.artifact, d.device) for d in differences if d.quantity == "p50_ratio"}
    return {
        f"p50 on {m.device} has no verdict: {too_few(min(len(m.network.bursts), len(base.bursts)))}.": None
        for m in measurements
        if m.artifact != baseline
        and m.network
        and (base := bases.get(m.device))
        and (m.artifact, m.device) not in judged
    }


def _doubts(outcomes: list[Outcome]) -> list[str]:
    """Why single figures may be worth less, each with a remedy."""
    checks: list[tuple[Callable[[Any], bool], str]] = [
        (
            lambda t: abs(t.drift - 1) > 0.1,
            "drifted by over 10 % while measured: let the machine cool, measure again.",
        ),
        (lambda t: t.cpu_per_wall < 0.9, "waited for the CPU: stop other programs and measure again."),
        (
            lambda t: t.p90_ms > 1.5 * t.p50_ms,
            "is noisy (p90 over 1.5 × p50): stop other programs, measure again.",
        ),
    ]
    rows = []
    for outcome in outcomes:
        measurement = outcome.measurement
        if measurement.network is not None:
            where = f"{measurement.artifact} on {measurement.device}"
            rows += [f"Latency of {where} {text}" for wrong, text in checks if wrong(measurement.network)]
    return rows
