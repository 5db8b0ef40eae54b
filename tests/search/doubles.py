"""An engine that looks figures up, for tests of what stands above it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from mlbench.compression.chain import parse_chain
from mlbench.search.halving import epochs_of
from mlbench.search.work import Engine, Job, Outcome, Timing, WorkerState


class Looked(Engine):
    """Outcomes come from a function; what was asked is kept."""

    def __init__(self, look: Callable[[Job], Outcome], workers: int = 1) -> None:
        self.look, self.asked, self.closed, self._count = look, list[Job](), False, workers
        self._queue: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        self.asked.append(job)
        self._queue.append(job)

    def finished(self, timeout_s: float) -> Iterator[Outcome]:
        if self._queue:
            yield self.look(self._queue.popleft())

    def timed(self, jobs: Sequence[Job]) -> Mapping[Job, Timing]:
        return {job: Timing(1.0 + len(job.chain) / 100, 2.0, "here") for job in jobs}

    def workers(self) -> list[WorkerState]:
        return [WorkerState(f"{number}") for number in range(self._count)]

    def close(self) -> None:
        self.closed = True


def formula(job: Job) -> Outcome:
    """Figures of a chain with one `target=…KB`, as if compression were a formula; tuning lowers the error."""
    chain = parse_chain(job.chain)
    target = next(
        (float(step.target[:-2]) for step in chain.compressors if getattr(step, "target", None)), 1000.0
    )
    part = 4.0 if "dynamic" in job.chain or "int8" in job.chain else 1.0
    left = 1.0 if job.epochs is None else job.epochs / max(1, epochs_of(chain, 4))
    error = 0.8 + 20 / target + 0.02 * part + 0.3 * (1 - left) * (job.chain != "none")
    return Outcome(
        job,
        key=f"{math.floor(target)}",
        metrics={"mae": error},
        file_bytes=int(1000 * target / part) + 2000,
        complete=job.epochs is None or left >= 1,
        epochs=0,
        worker="double",
    )
