"""Where steps are carried out: what the engine asks of one process, or of many."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mlbench.compression.stages import shipped_file
from mlbench.contracts import Progress
from mlbench.errors import UsageError
from mlbench.runs.measuring import Measuring
from mlbench.search.engine.forms import Reply
from mlbench.search.engine.steps import Planner, Step
from mlbench.search.engine.transport import place_of
from mlbench.search.engine.workshop import carry_out, time_files, tried
from mlbench.search.work import WorkerState
from mlbench.system import environment

#: Which workers have what a mark stands for.
Holders = Mapping[str, tuple[str, ...]]


class Pool(ABC):
    """Workers that take steps."""

    @abstractmethod
    def room(self) -> int:
        """How many more steps can be taken now."""

    @abstractmethod
    def launch(self, step: Step, holders: Holders) -> None:
        """Begin a step; its reply comes by `replies`."""

    @abstractmethod
    def replies(self, timeout_s: float) -> Iterator[tuple[str, Reply]]:
        """Keys of steps that ended, with replies, after waiting for the first at most so long."""

    @abstractmethod
    def states(self) -> list[WorkerState]:
        """What each worker does."""

    @abstractmethod
    def close(self) -> None:
        """Leave the workers."""

    @abstractmethod
    def reserve(self) -> str:
        """Take a machine for timing: it gets no more steps until `release`. Answers which.

        Raises:
            UsageError: no worker is for timing.
        """

    @abstractmethod
    def quiet(self) -> bool:
        """Whether the machine that was taken does nothing."""

    @abstractmethod
    def timing(self, marks: Sequence[str], holders: Holders, measuring: Measuring) -> Iterator[Reply | None]:
        """Time files on the machine that was taken: None as long as it takes, the reply at last."""

    @abstractmethod
    def release(self) -> None:
        """Give the machine back."""

    def told(self, worker: str) -> str:
        """The name of a worker, for people."""
        return worker

    def recalled(self, mark: str) -> tuple[str, str] | None:
        """What the workers, not this machine, have finished: the text of a mark, and who has it."""
        return None

    def supply(self, worker: str, mark: str) -> bool:
        """Bring what a mark stands for from this machine to a worker; whether it is there to be brought."""
        return False

    def bring(self, mark: str, holders: Sequence[str]) -> bool:
        """Bring what a mark stands for to this machine; whether it is here now."""
        return place_of(mark).exists()

    def exclude(self, worker: str, why: str) -> None:
        """Give a worker no more steps.

        Raises:
            UsageError: none is left.
        """
        raise UsageError(why)


class InProcess(Pool):
    """This process: a step at a time, when its reply is asked for."""

    def __init__(self, planner: Planner, progress: Progress) -> None:
        self._planner, self._progress = planner, progress
        self._next: Step | None = None

    def room(self) -> int:
        """One, where none waits."""
        return int(self._next is None)

    def launch(self, step: Step, holders: Holders) -> None:
        """See `Pool.launch`."""
        self._next = step

    def replies(self, timeout_s: float) -> Iterator[tuple[str, Reply]]:
        """Carry out the step that waits, however long it takes."""
        if self._next is None:
            time.sleep(timeout_s)
            return
        step = self._next
        reply = tried(lambda: carry_out(step, self._planner, self._progress))
        self._next = None
        yield step.key, reply

    def states(self) -> list[WorkerState]:
        """See `Pool.states`."""
        return [WorkerState("this process", self._next.title if self._next else "")]

    def close(self) -> None:
        """Nothing is left to do."""

    def reserve(self) -> str:
        """This machine."""
        return str(environment.machine()["cpu"])

    def quiet(self) -> bool:
        """It does one thing at a time."""
        return True

    def timing(self, marks: Sequence[str], holders: Holders, measuring: Measuring) -> Iterator[Reply | None]:
        """See `Pool.timing`."""
        files: list[Path] = [shipped_file(place_of(mark).parent) for mark in marks]
        yield Reply(status="done", times=time_files(files, measuring, self._progress))

    def release(self) -> None:
        """Nothing was taken from others."""
