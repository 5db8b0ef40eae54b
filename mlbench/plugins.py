"""Finds plug-ins by entry point, and says what was meant when a name is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, get_args

from mlbench.errors import UsageError

Kind = Literal[
    "tasks", "variants", "compressors", "precisions", "detectors", "device_runners", "reports", "models"
]


@lru_cache
def _found(kind: Kind) -> dict[str, list[EntryPoint]]:
    """The entry points of each name: more than one where packages clash."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=f"mlbench.{kind}"):
        found.setdefault(point.name, []).append(point)
    return found


def names(kind: Kind) -> list[str]:
    """Names of all plug-ins of a kind, in the order of their declaration."""
    return list(_found(kind))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "svd"?` or, where nothing is near, the list of what there is."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else f"; there are: {', '.join(known)}."


def load(kind: Kind, name: str) -> Any:
    """The plug-in of a name: a `Variant`, a class of compressors, devices and reports, or a folder of models.

    Raises:
        UsageError: not known (with the nearest name), of two packages, not importable, or not what the contract
        asks.
    """
    from mlbench.contracts.validity import fault_of  # imports numpy, which --help does without

    points = _found(kind).get(name, [])
    singular = kind.removesuffix("s").replace("_", " ")
    if not points:
        message = f'There is no {singular} "{name}"{did_you_mean(name, _found(kind))}'
        raise UsageError(message)
    if len(points) > 1:
        owners = " and ".join(sorted(_owner(point) for point in points))
        message = f'The {singular} "{name}" comes from {owners}: uninstall one of them.'
        raise UsageError(message)
    plugin = loaded(points[0], singular)
    if fault := fault_of(kind, name, plugin):
        message = f'The {singular} "{name}" of {_owner(points[0])} ({points[0].value}) {fault}.'
        raise UsageError(message)
    return plugin


def identity(plugin: type) -> tuple[str, ...]:
    """What tells a plug-in's class, and a version of it, from all others, whatever its name: for keys of the cache."""
    installed = _installed(plugin.__module__.partition(".")[0])
    return plugin.__module__, plugin.__qualname__, f"{getattr(plugin, 'version', '')}", *installed


@lru_cache  # a key asks for each writer, and reading the metadata takes milliseconds
def _installed(package: str) -> tuple[str, ...]:
    """The distributions, with their versions, whose entry points lie in a package."""
    points = [point for kind in get_args(Kind) for found in _found(kind).values() for point in found]
    owners = {point.dist for point in points if point.module.partition(".")[0] == package and point.dist}
    return tuple(sorted(f"{owner.name} {owner.version}" for owner in owners))


def forget() -> None:
    """Look for plug-ins again: after the search path changed."""
    _found.cache_clear()
    _installed.cache_clear()


def usable(kind: Kind) -> tuple[dict[str, Any], list[str]]:
    """All plug-ins of a kind that can be used, by name, and a sentence for each that cannot."""
    good: dict[str, Any] = {}
    faults = []
    for name in names(kind):
        try:
            good[name] = load(kind, name)
        except UsageError as error:
            faults.append(str(error))
    return good, faults


def loaded(point: EntryPoint, singular: str) -> Any:
    """What an entry point names.

    Raises:
        UsageError: it cannot be imported, whatever its code raised.
    """
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        message = (
            f'The {singular} "{point.name}" of {_owner(point)} cannot be loaded from {point.value} '
            f"({type(error).__name__}: {error}): reinstall or remove its package."
        )
        raise UsageError(message) from error


def _owner(point: EntryPoint) -> str:
    """The distribution that brings an entry point."""
    return f"the package {point.dist.name}" if point.dist else "an unknown package"
