"""The engine: leads each job through its steps, and lets a step that several jobs share be done once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mlbench.contracts import Progress
from mlbench.errors import UsageError
from mlbench.runs.measuring import Measuring
from mlbench.search.engine.forms import Reply
from mlbench.search.engine.judging import Judgement
from mlbench.search.engine.pools import Pool
from mlbench.search.engine.steps import Planned, Step
from mlbench.search.engine.transport import place_of
from mlbench.search.work import Engine, Job, Outcome, Timing, WorkerState

_TURN = 0.5  # seconds at most until it is looked whether workers came or went
_LOST = 3  # times that what a step left may get lost before its jobs fail


class Plans(Protocol):
    """Knows the steps of a job."""

    def steps(self, job: Job) -> Planned:
        """The steps, in order.

        Raises:
            UsageError: there is no such network, or no such chain.
        """
        ...


@dataclass
class _Way:
    """A job on its way through its steps."""

    job: Job
    planned: Planned
    epochs: int = 0
    seconds: float = 0.0
    lost: int = 0


@dataclass
class Conductor(Engine):
    """See `mlbench.search.work.Engine`.

    Attributes:
        plans: knows the steps of jobs.
        pool: takes steps.
        measuring: how files are timed.
        progress: is told what goes wrong on workers.
    """

    plans: Plans
    pool: Pool
    measuring: Measuring
    progress: Progress
    _replies: dict[str, Reply] = field(default_factory=dict)  # of steps that ended, by key
    _holders: dict[str, tuple[str, ...]] = field(default_factory=dict)  # workers, by mark
    _waiting: dict[str, list[_Way]] = field(default_factory=dict)  # for the step of a key
    _ready: deque[Step] = field(default_factory=deque)
    _running: dict[str, Step] = field(default_factory=dict)
    _outcomes: deque[Outcome] = field(default_factory=deque)

    def submit(self, job: Job) -> None:
        """See `Engine.submit`."""
        try:
            way = _Way(job, self.plans.steps(job))
        except UsageError as error:
            self._outcomes.append(Outcome(job, failure=str(error)))
            return
        self._advance(way)
        self._launch()

    def finished(self, timeout_s: float) -> Iterator[Outcome]:
        """See `Engine.finished`."""
        until = time.monotonic() + timeout_s
        while not self._outcomes and (self._running or self._ready) and time.monotonic() < until:
            self._turn(max(0.0, min(_TURN, until - time.monotonic())))
        if not self._outcomes:
            time.sleep(max(0.0, until - time.monotonic()))
        while self._outcomes:
            yield self._outcomes.popleft()

    def timed(self, jobs: Sequence[Job]) -> Mapping[Job, Timing]:
        """See `Engine.timed`.

        Raises:
            UsageError: a job is not finished, no worker is for timing, or a file cannot be timed.
        """
        judged = {job: self._judged(job) for job in jobs}
        first = {job: self._judged(Job(job.network, "none")) for job in jobs}
        marks = list(dict.fromkeys([*first.values(), *judged.values()]))
        machine = self.pool.reserve()
        try:
            while not self.pool.quiet():
                self._turn(_TURN)
            reply = self._timing(marks)
        finally:
            self.pool.release()
        if reply.status != "done":
            why = reply.message or "the file or the worker was lost"
            message = f"Nothing was timed on {machine} ({why}): give the same command again."
            raise UsageError(message)
        ms = dict(zip(marks, reply.times, strict=True))
        return {job: Timing(ms[judged[job]], ms[first[job]], machine) for job in jobs}

    def workers(self) -> list[WorkerState]:
        """See `Engine.workers`."""
        return self.pool.states()

    def bring(self, jobs: Sequence[Job]) -> None:
        """See `Engine.bring`."""
        for job in jobs:
            for step in self.plans.steps(job).steps:
                if not self.pool.bring(step.mark, self._holders.get(step.mark, ())):
                    message = f"{step.title}: its result is no longer on any machine: run the command again."
                    raise UsageError(message)

    def close(self) -> None:
        """See `Engine.close`."""
        self.pool.close()

    def _advance(self, way: _Way) -> None:
        """Let a job wait for its next step, or end."""
        reply: Reply | None = None
        for step in way.planned.steps:
            reply = self._replies.get(step.key) or self._recalled(step)
            if reply is None:
                self._ask_for(step, way)
                return
            if reply.status == "failed":
                self._outcomes.append(self._failed(way, reply))
                return
        assert reply is not None  # noqa: S101 (each job has a step)
        self._outcomes.append(self._outcome(way, reply))

    def _ask_for(self, step: Step, way: _Way) -> None:
        if step.key not in self._waiting:
            self._waiting[step.key] = []
            self._ready.append(step)
        self._waiting[step.key].append(way)

    def _recalled(self, step: Step) -> Reply | None:
        """The reply to a step that is in the cache, here or on a worker."""
        if step.key in self._waiting:  # it was looked for already
            return None
        place = place_of(step.mark)
        if place.exists():
            text, who = place.read_text(encoding="utf-8") if step.kind == "judged" else "", ""
        elif (found := self.pool.recalled(step.mark)) is not None:
            text, who = found
            self._holders[step.mark] = (who,)
        else:
            return None
        judgement = Judgement.model_validate_json(text) if step.kind == "judged" else None
        self._replies[step.key] = Reply(status="done", judgement=judgement, worker=who)
        return self._replies[step.key]

    def _launch(self) -> None:
        """Begin as many steps as there is room for; none beside another that it must not stand beside."""
        room, held = self.pool.room(), list[Step]()
        busy = {step.alone for step in self._running.values()}
        while room > 0 and self._ready:
            step = self._ready.popleft()
            if step.alone in busy:
                held.append(step)
                continue
            busy.add(step.alone)
            self._running[step.key] = step
            self.pool.launch(step, self._holders)
            room -= 1
        self._ready.extendleft(reversed(held))

    def _turn(self, timeout_s: float) -> None:
        """Begin what can begin, and take what ended."""
        self._launch()
        for key, reply in self.pool.replies(timeout_s):
            self._take(self._running.pop(key), reply)
        self._launch()

    def _take(self, step: Step, reply: Reply) -> None:
        if reply.status == "unfit":
            self._ready.appendleft(step)
            self.progress.say(f"{self.pool.told(reply.worker)} gets no more steps: {reply.message}")
            self.pool.exclude(reply.worker, reply.message)
            return
        if reply.status == "lost":
            self._ready.appendleft(step)
            return
        if reply.status == "lacking":
            self._supply(step, reply)
            return
        self._replies[step.key] = reply
        if reply.status == "done" and reply.worker:
            self._holders[step.mark] = (reply.worker,)
        ways = self._waiting.pop(step.key, [])
        for number, way in enumerate(ways):
            way.epochs += 0 if number else reply.epochs  # of the job that asked first
            way.seconds += 0 if number else reply.seconds
            self._advance(way)

    def _supply(self, step: Step, reply: Reply) -> None:
        """Give a worker what it lacks; do again what nobody has any more."""
        absent = [mark for mark in reply.lacking if not self.pool.supply(reply.worker, mark)]
        if not absent:
            self._ready.appendleft(step)
            return
        for mark in absent:
            self._holders.pop(mark, None)
        for way in self._waiting.pop(step.key, []):
            way.lost += 1
            for one in way.planned.steps:
                if one.mark in absent:
                    self._replies.pop(one.key, None)
            if way.lost > _LOST:
                why = f"{absent[0]} was lost {way.lost} times"
                self._outcomes.append(self._failed(way, Reply(status="failed", message=why)))
            else:
                self._advance(way)

    def _judged(self, job: Job) -> str:
        """The mark of a finished job's judgement."""
        step = self.plans.steps(job).steps[-1]
        reply = self._replies.get(step.key) or self._recalled(step)
        if reply is None or reply.status != "done":
            message = f"{job.network} · {job.chain} is not finished: it cannot be timed."
            raise UsageError(message)
        return step.mark

    def _timing(self, marks: Sequence[str]) -> Reply:
        reply = Reply(status="failed", message="nothing was timed")
        for _ in range(2):
            for found in self.pool.timing(marks, self._holders, self.measuring):
                if found is None:
                    self._turn(_TURN)
                else:
                    reply = found
            if reply.status != "lacking" or not all(
                self.pool.supply(reply.worker, mark) for mark in reply.lacking
            ):
                break
        return reply

    def _outcome(self, way: _Way, last: Reply) -> Outcome:
        return Outcome(
            way.job,
            key=way.planned.key,
            epochs=way.epochs,
            seconds=way.seconds,
            complete=way.planned.complete,
            worker=self.pool.told(last.worker),
            **(last.judgement.model_dump() if last.judgement else {}),
        )

    def _failed(self, way: _Way, reply: Reply) -> Outcome:
        who = self.pool.told(reply.worker)
        return Outcome(way.job, epochs=way.epochs, seconds=way.seconds, worker=who, failure=reply.message)
