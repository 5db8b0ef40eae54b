"""Where a run's samples come from: a file, or the task itself; and further test sets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mlbench.contracts import AS_STORED, Progress, Reading, Samples, Task
from mlbench.data.reading import told
from mlbench.data.split import Rule, Split, split, usual_rule


@dataclass(frozen=True)
class Source:
    """The samples of a run.

    Attributes:
        task: what they are samples of.
        path: a file or folder, or None for samples that the task draws.
        count: how many to draw.
        rule: how they are divided; None: as the file says or, where it does not, in its order.
        seed: of drawing and dividing.
        how: what options say of the file.
    """

    task: Task
    path: Path | None
    count: int
    rule: Rule | None
    seed: int
    how: Reading = AS_STORED

    @property
    def sampled(self) -> bool:
        """Whether nothing real is in it."""
        return self.path is None

    def describe(self) -> str:
        """What the samples are, for people."""
        return f"{self.count} {self.task.drawn} (nothing real)" if self.path is None else self.path.name

    def warnings(self) -> list[str]:
        """What the reader of the figures must know."""
        if self.path is not None:
            return []
        return [
            f"Trained and tested on {self.task.drawn}: errors on real samples are larger; give --data or --test with "
            "real ones to measure them."
        ]

    def load(self, progress: Progress) -> Samples:
        """All samples.

        Raises:
            UsageError: the file cannot be read, or the task draws none.
        """
        if self.path is not None:
            return self.task.read(self.path, "", progress.say, self.how)
        progress.say(f"No --data given: using {self.describe()}.")
        return self.task.sample(self.count, self.seed)

    def divided(self, progress: Progress, samples: Samples | None = None) -> tuple[Samples, Split]:
        """All samples and their split, which is told.

        Args:
            progress: is told.
            samples: where they are there already; else they are read or drawn.

        Raises:
            UsageError: the file cannot be read, there are too few samples, or one cannot be scored.
        """
        samples = self.load(progress) if samples is None else samples
        found = split(samples, self.rule or usual_rule(samples), self.seed)
        self.task.require_scorable(samples.take(found.test), self.describe())
        progress.say(
            f"{len(samples):,} samples{_groups_told(samples)}: {len(found.train):,} to train on, "
            f"{len(found.validation):,} to validate, {len(found.test):,} to test."
        )
        for line in told(samples):
            progress.say(line)
        return samples, found


@dataclass(frozen=True)
class TestSet:
    """A file of samples to test on besides the test split.

    Attributes:
        path: of the file.
        label: name of the array of targets; "" for the usual one.
        how: what options say of the file.
    """

    path: Path
    label: str = ""
    how: Reading = AS_STORED
    __test__ = False  # not a test class, whatever its name says to pytest

    @classmethod
    def parse(cls, text: str, how: Reading = AS_STORED) -> TestSet:
        """`samples.npz`, or `samples.npz:human` for the targets in the array `human`."""
        path, _, label = text.rpartition(":")
        named = path and "/" not in label and "." not in label
        return cls(Path(path), label, how) if named else cls(Path(text), how=how)

    @property
    def name(self) -> str:
        """How the set is called in tables: the file's stem, and the label where there is one."""
        return f"{self.path.stem}:{self.label}" if self.label else self.path.stem

    @property
    def text(self) -> str:
        """As `parse` reads it."""
        return f"{self.path}:{self.label}" if self.label else str(self.path)

    def __str__(self) -> str:
        return self.name

    def load(self, task: Task, progress: Progress) -> Samples:
        """Its samples.

        Raises:
            UsageError: the file cannot be read or has no such array, or a sample cannot be scored.
        """
        samples = task.read(self.path, self.label, progress.say, self.how)
        task.require_scorable(samples, str(self.path))
        return samples


def _groups_told(samples: Samples) -> str:
    """How many groups there are, and which have most samples: ` of 85 persons (Ada: 530 samples, …)`."""
    if samples.unit == "sample":
        return ""
    counted = Counter(samples.groups.tolist())
    most = ", ".join(f"{name}: {count:,} samples" for name, count in counted.most_common(3) if count > 1)
    told = f" of {len(counted):,} {samples.unit}s"
    return f"{told} ({most})" if most else f"{told}, each with one sample"
