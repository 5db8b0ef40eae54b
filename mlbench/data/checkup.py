"""What a file of samples holds, and all that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlbench.contracts import Reading, Samples, Task
from mlbench.contracts.samples import Array
from mlbench.data.fitting import classes_of, doubts_of_samples
from mlbench.data.npz_arrays import NPZ_ERRORS, entries
from mlbench.data.reading import told
from mlbench.data.split import Split, split, usual_rule
from mlbench.errors import UsageError

_CHUNK = 4096  # rows that are looked at together


@dataclass(frozen=True)
class ArrayFacts:
    """An array of a file.

    Attributes:
        name: of the array.
        taken_as: what it is taken as, such as `x`; "" for what is not used.
        dtype: of its values.
        shape: of the array.
        low: its least finite number; None of text.
        high: its largest.
        missing: how many values are not finite.
    """

    name: str
    taken_as: str
    dtype: str
    shape: tuple[int, ...]
    low: float | None
    high: float | None
    missing: int


@dataclass(frozen=True)
class Checkup:
    """What a file of samples holds, and what is wrong with it.

    Attributes:
        task: of the samples.
        arrays: all of the file.
        samples: how many there are; 0 where they cannot be read.
        classes: samples per class, by target.
        groups: number of groups.
        unit: what a group is.
        split: samples per part, as a run would divide them.
        duplicates: samples whose inputs another has too.
        inputs: what stored values become, a line per input.
        faults: what makes the file unusable.
        doubts: what is probably not meant.
        notes: what was skipped or changed in reading.
    """

    task: str
    arrays: list[ArrayFacts]
    samples: int = 0
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    groups: int = 0
    unit: str = "group"
    split: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    inputs: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(path: Path, label: str, how: Reading, task: Task) -> tuple[Checkup, Samples | None]:
    """Look at a file as samples of a task; with the samples, where they are good enough to be looked at.

    Args:
        path: of the file or folder.
        label: of the targets; "" for the usual one.
        how: what options say of it.
        task: of the samples.
    """
    notes = list[str]()
    samples, faults = task.looked(path, label, notes.append, how)
    arrays = _arrays(path, how.columns, samples)
    if samples is None or faults:
        return Checkup(task.name, arrays, len(samples or ()), faults=faults, notes=notes), None
    divided, doubts = _divided(samples)
    parts = (
        {"train": divided.train, "validation": divided.validation, "test": divided.test} if divided else {}
    )
    found = Checkup(
        task=task.name,
        arrays=arrays,
        samples=len(samples),
        classes=classes_of(samples, task),
        groups=samples.group_count,
        unit=samples.unit,
        split={name: len(rows) for name, rows in parts.items()},
        duplicates=len(samples) - len(np.unique(samples.keys)),
        inputs=told(samples),
        faults=_scorable(samples, task, path),
        doubts=[*doubts, *doubts_of_samples(samples, divided, task)],
        notes=notes,
    )
    return found, samples


def _scorable(samples: Samples, task: Task, path: Path) -> list[str]:
    try:
        task.require_scorable(samples, str(path))
    except UsageError as error:
        return [str(error)]
    return []


def _divided(samples: Samples) -> tuple[Split | None, list[str]]:
    """How a run would divide the samples, or why it could not: they may still be tested on."""
    try:
        return split(samples, usual_rule(samples), 7), []
    except UsageError as error:
        return None, [str(error)]


def _arrays(path: Path, columns: Mapping[str, str], samples: Samples | None) -> list[ArrayFacts]:
    """Facts of all arrays of an `.npz`, or of those that the samples hold."""
    if path.suffix == ".npz" and path.is_file():
        roles = {name: role for role, name in columns.items()}
        with suppress(*NPZ_ERRORS):
            return [_facts(name, roles.get(name, ""), entry.load()) for name, entry in entries(path).items()]
        return []
    if samples is None:
        return []
    return [_facts(name, "", values) for name, values in {**samples.inputs, **samples.targets}.items()]


def _facts(name: str, role: str, values: Array) -> ArrayFacts:
    low, high, missing = np.inf, -np.inf, 0
    numbers = values.dtype.kind in "biuf"
    rows = values.reshape(len(values) if values.ndim else 1, -1) if numbers else np.empty((0, 0))
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        finite = part[np.isfinite(part)]
        missing += part.size - finite.size
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    known = low <= high
    return ArrayFacts(
        name,
        role,
        str(values.dtype),
        tuple(map(int, values.shape)),
        low if known else None,
        high if known else None,
        missing,
    )
