"""How a network is written to a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy.typing as npt

from mlbench.errors import UsageError

if TYPE_CHECKING:
    import tf_keras


@dataclass(frozen=True)
class ExportOptions:
    """How a network is written to a file.

    Attributes:
        precision: name of a `Precision`.
        sparse: whether zeros are stored sparsely.
        ranges: of int8 alone: measured on training samples, or those that tuning learned (fake quantisation).
        float_output: of int8 alone: the last layer answers in float, not in 256 steps.
    """

    precision: str = "float32"
    sparse: bool = False
    ranges: Literal["calibrated", "learned"] = "calibrated"
    float_output: bool = False


class Precision(ABC):
    """What writes a network as a `.tflite` file, with numbers of some kind.

    A written file is checked: its outputs may lie from the network's, in the mean, by `share` of how far the
    network's own spread over samples (their mean distance from their median: no constant answer comes closer), or by
    `floor` of their mean magnitude, where they hardly spread.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    #: Raised when a change of the code changes the files: it is part of the cache's keys.
    version: ClassVar[int] = 1
    share: ClassVar[float]
    floor: ClassVar[float]
    #: Bytes that a weight takes at least: a smaller file lacks some.
    weight_bytes: ClassVar[float]
    #: Whether `requantise` measures ranges on samples.
    needs_ranges: ClassVar[bool] = False

    @abstractmethod
    def write(
        self, network: tf_keras.Model, inputs: Sequence[npt.NDArray[Any]], options: ExportOptions
    ) -> bytes:
        """The content of the file.

        Args:
            network: with a batch of exactly 1, which keeps it in one delegate partition.
            inputs: of training samples, [n, …] each, in the order of the network's.
            options: what else was asked.

        Raises:
            UsageError: the network cannot be written so.
        """

    def requantise(self, content: bytes, inputs: Sequence[npt.NDArray[Any]]) -> bytes:
        """A finished float file with its numbers in this precision; by default that is not possible.

        Args:
            content: of a `.tflite`, as `mlbench.export.repacking.prepared` gives it.
            inputs: to measure ranges on, [n, …] each, in the order of the file's; none where none were given.

        Raises:
            UsageError: it cannot be written so.
        """
        message = f"{self.name} cannot be made of a finished file: give the Keras network by --model."
        raise UsageError(message)
