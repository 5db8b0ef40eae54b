"""Where a run's faces come from: the bundled appearance model, or a file; and further test sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mlbench.contracts import Progress
from mlbench.errors import UsageError
from mlbench.faces.appearance import AppearanceModel, Purpose
from mlbench.faces.dataset import Faces, Split, eye_distances, read_faces, split_faces


@dataclass(frozen=True)
class Source:
    """The faces of a run.

    Attributes:
        path: a file of faces, or None for faces sampled from the appearance model.
        samples: how many faces to sample.
        shuffle: whether the split is shuffled by the seed instead of in file order.
        seed: of sampling and splitting.
        purpose: what faces are sampled for.
    """

    path: Path | None
    samples: int
    shuffle: bool
    seed: int
    purpose: Purpose = "sampled"

    @property
    def sampled(self) -> bool:
        """Whether no real face is in it."""
        return self.path is None

    def describe(self) -> str:
        """What the faces are, for people."""
        if self.path is None:
            return f"{self.samples} faces sampled from the bundled appearance model (no real faces)"
        return self.path.name

    def warnings(self) -> list[str]:
        """What the reader of the figures must know."""
        if self.path is not None:
            return []
        return [
            "Trained and tested on faces sampled from the appearance model: errors on real faces are larger; "
            "give --data or --test with real faces to measure them."
        ]

    def load(self, progress: Progress) -> Faces:
        """All faces.

        Raises:
            UsageError: the file cannot be read.
        """
        if self.path is not None:
            return read_and_tell(self.path, "points", progress)
        progress.say(f"No --data given: using {self.describe()}.")
        return AppearanceModel.load().sample(self.samples, seed=self.seed, purpose=self.purpose)

    def split(self, faces: Faces) -> Split:
        """Train, validation and test rows.

        Raises:
            UsageError: too few faces.
        """
        return split_faces(faces, seed=self.seed, shuffle=self.shuffle)

    def tests(self, faces: Faces, split: Split) -> Faces:
        """The faces of the test split.

        Raises:
            UsageError: the error of one cannot be told.
        """
        _require_eyes_apart(faces, split.test, self.describe())
        return faces.take(split.test)


@dataclass(frozen=True)
class TestSet:
    """A file of faces to measure errors on besides the test split; `label` names the array of its points."""

    path: Path
    label: str = "points"
    __test__ = False  # not a test class, whatever its name says to pytest

    @classmethod
    def parse(cls, text: str) -> TestSet:
        """`faces.npz`, or `faces.npz:human` for the points in the array `human`."""
        path, _, label = text.rpartition(":")
        return cls(Path(path), label) if path and "/" not in label and "." not in label else cls(Path(text))

    @property
    def name(self) -> str:
        """How the set is called in tables: the file's stem, and the label where it is not `points`."""
        return self.path.stem if self.label == "points" else f"{self.path.stem}:{self.label}"

    def __str__(self) -> str:
        return self.name

    def load(self, progress: Progress) -> Faces:
        """Its faces.

        Raises:
            UsageError: the file cannot be read or has no such array, or the error of a face cannot be told.
        """
        if self.path.suffix.lower() == ".csv" and self.label != "points":
            message = f"{self.path}:{self.label}: a .csv has one set of points; leave out :{self.label}."
            raise UsageError(message)
        faces = read_and_tell(self.path, self.label, progress)
        _require_eyes_apart(faces, np.arange(len(faces)), str(self.path))
        return faces


def _require_eyes_apart(faces: Faces, rows: npt.NDArray[np.int64], where: str) -> None:
    """Refuse test faces whose NME would be a division by zero, before hours of work."""
    distances = eye_distances(faces.points[rows])
    bad = rows[~((distances > 0) & np.isfinite(distances))]
    if len(bad):
        message = (
            f"{where}: the outer eye corners (points 36 and 45) of {faces.names[bad[0]]}, row {bad[0]}, are no "
            f"distance apart ({len(bad)} such faces), so that their NME cannot be told; remove them."
        )
        raise UsageError(message)


def read_and_tell(path: Path, label: str, progress: Progress) -> Faces:
    """Read faces; what was skipped of a CSV is told with the progress.

    Raises:
        UsageError: the file cannot be read.
    """
    faces = read_faces(path, label)
    if faces.note:
        progress.say(f"Note: {faces.note}")
    return faces
