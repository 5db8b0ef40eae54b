"""Measuring artifacts on devices, and all that follows from it: errors, differences, verdicts, doubts."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mlbench import plugins
from mlbench.contracts import DeviceRunner, Job, Outcome, Progress, Samples, Task
from mlbench.contracts.runner import Pipeline
from mlbench.contracts.task import Settings
from mlbench.errors import UsageError
from mlbench.evaluation.budgets import Budget, verdicts_of
from mlbench.evaluation.gallery import gallery_of
from mlbench.evaluation.metrics import facts_of, scores_of
from mlbench.evaluation.quantities import Quantity
from mlbench.evaluation.within_run import differences_of, numbers_of
from mlbench.export.contents import DAMAGED
from mlbench.export.contents import facts_of as facts_of_file
from mlbench.records import (
    Artifact,
    EncodingFacts,
    Failure,
    FileFacts,
    Groups,
    Measurement,
    Scores,
)
from mlbench.runs import notes
from mlbench.runs.agreement import agreements_of, rows_answered
from mlbench.system import environment

_FRAMES = 40


@dataclass(frozen=True)
class Measuring:
    """How artifacts are measured."""

    devices: tuple[str, ...] = ("host",)
    threads: int = 1
    min_count: int = 200
    min_seconds: float = 3.0
    pipeline: bool = True  # whether what stands before the network is measured too, where the task has it
    detector: str = ""  # the name of what finds the network's input in a frame; "": the task's own
    photos: Path | None = None  # a folder of photographs for its frames; None: as the task makes them
    arm_samples: int = 200  # of a test set, at most, for devices that only answer
    gallery: bool = True  # whether the record may hold pictures of test samples
    budgets: tuple[Budget, ...] = ()
    seed: int = 7

    def limited(self, limits: Mapping[str, float]) -> Measuring:
        """The same, where no budget was given with limits of a file's size, bytes, by name."""
        usual = tuple(Budget(name, Quantity("size", "bytes"), limit) for name, limit in limits.items())
        return replace(self, budgets=self.budgets or usual)

    def experiment(self) -> dict[str, Any]:
        """As a table of the file of an experiment; budgets are named by their text."""
        found = self.configuration() | {"budgets": [budget.name for budget in self.budgets]}
        del found["seed"]  # the run's
        return found

    def configuration(self) -> dict[str, Any]:
        """As JSON values, for the record."""
        return {
            "devices": list(self.devices),
            "threads": self.threads,
            "min_count": self.min_count,
            "min_seconds": self.min_seconds,
            "pipeline": self.pipeline,
            "detector": self.detector,
            "photos": str(self.photos) if self.photos else None,
            "arm_samples": self.arm_samples,
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
        if all(runner.answers_only for runner in runners):
            message = f"{self.devices[0]} needs a device to compare its answers with: give --device host too."
            raise UsageError(message)
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
    task: Task | None,
    tests: Mapping[str, Samples],
    measuring: Measuring,
    runners: list[DeviceRunner],
    progress: Progress,
    faults: Mapping[str, str] | None = None,
) -> Findings:
    """Measure artifacts on all devices; the first one is the baseline of all differences.

    Args:
        artifacts: files, their paths relative to `folder`.
        folder: of the run.
        task: what the test sets are of; None: nothing is tested, and inputs are random.
        tests: samples by name; none without a task.
        measuring: how.
        runners: where.
        progress: shows how far it is.
        faults: why files, by their id, are not tried: their verdict is that they do not load.

    Raises:
        UsageError: a device cannot be used, or the photographs cannot be read.
    """
    faults = faults or {}
    doubts = environment.doubts(measuring.threads)
    job = Job(
        artifacts=tuple(a for a in artifacts if a.id not in faults),
        folder=folder,
        test_sets=tests,
        pipeline=_pipeline(task, tests, measuring) if task and measuring.pipeline else None,
        threads=measuring.threads,
        min_count=measuring.min_count,
        min_seconds=measuring.min_seconds,
        seed=measuring.seed,
    )
    _require_own_devices(runners, measuring.threads)
    _require_samples(runners, tests)
    asked = replace(job, test_sets=_few_samples(tests, measuring.arm_samples), pipeline=None)
    outcomes, answered = list[Outcome](), list[Outcome]()
    for runner in sorted(runners, key=lambda runner: runner.answers_only):
        given, found = (asked, answered) if runner.answers_only else (job, outcomes)
        found += _measured(runner, given, progress, alone=len(runners) == 1)
        device = runner.device(measuring.threads).id
        found += [_failed(artifact, device, "load", reason) for artifact, reason in faults.items()]
    facts = facts_of(task) if task else None
    parts = {
        name: (whole, rows)
        for whole, samples in tests.items()
        for name, rows in _parts(task, whole, samples).items()
    }
    groups = {
        name: Groups.of(tests[whole].groups[rows].tolist(), tests[whole].unit)
        for name, (whole, rows) in parts.items()
    }
    settings = {artifact.id: artifact.settings for artifact in artifacts}
    scores = [
        score
        for outcome in outcomes
        for score in _scores_of(task, outcome, settings, tests, parts, groups, measuring.seed)
    ]
    measurements = [outcome.measurement for outcome in outcomes]
    metric = facts.primary if facts else None
    differences = differences_of(artifacts[0].id, metric, measurements, scores, groups, measuring.seed)
    first = next(iter(tests.values()), None)
    decisive = [score for score in scores if score.test_set == next(iter(tests), "")]
    return Findings(
        {
            "task": facts,
            "encodings": {
                name: EncodingFacts(**asdict(one)) for name, one in (first.encodings if first else {}).items()
            },
            "test_sets": {name: samples.fingerprint for name, samples in tests.items()},
            "groups": groups,
            "artifacts": tuple(artifacts),
            "files": dict(_facts(artifacts, folder)),
            "devices": tuple(runner.device(measuring.threads) for runner in runners),
            "measurements": (*measurements, *(outcome.measurement for outcome in answered)),
            "scores": tuple(scores),
            "differences": tuple(differences),
            "agreements": tuple(
                agreements_of(
                    task, answered, outcomes, settings, tests, measuring.arm_samples, measuring.seed
                )
            )
            if task
            else (),
            "budgets": tuple(verdicts_of(measuring.budgets, artifacts, measurements, decisive)),
            "gallery": gallery_of(task, tests, outcomes, settings, measuring.seed)
            if task and measuring.gallery
            else None,
            "warnings": (
                *doubts,
                *notes.of_latencies(measurements),
                *notes.without_verdict(artifacts[0].id, measurements, differences),
                *notes.of_groups(groups),
            ),
        }
    )


def _pipeline(task: Task, tests: Mapping[str, Samples], measuring: Measuring) -> Pipeline | None:
    """What stands before the network, which cuts as the samples were cut."""
    found = task.pipeline(_FRAMES, measuring.seed, measuring.photos, measuring.detector)
    margins = [margin for samples in tests.values() for margin in samples.margins.values()]
    return replace(found, margin=margins[0]) if found and margins else found


def _facts(artifacts: list[Artifact], folder: Path) -> Iterator[tuple[str, FileFacts]]:
    """What the files say of themselves, of those that can be read."""
    for artifact in artifacts:
        with suppress(OSError, *DAMAGED):
            yield artifact.id, facts_of_file(folder / artifact.path)


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


def _require_samples(runners: list[DeviceRunner], tests: Mapping[str, Samples]) -> None:
    """A device that only answers has nothing to do without samples."""
    names = [runner.name for runner in runners if runner.answers_only]
    if names and not tests:
        message = f"{names[0]} needs samples: give --data and --task, or leave the device out."
        raise UsageError(message)


def _few_samples(tests: Mapping[str, Samples], most: int) -> dict[str, Samples]:
    return {name: samples.take(rows_answered(len(samples), most)) for name, samples in tests.items()}


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


def _parts(task: Task | None, name: str, samples: Samples) -> dict[str, Any]:
    """The whole test set, and the parts that the task scores apart: names with the rows they take."""
    parts = task.subsets(samples) if task else {}
    return {name: slice(None)} | {f"{name} ({part})": rows for part, rows in parts.items()}


def _scores_of(
    task: Task | None,
    outcome: Outcome,
    settings: Mapping[str, Settings],
    tests: Mapping[str, Samples],
    parts: dict[str, tuple[str, Any]],
    groups: dict[str, Groups],
    seed: int,
) -> list[Scores]:
    if task is None:
        return []
    where = (outcome.measurement.artifact, outcome.measurement.device)
    found = []
    for name, (whole, rows) in parts.items():
        if whole in outcome.predictions:
            samples = tests[whole].take(rows)
            outputs = {key: values[rows] for key, values in outcome.predictions[whole].items()}
            place = (*where, name)
            numbers = numbers_of(groups[name])
            answers = task.settled(outputs, settings[where[0]])
            found.append(scores_of(task, place, answers, samples.targets, seed, numbers))
    return found
