"""What a network has seen, and what of it is met again where it is tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlbench.faces.dataset import Faces, Split
from mlbench.faces.persons import told


def without(faces: Faces, held: Faces) -> Faces:
    """The faces whose images are none of `held`: what may be learnt from where `held` is kept back."""
    apart = ~np.isin(faces.image_keys, held.image_keys)
    return faces if apart.all() else faces.take(apart)


@dataclass(frozen=True)
class Seen:
    """Keys of images (`Faces.image_keys`) that weights depend on, and who is on them.

    Attributes:
        trained: S32 [n], learnt from.
        validated: S32 [m], by which an epoch was chosen.
        persons: str [p], of both, as far as names tell them.
    """

    trained: npt.NDArray[np.bytes_]
    validated: npt.NDArray[np.bytes_]
    persons: npt.NDArray[np.str_]

    @classmethod
    def of(cls, faces: Faces, split: Split) -> Seen:
        """What training with this split sees."""
        rows = np.concatenate([split.train, split.validation])
        persons = told(faces.persons[rows], faces.names[rows])
        keys = faces.image_keys
        return cls(keys[split.train], keys[split.validation], np.array(sorted(persons), np.str_))

    def __or__(self, other: Seen) -> Seen:
        """What either has seen."""
        return Seen(
            np.union1d(self.trained, other.trained),
            np.union1d(self.validated, other.validated),
            np.union1d(self.persons, other.persons),
        )

    def validation_trained_on(self, faces: Faces) -> int:
        """How many of these faces, which an epoch is to be chosen by, were learnt from."""
        return int(np.isin(faces.image_keys, self.trained).sum())

    def met_again(self, tested: Faces) -> str:
        """Which of these test faces were seen, or show persons that were; "" for none."""
        keys, count = tested.image_keys, f"{len(tested):,}"
        trained, validated = np.isin(keys, self.trained), np.isin(keys, self.validated)
        known = told(tested.persons, tested.names)
        persons = len(known & set(self.persons.tolist()))
        found = [
            (trained.sum(), f"{trained.sum():,} of its {count} faces were trained on"),
            (
                (validated & ~trained).sum(),
                f"{(validated & ~trained).sum():,} of its {count} faces validated on",
            ),
            (
                persons,
                f"{persons:,} of its {len(known):,} persons, by name, are also trained or validated on",
            ),
        ]
        return "; ".join(text for number, text in found if number)


def overlaps(seen: Seen, tests: dict[str, Faces]) -> Sequence[str]:
    """A warning for each test set that shares samples or persons with what was seen."""
    met = {name: seen.met_again(faces) for name, faces in tests.items()}
    return [
        f"Test set {name}: {text}. Errors on new faces are larger; test on faces that no training has seen."
        for name, text in met.items()
        if text
    ]
