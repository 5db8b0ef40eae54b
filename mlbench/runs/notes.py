"""Notes on figures, each with a remedy: one per kind, which names all that it is about."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from mlbench.evaluation.statistics import too_few
from mlbench.records import Difference, Groups, Measurement, Timing

_NAMED = 3  # where all are concerned and there are more, "all" names them

_Kind = TypeVar("_Kind", bound=Hashable)


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def by_kind(found: Iterable[tuple[_Kind, str]]) -> dict[_Kind, list[str]]:
    """What is named, by what is found of it, both in the order in which they came."""
    kinds: dict[_Kind, list[str]] = {}
    for kind, name in found:
        kinds.setdefault(kind, []).append(name)
    return kinds


_UNSTEADY: list[tuple[Callable[[Timing], bool], str]] = [
    (
        lambda t: abs(t.drift - 1) > 0.1,
        "drifted by over 10 % while measured: let the machine cool, measure again.",
    ),
    (lambda t: t.cpu_per_wall < 0.9, "waited for the CPU: stop other programs and measure again."),
    (
        lambda t: t.p90_ms > 1.5 * t.p50_ms,
        "is noisy (p90 over 1.5 × p50): stop other programs, measure again.",
    ),
]


def of_latencies(measurements: Sequence[Measurement]) -> list[str]:
    """Why latencies may be worth less; the record holds the figures of each file."""
    timed = [(m, m.network) for m in measurements if m.network is not None]
    count = {
        device: len(names) for device, names in by_kind((m.device, m.artifact) for m, _ in timed).items()
    }
    found = by_kind(
        ((number, m.device), m.artifact)
        for number, (wrong, _) in enumerate(_UNSTEADY)
        for m, timing in timed
        if wrong(timing)
    )
    return [
        f"Latency of {_all_or(names, count[device])} on {device} {_UNSTEADY[number][1]}"
        for (number, device), names in found.items()
    ]


def _all_or(names: Sequence[str], count: int) -> str:
    return f"all {count} files" if len(names) == count > _NAMED else listed(names)


def without_verdict(
    baseline: str, measurements: Sequence[Measurement], differences: Iterable[Difference]
) -> list[str]:
    """Why latencies have no verdict though the baseline's is known, each reason once."""
    bases = {m.device: m.network for m in measurements if m.artifact == baseline and m.network}
    judged = {(d.artifact, d.device) for d in differences if d.quantity == "p50_ratio"}
    found = {
        f"p50 on {m.device} has no verdict: {too_few(min(len(m.network.bursts), len(base.bursts)))}.": None
        for m in measurements
        if m.artifact != baseline
        and m.network
        and (base := bases.get(m.device))
        and (m.artifact, m.device) not in judged
    }
    return list(found)


#: Fewer groups give intervals that are too narrow: the percentile bootstrap covers about 90 % at twenty.
_FEW_GROUPS = 20


def of_groups(groups: Mapping[str, Groups]) -> list[str]:
    """Test sets of too few groups to say much of others."""
    units = by_kind((found.unit, name) for name, found in groups.items())
    return [
        note
        for unit, names in units.items()
        for note in few_groups({n: groups[n].count for n in names}, unit)
    ]


def few_groups(counts: Mapping[str, int], unit: str) -> list[str]:
    """What the reader must know of intervals over so few groups; nothing where there are enough."""
    ones = [name for name, count in counts.items() if count == 1]
    few = {name: count for name, count in counts.items() if 1 < count < _FEW_GROUPS}
    notes = []
    if ones:
        each, their = (" each", "their") if len(ones) > 1 else ("", "its")
        notes.append(
            f"The samples of {listed(ones)} are of one {unit}{each}: {their} intervals say nothing of others; "
            "test on more."
        )
    if few:
        numbers, their = listed([str(count) for count in few.values()]), "their" if len(few) > 1 else "its"
        notes.append(
            f"The samples of {listed(list(few))} are of {numbers} {unit}s: {their} intervals are too narrow; "
            "test on more."
        )
    return notes
