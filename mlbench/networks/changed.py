"""Variants with other convolutions or dense layers, as text: `basic(filters=8-16-32,kernel=3)`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from mlbench import plugins
from mlbench.contracts import Block, NetworkSource, Variant
from mlbench.contracts.validity import fault_of
from mlbench.errors import UsageError

_TEXT = re.compile(r"\s*([\w-]+)\s*\(([^()]*)\)\s*")
_FIELDS = {
    "filters": "of each convolution, or one number for all: 8-16-32",
    "kernel": "side of each convolution's kernel, or one number for all: 3-2-2",
    "pools": "how many of the last convolutions are pooled",
    "dense": "units of the hidden dense layers, or none: 1000-500",
}


def network_named(text: str) -> NetworkSource:
    """The network of a plug-in, or a variant with other fields than it has.

    There are as many convolutions as filters or kernels are given one by one; those beyond the variant's own are as
    its last. What changes nothing is the variant itself; its name is the same for all ways to write it.

    Raises:
        UsageError: no such network, a field or number that it cannot have, or nothing is left of its image.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        return plugins.load("variants", text.strip())
    base = plugins.load("variants", match[1])
    if not isinstance(base, Variant):
        message = f"{text}: {match[1]} has no fields that can be changed; leave out the parentheses."
        raise UsageError(message)
    given = dict(_assignment(text, part) for part in match[2].split(",") if part.strip())
    blocks, dense = _blocks(text, base, given), base.dense
    if "dense" in given:
        dense = () if given["dense"] == "none" else tuple(_numbers(text, "dense", given["dense"]))
    changed = replace(base, blocks=blocks, dense=dense)
    if changed == base:
        return base
    name = f"{base.name}({','.join(_told(base, changed))})"
    changed = replace(changed, name=name, summary=f"{base.name} with other layers")
    if fault := fault_of("variants", name, changed):
        message = f"{name} {fault}."
        raise UsageError(message)
    return changed


def _assignment(text: str, part: str) -> tuple[str, str]:
    field, equals, value = (piece.strip() for piece in part.partition("="))
    if not equals or field not in _FIELDS:
        hint = plugins.did_you_mean(field, _FIELDS)
        message = f'{text}: a variant has no field "{field}"{hint}'
        raise UsageError(message)
    return field, value


def _numbers(text: str, field: str, value: str) -> list[int]:
    parts = value.split("-")
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= 1 << 16 for part in parts):
        message = f"{text}: {field}={value} is not {_FIELDS[field]}."
        raise UsageError(message)
    return [int(part) for part in parts]


def _blocks(text: str, base: Variant, given: dict[str, str]) -> tuple[Block, ...]:
    """The convolutions."""
    numbers = {
        field: _numbers(text, field, given[field]) for field in ("filters", "kernel") if field in given
    }
    count = max((len(each) for each in numbers.values() if len(each) > 1), default=len(base.blocks))
    old = _stretched(base.blocks, count)
    filters = _each(text, "filters", numbers.get("filters", [block.filters for block in old]), count)
    kernels = _each(text, "kernel", numbers.get("kernel", [block.kernel for block in old]), count)
    pools = [block.pool for block in old]
    if "pools" in given:
        wanted = 0 if given["pools"] == "0" else _numbers(text, "pools", given["pools"])[0]
        if wanted > count:
            message = f"{text}: pools={wanted} is more than its {count} convolutions."
            raise UsageError(message)
        pools = [place >= count - wanted for place in range(count)]
    return tuple(map(Block, filters, kernels, pools))


def _stretched(blocks: tuple[Block, ...], count: int) -> tuple[Block, ...]:
    """The first blocks; those beyond are as the last."""
    return (*blocks[:count], *[blocks[-1]] * (count - len(blocks)))


def _each(text: str, field: str, numbers: list[int], count: int) -> list[int]:
    """One number for each of so many convolutions."""
    if len(numbers) not in (1, count):
        message = (
            f"{text}: {field} has {len(numbers)} numbers for {count} convolutions: give one number for each."
        )
        raise UsageError(message)
    return numbers * (count // len(numbers))


def _told(base: Variant, changed: Variant) -> list[str]:
    """The fields that differ, in one way of writing them."""
    usual = _stretched(base.blocks, len(changed.blocks))
    pools = [[block.pool for block in blocks] for blocks in (usual, changed.blocks)]
    fields = {
        "filters": ([block.filters for block in one.blocks] for one in (base, changed)),
        "kernel": ([block.kernel for block in one.blocks] for one in (base, changed)),
        "dense": (list(one.dense) for one in (base, changed)),
    }
    told = [f"{field}={_joined(new)}" for field, (old, new) in fields.items() if old != new]
    return told + ([f"pools={sum(pools[1])}"] if pools[0] != pools[1] else [])


def _joined(numbers: Sequence[int]) -> str:
    return "-".join(map(str, numbers)) or "none"
