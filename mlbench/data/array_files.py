"""Samples of any kind in an `.npz`: `x` and `y`, or `x.NAME` and `y.NAME`; optional `group`, `split` and `id`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlbench.contracts.samples import Array, Encoding, Samples
from mlbench.data.npz_arrays import NPZ_ERRORS, Entry, entries
from mlbench.errors import UsageError

_GROUP, _ID = "group", "id"

_CHUNK = 4096  # samples that are looked at together


def read_samples(path: Path, label: str = "", *, targets: bool = True) -> Samples:
    """Read samples; arrays that are stored, not deflated, are memory-mapped.

    Args:
        path: an `.npz`.
        label: name of the array with the targets; "" for `y`, or all of `y.NAME`.
        targets: whether there must be any; else there are none.

    Raises:
        UsageError: unreadable, or without inputs or targets, or arrays of different length.
    """
    if not path.is_file():
        message = f"{path} does not exist: give an .npz with arrays x and y."
        raise UsageError(message)
    try:
        headers = entries(path)
        _check(headers, label, path, ["x", *(["y"] if targets and not label else [])])
        arrays = {name: entry.load() for name, entry in headers.items()}
        texts = {name: arrays[name].astype(np.str_) for name in (_GROUP, _ID) if name in arrays}
    except NPZ_ERRORS as error:
        message = f"{path} cannot be read as samples: {error}; give an .npz with arrays x and y."
        raise UsageError(message) from error
    inputs, wanted = _named(arrays, "x"), dict[str, Array]()
    if targets:
        wanted = {label: arrays[label]} if label else _named(arrays, "y")
    for name, values in inputs.items():
        _require_numbers(name, values, path)
    count = len(next(iter(inputs.values())))
    used = {*(f"x.{k}" for k in inputs), *(f"y.{k}" for k in wanted), "x", "y", label, _GROUP, _ID}
    ids = texts.get(_ID, np.arange(count).astype(np.str_))
    return Samples(
        inputs=inputs,
        targets=wanted,
        ids=ids,
        groups=texts.get(_GROUP, ids),
        encodings={name: usual_encoding(values) for name, values in inputs.items()},
        extra={name: values for name, values in arrays.items() if name not in used},
        unit="group" if _GROUP in texts else "sample",
    )


def usual_encoding(values: Array) -> Encoding:
    """uint8 images to 0..1, everything else as it is; [n, height, width] gets one channel."""
    shape = tuple(int(size) for size in values.shape[1:]) or (1,)
    if values.dtype == np.uint8:
        if len(shape) == 2:
            shape = (*shape, 1)
        return Encoding(shape, scale=255.0, layout="HWC" if len(shape) == 3 else "")
    return Encoding(shape, layout="HWC" if len(shape) == 3 else "")


def _named(arrays: dict[str, Array], kind: str) -> dict[str, Array]:
    """`x` alone, or all of `x.NAME` by their names."""
    named = {key.partition(".")[2]: values for key, values in arrays.items() if key.startswith(f"{kind}.")}
    return named or {kind: arrays[kind]}


def _require_numbers(name: str, values: Array, path: Path) -> None:
    if values.dtype.kind not in "biuf":
        message = f"{path}: the input {name} is {values.dtype}: give numbers."
        raise UsageError(message)
    if not values.size:
        message = f"{path}: the input {name} has no values: its shape is {values.shape}."
        raise UsageError(message)
    if values.dtype.kind == "f" and not all(
        np.isfinite(values[start : start + _CHUNK]).all() for start in range(0, len(values), _CHUNK)
    ):
        message = f"{path}: the input {name} holds values that are not finite; remove those samples."
        raise UsageError(message)


def _check(headers: dict[str, Entry], label: str, path: Path, kinds: list[str]) -> None:
    present = ", ".join(headers) or "none"
    for kind in kinds:
        if not any(name == kind or name.startswith(f"{kind}.") for name in headers):
            message = (
                f"{path} has no array {kind} or {kind}.NAME (it has {present}): rename one with numpy.savez."
            )
            raise UsageError(message)
    if label and label not in headers:
        message = f"{path} has no array {label!r} (it has {present})."
        raise UsageError(message)
    lengths = {name: entry.shape[0] if entry.shape else 0 for name, entry in headers.items()}
    first = next(name for name in headers if name == "x" or name.startswith("x."))
    for name, length in lengths.items():
        if length != lengths[first]:
            message = f"{path}: {first} has {lengths[first]} rows, {name} has {length}: give one per sample."
            raise UsageError(message)
    if not lengths[first]:
        message = f"{path} holds no sample."
        raise UsageError(message)
