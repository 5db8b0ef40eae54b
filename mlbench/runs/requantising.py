"""A finished `.tflite` file in another precision, and how far its answers are from the original's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench import plugins
from mlbench.contracts import Progress, Samples, Task
from mlbench.contracts.precision import Precision
from mlbench.data.array_files import read_samples
from mlbench.data.npz_arrays import GIVEN
from mlbench.data.sources import TestSet
from mlbench.data.split import split
from mlbench.errors import UsageError
from mlbench.evaluation.metrics import facts_of, figures
from mlbench.export.artifacts import entries_of, places_of, require_fitting, runnable
from mlbench.export.finished import prepared, quantised, restored
from mlbench.export.trial import Ends, answered
from mlbench.records import MetricFacts, Value
from mlbench.system.files import require_suffix, require_writable, write_atomically

_DRAWN = 100  # random inputs, where no data is given
_COMPARED = 1000  # samples at most

Arrays = list[npt.NDArray[Any]]


class Difference(Value):
    """How far a file's output is from the original's."""

    output: str
    largest: float
    mean: float
    spread: float  # of the original: mean distance from its median
    share: float | None  # mean / spread; None: the original does not spread

    @classmethod
    def of(cls, output: str, old: npt.NDArray[Any], new: npt.NDArray[Any]) -> Difference:
        """Of answers [n, …] of both."""
        off, spread = np.abs(new - old), float(np.abs(old - np.median(old, axis=0)).mean())
        mean, largest = float(off.mean()), float(off.max())
        return cls(
            output=output, largest=largest, mean=mean, spread=spread, share=mean / spread if spread else None
        )


class Change(Value):
    """A metric of the original and of the new file, in the stored unit."""

    facts: MetricFacts
    before: float
    after: float


class Requantised(Value):
    """What was written, and what it costs."""

    path: str
    precision: str
    bytes_before: int
    bytes_after: int
    compared_on: str
    differences: tuple[Difference, ...]
    metrics: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()

    def told(self) -> str:
        """For people."""
        smaller = self.bytes_before / self.bytes_after
        lines = [
            f"Wrote {self.path}: {self.bytes_after:,} bytes in {self.precision}, {smaller:.2f} times smaller than "
            f"{self.bytes_before:,}.",
            f"Against the original, on {self.compared_on}:",
        ]
        for one in self.differences:
            share = (
                "the original hardly varies"
                if one.share is None
                else f"{one.share:.2%} of how far it spreads"
            )
            lines.append(
                f"  {one.output}: off by {one.mean:.3g} in the mean ({share}), {one.largest:.3g} at most"
            )
        for change in self.metrics:
            told = change.facts
            lines.append(f"  {told.title}: {told.told(change.before)} → {told.told(change.after)}")
        return "\n".join([*lines, *(f"Note: {warning}" for warning in self.warnings)])


@dataclass(frozen=True)
class _Material:
    """What a file is calibrated and compared on: inputs in its order, [n, …] each.

    Attributes:
        calibration: none: there are no samples.
        compared: what both files answer.
        samples: of `compared`, with targets; None: without a task.
        told: what `compared` is.
        drawn: whether that is at random.
    """

    calibration: Arrays
    compared: Arrays
    samples: Samples | None
    told: str
    drawn: bool = False


def requantise(
    path: Path, chain: str, out: Path, data: TestSet | None, task: Task | None, seed: int, progress: Progress
) -> Requantised:
    """Write a finished float file in another precision.

    Args:
        path: of the file.
        chain: name of a precision.
        out: the file to write.
        data: samples to measure ranges on, and to compare the files on; None: compared on random inputs.
        task: of the samples; None: they need no targets, and no metric is told.
        seed: of the split of the data, and of random inputs.
        progress: shows how far it is.

    Raises:
        UsageError: the file does not run, is quantised already or would not be smaller; the precision needs the network
            itself, or samples; the new file's answers make no sense; or other bad input. Nothing is written then.
    """
    precision = _precision(chain)
    require_suffix(out, ".tflite")
    require_writable(out)
    if task is not None and data is None:
        message = "--task needs --data: give the samples that the task's metrics are of."
        raise UsageError(message)
    ends = runnable(path)
    if out.exists() and out.samefile(path):
        message = f"{out} is the file that is to be quantised: give another name by --out."
        raise UsageError(message)
    original = path.read_bytes()
    if quantised(original):
        message = f"{path} is quantised already: give the float file that it was made of."
        raise UsageError(message)
    material = _material(path, ends, precision, data, task, seed, progress)
    try:
        content = restored(precision.requantise(prepared(original), material.calibration), original)
    except (
        RuntimeError,
        ValueError,
        LookupError,
        TypeError,
    ) as error:  # the quantizer's, of files of any origin
        why = " ".join(str(error).split())[:300] or type(error).__name__
        message = f"{path} cannot be written in {precision.name} ({why}): choose another precision."
        raise UsageError(message) from error
    as_it_is = len(restored(prepared(original), original))
    if len(content) >= as_it_is:
        message = (
            f"{path} would not be smaller in {precision.name} ({len(content):,} bytes, not {as_it_is:,}): its "
            "weights are few, or of layers that cannot be quantised."
        )
        raise UsageError(message)
    with write_atomically(out) as part:
        part.write_bytes(content)
        return _compared(path, part, out, ends, precision, material, task)


def _precision(chain: str) -> Precision:
    """What a chain for a finished file names."""
    from mlbench.compression.chain import parse_chain

    name = chain.strip()
    if name not in plugins.names("precisions"):
        asked = parse_chain(chain)  # tells what it does not know
        possible = [known for known, one in plugins.usable("precisions")[0].items() if _can(one)]
        message = (
            f"{asked} needs the network itself: a finished file can only be quantised ({', '.join(possible)}); "
            "give the Keras network by --model."
        )
        raise UsageError(message)
    found: Precision = plugins.load("precisions", name)()
    return found


def _can(precision: type[Precision]) -> bool:
    return precision.requantise is not Precision.requantise


def _material(
    path: Path,
    ends: Ends,
    precision: Precision,
    data: TestSet | None,
    task: Task | None,
    seed: int,
    progress: Progress,
) -> _Material:
    if data is None:
        rng = np.random.default_rng(seed)
        rows = [[port.drawn(rng) for port in ends.inputs] for _ in range(_DRAWN)]
        drawn = [np.stack(values) for values in zip(*rows, strict=True)]
        return _Material([], drawn, None, f"{_DRAWN} random inputs", drawn=True)
    if task is None:
        samples = read_samples(data.path, how=data.how, tell=progress.say, targets=False)
        entries_of(ends, samples, f"{path}")
    else:
        samples = data.load(task, progress)
        require_fitting(path, task, samples)
    if not precision.needs_ranges:
        every = samples.spread(_COMPARED)
        told = f"{len(every):,} samples of {data.name}"
        return _Material([], _ordered(ends, every, path), every if task else None, told)
    parts = split(samples, "given" if GIVEN in samples.extra else "shuffled", seed)
    kept = samples.take(np.sort(np.concatenate([parts.validation, parts.test]))).spread(_COMPARED)
    return _Material(
        _ordered(ends, samples.take(parts.train).spread(_COMPARED), path),
        _ordered(ends, kept, path),
        kept if task else None,
        f"{len(kept):,} samples of {data.name} that ranges were not measured on",
    )


def _ordered(ends: Ends, samples: Samples, path: Path) -> Arrays:
    """Encoded inputs in the order of the file's, each sample with a batch of one."""
    encoded = list(samples.encoded().values())
    places = entries_of(ends, samples, f"{path}")
    return [
        encoded[places.index(place)][:, None].astype(port.dtype) for place, port in enumerate(ends.inputs)
    ]


def _compared(
    path: Path,
    part: Path,
    out: Path,
    ends: Ends,
    precision: Precision,
    material: _Material,
    task: Task | None,
) -> Requantised:
    before = answered(path, material.compared)
    try:
        after = answered(part, material.compared)
    except UsageError as error:
        message = f"{out} was not written: {error}".replace(f"{part}", f"in {precision.name} it")
        raise UsageError(message) from error
    names = [port.name for port in ends.outputs]
    _require_sense(names, before, after, precision.name, out)
    differences = tuple(map(Difference.of, names, before, after))
    return Requantised(
        path=str(out),
        precision=precision.name,
        bytes_before=path.stat().st_size,
        bytes_after=part.stat().st_size,
        compared_on=material.told,
        differences=differences,
        metrics=_metrics(task, ends, material.samples, before, after, path),
        warnings=tuple(_doubts(differences, precision, drawn=material.drawn)),
    )


def _require_sense(names: list[str], before: Arrays, after: Arrays, precision: str, out: Path) -> None:
    for name, old, new in zip(names, before, after, strict=True):
        if old.shape != new.shape:
            fault = f"has another shape, {new.shape[1:]} in place of {old.shape[1:]}"
        elif not np.isfinite(new).all() and np.isfinite(old).all():
            fault = "is not finite"
        elif len(new) > 1 and np.ptp(old, axis=0).any() and not np.ptp(new, axis=0).any():
            fault = "is the same whatever is asked"
        else:
            continue
        message = f"{out} was not written: in {precision} {name} {fault}; choose another precision, or other samples."
        raise UsageError(message)


def _doubts(differences: Sequence[Difference], precision: Precision, *, drawn: bool) -> list[str]:
    random = "Compared on random inputs in 0..1, which the network was not made for: give --data, and --task."
    return [random] * drawn + [
        f"{one.output} lies from the original's by {one.share:.0%} of how far that spreads: measure its errors with "
        "--task and --data before it is used, or choose more bits."
        for one in differences
        if one.share is not None and one.share > precision.share
    ]


def _metrics(
    task: Task | None, ends: Ends, samples: Samples | None, before: Arrays, after: Arrays, path: Path
) -> tuple[Change, ...]:
    if task is None or samples is None:
        return ()
    places = places_of(ends, samples, f"{path}")

    def found(outputs: Arrays) -> dict[str, float]:
        named = {
            name: outputs[place][:, 0].astype(np.float32)
            for name, place in zip(samples.targets, places, strict=True)
        }
        return figures(task, task.answers(named), samples.targets)

    old, new = found(before), found(after)
    return tuple(
        Change(facts=one, before=old[one.name], after=new[one.name])
        for one in facts_of(task).metrics
        if one.name in old
    )
