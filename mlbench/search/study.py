"""The trials of a search, kept by Optuna in a database: which were asked, what became of them, which comes next.

All that a search knows is in the database after each call: a process that is killed loses nothing, and what it was at
is taken up by who comes next. Several clients may work on one study.
"""

from __future__ import annotations

import math
import os
import platform
import random
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, get_args

import optuna
import psutil
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from mlbench import __version__
from mlbench.errors import UsageError
from mlbench.search.front import Point
from mlbench.search.space import Candidate, Dimension, Range, Space, ascending
from mlbench.search.storage import PatientStorage, shown
from mlbench.search.surrogate import Tried, most_promising
from mlbench.search.work import Job, Outcome

Sampler = Literal["model", "tpe", "nsga", "random"]
SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)

State = Literal["waiting", "running", "complete", "stopped", "failed"]

_TRIES = 40  # at a candidate that was not asked before
_TRIES_OF_SAMPLER = 5  # of them by the sampler, until one is drawn at random
_ALL = 5000  # ways to candidates that are gone through to see which are left
_POPULATION = 10  # of NSGA-II: a search has tens of trials, not thousands
_STARTUP = 8  # trials before they are modelled
_AHEAD = 300  # candidates of which the most promising is taken

_REPEATS, _CANDIDATE, _CLIENT = "repeats", "candidate", "client"
_OUTCOMES, _FAILURE, _P50 = "outcomes", "failure", "p50_ms"


@dataclass(frozen=True)
class Row:
    """A trial: a candidate, and what became of it.

    Attributes:
        number: in order of asking.
        candidate: what was tried.
        values: of the space's names, as they were chosen.
        state: stopped: it cannot reach the front, or breaks a budget.
        outcomes: after each rung, in order.
        failure: why it failed.
        p50_ms: its latency, as on the machine where its network's baseline was timed first; None: not timed.
        excess: by how much it breaks each budget that was judged.
    """

    number: int
    candidate: Candidate
    values: Mapping[str, str] = field(default_factory=dict)
    state: State = "running"
    outcomes: tuple[Outcome, ...] = ()
    failure: str = ""
    p50_ms: float | None = None
    excess: Mapping[str, float] = field(default_factory=dict)

    @property
    def last(self) -> Outcome | None:
        """Its latest figures."""
        return self.outcomes[-1] if self.outcomes else None

    @property
    def fits(self) -> bool:
        """Whether it keeps all budgets that were judged."""
        return all(value <= 0 for value in self.excess.values())


class Study:
    """A study in a database, and this process' part in it."""

    def __init__(
        self, url: str | None, name: str, space: Space, objectives: int, sampler: Sampler, seed: int, say: Any
    ) -> None:
        """Open a study, or begin it.

        Args:
            url: of the database; None: it is kept in memory, and is gone with this process.
            name: of the study, which what decides it determines.
            space: of its candidates.
            objectives: how many.
            sampler: of candidates.
            seed: of the sampler.
            say: tells people what happens.

        Raises:
            UsageError: the database cannot be opened, or the study is of another version of mlbench.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", module="optuna")
        warnings.filterwarnings("ignore", message="Heartbeat of storage")
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self.name, self._space, self._mine = name, space, dict[int, optuna.trial.Trial]()
        self._database = PatientStorage(url, _revive, say) if url else None
        self._study = optuna.create_study(
            storage=self._database, study_name=name, directions=["minimize"] * objectives, load_if_exists=True
        )
        if url:
            self._require_version(shown(url))
        count = len(self._study.get_trials(deepcopy=False))
        self._sampler, self._modelled = _sampler(sampler, seed + count), sampler == "model"
        self._random, self._chance = RandomSampler(seed + count), random.Random(seed + count)  # noqa: S311
        self._closed = threading.Event()
        if self._database:
            threading.Thread(target=self._beat, args=(self._database,), daemon=True, name="heartbeat").start()

    def _require_version(self, where: str) -> None:
        of = self._study.user_attrs.get("mlbench")
        if of is None:
            self._study.set_user_attr("mlbench", __version__)
        elif of != __version__:
            message = (
                f"The study {self.name} in {where} is of mlbench {of}, this is {__version__}: use that version, "
                "or start a new study by --study or --seed."
            )
            raise UsageError(message)

    def start_with(self, starts: Sequence[Mapping[str, str]]) -> None:
        """Have these values asked first, where the study is new."""
        if not self._study.get_trials(deepcopy=False):
            for values in starts:
                self._queue(values)

    def ask(self, point_of: Callable[[Row], Point] | None = None) -> Row | None:
        """A candidate that was not asked before, or one that a client left; None: none was found.

        One that makes no sense has failed when it comes.

        Args:
            point_of: the figures of a trial that has some, which the sampler `model` learns from.
        """
        self._take_over()
        if self._modelled and point_of:
            self._queue_most_promising(point_of)
        for attempt in range(_TRIES):
            at_random = attempt >= _TRIES_OF_SAMPLER
            if at_random and not self._queue_any():
                return None
            self._study.sampler = self._random if at_random else self._sampler
            trial = self._study.ask()
            trial.set_user_attr(_CLIENT, _this_process())
            if self._database:
                self._database.record_heartbeat(trial._trial_id)
            found, fault = self._candidate(trial)
            trial.set_user_attr(_CANDIDATE, [found.network, found.chain])
            if any(row.candidate == found and row.number != trial.number for row in self.rows()):
                trial.set_user_attr(_REPEATS, True)
                self._study.tell(trial, state=TrialState.FAIL)
                continue
            self._mine[trial.number] = trial
            if fault:
                self.fail(trial.number, fault)
            return self._row_of(trial.number)
        return None

    def _queue_most_promising(self, point_of: Callable[[Row], Point]) -> None:
        """Queue the candidate that a model of all trials expects most of; not while there are few, or one waits."""
        rows = self.rows()
        if len(rows) < _STARTUP or any(row.state == "waiting" for row in rows):
            return
        tried = [
            Tried(
                self._places(row.values),
                () if row.state == "failed" else point_of(row),
                row.state == "complete",
                row.excess,
            )
            for row in rows
            if row.state in ("complete", "stopped", "failed")
        ]
        asked = {row.candidate for row in rows}
        pool = self._space.drawn(_AHEAD, self._chance) if self._every is None else self._every
        left = [values for values, candidate in pool if candidate not in asked]
        ahead = self._chance.sample(left, min(_AHEAD, len(left)))
        if ahead and any(one.final for one in tried):
            places = [self._places(values) for values in ahead]
            self._queue(ahead[most_promising(tried, places)])

    def _places(self, values: Mapping[str, str]) -> dict[str, float | str]:
        known = self._space.dimensions
        return {name: _place(known.get(name, ()), value) for name, value in self._encoded(values).items()}

    def _queue_any(self) -> bool:
        """Queue one of the candidates that are left, where all can be gone through; whether any may be left."""
        if self._every is None:
            return True
        asked = {row.candidate for row in self.rows()}
        left = [values for values, candidate in self._every if candidate not in asked]
        if left:
            self._queue(self._chance.choice(left))
        return bool(left)

    @cached_property
    def _every(self) -> list[tuple[dict[str, str], Candidate]] | None:
        return self._space.every(_ALL)

    def _queue(self, values: Mapping[str, str]) -> None:
        self._study.enqueue_trial(self._encoded(values))

    def _encoded(self, values: Mapping[str, str]) -> dict[str, Any]:
        known = self._space.dimensions
        return {name: _encoded(known.get(name, (text,)), text) for name, text in values.items()}

    def _candidate(self, trial: optuna.trial.Trial) -> tuple[Candidate, str]:
        """What a trial is to try, and why it makes no sense; "": it does."""
        try:
            return self._space.candidate(partial(_suggested, trial)), ""
        except UsageError as error:
            return Candidate("", f"{dict(sorted(trial.params.items()))}"), str(error)

    def _row_of(self, number: int) -> Row:
        return next(row for row in self.rows() if row.number == number)

    def note(self, number: int, outcome: Outcome, p50_ms: float | None = None) -> Row:
        """Keep the figures of a trial of this process after a rung."""
        trial = self._mine[number]
        kept = [*trial.user_attrs.get(_OUTCOMES, []), outcome_to_json(outcome)]
        trial.set_user_attr(_OUTCOMES, kept)
        if p50_ms is not None:
            trial.set_user_attr(_P50, p50_ms)
        return self._row_of(number)

    def complete(self, number: int, point: Point, excess: Mapping[str, float]) -> None:
        """End a trial that was carried out."""
        self._limit(number, excess)
        self._study.tell(self._mine.pop(number), list(point), skip_if_finished=True)

    def stop(self, number: int, excess: Mapping[str, float]) -> None:
        """End a trial that is not worth further epochs."""
        self._limit(number, excess)
        self._study.tell(self._mine.pop(number), state=TrialState.PRUNED, skip_if_finished=True)

    def fail(self, number: int, reason: str) -> None:
        """End a trial that has no figures."""
        self._mine[number].set_user_attr(_FAILURE, reason or "no reason given")
        self._study.tell(self._mine.pop(number), state=TrialState.FAIL, skip_if_finished=True)

    def _limit(self, number: int, excess: Mapping[str, float]) -> None:
        for name, value in excess.items():
            self._mine[number].set_constraint(name, value)

    def rows(self) -> list[Row]:
        """All trials of the study, of all clients, in order; neither repeated candidates nor what was taken over."""
        return [
            _row(trial, self._space)
            for trial in self._study.get_trials(deepcopy=False)
            if _CANDIDATE in trial.user_attrs
            and _REPEATS not in trial.user_attrs
            and (trial.state != TrialState.FAIL or _FAILURE in trial.user_attrs)
        ]

    @property
    def shared(self) -> dict[str, Any]:
        """What clients keep for each other."""
        return self._study.user_attrs

    def share(self, name: str, value: Any) -> None:
        """Keep a JSON value for all clients."""
        self._study.set_user_attr(name, value)

    def close(self) -> None:
        """Leave the study; trials of this process that have not ended go on with who comes next."""
        self._closed.set()
        if self._database:
            with suppress(UsageError):  # the database is away: they are taken over all the same
                for number in self._mine:
                    _release(self._study, self._database, self._study.get_trials(deepcopy=False)[number])
            self._database.engine.dispose()

    def _take_over(self) -> None:
        """Put what dead clients were at in the queue: those of this machine at once, others when they fall silent."""
        if self._database is None:
            return
        optuna.storages.fail_stale_trials(self._study)
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number not in self._mine and _is_dead(trial.user_attrs.get(_CLIENT)):
                _release(self._study, self._database, trial)

    def _beat(self, database: PatientStorage) -> None:
        with suppress(UsageError):  # the search itself says it
            while not self._closed.wait(database.heartbeat_interval):
                for trial in list(self._mine.values()):
                    database.record_heartbeat(trial._trial_id)


def _sampler(name: Sampler, seed: int) -> BaseSampler:
    if name == "tpe":
        return TPESampler(n_startup_trials=_STARTUP, seed=seed)
    if name == "nsga":
        return NSGAIISampler(population_size=_POPULATION, seed=seed)
    return RandomSampler(seed)


def _encoded(values: Dimension, text: str) -> Any:
    """A value as Optuna holds it: numbers in order by their place, so that near ones are alike."""
    if isinstance(values, Range):
        return int(text) if values.whole else values.number(text)
    return values.index(text) if ascending(values) else text


def _place(values: Dimension, encoded: Any) -> float | str:
    """Where a value that Optuna holds stands among all: from 0 to 1 where they have an order."""
    if isinstance(values, Range):
        scale = math.log if values.log else float
        low, at, high = map(scale, (values.ends[0], encoded, values.ends[1]))
        return (at - low) / (high - low)
    return encoded / (len(values) - 1) if ascending(values) else str(encoded)


def _suggested(trial: optuna.trial.Trial, name: str, values: Dimension) -> str:
    if isinstance(values, Range):
        low, high = values.ends
        if values.whole:
            return values.text(trial.suggest_int(name, int(low), int(high), log=values.log))
        return values.text(trial.suggest_float(name, low, high, log=values.log))
    if ascending(values):
        return values[trial.suggest_int(name, 0, len(values) - 1)]
    return str(trial.suggest_categorical(name, values))


def _text(values: Dimension, encoded: Any) -> str:
    """A value that Optuna holds, as it stands in the candidate."""
    if isinstance(values, Range):
        return values.text(encoded)
    return values[encoded] if ascending(values) else str(encoded)


def _row(trial: FrozenTrial, space: Space) -> Row:
    states: dict[TrialState, State] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "stopped",
        TrialState.FAIL: "failed",
        TrialState.WAITING: "waiting",
    }
    kept = trial.user_attrs
    return Row(
        number=trial.number,
        candidate=Candidate(*kept[_CANDIDATE]),
        values={name: _text(space.dimensions.get(name, ()), value) for name, value in trial.params.items()},
        state=states.get(trial.state, "running"),
        outcomes=tuple(outcome_of(one) for one in kept.get(_OUTCOMES, ())),
        failure=kept.get(_FAILURE, ""),
        p50_ms=kept.get(_P50),
        excess=trial.constraints,
    )


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON values."""
    return asdict(replace(outcome, metrics=dict(outcome.metrics)))


def outcome_of(kept: Mapping[str, Any]) -> Outcome:
    """An outcome from its JSON values."""
    return Outcome(**{**kept, "job": Job(**kept["job"])})


def _release(study: optuna.Study, storage: PatientStorage, trial: FrozenTrial) -> None:
    """Give up a trial that runs, and queue it again with what is known of it."""
    try:
        if storage.set_trial_state_values(trial._trial_id, TrialState.FAIL):
            _revive(study, trial)
    except optuna.exceptions.UpdateFinishedTrialError:
        pass  # another client was faster


def _revive(study: Any, trial: FrozenTrial) -> None:
    if _CANDIDATE not in trial.user_attrs:
        return  # killed before it was known what it would be
    kept = {name: value for name, value in trial.user_attrs.items() if name != _CLIENT}
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING, params=trial.params, distributions=trial.distributions, user_attrs=kept
        )
    )


def _this_process() -> list[Any]:
    return [platform.node(), os.getpid(), psutil.Process().create_time()]


def _is_dead(client: list[Any] | None) -> bool:
    """Whether a client was a process of this machine that is no more."""
    if client is None or client[0] != platform.node():
        return False
    try:
        return psutil.Process(client[1]).create_time() != client[2]
    except psutil.NoSuchProcess:
        return True


def database_in(folder: Path) -> str:
    """The database of a study that is kept in a folder."""
    return f"sqlite:///{(folder / 'study.db').resolve()}"
