"""What a device runner offers: it measures artifacts somewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from mlbench.contracts.progress import Progress
from mlbench.records import Artifact, Measurement


@dataclass(frozen=True)
class Job:
    """What is to be measured: every artifact on the same inputs, interleaved."""

    artifacts: tuple[Artifact, ...]
    folder: Path  # artifact paths are relative to it; runners may write below folder / "devices"
    test_sets: dict[str, npt.NDArray[np.uint8]]  # name -> crops [n,96,96]
    frames: npt.NDArray[np.uint8]  # [n,480,864] grey; empty: measure the network alone
    threads: int = 1
    min_count: int = 200  # latency samples, at least
    min_seconds: float = 3.0  # of network latency an artifact, at least
    seed: int = 7


@dataclass(frozen=True)
class Outcome:
    """What a device found about one artifact: figures, and its outputs [n,68,2] on each test set."""

    measurement: Measurement
    predictions: dict[str, npt.NDArray[np.float32]]


class DeviceRunner(ABC):
    """Measures artifacts somewhere: on the host's CPU, on a phone."""

    name: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    def measure(self, job: Job, progress: Progress) -> Iterator[Outcome]:
        """One outcome an artifact and device.

        An artifact that does not load or run gives a measurement with a `failure`, never an exception.

        Raises:
            UsageError: the device cannot be used at all.
        """

    @abstractmethod
    def device(self, threads: int) -> Any:
        """The `records.Device` that `measure` reports about."""

    def require_ready(self) -> None:  # noqa: B027 (most have nothing to say)
        """Asked before anything is trained: say now if nothing could be measured afterwards.

        Raises:
            UsageError: the device or what drives it cannot be used.
        """

    @classmethod
    def requirements(cls) -> list[tuple[str, bool, str]]:
        """For `mlbench doctor`, what it needs besides mlbench: name, whether it is there, where or how to get it."""
        return []
