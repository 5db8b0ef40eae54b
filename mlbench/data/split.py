"""How samples are divided into training, validation and test."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mlbench.contracts.samples import Samples
from mlbench.data.npz_arrays import GIVEN
from mlbench.errors import UsageError
from mlbench.system.files import key_of

#: Raised when a change of the code changes which samples are for what.
SPLIT_VERSION = 1

Rule = Literal["file-order", "shuffled", "stratified", "given"]
Rows = npt.NDArray[np.int64]

_PARTS = ("train", "validation", "test")
_SHARE = 0.1  # of the samples for the test, and of the rest for validation


@dataclass(frozen=True)
class Split:
    """Row numbers of the three parts; no two share a sample's inputs, and the test shares no group with the others."""

    train: Rows
    validation: Rows
    test: Rows
    rule: str
    left_out: int = 0  # rows in no part, since their inputs are in the test or validation part already

    def key(self, samples: Samples) -> str:
        """The hash of which samples are learnt from, and which are kept back."""
        rows = [part.tolist() for part in (self.train, self.validation, self.test)]
        return key_of(SPLIT_VERSION, samples.fingerprint, rows)


def split(samples: Samples, rule: Rule, seed: int) -> Split:
    """Divide samples.

    - `given`: as the array `split` of the file says: train, validation or test; where no row is for validation, the
      last tenth of those to train on.
    - `file-order` and `shuffled`: the test takes the groups whose hash falls below a tenth, so that a group never
      changes sides when samples are added. The last tenth of the rest, in the order of the file or in one shuffled by
      the seed, is for validation.
      A sample whose inputs are in the test part, or in the validation part, is left out of those before it.
    - `stratified`: of each class, the groups of lowest hash make up a tenth for the test, and the next a tenth for
      validation. A group belongs to its most frequent class.

    Raises:
        UsageError: a part would be empty, or the rule does not suit the samples.
    """
    found = {"given": _given, "stratified": _stratified}.get(rule, _by_hash)(samples, rule, seed)
    found = _apart(found, samples)
    if not all(len(part) for part in (found.train, found.validation, found.test)):
        message = (
            f"{len(samples)} samples of {samples.group_count} {samples.unit}s are too few to split into train, "
            "validation and test: give at least 30, of several groups, or an array `split` in the file."
        )
        raise UsageError(message)
    return found


def usual_rule(samples: Samples) -> Rule:
    """As the file says, where it puts rows into train and test; in its order otherwise."""
    said = set(map(str, np.unique(samples.extra.get(GIVEN, np.array([], np.str_)))))
    return "given" if {"train", "test"} <= said <= set(_PARTS) else "file-order"


def _apart(found: Split, samples: Samples) -> Split:
    """The split without samples that a later part holds too."""
    keys = samples.keys
    validation = found.validation[~np.isin(keys[found.validation], keys[found.test])]
    later = np.concatenate([keys[validation], keys[found.test]])
    train = found.train[~np.isin(keys[found.train], later)]
    left_out = len(samples) - len(train) - len(validation) - len(found.test)
    return replace(found, train=train, validation=validation, left_out=left_out)


def _given(samples: Samples, rule: str, seed: int) -> Split:
    said = samples.extra.get(GIVEN)
    if said is None:
        message = f"The file has no array `{GIVEN}`: add one of train, validation and test, or choose another --split."
        raise UsageError(message)
    unknown = sorted(set(map(str, np.unique(said))) - set(_PARTS))
    if unknown:
        message = f"The array `{GIVEN}` holds {unknown[0]!r}: each row is train, validation or test."
        raise UsageError(message)
    train, validation, test = (np.flatnonzero(said == part) for part in _PARTS)
    told = "as the file says"
    if not len(validation):
        cut = len(train) - round(_SHARE * len(train))
        train, validation = train[:cut], train[cut:]
        told += "; validation: last 10 % of the training rows, in file order"
    torn = np.intersect1d(samples.groups[test], samples.groups[np.concatenate([train, validation])])
    if len(torn):
        message = (
            f"The array `{GIVEN}` puts the {samples.unit} {torn[0]} on both sides of the test split "
            f"({len(torn)} such): keep each group on one side."
        )
        raise UsageError(message)
    return Split(train, validation, test, told)


def _by_hash(samples: Samples, rule: str, seed: int) -> Split:
    share = _hash_shares(samples.groups, seed)
    test, rest = np.flatnonzero(share < _SHARE), np.flatnonzero(share >= _SHARE)
    rest = rest[~np.isin(samples.keys[rest], samples.keys[test])]
    if rule == "shuffled":
        rest = np.random.default_rng(seed).permutation(rest)
    cut = len(rest) - round(_SHARE * len(rest))
    order = "shuffled by the seed" if rule == "shuffled" else "in file order"
    told = f"test: {_SHARE:.0%} of {samples.unit}s by hash; validation: last 10 % of the rest, {order}"
    return Split(rest[:cut], rest[cut:], test, told)


def _stratified(samples: Samples, rule: str, seed: int) -> Split:
    classes = next(iter(samples.targets.values()))
    if classes.ndim != 1 or classes.dtype.kind not in "iuU":
        message = "--split stratified needs a class per sample: choose file-order or shuffled."
        raise UsageError(message)
    groups, member, sizes = np.unique(samples.groups, return_inverse=True, return_counts=True)
    usual = np.array([_most_frequent(classes[member == group]) for group in range(len(groups))])
    share = _hash_shares(groups, seed)
    part = np.zeros(len(groups), int)
    for value in np.unique(usual):
        ordered = np.flatnonzero(usual == value)[np.argsort(share[usual == value])]
        before = np.cumsum(sizes[ordered]) - sizes[ordered]
        total = sizes[ordered].sum()
        part[ordered] = np.where(before < _SHARE * total, 2, np.where(before < 2 * _SHARE * total, 1, 0))
    train, validation, test = (np.flatnonzero(part[member] == number) for number in range(3))
    told = f"a tenth of each class's {samples.unit}s by hash for the test, a tenth for validation"
    return Split(train, validation, test, told)


def _most_frequent(values: npt.NDArray[Any]) -> Any:
    found, counts = np.unique(values, return_counts=True)
    return found[np.argmax(counts)]


def _hash_shares(groups: npt.NDArray[np.str_], seed: int) -> npt.NDArray[np.float64]:
    """A number in 0..1 per row that follows from its group's name and the seed alone."""
    salt = f"{seed}".encode()

    def share(group: str) -> float:
        return int.from_bytes(hashlib.sha256(salt + group.encode()).digest()[:8], "big") / 2**64

    names, member = np.unique(groups, return_inverse=True)
    return np.array([share(str(name)) for name in names])[member]
