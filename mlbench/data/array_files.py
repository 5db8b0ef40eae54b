"""Samples of any kind in an `.npz`: `x` and `y`, or `x.NAME` and `y.NAME`; optional `group`, `split` and `id`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from mlbench.contracts.reading import AS_STORED, Expected, Reading
from mlbench.contracts.samples import Array, Encoding, Samples
from mlbench.data.image_folders import read_folder
from mlbench.data.npz_arrays import GIVEN, NPZ_ERRORS, Entry, entries
from mlbench.data.reading import MAPPINGS, encoding_of, usual_encoding
from mlbench.errors import UsageError
from mlbench.plugins import did_you_mean

__all__ = ["EXPECTED", "look", "named_arrays", "read_samples", "usual_encoding"]

_GROUP, _ID = "group", "id"

_CHUNK = 4096  # samples that are looked at together

#: What an `.npz` of samples may hold beside its targets.
EXPECTED = (
    Expected(
        "x", "[n, …]", "numbers", "inputs, or x.NAME for several; images as [n, height, width, channels]"
    ),
    Expected(_GROUP, "[n]", "text or whole numbers", "a person, a patient, a recording: kept whole", True),
    Expected(GIVEN, "[n]", "text", "train, validation or test", True),
    Expected(_ID, "[n]", "text", "a name of each sample", True),
    *(
        Expected(name, "one, or one per channel", "numbers", holds, True)
        for name, holds in {
            "scale": "what x is divided by first; 255 for uint8, else 1",
            "mean": "what is subtracted then; 0",
            "std": "what is divided by at last; 1",
        }.items()
    ),
)

Tell = Callable[[str], None]


def read_samples(
    path: Path,
    label: str = "",
    how: Reading = AS_STORED,
    tell: Tell = lambda told: None,
    *,
    targets: bool = True,
) -> Samples:
    """Read samples; arrays that are stored, not deflated, are memory-mapped.

    Args:
        path: an `.npz`, or a folder with a folder of images per class (see `read_folder`).
        label: name of the array with the targets; "" for `y`, or all of `y.NAME`.
        how: what options say of it.
        tell: called with a sentence about what was skipped.
        targets: whether there must be any; else there are none.

    Raises:
        UsageError: unreadable, or without inputs or targets, or arrays of different length.
    """
    samples, faults = look(path, label, how, tell, targets=targets)
    if samples is None or faults:
        raise UsageError(faults[0])
    return samples


def look(
    path: Path, label: str, how: Reading, tell: Tell, *, targets: bool = True
) -> tuple[Samples | None, list[str]]:
    """The samples of a file as far as they can be read, and all that is wrong with them; see `read_samples`."""
    try:
        if path.is_dir():
            if label or how.columns:
                message = (
                    f"{path} is a folder of images, which has no arrays: leave out --column, and `:{label}`."
                )
                raise UsageError(message)
            return read_folder(path, how, tell), []
        arrays = named_arrays(path, how.columns)
        said = _said(arrays)
        rows = {name: entry for name, entry in arrays.items() if name not in said}
        kinds = ["x", *(["y"] if targets and not label else [])]
        if faults := list(_missing(rows, label, path, kinds)) or list(_lengths(rows, path)):
            return None, faults
        return _read(path, rows, {name: arrays[name].load() for name in said}, label, how, kinds)
    except NPZ_ERRORS as error:
        return None, [f"{path} cannot be read as samples: {error}; give an .npz with arrays x and y."]
    except UsageError as error:
        return None, [str(error)]


def named_arrays(path: Path, columns: Mapping[str, str]) -> dict[str, Entry]:
    """The arrays of an `.npz` by what they are: `columns` names those that are not called so.

    Raises:
        UsageError: the file is absent, or has no array of such a name.
        One of NPZ_ERRORS: it is damaged.
    """
    if not path.is_file():
        message = f"{path} does not exist: give an .npz with arrays x and y."
        raise UsageError(message)
    found = entries(path)
    for role, name in columns.items():
        if name not in found:
            message = f'{path} has no array "{name}" (--column {role}={name}){did_you_mean(name, found)}'
            raise UsageError(message)
    kinds = {role.partition(".")[0] for role in columns}
    left = {
        name: entry
        for name, entry in found.items()
        if name.partition(".")[0] not in kinds and name not in columns.values()
    }
    return {role: found[name] for role, name in columns.items()} | left


def _said(arrays: Mapping[str, Entry]) -> set[str]:
    """Arrays that say how values become inputs: not a number per sample, but one, or one per channel."""
    first = next((entry for name, entry in arrays.items() if name.partition(".")[0] == "x"), None)
    rows = first.shape[:1] if first else ()
    return {
        name
        for name, entry in arrays.items()
        if name.partition(".")[0] in MAPPINGS
        and (len(entry.shape) == 0 or (len(entry.shape) == 1 and entry.shape != rows))
        and entry.dtype.kind in "iuf"
    }


def _read(
    path: Path,
    entries: Mapping[str, Entry],
    said: Mapping[str, Array],
    label: str,
    how: Reading,
    kinds: list[str],
) -> tuple[Samples | None, list[str]]:
    arrays = {name: entry.load() for name, entry in entries.items()}
    texts = {name: arrays[name].astype(np.str_) for name in (_GROUP, _ID) if name in arrays}
    inputs, wanted = _named(arrays, "x"), dict[str, Array]()
    if label or "y" in kinds:
        wanted = {label: arrays[label]} if label else _named(arrays, "y")
    faults = [fault for name, values in inputs.items() for fault in _number_faults(name, values, path)]
    encodings = dict[str, Encoding]()
    for name, values in inputs.items():
        try:
            encodings[name] = encoding_of(name, values, how, said)
        except UsageError as error:
            faults.append(f"{path}: {error}")
            encodings[name] = usual_encoding(values)
    unknown = sorted({*how.scale, *how.mean, *how.std} - {"", *inputs})
    faults += [f'{path} has no input "{name}"{did_you_mean(name, inputs)}' for name in unknown]
    count = len(next(iter(inputs.values())))
    used = {*(f"x.{k}" for k in inputs), *(f"y.{k}" for k in wanted), "x", "y", label, _GROUP, _ID}
    ids = texts.get(_ID, np.arange(count).astype(np.str_))
    samples = Samples(
        inputs=inputs,
        targets=wanted,
        ids=ids,
        groups=texts.get(_GROUP, ids),
        encodings=encodings,
        extra={name: values for name, values in arrays.items() if name not in used},
        unit="group" if _GROUP in texts else "sample",
    )
    return samples, faults


def _named(arrays: dict[str, Array], kind: str) -> dict[str, Array]:
    """`x` alone, or all of `x.NAME` by their names."""
    named = {key.partition(".")[2]: values for key, values in arrays.items() if key.startswith(f"{kind}.")}
    return named or {kind: arrays[kind]}


def _number_faults(name: str, values: Array, path: Path) -> Iterator[str]:
    if values.dtype.kind not in "biuf":
        yield f"{path}: the input {name} is {values.dtype}: give numbers."
    elif not values.size:
        yield f"{path}: the input {name} has no values: its shape is {values.shape}."
    elif values.dtype.kind == "f" and not all(
        np.isfinite(values[start : start + _CHUNK]).all() for start in range(0, len(values), _CHUNK)
    ):
        yield f"{path}: the input {name} holds values that are not finite; remove those samples."


def _missing(headers: Mapping[str, Entry], label: str, path: Path, kinds: list[str]) -> Iterator[str]:
    present = ", ".join(headers) or "none"
    for kind in kinds:
        if not any(name == kind or name.startswith(f"{kind}.") for name in headers):
            yield (
                f"{path} has no array {kind} or {kind}.NAME (it has {present}): say which it is with "
                f"--column {kind}=ARRAY."
            )
    if label and label not in headers:
        yield f"{path} has no array {label!r} (it has {present})."


def _lengths(headers: Mapping[str, Entry], path: Path) -> Iterator[str]:
    lengths = {name: entry.shape[0] if entry.shape else 0 for name, entry in headers.items()}
    first = next(name for name in headers if name == "x" or name.startswith("x."))
    for name, length in lengths.items():
        if length != lengths[first]:
            yield f"{path}: {first} has {lengths[first]} rows, {name} has {length}: give one per sample."
    if not lengths[first]:
        yield f"{path} holds no sample."
