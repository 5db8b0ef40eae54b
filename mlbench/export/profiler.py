"""How long each operator of a `.tflite` takes, and the file as a whole, in processes of their own that take turns."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.contracts import Progress
from mlbench.export.operators import Operator, assigned, execution_order
from mlbench.system import children

_WORKER = Path(__file__).with_name("profiling_worker.py")
_HOLD_OTHERS = {"WHILE", "IF", "CALL", "STABLEHLO_WHILE"}
_PATIENCE = 600  # seconds for one process

Floats = npt.NDArray[np.float64]


class ProfilerError(Exception):
    """Operators cannot be timed here; the text says why."""


@dataclass(frozen=True)
class Profile:
    """What one process of the profiler found.

    Attributes:
        events: name, and the operator's number or -1 inside a delegate, in the order of execution.
        us: microseconds [events], means over the central half of the inferences.
    """

    events: tuple[tuple[str, int], ...]
    us: Floats

    @classmethod
    def parsed(cls, answer: dict[str, Any]) -> Profile:
        """From a process's answer.

        The profiler counts whole microseconds: medians of short operators would be 0 or 1, means are not. The
        slowest and the fastest quarter of the inferences, by their sums, are left out: others used the machine.

        Raises:
            ProfilerError: it is none.
        """
        try:
            events = tuple((str(name), int(number)) for name, number in answer["events"])
            table = np.array(answer["us"], np.float64).reshape(-1, len(events))
        except (KeyError, TypeError, ValueError) as error:
            message = f"its answer is none of a profiler ({error})"
            raise ProfilerError(message) from error
        if not table.size:
            message = "it saw no operator"
            raise ProfilerError(message)
        rows = np.argsort(table.sum(axis=1), kind="stable")
        cut = len(rows) // 4
        return cls(events, table[rows[cut : len(rows) - cut]].mean(axis=0))


@dataclass(frozen=True)
class Times:
    """Times over several processes, in ms.

    Attributes:
        whole: median of one inference, a value per process.
        operators: [processes, operators].
        rest: [processes]: of events that belong to no operator of the file.
        builtin: numbers of operators that no delegate took.
        merged: numbers of operators that were merged into others, or into nothing.
    """

    whole: Floats
    operators: Floats
    rest: Floats
    builtin: frozenset[int]
    merged: frozenset[int]


def times_of(
    path: Path, operators: Sequence[Operator], threads: int, rounds: int, seed: int, progress: Progress
) -> Times:
    """Time a file's operators.

    Each round has one process for the whole and one for the parts, in an order that the seed draws.

    Args:
        path: a file that runs here.
        operators: of it.
        threads: of the network.
        rounds: how many.
        seed: of random inputs, and of the order.
        progress: shows how far it is.

    Raises:
        ProfilerError: this LiteRT has no profiler, or its process failed.
    """
    if loops := sorted({operator.kind for operator in operators} & _HOLD_OTHERS):
        message = f"it cannot tell the operators within a {loops[0]} from those behind it"
        raise ProfilerError(message)
    rng = np.random.default_rng(seed)
    whole, profiles = list[float](), list[Profile]()
    with progress.task("Timing operators", 2 * rounds, "processes") as advance:
        for _ in range(rounds):
            for profile in rng.permutation([False, True]):
                answer = _answer(path, threads, seed, profile=bool(profile))
                if profile:
                    profiles.append(Profile.parsed(answer))
                else:
                    whole.append(float(np.median(answer["whole_us"])) / 1000)
                advance(1, None)
    return collected(np.array(whole), profiles, operators)


def collected(whole: Floats, profiles: Sequence[Profile], operators: Sequence[Operator]) -> Times:
    """Times of operators from what processes of the profiler found.

    Raises:
        ProfilerError: the processes did not see the same events.
    """
    events = profiles[0].events
    if any(profile.events != events for profile in profiles):
        message = "its processes saw different operators"
        raise ProfilerError(message)
    builtin = frozenset(number for _, number in events if number >= 0)
    kinds = {operator.number: operator.kind for operator in operators}
    inside = [n for n in execution_order(operators, builtin) if n not in builtin]
    names = [name for name, number in events if number < 0]
    places = iter(assigned(names, [kinds[number] for number in inside]))
    owners = list[int | None]()
    for _, number in events:
        place = next(places) if number < 0 else None
        owners.append(number if number >= 0 else None if place is None else inside[place])
    found, rest = np.zeros((len(profiles), len(operators))), np.zeros(len(profiles))
    for column, owner in enumerate(owners):
        taken = np.array([profile.us[column] for profile in profiles]) / 1000
        if owner is None or owner >= len(operators):
            rest += taken
        else:
            found[:, owner] += taken
    merged = frozenset(kinds) - {owner for owner in owners if owner is not None}
    return Times(whole, found, rest, builtin, merged)


def _answer(path: Path, threads: int, seed: int, *, profile: bool) -> dict[str, Any]:
    job = {
        "model": str(path),
        "threads": threads,
        "seed": seed,
        "count": 20,
        "seconds": 0.4,
        "profile": profile,
    }
    command = children.command(str(_WORKER), json.dumps(job))
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=children.environment(),
            timeout=_PATIENCE,
        )
        if done.returncode == 0:
            answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
            return answer
        last = next(reversed(done.stderr.strip().splitlines()), "no message")
        message = f"its process ended with {done.returncode}: {last[:300]}"
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        message = f"its process failed: {error}"
    raise ProfilerError(message)
