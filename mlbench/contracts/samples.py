"""The data that networks learn from and are tested on: named inputs and targets of samples, and their encoding."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import UsageError

Array = npt.NDArray[Any]

_CHUNK = 4096  # samples that are looked at together


@dataclass(frozen=True)
class Encoding:
    """How a stored value becomes an input of the network: `(stored - offset) / scale`, in the given shape.

    Attributes:
        shape: of one sample, as the network takes it.
        scale: what stored values are divided by: one number, or one per channel (the last axis).
        offset: what is subtracted before: likewise.
        layout: what the axes are, such as "HWC"; for people and devices.
        dtype: of the network's input. A quantised file quantises it by its own parameters.
        margin: sides of what an input shows, in sides of the box that a detector finds; 1 where nothing is cut out.
    """

    shape: tuple[int, ...]
    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0
    layout: str = ""
    dtype: str = "float32"
    margin: float = field(default=1.0, repr=False)  # told apart in fingerprints, which are older

    def encode(self, stored: Array) -> Array:
        """The network's input [n, *shape] of stored values [n, …]."""
        values, real = stored.reshape(len(stored), *self.shape), self.real
        if np.any(self.offset):
            values = np.subtract(values, np.asarray(self.offset, real), dtype=real)
        if np.any(np.not_equal(self.scale, 1)):
            values = np.divide(values, np.asarray(self.scale, real), dtype=real)
        return values.astype(self.dtype, copy=False)

    @property
    def real(self) -> str:
        """The type that offset and scale are applied in: the input's own, where it holds fractions."""
        return self.dtype if np.dtype(self.dtype).kind == "f" else "float64"


@dataclass(frozen=True)
class Samples:
    """Labelled samples; arrays may be memory-mapped.

    Attributes:
        inputs: as stored [n, …], by name.
        targets: [n, …], by name.
        ids: names of the samples, str [n].
        groups: str [n]; samples of one group (a person, a patient, a recording) are not independent: a test split
            takes a group whole, and intervals resample groups.
        encodings: of each input.
        extra: further arrays of n rows, by name.
        unit: what a group is, for people.
        classes: names of a target's values, in the order of their numbers, by target; none where they are numbers.
    """

    inputs: Mapping[str, Array]
    targets: Mapping[str, Array]
    ids: npt.NDArray[np.str_]
    groups: npt.NDArray[np.str_]
    encodings: Mapping[str, Encoding]
    extra: Mapping[str, Array] = field(default_factory=dict)
    unit: str = "group"
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all that decides a figure: names, types and values of every array, in order."""
        digest = hashlib.sha256()
        tables = {"inputs": self.inputs, "targets": self.targets, "extra": self.extra}
        named = {
            f"{table}.{name}": values for table, arrays in tables.items() for name, values in arrays.items()
        }
        for name, values in sorted({**named, "ids": self.ids, "groups": self.groups}.items()):
            digest.update(f"{name} {values.dtype.str} {values.shape};".encode())
            for start in range(0, len(values), _CHUNK):
                digest.update(np.ascontiguousarray(values[start : start + _CHUNK]).view(np.uint8).data)
        digest.update(repr(sorted(self.encodings.items())).encode())
        if self.margins:
            digest.update(repr(sorted(self.margins.items())).encode())
        if self.classes:
            digest.update(repr(sorted(self.classes.items())).encode())
        return digest.hexdigest()

    @cached_property
    def keys(self) -> npt.NDArray[np.bytes_]:
        """A hash of each sample's inputs [n]: equal inputs are the same sample, whatever their names and targets."""
        found = []
        for row in range(len(self)):
            digest = hashlib.blake2b(digest_size=16)
            for name in sorted(self.inputs):
                digest.update(np.ascontiguousarray(self.inputs[name][row]).tobytes())
            found.append(digest.hexdigest())
        return np.array(found, "S32")

    def told_groups(self) -> set[str]:
        """Those groups that more than a sample's own name tells: the others may be others in another file."""
        stems = (str(name).replace("\\", "/").rpartition("/")[2].split(".", 1)[0] for name in self.ids)
        return {str(group) for group, stem in zip(self.groups, stems, strict=True) if group != stem}

    def take(self, index: npt.NDArray[Any] | slice) -> Samples:
        """The chosen rows (a boolean mask, indices or a slice), in that order."""

        def rows(arrays: Mapping[str, Array]) -> dict[str, Array]:
            return {name: values[index] for name, values in arrays.items()}

        return replace(
            self,
            inputs=rows(self.inputs),
            targets=rows(self.targets),
            ids=self.ids[index],
            groups=self.groups[index],
            extra=rows(self.extra),
        )

    def numbered_as(self, known: Samples, where: str) -> Samples:
        """The samples with the numbers that `known` gives to classes: a file numbers those alone that it has.

        Args:
            known: samples that a network learns from.
            where: these come from, for people.

        Raises:
            UsageError: a class of another name, or classes that have names here and numbers there.
        """
        targets, classes = dict(self.targets), dict(self.classes)
        for name, own in self.classes.items():
            theirs = known.classes.get(name) or next(iter(known.classes.values()), ())
            if other := sorted(set(own) - set(theirs)):
                told = ", ".join(theirs[:10]) or "numbers"
                message = (
                    f"{where}: {name} has the class {other[0]!r}, which training has not (it has {told})."
                )
                raise UsageError(message)
            targets[name] = np.array([theirs.index(one) for one in own])[self.targets[name]]
            classes[name] = theirs
        return replace(self, targets=targets, classes=classes)

    def spread(self, count: int) -> Samples:
        """At most `count` rows, evenly from all: files are often sorted by where the samples come from."""
        return self.take(np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int))

    def encoded(self) -> dict[str, Array]:
        """The network's inputs [n, *shape], by name."""
        return {name: self.encodings[name].encode(values) for name, values in self.inputs.items()}

    @property
    def margins(self) -> dict[str, float]:
        """Of inputs whose margin is not 1, by name; see `Encoding`."""
        return {name: one.margin for name, one in self.encodings.items() if one.margin != 1}

    @property
    def group_count(self) -> int:
        """Number of groups."""
        return len(np.unique(self.groups))


def joined(parts: Sequence[Samples]) -> Samples:
    """All samples of several sets with equal inputs and targets, one after the other; extra arrays that all have.

    Raises:
        UsageError: their inputs are encoded or cut otherwise.
    """
    if any(part.encodings != parts[0].encodings for part in parts):
        message = (
            "Samples whose inputs differ in shape, scale or margin cannot be joined: make all of them alike."
        )
        raise UsageError(message)

    def together(tables: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
        shared = set.intersection(*(set(table) for table in tables))
        return {name: np.concatenate([table[name] for table in tables]) for name in sorted(shared)}

    return replace(
        parts[0],
        inputs=together([part.inputs for part in parts]),
        targets=together([part.targets for part in parts]),
        ids=np.concatenate([part.ids for part in parts]),
        groups=np.concatenate([part.groups for part in parts]),
        extra=together([part.extra for part in parts]),
    )
