"""Two measurements of the same kind, baseline and candidate: what changed, how surely, and what may not be said.

Within one record the bursts were interleaved, and the rounds are compared in pairs. Between two records they were
not: there each model is taken relative to a file that both records hold, byte for byte, which cancels what the
machine did at the two times. Without such a file latencies are not compared, unless asked for.
A task's primary metric is compared sample by sample where the test samples are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from mlbench.contracts.task import Metric
from mlbench.errors import UsageError
from mlbench.evaluation import statistics
from mlbench.evaluation.quantities import Quantity, quantity_named
from mlbench.evaluation.within_run import metric_verdict, numbers_of
from mlbench.records import (
    Artifact,
    Device,
    Interval,
    Measurement,
    MetricFacts,
    Record,
    Scores,
    TaskFacts,
    facts_told,
)

Said = Literal["faster", "slower", "smaller", "larger", "better", "worse", "same", "cannot tell"]

_WORDS: dict[str, tuple[Said, Said]] = {
    "size": ("smaller", "larger"),
    "memory": ("smaller", "larger"),
    "p50": ("faster", "slower"),
}


@dataclass(frozen=True)
class Side:
    """One model in its record."""

    record: Record
    artifact: Artifact

    def measurement(self, device: str) -> Measurement | None:
        """What a device found about it."""
        rows = self.record.measurements
        return next((m for m in rows if (m.artifact, m.device) == (self.artifact.id, device)), None)


@dataclass(frozen=True)
class Line:
    """One quantity of two models.

    Attributes:
        model: what is compared.
        quantity: "size", "memory", "p50" or the name of the task's primary metric.
        where: the device or the test set.
        base: the baseline's value, in bytes, ms or the metric's stored unit.
        ours: the candidate's.
        change: candidate / baseline - 1, or candidate - baseline of a metric; its interval, a point for counts.
        confidence: of the interval; None where there is none.
        said: the verdict.
        over: what the interval resamples ("85 persons"); empty where nothing is resampled.
        metric: what the task says of the metric; None for the others.
    """

    model: str
    quantity: str
    where: str
    base: float
    ours: float
    change: Interval
    confidence: float | None
    said: Said
    over: str = ""
    metric: MetricFacts | None = None


@dataclass
class Comparison:
    """All lines, and what was refused or must be said beside them."""

    lines: list[Line] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)  # quantity -> why
    notes: list[str] = field(default_factory=list)

    def refuse(self, quantity: str, why: str) -> None:
        """Say once why a quantity of some model, device or test set is not compared."""
        told = self.refusals.get(quantity, "")
        if f"; {why}; " not in f"; {told}; ":
            self.refusals[quantity] = f"{told}; {why}" if told else why

    def note(self, text: str) -> None:
        """Say something once."""
        if text not in self.notes:
            self.notes.append(text)


def compare(base: Record, ours: Record, anyway: bool = False, seed: int = 7) -> Comparison:
    """Compare the models that two records share; what the baseline has and the candidate lacks is refused.

    Args:
        base: the baseline's record.
        ours: the candidate's.
        anyway: compare latencies even where they were not interleaved with an equal file on the same machine,
            and say so.
        seed: of the bootstrap of metrics.

    Raises:
        UsageError: the records share no model.
    """
    found = Comparison()
    pairs = list(_pairs(base, ours))
    for left, right in pairs:
        _compare_sides(left, right, found, anyway, seed)
    compared = [left.artifact for left, _ in pairs]
    for artifact in base.artifacts:
        if artifact not in compared:
            for quantity in _quantities(Side(base, artifact)):
                found.refuse(
                    quantity, f"{artifact.id} is missing from the candidate: make and measure it there too"
                )
    return found


def compare_within(record: Record, base: int, ours: int, seed: int = 7) -> Comparison:
    """Compare two artifacts of one record, which were measured interleaved."""
    found = Comparison()
    sides = Side(record, record.artifacts[base]), Side(record, record.artifacts[ours])
    _compare_sides(*sides, found, False, seed)
    return found


def _pairs(base: Record, ours: Record) -> Iterator[tuple[Side, Side]]:
    theirs = {artifact.id: artifact for artifact in base.artifacts}
    shared = [artifact for artifact in ours.artifacts if artifact.id in theirs]
    if not shared and len(base.artifacts) == len(ours.artifacts) == 1:
        yield Side(base, base.artifacts[0]), Side(ours, ours.artifacts[0])
        return
    if not shared:
        names = " and ".join(", ".join(a.id for a in record.artifacts) for record in (base, ours))
        message = f"The records share no model ({names}): give records of the same variant and chain."
        raise UsageError(message)
    for artifact in shared:
        yield Side(base, theirs[artifact.id]), Side(ours, artifact)


def _quantities(side: Side) -> Iterator[str]:
    """What is known of a model, on any device or test set."""
    yield "size"
    rows = [m for m in side.record.measurements if m.artifact == side.artifact.id]
    if any(row.memory for row in rows):
        yield "memory"
    if any(row.network for row in rows):
        yield "p50"
    task = side.record.task
    if task is not None and any(scores.artifact == side.artifact.id for scores in side.record.scores):
        yield task.primary.name


def _compare_sides(base: Side, ours: Side, found: Comparison, anyway: bool, seed: int) -> None:
    name = (
        ours.artifact.id
        if base.artifact.id == ours.artifact.id
        else f"{base.artifact.id} → {ours.artifact.id}"
    )
    sizes = base.artifact.file_bytes, ours.artifact.file_bytes
    found.lines.append(_count(name, "size", "file", *sizes))
    for device in (one for one in base.record.devices if not one.answers_only):
        _compare_device(name, base, ours, device, found, anyway)
    task = base.record.task
    for scores in base.record.scores if task else ():
        if task and scores.artifact == base.artifact.id:
            _compare_scores(name, base, ours, scores, task, found, seed)


def _compare_device(
    name: str, base: Side, ours: Side, device: Device, found: Comparison, anyway: bool
) -> None:
    other = next((d for d in ours.record.devices if d.id == device.id), None)
    reason = difference_of_machines(device, other) if other else ""
    if reason and not anyway:
        for quantity in ("p50", "memory"):
            found.refuse(
                quantity, f"the machines differ ({reason}): measure both files in one run with --measure"
            )
        return
    if reason:
        found.note(
            f"Latency and memory are from different machines ({reason}): the machine is in every ratio."
        )
    theirs, mine = base.measurement(device.id), ours.measurement(device.id)
    for side, measured in ((base, theirs), (ours, mine)):
        if measured and measured.failure:
            reason = measured.failure.reason.rstrip(".")
            found.note(f"{side.artifact.id} did not run on {device.id}: {reason}.")
    if theirs and theirs.memory:
        if mine and mine.memory:
            peaks = theirs.memory.peak_above_baseline_bytes, mine.memory.peak_above_baseline_bytes
            if peaks[0] == 0 < peaks[1]:
                found.refuse(
                    "memory", f"{base.artifact.id} took none on {device.id}, of which nothing is a share"
                )
            else:
                found.lines.append(_count(name, "memory", device.id, *peaks))
        else:
            found.refuse("memory", _unmeasured(ours, device.id))
    if theirs and theirs.network:
        if mine and mine.network:
            _compare_latencies(name, (base, theirs), (ours, mine), found, anyway, bool(reason))
        else:
            found.refuse("p50", _unmeasured(ours, device.id))


def _unmeasured(side: Side, device: str) -> str:
    """Why a model has no figure from a device, and what to do."""
    measured = side.measurement(device)
    if measured and measured.failure:
        return f"{side.artifact.id} did not run on {device} ({measured.failure.reason.rstrip('.')})"
    return f"{side.artifact.id} was not measured on {device}: measure it there too"


_Measured = tuple[Side, Measurement]


def _compare_latencies(
    name: str, base: _Measured, ours: _Measured, found: Comparison, anyway: bool, other_machine: bool
) -> None:
    (left, theirs), (right, mine) = base, ours
    assert theirs.network is not None and mine.network is not None  # noqa: S101 (the caller's)
    values = theirs.network.p50_ms, mine.network.p50_ms
    same_file = left.record is not right.record and left.artifact.sha256 == right.artifact.sha256
    if same_file and not other_machine:
        told = f"{name} is the same file in both: its p50 of {values[0]:.3g} and {values[1]:.3g} ms is the machine's."
        found.note(told)
        found.lines.append(Line(name, "p50", mine.device, *values, _NO_CHANGE, None, "same"))
        return
    ratio = _latency_ratio(base, ours, found, anyway, other_machine)
    if ratio is not None:
        change = Interval(value=ratio.value - 1, low=ratio.low - 1, high=ratio.high - 1)
        said = _said("p50", change, statistics.SAME_RATIO)
        found.lines.append(
            Line(name, "p50", mine.device, *values, change, statistics.LATENCY_CONFIDENCE, said)
        )


def _latency_ratio(
    base: _Measured, ours: _Measured, found: Comparison, anyway: bool, other_machine: bool
) -> Interval | None:
    """The ratio by the best way that the records allow; None, with the refusal noted, where there is none."""
    (left, theirs), (right, mine) = base, ours
    assert theirs.network is not None and mine.network is not None  # noqa: S101 (the caller's)
    control = None if other_machine else _control(left, right, theirs.device)
    if left.record is right.record:
        ratio = statistics.latency_ratio(mine.network, theirs.network)
    elif control is not None:
        then, now = control[0].network, control[1].network
        assert then is not None and now is not None  # noqa: S101 (by _control)
        ratio = statistics.relative_latency_ratio((mine.network, now), (theirs.network, then))
        found.note(f"p50 is compared relative to {control[0].artifact}, the same file in both records.")
    elif anyway:
        ratio = statistics.separate_latency_ratio(mine.network, theirs.network)
        found.note("Measured at different times: heat and other programs are in every ratio of p50.")
    else:
        found.refuse(
            "p50",
            "the records are of different times and hold no equal file to go by: measure both files in one run "
            "with --measure, or give --not-interleaved",
        )
        return None
    if ratio is None:
        rounds = min(len(theirs.network.bursts), len(mine.network.bursts))
        found.refuse("p50", statistics.too_few(rounds))
    return ratio


def _control(base: Side, ours: Side, device: str) -> tuple[Measurement, Measurement] | None:
    """Measurements, in the two records, of one file that both hold."""
    theirs = {artifact.sha256: artifact for artifact in base.record.artifacts}
    for artifact in ours.record.artifacts:
        twin = theirs.get(artifact.sha256)
        if twin is None:
            continue
        then = Side(base.record, twin).measurement(device)
        now = Side(ours.record, artifact).measurement(device)
        if then and now and then.network and now.network:
            return then, now
    return None


def _compare_scores(
    name: str, base: Side, ours: Side, theirs: Scores, task: TaskFacts, found: Comparison, seed: int
) -> None:
    metric = task.primary
    wanted = (ours.artifact.id, theirs.device, theirs.test_set)
    scores = next((s for s in ours.record.scores if (s.artifact, s.device, s.test_set) == wanted), None)
    if scores is None:
        measured = ours.measurement(theirs.device)
        tested = measured is not None and measured.failure is None
        found.refuse(
            metric.name,
            f'{ours.artifact.id} was not tested on "{theirs.test_set}": give the same samples with --test'
            if tested
            else _unmeasured(ours, theirs.device),
        )
        return
    if why := _incomparable(base.record, ours.record, theirs, scores):
        found.refuse(metric.name, why)
        return
    known = ours.record if scores.test_set in ours.record.groups else base.record
    groups = numbers_of(known.groups.get(scores.test_set))
    change = statistics.paired_difference(
        np.array(scores.per_sample, float), np.array(theirs.per_sample, float), seed, groups
    )
    values = theirs.metrics[metric.name].value, scores.metrics[metric.name].value
    where, over = f"{scores.test_set}, {scores.device}", known.resampled(scores)
    said = metric_verdict(metric, change)
    found.lines.append(Line(name, metric.name, where, *values, change, 0.95, said, over, metric))


def _incomparable(base: Record, ours: Record, theirs: Scores, mine: Scores) -> str:
    """Why the scores of two records say nothing of each other; empty where they do."""
    left, right = base.task, ours.task
    assert left is not None  # noqa: S101 (the caller's)
    if right is None or (left.name, left.primary.name) != (right.name, right.primary.name):
        other = f"{right.name} by {right.primary.name}" if right else "none"
        return f"the tasks differ ({left.name} by {left.primary.name}, and {other}): test both for one task"
    prints = [_fingerprint(record, mine.test_set) for record in (base, ours)]
    if prints[0] != prints[1] or len(theirs.per_sample) != len(mine.per_sample):
        return f'the samples of "{mine.test_set}" differ: test both on the same file with --test'
    return ""


def _fingerprint(record: Record, test_set: str) -> str:
    """Of a test set, or of the whole one that it is a part of."""
    whole = next((name for name in record.test_sets if test_set.startswith(f"{name} (")), test_set)
    return record.test_sets.get(test_set) or record.test_sets.get(whole, "")


_NO_CHANGE = Interval(value=0.0, low=0.0, high=0.0)

#: Peak memory of equal files differs by this much from process to process.
_SAME_MEMORY = 0.01


def _count(name: str, quantity: str, where: str, base: int, ours: int) -> Line:
    """A quantity that is counted once: no interval."""
    ratio = ours / base - 1 if base else 0.0
    change = Interval(value=ratio, low=ratio, high=ratio)
    same = _SAME_MEMORY if quantity == "memory" else 0.0
    return Line(name, quantity, where, base, ours, change, None, _said(quantity, change, same))


def _said(quantity: str, change: Interval, same: float) -> Said:
    words = _WORDS[quantity]
    verdict = statistics.verdict(change, 0.0, same)
    if verdict == "better":
        return words[0]
    return words[1] if verdict == "worse" else verdict


def difference_of_machines(one: Device, other: Device) -> str:
    """In what two devices differ, as a person reads it; empty where nothing known differs."""
    facts: Callable[[Device], dict[str, str]] = lambda device: {  # noqa: E731
        "device": device.name,
        "threads": str(device.threads),
        **facts_told(device.details),
    }
    ours, theirs = facts(one), facts(other)
    told = [
        f"{name} {ours.get(name, 'unknown')} and {theirs.get(name, 'unknown')}"
        for name in dict.fromkeys((*ours, *theirs))
        if ours.get(name) != theirs.get(name)
    ]
    return "; ".join(told)


# --- Conditions for automation ------------------------------------------------------------------------------

_CONDITION = re.compile(r"\s*([\w-]+)\s*>\s*(\S.*?)\s*")


@dataclass(frozen=True)
class Condition:
    """`p50 > 5%`: a change for the worse that shall fail a build.

    `p50 > -10%` demands an improvement: less than one by 10 % fails too. Of a metric that is better when it is
    higher, `top1 > 1pp` is a loss of more than a percentage point.
    """

    text: str
    quantity: Quantity
    limit: float  # in the stored unit, or a share
    share: bool

    def broken_by(self, comparison: Comparison) -> list[Line]:
        """The lines that exceed the limit, and whose change is shown: their interval leaves out no change.

        A limit below 0 demands an improvement: there it is for the improvement to be shown, so that any line above
        the limit is broken.

        Raises:
            UsageError: the quantity was refused for any model, or not measured, so that nothing can be said.
        """
        name = self.quantity.name
        lines = [line for line in comparison.lines if line.quantity == name]
        why = comparison.refusals.get(name, "" if lines else "it was not measured in both")
        if why:
            message = f'--fail-if "{self.text}" cannot be judged: {why}.'
            raise UsageError(message)
        return [
            line for line in lines if self._exceeded_by(line) and (self.limit < 0 or self._shown_by(line))
        ]

    def _exceeded_by(self, line: Line) -> bool:
        """Whether the change for the worse is above the limit; as a share of a metric, also where the base is 0."""
        whole = abs(line.base) if self.share and line.metric is not None else 1
        return self.quantity.worse * line.change.value > self.limit * whole

    def _shown_by(self, line: Line) -> bool:
        """Whether all of the change's interval is for the worse."""
        return line.change.low > 0 if self.quantity.worse > 0 else line.change.high < 0


def parse_condition(text: str, metrics: tuple[Metric | MetricFacts, ...] = ()) -> Condition:
    """`p50 > 5%`, `size > 0%`, `memory > 10%`; of a metric `mae > 0.05px`, `mae > 2%`, `top1 > 1pp`.

    Args:
        text: the condition.
        metrics: of the task; only the first, the primary one, has values of each sample to compare.

    Raises:
        UsageError: not a condition.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        message = f'"{text}" is not a condition: write e.g. {_examples(metrics)}.'
        raise UsageError(message)
    name, limit = match.groups()
    if name in [metric.name for metric in metrics[1:]]:
        message = (
            f'"{text}": of the metrics only {metrics[0].name} is compared sample by sample; give that one.'
        )
        raise UsageError(message)
    quantity = quantity_named(name, metrics[:1], "A condition cannot be about")
    try:
        value, against = quantity.change(limit)
    except UsageError as error:
        message = f'"{text}": {error}'
        raise UsageError(message) from error
    if against != "share" and name in _WORDS:
        message = f'"{text}": {name} changes by %, write e.g. "{name} > 5%".'
        raise UsageError(message)
    return Condition(text.strip(), quantity, value, against == "share")


def _examples(metrics: tuple[Metric | MetricFacts, ...]) -> str:
    own = (
        f' or "{metrics[0].name} > 1{"pp" if metrics[0].unit == "%" else metrics[0].unit}"' if metrics else ""
    )
    return f'"p50 > 5%", "size > 0%"{own}'
