"""Chains of compressors as text: `tucker(energy=0.95)+svd+int8`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from pydantic import ValidationError

from mlbench import plugins
from mlbench.contracts import Compressor, Order
from mlbench.errors import UsageError

_SHORT_ENOUGH = 24  # characters of a chain that needs no shorter name
_STEP = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\(([^()]*)\))?\s*")


@dataclass(frozen=True)
class Chain:
    """Compressors in order; the empty chain is the baseline itself."""

    compressors: tuple[Compressor, ...]

    def __str__(self) -> str:
        return "+".join(step.describe() for step in self.compressors) or "none"


def parse_chain(text: str) -> Chain:
    """Read a chain; `none` is the empty one.

    Raises:
        UsageError: not a chain, an unknown name or option, a value out of range, or an order without sense.
    """
    if text.strip() == "none":
        return Chain(())
    steps, position = [], 0
    while True:
        match = _STEP.match(text, position)
        if match is None or (match.end() < len(text) and text[match.end()] != "+"):
            message = f'"{text}" is not a chain (stopped at character {position + 1}): write e.g. "svd(rank=64)+int8".'
            raise UsageError(message)
        steps.append(parse_step(plugins.load("compressors", match.group(1)), match.group(2) or ""))
        position = match.end() + 1
        if match.end() == len(text):
            break
    _check_order(steps)
    return Chain(tuple(steps))


def short_names(chains: Iterable[str]) -> dict[str, str]:
    """Each long chain with those options alone that tell it from the others of the same steps, for tables and legends.

    What is short, or not written as a chain, stays as it is.
    """
    steps = {chain: _written_steps(chain) for chain in chains}
    others = list(steps.values())
    return {
        chain: _short(own, others) if own and len(chain) > _SHORT_ENOUGH else chain
        for chain, own in steps.items()
    }


_Written = list[tuple[str, list[str]]]  # of each step its name and its options


def _written_steps(chain: str) -> _Written:
    matches = [_STEP.fullmatch(step) for step in chain.split("+")]
    if not all(matches):
        return []
    return [(match[1], (match[2] or "").split(",")) for match in matches if match]


def _short(own: _Written, others: list[_Written]) -> str:
    alike = [other for other in others if [name for name, _ in other] == [name for name, _ in own]]
    told = []
    for step, (name, options) in enumerate(own):
        telling = [option for option in options if any(option not in other[step][1] for other in alike)]
        told.append(f"{name}({','.join(telling)})" if any(telling) else name)
    return "+".join(told)


def parse_step(technique: type[Compressor], options: str) -> Compressor:
    """A technique with the options that stand in its parentheses: `rank=32,layers=dense`.

    Raises:
        UsageError: an unknown option, one given twice, or a value out of range.
    """
    name, values = technique.name, dict[str, str]()
    for option in filter(None, (part.strip() for part in options.split(","))):
        key, equals, value = (part.strip() for part in option.partition("="))
        if not equals:
            key, value = technique.positional or "", key
        if key not in technique.model_fields:
            known = technique.model_fields
            hint = plugins.did_you_mean(key, known) if known else "; it has no options."
            message = f'{name} has no option "{key or value}"{hint}'
            raise UsageError(message)
        if key in values:
            message = f"{name}({options}) gives {key} twice: give it once."
            raise UsageError(message)
        values[key] = value
    try:
        return technique.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        given = f"{place}={fault['input']}" if place else options
        why = fault["msg"].removeprefix("Value error, ").rstrip(".")
        message = f"{name}({given}): {why}; see `mlbench list compressors`."
        raise UsageError(message) from error


def _check_order(steps: list[Compressor]) -> None:
    reasons = {
        Order.REPLACE: "replaces layers, which undoes what was done to their weights",
        Order.SHARE: "needs weights that are not quantised yet",
        Order.QUANTISE: "is the last step, and only once",
    }
    for left, right in pairwise(steps):
        if right.order < left.order or left.order == right.order == Order.QUANTISE:
            message = f"{right.name} cannot follow {left.name}: {right.name} {reasons[right.order]}."
            raise UsageError(message)
        if left.order == Order.SHARE and right.needs_tuning and not right.keeps_shared:
            message = (
                f"{right.name} cannot follow {left.name}: its tuning would undo the zeros or tied weights "
                f"that {left.name} made."
            )
            raise UsageError(message)
