"""What a network has seen, and what of it is met again where it is tested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlbench.contracts.samples import Samples
from mlbench.data.split import Split


def without(samples: Samples, held: Samples) -> Samples:
    """The samples whose inputs are none of `held`: what may be learnt from where `held` is kept back."""
    apart = ~np.isin(samples.keys, held.keys)
    return samples if apart.all() else samples.take(apart)


@dataclass(frozen=True)
class Seen:
    """Keys of samples (`Samples.keys`) that weights depend on, and their groups.

    Attributes:
        trained: S32 [n], learnt from.
        validated: S32 [m], by which an epoch was chosen.
        groups: str [p], of both, as far as names tell them.
    """

    trained: npt.NDArray[np.bytes_]
    validated: npt.NDArray[np.bytes_]
    groups: npt.NDArray[np.str_]

    @classmethod
    def of(cls, samples: Samples, split: Split) -> Seen:
        """What training with this split sees."""
        rows = np.concatenate([split.train, split.validation])
        groups = samples.take(rows).told_groups()
        return cls(
            samples.keys[split.train], samples.keys[split.validation], np.array(sorted(groups), np.str_)
        )

    @classmethod
    def nothing(cls) -> Seen:
        """What a network has seen that was not trained here."""
        return cls(np.array([], "S32"), np.array([], "S32"), np.array([], np.str_))

    def __or__(self, other: Seen) -> Seen:
        """What either has seen."""
        return Seen(
            np.union1d(self.trained, other.trained),
            np.union1d(self.validated, other.validated),
            np.union1d(self.groups, other.groups),
        )

    def met_again(self, tested: Samples) -> str:
        """Which of these test samples were seen, or are of groups that were; "" for none."""
        count = f"{len(tested):,}"
        trained, validated = np.isin(tested.keys, self.trained), np.isin(tested.keys, self.validated)
        known = tested.told_groups()
        groups, once = len(known & set(self.groups.tolist())), validated & ~trained
        found = [
            (trained.sum(), f"{trained.sum():,} of its {count} samples were trained on"),
            (once.sum(), f"{once.sum():,} of its {count} samples validated on"),
            (
                groups,
                f"{groups:,} of its {len(known):,} {tested.unit}s, by name, are also trained or validated on",
            ),
        ]
        return "; ".join(text for number, text in found if number)


def overlaps(seen: Seen, tests: Mapping[str, Samples]) -> list[str]:
    """A warning for each test set that shares samples or groups with what was seen."""
    met = {name: seen.met_again(samples) for name, samples in tests.items()}
    return [
        f"Test set {name}: {text}. Errors on new samples are larger; test on samples that no training has seen."
        for name, text in met.items()
        if text
    ]
