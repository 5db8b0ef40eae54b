"""Tasks whose samples lie in `.npz` files of `x` and `y`, or in folders of images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mlbench.contracts.reading import AS_STORED, Expected, Reading
from mlbench.contracts.samples import Samples
from mlbench.contracts.task import Task
from mlbench.data.array_files import EXPECTED, look
from mlbench.errors import UsageError


class ArrayTask(Task):
    """Reads what `mlbench.data.array_files` reads; a task says what its targets are, and what is wrong with others."""

    def read(self, path: Path, label: str, tell: Callable[[str], None], how: Reading = AS_STORED) -> Samples:
        """See `Task.read`."""
        samples, faults = self.looked(path, label, tell, how)
        if samples is None or faults:
            raise UsageError(faults[0])
        return samples

    def looked(
        self, path: Path, label: str, tell: Callable[[str], None], how: Reading = AS_STORED
    ) -> tuple[Samples | None, list[str]]:
        """See `Task.looked`."""
        samples, faults = look(path, label, how, tell)
        if samples is None:
            return None, faults
        wrong = self.faults(samples, path)
        return samples if wrong else self.taken(samples), faults + wrong

    @abstractmethod
    def faults(self, samples: Samples, path: Path) -> list[str]:
        """What keeps targets, as stored in a file, from being those of this task: a sentence each."""

    def taken(self, samples: Samples) -> Samples:
        """Samples without faults in the form that the task's other methods take."""
        return samples


def expected(shape: str, dtype: str, holds: str) -> tuple[Expected, ...]:
    """The arrays of a file whose targets are such."""
    x, *others = EXPECTED
    return (x, replace(x, name="y", shape=shape, dtype=dtype, holds=holds), *others)


def one_hot(values: npt.NDArray[np.generic]) -> bool:
    """Whether rows [n, k] are a 1 among zeros: classes, written as the outputs of a network."""
    return (
        values.ndim == 2
        and values.shape[1] > 1
        and values.dtype.kind in "biuf"
        and bool(np.all((values == 0) | (values == 1)) and np.all(values.sum(axis=1) == 1))
    )
