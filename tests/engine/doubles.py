"""Steps that do next to nothing, for tests of the engine: what they did is in a log that all processes write."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlbench.errors import UsageError
from mlbench.search.engine.forms import Reply
from mlbench.search.engine.judging import Judgement
from mlbench.search.engine.peers import own_address
from mlbench.search.engine.pools import Holders, Pool
from mlbench.search.engine.steps import Planned, Step
from mlbench.search.engine.transport import fetch, hashed, place_of
from mlbench.search.engine.workshop import tried
from mlbench.search.work import Job, WorkerState

JUDGEMENT = Judgement(metrics={"mae": 1.0}, file_bytes=10, deflated_bytes=9, parameters=4, macs=5)


class Plans:
    """Jobs whose chains are words; each prefix is a step, of one epoch."""

    def steps(self, job: Job) -> Planned:
        if "unknown" in job.chain:
            message = "There is no such compressor."
            raise UsageError(message)
        words = [] if job.chain == "none" else job.chain.split("+")
        steps = [_step("baseline", job.network, "none", ())]
        for number in range(1, len(words) + 1):
            chain = "+".join(words[:number])
            steps.append(_step("stage", job.network, chain, (steps[-1].mark,)))
        key = steps[-1].key
        steps.append(_step("judged", job.network, job.chain, (steps[-1].mark,)))
        return Planned(tuple(steps), key, complete=True)


def _step(kind, network, chain, needs):
    key = hashlib.sha256(f"{kind} {network} {chain}".encode()).hexdigest()[:16]
    folder, name = {
        "baseline": ("baselines", "history.json"),
        "stage": ("stages", "stage.json"),
        "judged": ("stages", "judged-1.json"),
    }[kind]
    return Step(kind, key, f"{folder}/{key}/{name}", network, chain, None, needs, alone=key)


@dataclass
class Describes:
    """Tells `perform` of steps.

    Attributes:
        folder: where the log is, and files that tell steps what to do.
        seconds: that a step takes.
    """

    folder: Path
    seconds: float = 0.0

    def step(self, step: Step, holders: Holders) -> str:
        told = {
            "kind": step.kind,
            "mark": step.mark,
            "chain": step.chain,
            "needs": {need: holders.get(need, ()) for need in step.needs},
            "folder": str(self.folder),
            "seconds": self.seconds,
        }
        return json.dumps(told)

    def offer(self, mark: str) -> None:
        """Samples need none."""

    def log(self) -> list[str]:
        """Kinds and chains of the steps that were begun, with the process, in order."""
        return (self.folder / "log").read_text().splitlines()

    def done(self) -> list[str]:
        """The same without the processes."""
        return [line.rpartition(" ")[0] for line in self.log()]


def perform(text: str) -> str:
    """What a worker does in place of a step."""
    told = json.loads(text)

    def do() -> Reply:
        from mlbench.search.engine.peers import reach

        lacking = tuple(
            mark for mark, holders in told["needs"].items() if not fetch(mark, map(reach, holders))
        )
        if lacking:
            return Reply(status="lacking", lacking=lacking)
        with Path(told["folder"], "log").open("a") as log:
            log.write(f"{told['kind']} {told['chain']} {os.getpid()}\n")
        until = time.monotonic() + told["seconds"]
        while time.monotonic() < until:
            time.sleep(0.01)
        last = told["chain"].rpartition("+")[2]
        if last == "diverges":
            message = "Training diverged in epoch 1."
            raise UsageError(message)
        if last == "breaks":
            raise ArithmeticError(last)
        if last == "dies" and not _seen(told, "died"):
            os.kill(os.getpid(), 9)
        if last == "fills" and not _seen(told, "filled"):
            message = "The disk is full."
            raise UsageError(message) from OSError(errno.ENOSPC, "No space left on device")
        place = place_of(told["mark"])
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            (place.parent / f"weights-{told['kind']}.bin").write_bytes(os.urandom(100_000))
            place.write_text(JUDGEMENT.model_dump_json())
            hashed(place.parent)
        judgement = JUDGEMENT if told["kind"] == "judged" else None
        return Reply(status="done", epochs=1, seconds=0.1, judgement=judgement)

    return tried(do).model_copy(update={"worker": own_address()}).model_dump_json()


def _seen(told, name):
    """Whether a step came here before, in whatever process."""
    try:
        Path(told["folder"], name).touch(exist_ok=False)
    except FileExistsError:
        return True
    return False


class Serial(Pool):
    """Workers of no machine: each takes one step, and they end in the order in which they began."""

    def __init__(self, describes: Describes, workers: int = 1) -> None:
        self.describes, self.names = describes, [f"w{number}" for number in range(workers)]
        self.begun: list[Step] = []
        self.excluded: list[str] = []
        self.most = 0

    def room(self) -> int:
        return len(self.names) - len(self.begun)

    def launch(self, step: Step, holders: Holders) -> None:
        assert step.alone not in {one.alone for one in self.begun}
        self.begun.append(step)
        self.most = max(self.most, len(self.begun))

    def replies(self, timeout_s: float) -> Iterator[tuple[str, Reply]]:
        if self.begun:
            step = self.begun.pop(0)
            yield step.key, self.reply(step)

    def reply(self, step: Step) -> Reply:
        return Reply.model_validate_json(perform(self.describes.step(step, {})))

    def states(self) -> list[WorkerState]:
        return []

    def close(self) -> None:
        pass

    def reserve(self) -> str:
        return "a machine"

    def quiet(self) -> bool:
        return not self.begun

    def timing(self, marks: Sequence[str], holders: Holders, measuring) -> Iterator[Reply | None]:
        yield None
        yield Reply(status="done", times=tuple(float(number) for number in range(1, len(marks) + 1)))

    def release(self) -> None:
        pass

    def exclude(self, worker: str, why: str) -> None:
        self.excluded.append(worker)
        if len(self.excluded) == len(self.names):
            raise UsageError(why)


def measure(text: str) -> str:
    """What a worker does in place of timing files: the n-th takes n milliseconds."""
    count = len(json.loads(text)["files"])
    times = tuple(float(number) for number in range(1, count + 1))
    return Reply(status="done", times=times, worker=own_address()).model_dump_json()
