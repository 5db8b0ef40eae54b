"""The arm64 runner: a run's files on the kernels of ARM CPUs, in emulation, for their answers.

XNNPACK chooses kernels by what a CPU offers, and other kernels round otherwise. How long they take in emulation says
nothing of any ARM CPU, so no time is taken, and none is told.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from mlbench.contracts import DeviceRunner, Job, Outcome, Progress, Samples
from mlbench.device_runners.arm64 import emulator, home, pinned
from mlbench.device_runners.arm64.emulator import Emulated, EmulatorError
from mlbench.errors import UsageError
from mlbench.networks import storage
from mlbench.records import Artifact, Device, Failure, Measurement
from mlbench.system.files import key_of, write_atomically

#: A core of many phones of 2019 to 2022; it has the dot product, not the matrix product, of 8-bit numbers.
_USUAL = "cortex-a76"

_CHUNK = 10  # samples that are answered, and kept, at once
_PATIENCE_S = 240.0  # for one sample; a large network takes four seconds, a crowded machine makes it minutes

#: Raised when answers that were kept are to be computed anew.
_VERSION = 1

Answers = dict[str, npt.NDArray[np.float32]]


class Arm64Runner(DeviceRunner):
    """An ARM CPU's kernels, by QEMU."""

    name: ClassVar[str] = "arm64"
    summary: ClassVar[str] = "an ARM CPU's kernels in emulation: answers and errors, no times"
    answers_only: ClassVar[bool] = True

    def __init__(self, cpu: str = _USUAL) -> None:
        """Name the CPU model, as QEMU does."""
        self._cpu = cpu

    def require_ready(self) -> None:
        """See `DeviceRunner.require_ready`."""
        emulator.require_cpu(emulator.require_qemu(home.require_installed()), self._cpu)

    def device(self, threads: int) -> Device:
        """The emulated CPU; it has one thread, whatever is asked for."""
        return Device(
            id=f"{self.name}:{self._cpu}",
            runner=self.name,
            name=f"{self._cpu} in emulation",
            threads=1,
            details=self._details,
            answers_only=True,
        )

    @cached_property
    def _details(self) -> dict[str, str]:
        versions = {wheel.name: wheel.version for wheel in pinned.wheels()}
        qemu = home.home().qemu
        return {"qemu": emulator.version_of(qemu)} | versions if qemu else versions

    @classmethod
    def requirements(cls) -> list[tuple[str, bool, str]]:
        """The installation, and an emulator that is new enough."""
        place, there = home.home(), home.installed()
        rows = [("emulated system", there, str(place.folder) if there else home.INSTALL)]
        try:
            qemu = emulator.require_qemu(place)
        except UsageError as error:
            return [*rows, ("QEMU", False, str(error) if there or place.qemu else home.INSTALL)]
        return [*rows, ("QEMU", True, f"{emulator.version_of(qemu)} at {qemu}")]

    def measure(self, job: Job, progress: Progress) -> Iterator[Outcome]:
        """See `DeviceRunner.measure`. Answers are kept as they come, so that a run that was killed goes on there."""
        place = home.require_installed()
        emulator.require_qemu(place)
        total = len(job.artifacts) * sum(map(len, job.test_sets.values()))
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mlbench-")))
            process = _Process(place, self._cpu)
            stack.callback(process.end)
            title = f"Answers on {self._cpu}, emulated"
            advance = stack.enter_context(progress.task(title, total, "samples"))
            sets = [_Set.write(*item, scratch / f"set-{i}") for i, item in enumerate(job.test_sets.items())]
            for artifact in job.artifacts:
                kept = self._kept_at(artifact)
                lane = _Lane(artifact, job.folder / artifact.path, self.device(1).id, process, kept)
                for one in sets:
                    for rows in one.chunks():
                        lane.answer(one, rows, scratch / "out.npz")
                        advance(len(rows), artifact.id)
                yield lane.outcome()

    def _kept_at(self, artifact: Artifact) -> Path:
        key = key_of(_VERSION, artifact.sha256, self._cpu, self._details)
        return home.base() / "answers" / key


class _Process:
    """The emulated process; it starts when it is first asked, and anew after it died."""

    def __init__(self, place: home.Home, cpu: str) -> None:
        self._place, self._cpu = place, cpu
        self._emulated: Emulated | None = None

    def ask(self, message: dict[str, Any], seconds: float) -> None:
        try:
            self._emulated = self._emulated or Emulated(self._place, self._cpu)
            self._emulated.ask(message, seconds)
        except EmulatorError:
            self.end()
            raise

    def end(self) -> None:
        if self._emulated is not None:
            self._emulated.close()
        self._emulated = None


@dataclass(frozen=True)
class _Set:
    """A test set as files, which the emulated process maps."""

    name: str
    key: str  # of its inputs, and of what they are encoded by
    count: int
    files: dict[str, str]
    model: dict[str, Any]  # what a model is given and asked

    @classmethod
    def write(cls, name: str, samples: Samples, folder: Path) -> _Set:
        folder.mkdir()
        files = {}
        for number, (entry, values) in enumerate(samples.inputs.items()):
            files[entry] = str(folder / f"{number}.npy")
            np.save(files[entry], values, allow_pickle=False)
        encodings = {entry: dataclasses.asdict(one) for entry, one in samples.encodings.items()}
        inputs = [
            {"name": entry, "file": file, "encoding": encodings[entry]} for entry, file in files.items()
        ]
        key = key_of(samples.fingerprint, encodings)
        return cls(name, key, len(samples), files, {"inputs": inputs, "outputs": list(samples.targets)})

    def chunks(self) -> Iterator[range]:
        for start in range(0, self.count, _CHUNK):
            yield range(start, min(start + _CHUNK, self.count))


@dataclass
class _Lane:
    """One artifact and its answers so far."""

    artifact: Artifact
    model: Path
    device: str
    process: _Process
    kept: Path
    answers: dict[str, list[Answers]] = field(default_factory=dict)
    failure: Failure | None = None

    def answer(self, test_set: _Set, rows: range, out: Path) -> None:
        """Answer some samples, unless that was done before or something failed."""
        if self.failure is not None:
            return
        kept = self.kept / f"{test_set.key}-{rows.start}.npz"
        found = _read(kept, test_set, rows)
        if found is None:
            model = {"model": str(self.model.resolve()), **test_set.model}
            wanted = {"files": test_set.files, "out": str(out), "first": rows.start, "last": rows.stop}
            try:
                self.process.ask({"model": model, "predict": wanted}, _PATIENCE_S * len(rows))
            except EmulatorError as error:
                self.failure = Failure(stage="inference", reason=str(error)[:2000])
                return
            found = _read(out, test_set, rows)
            if found is None:
                self.failure = Failure(stage="inference", reason="the network's answers are not finite")
                return
            with write_atomically(kept) as part:
                part.write_bytes(out.read_bytes())
        self.answers.setdefault(test_set.name, []).append(found)

    def outcome(self) -> Outcome:
        measurement = Measurement(artifact=self.artifact.id, device=self.device, failure=self.failure)
        joined = {
            name: {target: np.concatenate([chunk[target] for chunk in chunks]) for target in chunks[0]}
            for name, chunks in self.answers.items()
        }
        return Outcome(measurement, {} if self.failure else joined)


def _read(file: Path, test_set: _Set, rows: range) -> Answers | None:
    """Answers of some samples; None where there are none that can be used."""
    try:
        found = storage.load_arrays(file)
    except (OSError, ValueError, UsageError):
        return None
    names = test_set.model["outputs"]
    whole = set(found) == set(names) and all(len(values) == len(rows) for values in found.values())
    finite = whole and all(np.isfinite(values).all() for values in found.values())
    return {name: found[name] for name in names} if finite else None
