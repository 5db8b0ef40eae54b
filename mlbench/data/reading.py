"""What options say of a file of samples, and the encoding of its inputs that follows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from mlbench.contracts.reading import Channels, Numbers, Reading
from mlbench.contracts.samples import Array, Encoding, Samples
from mlbench.errors import UsageError
from mlbench.plugins import did_you_mean

#: What an array may be, beside inputs `x.NAME` and targets `y.NAME`.
ROLES = ("x", "y", "group", "split", "id")

#: Arrays by which a file says itself how its values become inputs.
MAPPINGS = ("scale", "mean", "std")

_LOOKED_AT = 1000  # samples whose range is told


def parse_columns(texts: Iterable[str]) -> dict[str, str]:
    """Names of arrays by what they are, of texts such as `x=images`.

    Raises:
        UsageError: one is no such text, names what no array can be, or says twice what is what.
    """
    found: dict[str, str] = {}
    for text in texts:
        role, _, name = (part.strip() for part in text.partition("="))
        if not role or not name:
            message = f"--column {text}: write what an array is and its name, as --column x=images."
            raise UsageError(message)
        kind, dot, own = role.partition(".")
        if role not in ROLES and not (kind in ("x", "y") and dot and own):
            message = f"--column {text}: an array cannot be {role!r}{did_you_mean(role, [*ROLES, 'x.NAME', 'y.NAME'])}"
            raise UsageError(message)
        if found.get(role, name) != name:
            message = f"--column {text}: {role} is {found[role]} already; give it once."
            raise UsageError(message)
        found[role] = name
    return found


def parse_numbers(flag: str, texts: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """Numbers by the name of an input, of texts such as `255`, `0.5,0.5,0.5` or `image=255`; "" for every input.

    Args:
        flag: that the texts are of, for people.
        texts: of the user.

    Raises:
        UsageError: one is no such text, or holds a number that nothing can be divided by.
    """
    found: dict[str, tuple[float, ...]] = {}
    for text in texts:
        name, _, numbers = text.rpartition("=")
        try:
            values = tuple(float(one) for one in numbers.split(","))
        except ValueError as error:
            message = f"{flag} {text}: write a number, or one per channel, as {flag} 0.5,0.5,0.5."
            raise UsageError(message) from error
        if fault := _fault(flag.removeprefix("--"), values):
            message = f"{flag} {text}: {fault}."
            raise UsageError(message)
        found[name.strip()] = values
    return found


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Height and width of `120x160`.

    Raises:
        UsageError: it is no such text.
    """
    if text is None:
        return None
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) != 2 or not all(part.isdecimal() and 0 < int(part) <= 16384 for part in parts):
        message = f"--image-size {text}: write height and width in pixels, as --image-size 120x160."
        raise UsageError(message)
    return int(parts[0]), int(parts[1])


def reading_of(
    columns: Iterable[str] = (),
    scale: Iterable[str] = (),
    mean: Iterable[str] = (),
    std: Iterable[str] = (),
    size: str | None = None,
    channels: Channels | None = None,
) -> Reading:
    """What the texts of options say.

    Raises:
        UsageError: one says nothing that can be done.
    """
    return Reading(
        parse_columns(columns),
        parse_numbers("--scale", scale),
        parse_numbers("--mean", mean),
        parse_numbers("--std", std),
        parse_size(size),
        channels or "",
    )


def usual_encoding(values: Array) -> Encoding:
    """uint8 images to 0..1, everything else as it is; [n, height, width] gets one channel."""
    shape = tuple(int(size) for size in values.shape[1:]) or (1,)
    if values.dtype == np.uint8:
        if len(shape) == 2:
            shape = (*shape, 1)
        return Encoding(shape, scale=255.0, layout="HWC" if len(shape) == 3 else "")
    return Encoding(shape, layout="HWC" if len(shape) == 3 else "")


def encoding_of(name: str, values: Array, how: Reading, said: Mapping[str, Array]) -> Encoding:
    """The encoding of an input: `(stored / scale - mean) / std`, as `(stored - offset) / scale`.

    Args:
        name: of the input.
        values: as stored [n, …].
        how: what options say, which goes before
        said: arrays `scale`, `mean`, `std` of the file (or `scale.NAME`), which go before the usual rule.

    Raises:
        UsageError: numbers that are not one, nor one per channel, or by which nothing can be divided.
    """
    usual = usual_encoding(values)
    channels = usual.shape[-1]
    scale = _chosen("scale", name, how.scale, said, channels, usual.scale)
    mean = _chosen("mean", name, how.mean, said, channels, 0.0)
    std = _chosen("std", name, how.std, said, channels, 1.0)
    return Encoding(usual.shape, _plain(scale * std), _plain(scale * mean), usual.layout, usual.dtype)


def _chosen(
    kind: str, name: str, given: Numbers, said: Mapping[str, Array], channels: int, usual: object
) -> Array:
    """Numbers of the options, or of the file, or the usual one."""
    if name in given or "" in given:
        where, values = f"--{kind}", given.get(name, given.get("", ()))
    elif (key := f"{kind}.{name}") in said or (key := kind) in said:
        where, values = f"the array {key}", tuple(float(one) for one in np.ravel(said[key]))
    else:
        return np.asarray(usual, np.float64)
    if len(values) not in (1, channels):
        message = (
            f"{where} has {len(values)} numbers, the input {name} has {channels} channels (its last axis): give one "
            "number, or one per channel; of images whose channels come first, transpose them with "
            "numpy.moveaxis(x, 1, -1)."
        )
        raise UsageError(message)
    if fault := _fault(kind, values):
        message = f"{where}: {fault}."
        raise UsageError(message)
    return np.asarray(values if len(values) > 1 else values[0], np.float64)


def _fault(kind: str, values: Iterable[float]) -> str:
    if not all(map(math.isfinite, values)):
        return "it is not finite"
    return "nothing is divided by numbers that are not above 0" if kind != "mean" and min(values) <= 0 else ""


def _plain(values: Array) -> float | tuple[float, ...]:
    """One number where all are equal."""
    numbers = tuple(float(one) for one in np.ravel(values))
    return numbers[0] if len(set(numbers)) == 1 else numbers


def told(samples: Samples) -> list[str]:
    """What stored values become, a line per input: `uint8 0…255 → (x - 127.5) / 127.5 = -1…1`."""
    some = samples.spread(_LOOKED_AT)
    return [_told(name, values, some.encodings[name]) for name, values in some.inputs.items()]


def _told(name: str, stored: Array, encoding: Encoding) -> str:
    shifted = np.any(encoding.offset)
    text = f"({name} - {_numbers(encoding.offset)})" if shifted else name
    if np.any(np.not_equal(encoding.scale, 1)):
        text = f"{text} / {_numbers(encoding.scale)}"
    seen = encoding.encode(stored)
    before, after = (f"{values.min():.4g}…{values.max():.4g}" for values in (stored, seen))
    shape = "×".join(map(str, encoding.shape))
    if text == name:
        return f"Input {name} [{shape}]: {stored.dtype} {before}, as stored."
    return f"Input {name} [{shape}]: {stored.dtype} {before} → {text} = {after}."


def _numbers(values: float | tuple[float, ...]) -> str:
    return f"({', '.join(f'{one:.6g}' for one in values)})" if isinstance(values, tuple) else f"{values:.6g}"
