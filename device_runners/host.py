"""The host runner: measures artifacts on this machine's CPU, each in a process of its own, interleaved in bursts.

Artifacts take turns, in an order that the seed shuffles anew each round, so that whatever else the machine does
falls on all alike. Each burst of the network has a process of its own: where a process's pages lie changes its
speed by several percent for as long as it lives, which one process per artifact would show as a difference.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from mlbench.contracts import DeviceRunner, Job, Outcome, Progress
from mlbench.errors import UsageError
from mlbench.networks import storage
from mlbench.records import Artifact, Delegation, Device, Failure, Measurement, Memory, Timing
from mlbench.system import children, environment

_WORKER = Path(__file__).with_name("host_worker.py")
_ROUNDS = 20
_BURST = 10  # inferences at least, so that starting a process for each is worth it
_FRAME_ROUNDS = 10


#: Seconds of inference in a new process before its burst counts.
_SETTLE = 0.05

#: Frames a round for the detector and the pipeline: each takes tens of milliseconds.
_FRAMES_A_BURST = 5

#: Frames a round in which a face is followed: each round has one search of the whole frame (`faces.tracking.Rules`).
_FOLLOWED_A_BURST = 15

#: Samples that latency is measured on, in turn.
_FIRST = 64


class _WorkerFailedError(Exception):
    """A worker said no, or died; the text says why."""


@dataclass(frozen=True)
class _Inputs:
    """A job's inputs as files, which workers map into memory: pages, not copies.

    Attributes:
        first: of the first samples, with their encodings, as the worker takes them; none: it draws random ones.
        outputs: what the network answers, by target.
        sets: file of each input, by test set.
        pipeline: as the worker takes it.
    """

    first: list[dict[str, Any]]
    outputs: list[str]
    sets: dict[str, dict[str, str]]
    pipeline: dict[str, Any] | None

    @classmethod
    def write(cls, job: Job, folder: Path) -> _Inputs:
        """Write the files of a job below a folder."""

        def saved(name: str, values: npt.NDArray[Any]) -> str:
            np.save(folder / f"{name}.npy", values, allow_pickle=False)
            return str(folder / f"{name}.npy")

        sets = {
            name: {
                key: saved(f"set-{i}-{j}", values) for j, (key, values) in enumerate(samples.inputs.items())
            }
            for i, (name, samples) in enumerate(job.test_sets.items())
        }
        samples = next(iter(job.test_sets.values()), None)
        encodings = samples.encodings if samples else {}
        first = [
            {
                "name": name,
                "file": saved(f"first-{i}", values[:_FIRST]),
                "encoding": dataclasses.asdict(encodings[name]),
            }
            for i, (name, values) in enumerate(samples.inputs.items() if samples else ())
        ]
        pipeline = None
        if job.pipeline is not None:
            frames = saved("frames", job.pipeline.frames)
            video = None if job.pipeline.video is None else saved("video", job.pipeline.video)
            told = {
                "detector": job.pipeline.detector,
                "size": job.pipeline.size,
                "margin": job.pipeline.margin,
                "smallest": job.pipeline.smallest,
            }
            pipeline = {"frames": frames, "video": video, **told}
        return cls(first, list(samples.targets) if samples else [], sets, pipeline)


class _Process:
    """A measuring process that is there and has imported what it needs, but knows no model yet."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            _WorkerFailedError: it ended before it was ready.
        """
        try:
            self._process = subprocess.Popen(
                children.command(str(_WORKER)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=children.environment(),
            )
        except OSError as error:
            message = f"the measuring process cannot be started ({error})"
            raise _WorkerFailedError(message) from error
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise _WorkerFailedError(self._cause_of_death())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _cause_of_death(self) -> str:
        code = self._process.wait(timeout=30)
        if code == -9:
            return "the measuring process was killed, probably out of memory"
        errors = self._process.stderr.read().strip().splitlines() if self._process.stderr else []
        last = errors[-1] if errors else "no message"
        return f"the measuring process ended with {code}: {last}"


_P = TypeVar("_P", bound=_Process)


class _Worker(_Process):
    """The parent's end of one measuring process."""

    def __init__(self, model: Path, job: Job, inputs: _Inputs) -> None:
        super().__init__()
        self._send(
            {
                "model": str(model),
                "threads": job.threads,
                "inputs": inputs.first,
                "outputs": inputs.outputs,
                "pipeline": inputs.pipeline,
                "seed": job.seed,
            }
        )

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Have a command done.

        Raises:
            _WorkerFailedError: it failed, or the process died.
        """
        self._send({"do": command, **arguments})
        answer = self._read()
        if "error" in answer:
            raise _WorkerFailedError(answer["error"])
        return answer

    def _send(self, message: dict[str, Any]) -> None:
        try:
            assert self._process.stdin is not None  # noqa: S101 (it is a pipe)
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise _WorkerFailedError(self._cause_of_death()) from error


@dataclass
class _Series:
    """Samples of one part of the pipeline, collected over bursts."""

    samples: list[float] = field(default_factory=list)
    bursts: list[int] = field(default_factory=list)
    cpu: float = 0.0
    wall: float = 0.0

    def add(self, burst: dict[str, Any]) -> None:
        self.samples += burst["samples_ms"]
        self.bursts.append(len(burst["samples_ms"]))
        self.cpu += burst["cpu_s"]
        self.wall += burst["wall_s"]

    def timing(self) -> Timing | None:
        return Timing.from_samples(self.samples, self.bursts, self.cpu / self.wall) if self.samples else None


@dataclass
class _Lane:
    """One artifact with its worker and what was found so far."""

    artifact: Artifact
    start: Callable[[], _Worker]
    worker: _Worker
    facts: dict[str, Any] = field(default_factory=dict)
    series: dict[str, _Series] = field(
        default_factory=lambda: {p: _Series() for p in ("network", "detector", "both", "tracked")}
    )
    predictions: dict[str, dict[str, npt.NDArray[np.float32]]] = field(default_factory=dict)
    failure: Failure | None = None

    def attempt(self, stage: str, work: Callable[[_Lane], None]) -> None:
        """Do a step unless an earlier one failed; a failure becomes the verdict."""
        if self.failure is not None:
            return
        try:
            work(self)
        except _WorkerFailedError as error:
            self.failure = Failure(stage=stage, reason=str(error)[:2000])

    def outcome(self) -> Outcome:
        return Outcome(
            Measurement(
                artifact=self.artifact.id,
                device="host",
                failure=self.failure,
                network=self.series["network"].timing(),
                parts={
                    part: timing
                    for part, series in self.series.items()
                    if part != "network" and (timing := series.timing())
                },
                **self.facts,
            ),
            self.predictions,
        )


class HostRunner(DeviceRunner):
    """This machine's CPU, through LiteRT with XNNPACK."""

    name: ClassVar[str] = "host"
    summary: ClassVar[str] = "this machine's CPU, in a measuring process of its own"

    def require_ready(self) -> None:
        """Start a measuring process and end it.

        Raises:
            UsageError: it cannot run here.
        """
        _started(_Process).close()

    def device(self, threads: int) -> Device:
        """This machine."""
        facts = environment.machine()
        return Device(id="host", runner=self.name, name=str(facts["cpu"]), threads=threads, details=facts)

    def measure(self, job: Job, progress: Progress) -> Iterator[Outcome]:
        """See `DeviceRunner.measure`."""
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mlbench-")))
            inputs = _Inputs.write(job, scratch)
            lanes = []
            for artifact in job.artifacts:
                model = job.folder / artifact.path
                start = partial(_Worker, model, job, inputs)
                worker = _started(start)
                stack.callback(worker.close)
                lanes.append(_Lane(artifact, start, worker))
            _load(lanes)
            _measure_network(lanes, job, progress)
            _predict(lanes, job, inputs, scratch, progress)
            if job.pipeline is not None:
                _measure_frames(lanes, job, progress)
            yield from (lane.outcome() for lane in lanes)


def _started(start: Callable[[], _P]) -> _P:
    """A process that must be there before any model is blamed."""
    try:
        return start()
    except _WorkerFailedError as error:
        message = f"Nothing can be measured on this machine: {error}; reinstall mlbench, or free memory."
        raise UsageError(message) from error


def _load(lanes: list[_Lane]) -> None:
    for lane in lanes:
        lane.attempt("load", lambda lane: lane.facts.update(lane.worker.ask("load")))


def _measure_network(lanes: list[_Lane], job: Job, progress: Progress) -> None:
    def warm_up(lane: _Lane) -> None:
        lane.facts["warmup_count"] = lane.worker.ask("warm_up")["count"]

    def remember(lane: _Lane) -> None:
        lane.facts["memory"] = Memory(**lane.worker.ask("memory"))
        lane.facts["delegation"] = Delegation(**lane.worker.ask("delegation"))

    for lane in lanes:
        lane.attempt("inference", warm_up)
        lane.attempt("inference", remember)
    rounds = max(1, min(_ROUNDS, job.min_count // _BURST))
    count = -(-job.min_count // rounds)
    _interleave(lanes, "network", rounds, job.min_seconds / rounds, count, job.seed, progress)


def _measure_frames(lanes: list[_Lane], job: Job, progress: Progress) -> None:
    for part in ("detector", "both"):
        _interleave(lanes, part, _FRAME_ROUNDS, 0.0, _FRAMES_A_BURST, job.seed, progress)
    if job.pipeline and job.pipeline.video is not None:
        _interleave(lanes, "tracked", _FRAME_ROUNDS, 0.0, _FOLLOWED_A_BURST, job.seed, progress)

    def count(lane: _Lane) -> None:
        lane.facts.update(lane.worker.ask("found"))

    for lane in lanes:
        lane.attempt("detector", count)


def _interleave(
    lanes: list[_Lane], part: str, rounds: int, seconds: float, count: int, seed: int, progress: Progress
) -> None:
    """Let the workers take turns in rounds of one burst each."""
    rng = np.random.default_rng(seed)
    stage = "inference" if part == "network" else "detector"

    def burst(lane: _Lane) -> None:
        if part != "network":
            lane.series[part].add(lane.worker.ask(part, seconds=seconds, count=count))
            return
        with closing(lane.start()) as fresh:
            fresh.ask("load")
            fresh.ask("network", seconds=_SETTLE, count=3)
            lane.series[part].add(fresh.ask(part, seconds=seconds, count=count))

    with progress.task(f"Measuring {part}", rounds * len(lanes), "bursts") as advance:
        for _ in range(rounds):
            for index in rng.permutation(len(lanes)):
                lanes[index].attempt(stage, burst)
                advance(1, lanes[index].artifact.id)


def _predict(lanes: list[_Lane], job: Job, inputs: _Inputs, scratch: Path, progress: Progress) -> None:
    count = sum(map(len, job.test_sets.values()))
    with progress.task("Computing answers", count * len(lanes), "samples") as advance:
        for lane in lanes:
            for name, samples in job.test_sets.items():

                def work(lane: _Lane, name: str = name) -> None:
                    out = scratch / "out.npz"
                    lane.worker.ask("predict", files=inputs.sets[name], out=str(out))
                    lane.predictions[name] = _finite(storage.load_arrays(out))

                lane.attempt("inference", work)
                advance(len(samples), lane.artifact.id)


def _finite(outputs: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[np.float32]]:
    if not all(np.isfinite(values).all() for values in outputs.values()):
        message = "the network gives numbers that are not finite"
        raise _WorkerFailedError(message)
    return outputs
