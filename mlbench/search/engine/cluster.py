"""Steps on the workers of a Dask cluster: one that others started, or processes on this machine."""

from __future__ import annotations

import contextlib
import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from distributed import Client, Future
from distributed.scheduler import KilledWorker

from mlbench.contracts import Progress
from mlbench.errors import UsageError
from mlbench.runs.measuring import Measuring
from mlbench.search.engine import samples, worker
from mlbench.search.engine.forms import (
    MakingForm,
    Reply,
    TimedForm,
    form_of_making,
    form_of_network,
    form_of_step,
    own_versions,
    require_same_versions,
)
from mlbench.search.engine.peers import reach_from
from mlbench.search.engine.pools import Holders, Pool
from mlbench.search.engine.steps import Planner, Step
from mlbench.search.engine.transport import DamagedError, fetch, give, place_of
from mlbench.search.work import WorkerState

#: What a worker must be given to time files: `dask worker --resources measuring=1`, on one worker per machine.
MEASURING = "measuring"

#: Seconds that a scheduler may take to answer at first, and to come back.
_ANSWER, _RETURN = 20, 600

_LOOK = 1.0  # seconds until it is looked again which workers there are
_LIST = 60.0  # and what they have finished, for other clients too


class Describes(Protocol):
    """Tells workers of steps."""

    def step(self, step: Step, holders: Holders) -> str:
        """A step, as what is performed takes it."""
        ...

    def offer(self, mark: str) -> None:
        """See that what only this machine has is in its cache, if a mark stands for that."""
        ...


@dataclass
class Descriptions:
    """Tells workers of the steps of a planner."""

    planner: Planner
    making: MakingForm

    @classmethod
    def of(cls, planner: Planner) -> Descriptions:
        """Of a planner, whose samples are read for it."""
        return cls(planner, form_of_making(planner.making, planner.material.samples.fingerprint))

    def step(self, step: Step, holders: Holders) -> str:
        """A step as JSON."""
        network = form_of_network(self.planner.network(step.network))
        return form_of_step(step, self.making, network, holders).model_dump_json()

    def offer(self, mark: str) -> None:
        """Keep the samples where workers get them, if it is they that are asked for."""
        if mark == self.making.samples.mark:
            samples.keep(self.planner.material.samples, self.making.samples)


def connected(address: str) -> Client:
    """A client of the scheduler at an address.

    Raises:
        UsageError: it does not answer.
    """
    try:
        return Client(address, timeout=_ANSWER, set_as_default=False)
    except (OSError, ValueError) as error:
        message = f"The scheduler at {address} does not answer ({error}): start it, or check the address."
        raise UsageError(message) from error


@dataclass
class Cluster(Pool):
    """Workers of a cluster.

    Attributes:
        client: of its scheduler.
        describes: tells workers of steps.
        progress: is told what happens to the cluster.
        reconnect: gives a new client of a scheduler that went away and came back.
        perform: what workers call with the description of a step.
        measure: what a worker calls with the files to time.
        closing: called when the cluster is left.
        alive: called now and then; raises UsageError where workers of this machine cannot live.
    """

    client: Client
    describes: Describes
    progress: Progress
    reconnect: Callable[[], Client]
    perform: Callable[[str], str] = worker.perform
    measure: Callable[[str], str] = worker.measure
    closing: Callable[[], None] = lambda: None
    alive: Callable[[], None] = lambda: None
    _futures: dict[str, tuple[Step, Future[str]]] = field(default_factory=dict)
    _ended: queue.SimpleQueue[tuple[str, Future[str]]] = field(default_factory=queue.SimpleQueue)
    _excluded: dict[str, str] = field(default_factory=dict)  # why, by address
    _known: dict[str, dict[str, Any]] = field(default_factory=dict)  # facts of workers, by address
    _marks: dict[str, str] = field(default_factory=dict)  # who has what, by mark
    _looked: float = 0.0
    _listed: float = 0.0
    _reserved: str = ""
    _attempts: Counter[str] = field(default_factory=Counter)

    def room(self) -> int:
        """See `Pool.room`."""
        self._look()
        self._require_some()
        return len(self._usable()) - len(self._futures)

    def launch(self, step: Step, holders: Holders) -> None:
        """See `Pool.launch`."""
        only = sorted(self._usable()) if self._excluded or self._reserved else None
        asked = (*step.needs, *step.helps)
        known = {mark: (self._marks[mark],) for mark in asked if mark in self._marks}
        text = self.describes.step(step, known | {mark: holders[mark] for mark in asked if mark in holders})
        future = self._submit(self.perform, text, f"{step.kind}-{step.key}", only)
        self._futures[step.key] = step, future
        future.add_done_callback(lambda done: self._ended.put((step.key, done)))

    def _submit(
        self, function: Callable[[str], str], text: str, name: str, only: list[str] | None, **options: Any
    ) -> Future[str]:
        # Two clients that ask for a step get one task. Asked for again, it is another: Dask may hold the old answer.
        key = f"{name}-{self._attempts[name]}"
        self._attempts[name] += 1
        return self.client.submit(function, text, key=key, pure=False, workers=only, retries=0, **options)

    def replies(self, timeout_s: float) -> Iterator[tuple[str, Reply]]:
        """See `Pool.replies`."""
        ended = list[tuple[str, Future[str]]]()
        with contextlib.suppress(queue.Empty):
            ended.append(self._ended.get(timeout=timeout_s))
            while True:
                ended.append(self._ended.get_nowait())
        own = {
            key: future for key, future in ended if key in self._futures and self._futures[key][1] is future
        }
        done = {key: future for key, future in own.items() if future.status == "finished"}
        texts = self.client.gather(done, errors="skip") if done else {}  # one call for all of them
        for key, future in own.items():
            del self._futures[key]
            yield key, Reply.model_validate_json(texts[key]) if key in texts else _reply_of(future)

    def states(self) -> list[WorkerState]:
        """See `Pool.states`."""
        try:
            doing = self.client.processing()
        except (OSError, RuntimeError):
            return []
        titles = {future.key: step.title for step, future in self._futures.values()}
        return [
            WorkerState(self.told(address), next((titles[key] for key in keys if key in titles), ""))
            for address, keys in sorted(doing.items())
        ]

    def told(self, address: str) -> str:
        """See `Pool.told`."""
        return str(self._known.get(address, {}).get("name", address))

    def close(self) -> None:
        """See `Pool.close`; what is begun is given up at its next checkpoint."""
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            self.client.close(timeout=5)
        self.closing()

    def reserve(self) -> str:
        """See `Pool.reserve`."""
        self._look(now=True)
        for address in self._usable():
            if self._known[address]["resources"].get(MEASURING):
                self._reserved = address
                return self._machine(address)
        message = "No worker may measure latency: start one per machine with --resources measuring=1."
        raise UsageError(message)

    def quiet(self) -> bool:
        """See `Pool.quiet`."""
        machine = self._machine(self._reserved)
        doing = self.client.processing()
        return not any(keys for address, keys in doing.items() if self._machine(address) == machine)

    def timing(self, marks: Sequence[str], holders: Holders, measuring: Measuring) -> Iterator[Reply | None]:
        """See `Pool.timing`."""
        form = TimedForm(
            files=tuple(marks),
            needs={mark: holders.get(mark, ()) for mark in marks},
            versions=own_versions(),
            threads=measuring.threads,
            min_count=measuring.min_count,
            min_seconds=measuring.min_seconds,
            seed=measuring.seed,
        )
        future = self._submit(
            self.measure, form.model_dump_json(), "timed", [self._reserved], resources={MEASURING: 1}
        )
        while not future.done():
            yield None
        yield _reply_of(future)

    def release(self) -> None:
        """See `Pool.release`."""
        self._reserved = ""

    def recalled(self, mark: str) -> tuple[str, str] | None:
        """See `Pool.recalled`."""
        self._look()
        address = self._marks.get(mark)
        if address is None or address not in self._known:
            return None
        try:
            return reach_from(self.client, address)(worker.read, mark), address
        except (OSError, ValueError):
            return None

    def supply(self, worker: str, mark: str) -> bool:
        """See `Pool.supply`."""
        self.describes.offer(mark)
        try:
            return place_of(mark).exists() and give(mark, reach_from(self.client, worker))
        except (OSError, DamagedError):
            return False

    def bring(self, mark: str, holders: Sequence[str]) -> bool:
        """See `Pool.bring`."""
        asked = dict.fromkeys([*holders, *filter(None, [self._marks.get(mark)])])
        return fetch(mark, (reach_from(self.client, address) for address in asked))

    def exclude(self, worker: str, why: str) -> None:
        """See `Pool.exclude`."""
        self._excluded[worker] = why
        self._require_some()

    def _require_some(self) -> None:
        """See that not all workers that there are were excluded.

        Raises:
            UsageError: they were, and why.
        """
        if self._known and not self._known.keys() - self._excluded.keys():
            told = " ".join(f"{self.told(address)}: {self._excluded[address]}" for address in self._known)
            message = f"No usable worker is left. Repair one, then give the same command again. {told}"
            raise UsageError(message)

    def _usable(self) -> list[str]:
        taken = self._machine(self._reserved) if self._reserved else ""
        return [
            address
            for address in self._known
            if address not in self._excluded and self._machine(address) != taken
        ]

    def _machine(self, address: str) -> str:
        return str(self._known.get(address, {}).get("host", address))

    def _look(self, *, now: bool = False) -> None:
        """See which workers there are, and what those that came have finished before."""
        if not now and time.monotonic() - self._looked < _LOOK:
            return
        self.alive()
        if self.client.status == "closed":
            self.progress.say("The connection to the scheduler was lost: waiting for it to return …")
            self.client = self.reconnect()
        if self.client.status != "running":
            self._known = {}  # they are met again
            return
        try:
            found = self.client.scheduler_info()["workers"]
            for address in found.keys() - self._known.keys():
                self._greet(address, str(found[address].get("name", address)))
            self._known = dict(found)
            if time.monotonic() - self._listed > _LIST:
                self._list()
        except (OSError, RuntimeError):  # not connected now
            self._known = {}
        self._looked = time.monotonic()

    def _greet(self, address: str, name: str) -> None:
        ask = reach_from(self.client, address)
        try:
            require_same_versions(ask(worker.about), f"The worker {name}")
        except UsageError as error:
            self.progress.say(f"{error} It gets no steps.")
            self._excluded[address] = str(error)
        self._listed = 0.0

    def _list(self) -> None:
        for address, marks in self.client.run(worker.marks, on_error="ignore").items():
            self._marks |= dict.fromkeys(marks, address)
        self._listed = time.monotonic()


def _reply_of(future: Future[str]) -> Reply:
    """What came of a future; one whose scheduler went away is lost."""
    if future.status == "finished":
        return Reply.model_validate_json(future.result())
    if future.status == "error":
        error = future.exception()
        if isinstance(error, KilledWorker):
            why = "it ended the worker each time, probably for want of memory"
            return Reply(status="failed", message=why)
        return Reply(status="failed", message=f"{type(error).__name__}: {error}")
    return Reply(status="lost")


def came_back(address: str) -> Client:
    """A client of a scheduler that went away, once it is there again.

    Raises:
        UsageError: it does not come back.
    """
    until = time.monotonic() + _RETURN
    while True:
        try:
            return connected(address)
        except UsageError:
            if time.monotonic() > until:
                raise
            time.sleep(1)
