"""What a search may choose from: chains and networks as text with `{names}`, and the values of each name.

A value may hold names itself, which are chosen where it is: spaces are trees. A step `none` is left out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from mlbench.compression.chain import Chain, parse_chain, parse_step
from mlbench.contracts import Compressor
from mlbench.errors import UsageError
from mlbench.plugins import did_you_mean, load, names
from mlbench.system.sizes import parse_size

_NAME = re.compile(r"\{([^{}]*)\}")
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_STEP = re.compile(r"(\w+)(?:\((.*)\))?")
_BYTES = {"B", "KB", "MB", "GB", "KIB", "MIB", "GIB"}
_MOST_DEEP = 8  # names within names

#: Names that the space itself gives.
NETWORK, CHAIN = "network", "chain"


class Range(BaseModel):
    """Every value from one end to the other: whole numbers, numbers, or amounts such as 60KB or 5MMAC.

    Attributes:
        low: the least.
        high: the most.
        log: whether equal ratios count as equal steps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: int | float | str
    high: int | float | str
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Range:
        low, high = self.ends
        if not low < high or not (low > 0 or not self.log):
            message = f"goes from {self.low} to {self.high}: give low below high{', both above 0' * self.log}"
            raise ValueError(message)
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def unit(self) -> str:
        """Of its amounts; KB for all sizes."""
        units = [match[2] for end in (self.low, self.high) if (match := _AMOUNT.fullmatch(str(end)))]
        return "KB" if units and all(unit.upper() in _BYTES for unit in units) else units[0] if units else ""

    @property
    def ends(self) -> tuple[float, float]:
        """Low and high, in the unit."""
        return self.number(str(self.low)), self.number(str(self.high))

    def number(self, text: str) -> float:
        """What a text stands for, in the unit.

        Raises:
            ValueError: it is no number, or of another unit.
        """
        try:
            if self.unit == "KB":
                return parse_size(text) / 1000
            return float(text.strip().removesuffix(self.unit) if self.unit else text)
        except (UsageError, ValueError) as error:
            message = f"{text} is not a number{f' of {self.unit}' if self.unit else ''}"
            raise ValueError(message) from error

    def drawn(self, chance: random.Random) -> str:
        """A value drawn at random, as it stands in a chain."""
        low, high = self.ends
        return self.text(low * (high / low) ** chance.random() if self.log else chance.uniform(low, high))

    def text(self, number: float) -> str:
        """A number of the range as it stands in a chain: to three digits, where it is not whole."""
        if self.whole:
            return str(round(number))
        low, high = self.ends
        rounded = float(f"{number:.3g}")
        return f"{min(max(rounded, low), high):.12g}{self.unit}"


def _texts(value: Any) -> Any:
    """The values of a list as text, as TOML writes them."""
    if not isinstance(value, (list, tuple)):
        return value
    return tuple(str(one).lower() if isinstance(one, bool) else _plain(one) for one in value)


def _plain(value: Any) -> Any:
    return f"{value:.12g}" if isinstance(value, float) else str(value) if isinstance(value, int) else value


#: One of several texts.
Choice = Annotated[tuple[str, ...], BeforeValidator(_texts), Field(min_length=1)]

Dimension = Range | tuple[str, ...]

_RANGE, _CHOICE = TypeAdapter(Range), TypeAdapter(Choice)


def dimension_of(value: Any) -> Dimension:
    """A range or a choice as it stands in a file.

    Raises:
        UsageError: it is neither.
    """
    try:
        if isinstance(value, Mapping):
            return _RANGE.validate_python(value)
        return _CHOICE.validate_python([value] if isinstance(value, (str, int, float)) else value)
    except (ValidationError, TypeError, ValueError) as error:
        fault = error.errors()[0] if isinstance(error, ValidationError) else None
        place = (
            ".".join(str(part) for part in fault["loc"] if part in ("low", "high", "log")) if fault else ""
        )
        why = fault["msg"].removeprefix("Value error, ") if fault else "it is not a list of values"
        message = (
            f"{f'{place}: ' if place else ''}{why}; give a list of values, as [0.3, 0.8], or a range, as "
            '{ low = "60KB", high = "900KB", log = true }.'
        )
        raise UsageError(message) from error


class _EndlessError(Exception):
    """There is a range among the values."""


@dataclass(frozen=True)
class Candidate:
    """A network and the chain that it is compressed by, each in its one way of writing."""

    network: str
    chain: str


#: Chooses a value of a name.
Pick = Callable[[str, Dimension], str]


@dataclass(frozen=True)
class Space:
    """Candidates, and how they are chosen.

    Attributes:
        networks: texts of networks.
        chains: texts of chains.
        dimensions: by name, what may stand for `{name}`.
        named: gives the one way to write a network.
    """

    networks: tuple[str, ...]
    chains: tuple[str, ...]
    dimensions: Mapping[str, Dimension]
    named: Callable[[str], str] = str.strip

    def __post_init__(self) -> None:
        """Check names.

        Raises:
            UsageError: one that is used has no values, has itself among them, or is used nowhere.
        """
        used = set[str]()
        for text in (*self.networks, *self.chains):
            used |= self._used(text, ())
        if unused := [name for name in self.dimensions if name not in used]:
            name = unused[0]
            message = f"{name}: no chain or network uses {{{name}}}; write it into one, or leave the key out."
            raise UsageError(message)

    def _used(self, text: str, within: tuple[str, ...]) -> set[str]:
        found = set[str]()
        for name in _NAME.findall(text):
            if name not in self.dimensions:
                hint = did_you_mean(name, self.dimensions) if self.dimensions else "."
                message = f'"{text}" holds {{{name}}}, which has no values{hint}'
                raise UsageError(message)
            if name in within or len(within) >= _MOST_DEEP:
                message = f"{name}: its values hold {{{name}}} themselves; give values without it."
                raise UsageError(message)
            values = self.dimensions[name]
            found |= {name}.union(
                *(
                    self._used(value, (*within, name))
                    for value in (() if isinstance(values, Range) else values)
                )
            )
        return found

    def candidate(self, pick: Pick) -> Candidate:
        """A candidate of what `pick` chooses; it is asked for what the candidate needs alone, each name once.

        Raises:
            UsageError: the chain or the network makes no sense.
        """
        chosen: dict[str, str] = {}

        def filled(text: str) -> str:
            def value(match: re.Match[str]) -> str:
                name = match[1]
                if name not in chosen:
                    chosen[name] = filled(pick(name, self.dimensions[name]))
                return chosen[name]

            return _NAME.sub(value, text)

        network = self.networks[0] if len(self.networks) == 1 else pick(NETWORK, self.networks)
        chain = self.chains[0] if len(self.chains) == 1 else pick(CHAIN, self.chains)
        return Candidate(self.named(filled(network)), str(parse_chain(without_none(filled(chain)))))

    def every(self, most: int) -> list[tuple[dict[str, str], Candidate]] | None:
        """All candidates that make sense, each once, with values that give it; None: there are more than `most` ways.

        The ways are gone through as an odometer's wheels turn, the last choice first.
        """
        found: dict[Candidate, dict[str, str]] = {}
        wheels = list[int]()
        for _ in range(most):
            taken: list[tuple[str, tuple[str, ...]]] = []

            def pick(name: str, values: Dimension, taken: list[tuple[str, tuple[str, ...]]] = taken) -> str:
                if isinstance(values, Range):
                    raise _EndlessError
                taken.append((name, values))
                place = len(taken) - 1
                wheels.extend([0] * (len(taken) - len(wheels)))
                return values[wheels[place]]

            try:
                candidate = self.candidate(pick)
                values = {name: one[at] for (name, one), at in zip(taken, wheels, strict=False)}
                found.setdefault(candidate, values)
            except UsageError:
                pass  # a way that makes no sense
            except _EndlessError:
                return None
            del wheels[len(taken) :]
            while wheels and wheels[-1] + 1 == len(taken[len(wheels) - 1][1]):
                wheels.pop()
            if not wheels:
                return [(values, candidate) for candidate, values in found.items()]
            wheels[-1] += 1
        return None

    def drawn(self, tries: int, chance: random.Random) -> list[tuple[dict[str, str], Candidate]]:
        """Candidates that `tries` draws at random give, each once, with values that give it."""
        found: dict[Candidate, dict[str, str]] = {}
        for _ in range(tries):
            values: dict[str, str] = {}

            def pick(name: str, dimension: Dimension, values: dict[str, str] = values) -> str:
                values[name] = (
                    dimension.drawn(chance) if isinstance(dimension, Range) else chance.choice(dimension)
                )
                return values[name]

            with suppress(UsageError):  # it makes no sense
                found.setdefault(self.candidate(pick), values)
        return [(values, candidate) for candidate, values in found.items()]

    def values_of(self, network: str, chain: Chain) -> dict[str, str] | None:
        """What `pick` must choose for a chain, ranges cut to their ends; None: it is not in the space.

        Options that the chain leaves open have the first of their values.
        """
        for outer in self.networks:
            inner = self._firsts(outer)
            if self.named(_filled(outer, inner)) != network:
                continue
            for text in self.chains:
                for written, values in self._written(text, {}):
                    if (found := self._matched(without_none(written), chain)) is not None:
                        first = {NETWORK: outer} if len(self.networks) > 1 else {}
                        first |= {CHAIN: text} if len(self.chains) > 1 else {}
                        return first | inner | values | found
        return None

    def _firsts(self, text: str) -> dict[str, str]:
        """The first value of each name in a text."""
        values = {name: self.dimensions[name] for name in _NAME.findall(text)}
        return {
            name: one.text(one.ends[0]) if isinstance(one, Range) else one[0] for name, one in values.items()
        }

    def _written(self, text: str, values: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
        """A text with the names left alone that stand for an option's value, for every choice of the others."""
        name = next((found for found in _NAME.findall(text) if self._is_step(found)), None)
        if name is None:
            yield text, values
            return
        choices = self.dimensions[name]
        assert not isinstance(choices, Range)  # noqa: S101 (it is a step)
        for choice in [values[name]] if name in values else choices:
            yield from self._written(text.replace(f"{{{name}}}", choice), values | {name: choice})

    def _is_step(self, name: str) -> bool:
        """Whether a name stands for steps, and not for a value of an option."""
        values = self.dimensions[name]
        return not isinstance(values, Range) and any(self._is_steps(value) for value in values)

    @staticmethod
    def _is_steps(value: str) -> bool:
        found = re.match(r"\w+", value)
        return (
            value == "none"
            or "+" in value
            or value.startswith("{")
            or bool(found and found[0] in names("compressors"))
        )

    def _matched(self, text: str, chain: Chain) -> dict[str, str] | None:
        steps = [] if text == "none" else text.split("+")
        if len(steps) != len(chain.compressors):
            return None
        found: dict[str, str] = {}
        for step, compressor in zip(steps, chain.compressors, strict=True):
            values = self._matched_step(step, compressor)
            if values is None or any(found.get(name, value) != value for name, value in values.items()):
                return None
            found |= values
        return found

    def _matched_step(self, step: str, compressor: Compressor) -> dict[str, str] | None:
        match = _STEP.fullmatch(step)
        if match is None or match[1] != compressor.name:
            return None
        given, found = compressor.model_dump(), dict[str, str]()
        left = set(compressor.model_dump(exclude_defaults=True))
        literal = []
        for option in filter(None, (match[2] or "").split(",")):
            key, equals, value = option.partition("=")
            key, value = (key, value) if equals else (compressor.positional or "", key)
            name = _NAME.fullmatch(value)
            left.discard(key)
            if name is None:
                literal.append(f"{key}={value}")
                continue
            fitting = self._fitting(self.dimensions[name[1]], given.get(key))
            if fitting is None:
                return None
            found[name[1]] = fitting
        own = parse_step(load("compressors", compressor.name), ",".join(literal)).model_dump(
            exclude_defaults=True
        )
        return None if left - set(own) or any(given[key] != value for key, value in own.items()) else found

    @staticmethod
    def _fitting(values: Dimension, given: object) -> str | None:
        """The value of a dimension that an option has; None: none of them is."""
        if isinstance(values, Range):
            low, high = values.ends
            return values.text(low if given is None else min(max(values.number(str(given)), low), high))
        if given is None:
            return values[0]
        return next((value for value in values if _same(value, given)), None)

    def chosen(self, values: Mapping[str, str]) -> Candidate:
        """The candidate of values by name.

        Raises:
            UsageError: see `candidate`.
        """
        return self.candidate(lambda name, _: values[name])

    def configuration(self) -> dict[str, Any]:
        """As JSON values: what decides its candidates."""
        return {
            "networks": list(self.networks),
            "chain": list(self.chains),
            **{
                name: values.model_dump() if isinstance(values, Range) else list(values)
                for name, values in self.dimensions.items()
            },
        }


def _same(text: str, value: object) -> bool:
    try:
        return float(text) == float(str(value))
    except ValueError:
        return text == str(value)


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _NAME.sub(lambda match: values[match[1]], text)


def without_none(chain: str) -> str:
    """A chain without its steps `none`; `none` where nothing is left."""
    steps = [step.strip() for step in chain.split("+")]
    return "+".join(step for step in steps if step != "none") or "none"


def ascending(values: Dimension) -> bool:
    """Whether a choice is of numbers in order, of which near ones are alike."""
    try:
        numbers = [float(value) for value in values] if isinstance(values, tuple) else []
    except ValueError:
        return False
    return len(numbers) > 2 and all(left < right for left, right in pairwise(numbers))


def space_of(
    entries: Mapping[str, Any],
    networks: Sequence[str],
    named: Callable[[str], str],
    place: Callable[[str], str],
) -> Space:
    """The space of a file's `[search]` table.

    Args:
        entries: of the table: `chain`, and the values of each name.
        networks: as texts.
        named: see `Space`.
        place: of a key, for people.

    Raises:
        UsageError: what is wrong, with the place.
    """
    dimensions = dict[str, Dimension]()
    for name, value in entries.items():
        if name == CHAIN:
            continue
        if not name.isidentifier() or name == NETWORK:
            message = (
                f"{place(name)}: a name must consist of letters, digits and _, and must not be {NETWORK}."
            )
            raise UsageError(message)
        with _at(place(name)):
            dimensions[name] = dimension_of(value)
    chains = entries.get(CHAIN, "none")
    if not isinstance(chains, (str, list)) or not all(isinstance(one, str) for one in chains) or not chains:
        message = f"{place(CHAIN)} must be a text with {{names}}, or a list of such texts."
        raise UsageError(message)
    with _at(place(CHAIN)):
        space = Space(
            tuple(networks), (chains,) if isinstance(chains, str) else tuple(chains), dimensions, named
        )
        for last in (False, True):
            for network in space.networks:
                for chain in space.chains:
                    space.candidate(_end(last, network, chain))
    return space


def first_of(text: str, entries: Mapping[str, Any], place: Callable[[str], str]) -> str:
    """A text with the first value of each name, before a space is made of the entries.

    Raises:
        UsageError: a name has no values, or none that make sense.
    """

    def first(match: re.Match[str]) -> str:
        name = match[1]
        if name not in entries:
            message = f'"{text}" holds {{{name}}}, which has no values: give them by the key search.{name}.'
            raise UsageError(message)
        with _at(place(name)):
            values = dimension_of(entries[name])
        return values.text(values.ends[0]) if isinstance(values, Range) else values[0]

    return _NAME.sub(first, text)


def _end(last: bool, network: str, chain: str) -> Pick:
    """Chooses the first or last of everything, for one network and chain."""

    def pick(name: str, values: Dimension) -> str:
        if name in (NETWORK, CHAIN):
            return network if name == NETWORK else chain
        if isinstance(values, Range):
            return values.text(values.ends[last])
        return values[-last]

    return pick


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Name the place in errors of the block."""
    try:
        yield
    except UsageError as error:
        message = f"{place}: {error}"
        raise UsageError(message) from error
