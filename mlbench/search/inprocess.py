"""An engine of one worker, in this process: it makes one candidate after another."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mlbench.compression.chain import Chain, parse_chain
from mlbench.compression.delivery import export
from mlbench.compression.stages import ChainSetup, Compressed, compress
from mlbench.contracts import Compressor, NetworkSource, Progress, Tuned
from mlbench.errors import UsageError
from mlbench.evaluation.metrics import figures
from mlbench.export.artifacts import answers
from mlbench.export.written import file_of, written
from mlbench.records import Measurement
from mlbench.runs.measuring import Measuring, measure
from mlbench.runs.plan import Making
from mlbench.search.work import Engine, Job, Outcome, Timing, WorkerState
from mlbench.system.environment import machine
from mlbench.training.baselines import Material, Trained, train_baseline

_HERE = "this process"


class InProcess(Engine):
    """Makes candidates as `mlbench run` does, one at a time; finished stages are in the cache."""

    def __init__(
        self,
        making: Making,
        material: Material,
        named: Callable[[str], NetworkSource],
        measuring: Measuring,
        progress: Progress,
    ) -> None:
        """Begin.

        Args:
            making: how networks are made.
            material: what is learnt from.
            named: the network of a text.
            measuring: how files are timed.
            progress: shows how far the work is.

        Raises:
            UsageError: there is no baseline of a name that the options give.
        """
        self._making, self._named, self._measuring, self._progress = making, named, measuring, progress
        self._used = making.used()
        self._material = material
        self._queue: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        """See `Engine`."""
        self._queue.append(job)

    def finished(self, timeout_s: float) -> Iterator[Outcome]:
        """Carries out the first job that is asked for."""
        if self._queue:
            yield self._carried_out(self._queue.popleft())

    def workers(self) -> list[WorkerState]:
        """See `Engine`."""
        return [WorkerState(_HERE, str(self._queue[0].chain) if self._queue else "")]

    def close(self) -> None:
        """See `Engine`."""
        self._queue.clear()

    def _baseline(self, network: str) -> Trained:
        source = self._named(network)
        return train_baseline(source, self._material, self._making.training, self._progress, self._used[0])

    def _carried_out(self, job: Job) -> Outcome:
        started = time.perf_counter()
        try:
            baseline = self._baseline(job.network)
            chain, left = cut(parse_chain(job.chain), self._making.tuning.epochs, job.epochs)
            tuning = (
                self._making.tuning if left is None else self._making.tuning.model_copy(update={"epochs": 0})
            )
            setup = ChainSetup(self._material, tuning, self._progress)
            done = compress(baseline, chain, setup)
            found = self._judged(job, done, setup)
        except UsageError as error:
            return Outcome(job, failure=str(error), seconds=time.perf_counter() - started, worker=_HERE)
        return replace(found, complete=left is None, seconds=time.perf_counter() - started, worker=_HERE)

    def _judged(self, job: Job, done: Compressed, setup: ChainSetup) -> Outcome:
        """The figures of the written file on validation samples."""
        task, validation = self._material.task, self._material.validation
        facts = written(done.folder, done.export, setup.calibration())
        outputs = answers(file_of(done.folder, done.export), validation)
        last = done.stages[-1]
        return Outcome(
            job,
            key=done.key,
            metrics=figures(task, task.answers(outputs), validation.targets),
            file_bytes=facts.file_bytes,
            deflated_bytes=facts.deflated_bytes,
            parameters=last.parameters,
            macs=last.macs,
        )

    def timed(self, jobs: Sequence[Job]) -> Mapping[Job, Timing]:
        """See `Engine`."""
        names = list(dict.fromkeys(job.network for job in jobs))
        wanted = [Job(name, "none") for name in names] + list(jobs)
        with TemporaryDirectory(prefix="mlbench-") as scratch:
            artifacts = [self._artifact(job, Path(scratch), place) for place, job in enumerate(wanted)]
            measuring = replace(self._measuring, devices=("host",), pipeline=False, gallery=False, budgets=())
            found = measure(
                artifacts, Path(scratch), None, {}, measuring, measuring.runners(), self._progress
            )
        p50 = {job: _p50(row) for job, row in zip(wanted, found.fields["measurements"], strict=True)}
        where = str(machine().get("host", "")) or _HERE
        return {job: Timing(p50[job], p50[Job(job.network, "none")], where) for job in jobs}

    def _artifact(self, job: Job, folder: Path, place: int):  # type: ignore[no-untyped-def]
        setup = ChainSetup(self._material, self._making.tuning, self._progress)
        done = compress(self._baseline(job.network), parse_chain(job.chain), setup)
        made = export(done, job.network, job.chain, setup.calibration(), folder, name=f"{place}")
        return made.model_copy(update={"id": f"{place}"})


def _p50(row: Measurement) -> float:
    if row.network is None:
        message = (
            f"A candidate could not be timed ({row.failure.reason if row.failure else 'no reason given'})."
        )
        raise UsageError(message)
    return row.network.p50_ms


def cut(chain: Chain, usual: int, epochs: int | None) -> tuple[Chain, int | None]:
    """A chain whose steps are tuned for so many epochs, in order, the others not at all.

    Returns:
        the chain, and None where it is the whole one.
    """
    if epochs is None:
        return chain, None
    left, steps = epochs, list[Compressor]()
    for step in chain.compressors:
        own = (step.epochs if isinstance(step, Tuned) else None) or usual
        given = min(own, left) if step.needs_tuning else 0
        steps.append(step.model_copy(update={"epochs": given}) if isinstance(step, Tuned) else step)
        left -= given
    whole = epochs >= sum(
        (one.epochs if isinstance(one, Tuned) else None) or usual
        for one in chain.compressors
        if one.needs_tuning
    )
    return (chain, None) if whole else (Chain(tuple(steps)), left)
