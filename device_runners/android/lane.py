"""One artifact on one phone: the results of its runs so far, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mlbench.contracts import Job, Outcome
from mlbench.device_runners.android.inputs import Inputs
from mlbench.device_runners.android.results import MemoryReadings, Result, Series
from mlbench.records import Artifact, Failure, Measurement, Memory, Timing

_Outputs = dict[str, npt.NDArray[np.float32]]


@dataclass
class Lane:
    """Results by turn; the first turn also has outputs [n, …] of all test sets, by target, and frames.

    A failure ends the lane.
    """

    artifact: Artifact
    device: str
    turns: int
    inputs: Inputs | None = None  # none: it has failed before
    results: dict[int, Result] = field(default_factory=dict)
    outputs: _Outputs = field(default_factory=dict)
    failure: Failure | None = None

    @property
    def waiting(self) -> bool:
        """Whether there is still something to run."""
        return self.failure is None and len(self.results) < self.turns

    def needs(self, turn: int) -> bool:
        """Whether this turn is still to be run."""
        return self.failure is None and turn not in self.results

    def fail(self, stage: str, reason: str) -> None:
        """End the lane with a verdict."""
        self.failure = Failure(stage=stage, reason=reason[:2000])

    def outcome(self, job: Job) -> Outcome:
        """What is known at the end; figures only where every turn was run."""
        if self.failure is not None or self.waiting:
            failure = self.failure or Failure(stage="device", reason="it was not measured")
            return Outcome(Measurement(artifact=self.artifact.id, device=self.device, failure=failure), {})
        first = self.results[0]
        measurement = Measurement(
            artifact=self.artifact.id,
            device=self.device,
            load_ms=first.load_ms,
            first_ms=first.first_ms,
            warmup_count=first.warmup_count,
            network=_timing([self.results[turn].network for turn in range(self.turns)]),
            parts={
                part: timing
                for part in ("detector", "both", "tracked")
                if (timing := _timing([getattr(first, part)])) is not None
            },
            memory=_memory(first.memory),
            found=first.faces_found,
            frames=first.frames,
            details=_details(first, self.results[self.turns - 1]),
        )
        return Outcome(measurement, _by_test_set(job, self.outputs))


def _by_test_set(job: Job, outputs: _Outputs) -> dict[str, _Outputs]:
    edges = np.cumsum([len(samples) for samples in job.test_sets.values()])[:-1]
    parts = {target: np.split(values, edges) for target, values in outputs.items()}
    return {
        name: {target: split[i] for target, split in parts.items()} for i, name in enumerate(job.test_sets)
    }


def _timing(parts: list[Series | None]) -> Timing | None:
    series = [part for part in parts if part is not None]
    if not series:
        return None
    samples = [sample for part in series for sample in part.samples_ms]
    wall = [sum(part.samples_ms) for part in series]
    busy = sum(part.cpu_per_wall * seconds for part, seconds in zip(series, wall, strict=True))
    return Timing.from_samples(
        samples, [len(part.samples_ms) for part in series], busy / max(sum(wall), 1e-9)
    )


def _memory(readings: MemoryReadings | None) -> Memory | None:
    if readings is None or readings.loaded is None or readings.after is None:
        return None
    return Memory(
        baseline_bytes=readings.baseline.rss_kb * 1024,
        loaded_bytes=readings.loaded.rss_kb * 1024,
        peak_bytes=readings.after.peak_kb * 1024,
    )


def _details(first: Result, last: Result) -> dict[str, str]:
    details = {}
    memory = first.memory
    if memory and memory.loaded and memory.after:
        steps = (memory.baseline.pss_kb, memory.loaded.pss_kb, memory.after.pss_kb)
        details["pss_kb"] = " ".join(str(step) for step in steps)
    if not first.foreground:
        details["foreground"] = "no: the screen was not in front, so the phone may have used its slow cores"
    for name, condition in (("before", first.before), ("after", last.after)):
        told = {
            "battery %": condition.battery_level,
            "battery 0.1 °C": condition.battery_tenths_celsius,
            "thermal status": condition.thermal_status,
        }
        details[name] = ", ".join(f"{key} {value}" for key, value in told.items() if value is not None)
    return {key: value for key, value in details.items() if value}
