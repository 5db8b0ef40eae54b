"""What a device runner offers: it measures artifacts somewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from mlbench.contracts.progress import Progress
from mlbench.contracts.samples import Samples
from mlbench.records import Artifact, Measurement


@dataclass(frozen=True)
class Pipeline:
    """What stands before the network in use: frames, and a detector whose box is resized to the network's input.

    Attributes:
        frames: uint8 [n, height, width], grey.
        cascade: OpenCV's file of the detector `haar`, for devices where plug-ins cannot run.
        size: width and height of the network's input.
        detector: name of the detector's plug-in.
        video: uint8 [n, height, width], consecutive frames in which what was found is followed; None: nothing is.
        margin: sides of what is cut out, in sides of the detector's box.
        smallest: side of the smallest thing that the detector searches, px.
    """

    frames: npt.NDArray[np.uint8]
    cascade: Path
    size: tuple[int, int]
    detector: str = "haar"
    video: npt.NDArray[np.uint8] | None = None
    margin: float = 1.0
    smallest: int = 80


@dataclass(frozen=True)
class Job:
    """What is to be measured: every artifact on the same inputs, interleaved.

    Attributes:
        artifacts: the files; their paths are relative to `folder`.
        folder: runners may write below folder / "devices".
        test_sets: samples by name; none: random inputs as each file asks.
        pipeline: None: measure the network alone.
        threads: of the network.
        min_count: latency samples, at least.
        min_seconds: of network latency per artifact, at least.
        seed: of the order of bursts, and of random inputs.
    """

    artifacts: tuple[Artifact, ...]
    folder: Path
    test_sets: Mapping[str, Samples]
    pipeline: Pipeline | None = None
    threads: int = 1
    min_count: int = 200
    min_seconds: float = 3.0
    seed: int = 7


@dataclass(frozen=True)
class Outcome:
    """What a device found about one artifact: figures, and its outputs [n, …] by test set and target."""

    measurement: Measurement
    predictions: dict[str, dict[str, npt.NDArray[np.float32]]]


class DeviceRunner(ABC):
    """Measures artifacts somewhere: on the host's CPU, on a phone; or answers samples as an emulated CPU does."""

    name: ClassVar[str]
    summary: ClassVar[str]
    #: Whether it answers samples and measures nothing: its times would say nothing of the device.
    answers_only: ClassVar[bool] = False

    @abstractmethod
    def measure(self, job: Job, progress: Progress) -> Iterator[Outcome]:
        """One outcome per artifact and device.

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
