"""Finds plug-ins by entry point, and says what was meant when a name is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from mlbench.contracts import Compressor, DeviceRunner, Report, Variant
from mlbench.errors import UsageError

Kind = Literal["variants", "compressors", "device_runners", "reports", "models"]

_CONTRACTS: dict[str, type] = {
    "variants": Variant,
    "compressors": Compressor,
    "device_runners": DeviceRunner,
    "reports": Report,
    "models": Path,
}


@lru_cache
def _found(kind: Kind) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"mlbench.{kind}")}


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
        UsageError: not known (with the nearest name), not importable, or not what the contract asks.
    """
    point = _found(kind).get(name)
    singular = kind.removesuffix("s").replace("_", " ")
    if point is None:
        message = f'There is no {singular} "{name}"{did_you_mean(name, _found(kind))}'
        raise UsageError(message)
    try:
        plugin = point.load()
    except (ImportError, AttributeError) as error:
        message = (
            f'The {singular} "{name}" cannot be loaded from {point.value}: {error}; reinstall its package.'
        )
        raise UsageError(message) from error
    contract = _CONTRACTS[kind]
    if not (isinstance(plugin, contract) or (isinstance(plugin, type) and issubclass(plugin, contract))):
        message = (
            f'The {singular} "{name}" ({point.value}) is not a {contract.__name__}: see mlbench/contracts.py.'
        )
        raise UsageError(message)
    return plugin


def identity(compressor: type[Compressor]) -> tuple[str, ...]:
    """What tells a compressor, and a version of it, from all others, whatever its `name`: for keys of the cache."""
    package = compressor.__module__.partition(".")[0]
    owners = [point.dist for point in _found("compressors").values() if point.module.split(".")[0] == package]
    installed = [f"{owner.name} {owner.version}" for owner in owners if owner is not None]
    return compressor.__module__, compressor.__qualname__, f"{compressor.version}", *installed[:1]
