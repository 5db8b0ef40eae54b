"""What a search asks for, and what it is told: the values between a study and the engine that does its work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Job:
    """One candidate, made and judged as far as a search asks.

    Attributes:
        network: a variant, as `--variant` takes it, or a file or function, as `--model` takes it.
        chain: of compressors, as text.
        epochs: of tuning, over the whole chain in order; what stands behind them is done without tuning.
            0 judges the chain untuned; None carries it out to its end. More epochs of a job go on where fewer stopped.
    """

    network: str
    chain: str
    epochs: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: which.
        key: of the last stage in the cache; empty where it failed.
        metrics: on the validation split, of the written file, by name.
        file_bytes: of the `.tflite` file.
        deflated_bytes: of the file, deflated as in a package.
        parameters: weights and biases.
        macs: multiply-accumulates per inference.
        epochs: that were run for this job now, of training and of tuning; 0 where all was there.
        seconds: of work for this job now.
        complete: whether the chain was carried out to its end.
        worker: which did the last step.
        failure: why it has no figures: refused, diverged, no memory; empty where it has.
    """

    job: Job
    key: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    file_bytes: int = 0
    deflated_bytes: int = 0
    parameters: int = 0
    macs: int = 0
    epochs: int = 0
    seconds: float = 0.0
    complete: bool = False
    worker: str = ""
    failure: str = ""


@dataclass(frozen=True)
class Timing:
    """Latency of a job's file, timed interleaved with the baseline's on one machine.

    Attributes:
        p50_ms: median of one inference, milliseconds.
        baseline_p50_ms: of the baseline's file in the same rounds.
        machine: where.
    """

    p50_ms: float
    baseline_p50_ms: float
    machine: str


@dataclass(frozen=True)
class WorkerState:
    """What a worker does now.

    Attributes:
        name: of the worker.
        doing: the step, for people; empty where it waits.
    """

    name: str
    doing: str = ""


class Engine(ABC):
    """Carries out jobs, on one worker or many; each step of equal cache key is done once."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Ask for a job; returns at once."""

    @abstractmethod
    def finished(self, timeout_s: float) -> Iterator[Outcome]:
        """Outcomes that are there, after waiting for the first at most `timeout_s`; a failed job is an outcome too."""

    @abstractmethod
    def timed(self, jobs: Sequence[Job]) -> Mapping[Job, Timing]:
        """Latency of complete jobs, all interleaved with the baselines on one machine that does nothing else."""

    @abstractmethod
    def workers(self) -> list[WorkerState]:
        """What each worker does now."""

    def bring(self, jobs: Sequence[Job]) -> None:  # noqa: B027 (on one machine all is there)
        """Bring what complete jobs left to this machine's cache, where `mlbench run` finds it.

        Raises:
            UsageError: it is on no machine any more.
        """

    @abstractmethod
    def close(self) -> None:
        """Give up what is not finished, which stays resumable, and leave the workers."""
