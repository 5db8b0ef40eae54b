"""A search: asks the study for candidates, has the engine make them, and ends those that cannot reach the front."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mlbench.compression.chain import parse_chain
from mlbench.errors import UsageError
from mlbench.search.aim import Aim
from mlbench.search.front import Point, front_of, hypervolume
from mlbench.search.halving import epochs_of, goes_on, rungs_of
from mlbench.search.study import Row, Study, outcome_of, outcome_to_json
from mlbench.search.work import Engine, Job, Outcome, WorkerState

_WAIT_S = 2.0  # for the engine, between two looks

_BASELINES, _BASELINE_P50 = "baselines", "baseline_p50_ms"


@dataclass(frozen=True)
class Limits:
    """When a search ends.

    Attributes:
        trials: candidates of the whole study, of all clients.
        seconds: of this call; None: as long as it takes.
    """

    trials: int
    seconds: float | None = None


@dataclass(frozen=True)
class Found:
    """What a search knows by now.

    Attributes:
        rows: of all trials.
        baselines: by network.
        front: of `rows`, what keeps all budgets and is dominated by none, the smallest last.
        volumes: of the front after each trial that was carried out, in units of the baseline's error.
    """

    rows: list[Row]
    baselines: dict[str, Outcome]
    front: list[Row]
    volumes: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Seen:
    """What people are shown while a search runs."""

    found: Found
    limits: Limits
    elapsed_s: float
    workers: list[WorkerState]


class Watch(Protocol):
    """Is told how a search goes on."""

    def __call__(self, seen: Seen) -> None:
        """Called after each outcome, and now and then between."""


class Search:
    """One client's work on a study."""

    def __init__(self, study: Study, engine: Engine, aim: Aim, tuning_epochs: int) -> None:
        """Begin.

        Args:
            study: what is asked and kept.
            engine: what makes candidates.
            aim: what is sought.
            tuning_epochs: of a step without epochs of its own.
        """
        self._study, self._engine, self._aim, self._epochs = study, engine, aim, tuning_epochs
        self._numbers: dict[Job, int] = {}  # of trials, of jobs that the engine works on
        self._waiting: list[Outcome] = []  # for the baseline of their network
        kept = study.shared.get(_BASELINES, {})
        self._baselines = {network: outcome_of(one) for network, one in kept.items()}
        self._asked: set[str] = set()  # networks whose baselines the engine works on
        self._known: set[str] = set()  # networks whose baselines the engine was asked for

    def run(self, limits: Limits, watch: Watch) -> Found:
        """Work until a limit is reached, or the space holds nothing new."""
        started, exhausted = time.monotonic(), False
        while True:
            elapsed = time.monotonic() - started
            late = limits.seconds is not None and elapsed > limits.seconds
            while not late and not exhausted and self._may_ask(limits):
                exhausted = not self._next()
            if not self._numbers:
                return found_in(self._study.rows(), self._baselines, self._aim)
            for outcome in self._engine.finished(_WAIT_S):
                self._take(outcome, late)
            seen = found_in(self._study.rows(), self._baselines, self._aim)
            watch(Seen(seen, limits, time.monotonic() - started, self._engine.workers()))

    def _may_ask(self, limits: Limits) -> bool:
        if len(self._numbers) >= max(1, len(self._engine.workers())):
            return False
        rows = self._study.rows()
        queued = any(row.state == "waiting" for row in rows)
        return queued or len(rows) < limits.trials

    def _next(self) -> bool:
        """Ask for a candidate and have it made; whether there was one."""
        row = self._study.ask(self._point)
        if row is None:
            return False
        if row.state == "failed":
            return True
        self._require_baseline(row.candidate.network)
        rungs = rungs_of(epochs_of(parse_chain(row.candidate.chain), self._epochs))
        self._submit(row, rungs[min(len(row.outcomes), len(rungs) - 1)])
        return True

    def _require_baseline(self, network: str) -> None:
        if network not in self._known:  # one of an earlier call too: candidates are timed beside it
            self._known.add(network)
            self._asked.add(network)
            self._engine.submit(Job(network, "none"))

    def _submit(self, row: Row, epochs: int | None) -> None:
        job = Job(row.candidate.network, row.candidate.chain, epochs)
        self._numbers[job] = row.number
        if job != Job(job.network, "none") or job.network not in self._asked:  # else the engine is at it
            self._engine.submit(job)

    def _take(self, outcome: Outcome, late: bool) -> None:
        network = outcome.job.network
        if outcome.job == Job(network, "none") and network in self._asked:
            self._take_baseline(network, outcome)
            ready = [
                one
                for one in (*self._waiting, outcome)
                if one.job.network == network and one.job in self._numbers
            ]
            self._waiting = [one for one in self._waiting if one not in ready]
            for one in ready:
                self._judge(one, self._numbers.pop(one.job), late)
        elif network in self._baselines:
            self._judge(outcome, self._numbers.pop(outcome.job), late)
        else:
            self._waiting.append(outcome)

    def _take_baseline(self, network: str, outcome: Outcome) -> None:
        self._asked.discard(network)
        self._baselines[network] = outcome
        good = {name: outcome_to_json(one) for name, one in self._baselines.items() if not one.failure}
        if not good:
            message = f"The baseline of {network} failed: {outcome.failure}"
            raise UsageError(message)
        self._study.share(_BASELINES, good)

    def _judge(self, outcome: Outcome, number: int, late: bool) -> None:
        """Keep what came of a candidate, and end it or let it go on."""
        baseline = self._baselines[outcome.job.network]
        last, p50 = outcome.complete or outcome.job.epochs is None, None
        why = outcome.failure or baseline.failure or _not_finite(outcome)
        if last and self._aim.timed and not why:
            p50, why = self._latency(outcome)
        if why:
            self._study.fail(number, why)
            return
        row = self._study.note(number, outcome, p50)
        excess = self._aim.excess(outcome, baseline, p50, tuned=last)
        if last:
            self._study.complete(number, self._aim.point(outcome, p50), excess)
        elif any(value > 0 for value in excess.values()) or not self._may_reach(row):
            self._study.stop(number, excess)
        elif not late:
            rungs = rungs_of(epochs_of(parse_chain(row.candidate.chain), self._epochs))
            self._submit(row, rungs[min(len(row.outcomes), len(rungs) - 1)])

    def _may_reach(self, row: Row) -> bool:
        """Whether a candidate may reach the front, by all that were judged after as large a part of their epochs."""
        place = len(row.outcomes) - 1
        rung = [
            self._cheap(one.outcomes[place])
            for one in self._study.rows()
            if len(one.outcomes) > place and one.outcomes[place].job.epochs is not None
        ]
        return goes_on(self._cheap(row.outcomes[place]), rung)

    def _cheap(self, outcome: Outcome) -> Point:
        return self._aim.point(outcome)[:2]

    def _point(self, row: Row) -> Point:
        assert row.last is not None  # noqa: S101 (it was carried out, or stopped by its figures)
        return self._aim.point(row.last, row.p50_ms)

    def _latency(self, outcome: Outcome) -> tuple[float | None, str]:
        """Beside its baseline's, carried over to the machine where that was timed first; or why there is none."""
        try:
            timing = self._engine.timed([outcome.job])[outcome.job]
        except UsageError as error:
            return None, str(error)
        kept = dict(self._study.shared.get(_BASELINE_P50, {}))
        if outcome.job.network not in kept:
            kept[outcome.job.network] = timing.baseline_p50_ms
            self._study.share(_BASELINE_P50, kept)
        return timing.p50_ms / timing.baseline_p50_ms * kept[outcome.job.network], ""


def _not_finite(outcome: Outcome) -> str:
    wrong = [name for name, value in outcome.metrics.items() if not math.isfinite(value)]
    return f"Its {wrong[0]} is not finite." if wrong else ""


def found_in(rows: Sequence[Row], baselines: dict[str, Outcome], aim: Aim) -> Found:
    """The front of trials, and how its volume grew."""
    made = [row for row in rows if row.state == "complete" and row.fits and row.last]
    points = [aim.point(row.last, row.p50_ms) for row in made if row.last]
    volumes = list[float]()
    known = [one for one in baselines.values() if not one.failure]
    if known and points:
        reference = tuple(max(ends) for ends in zip(*(aim.reference(one) for one in known), strict=True))
        scale = abs(aim.point(known[0])[0]) or 1.0
        flat = [point[:2] for point in points]
        volumes = [hypervolume(flat[: count + 1], reference) / scale for count in range(len(flat))]
    return Found(list(rows), dict(baselines), [made[place] for place in front_of(points)], volumes)
