"""What a Variant, Compressor, DeviceRunner and Report must offer, and the values they exchange.

Plug-ins implement these; `mlbench.registry` finds them by entry point. Nothing here imports TensorFlow:
a plug-in imports it inside the methods that need it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from mlbench.faces.dataset import CROP, LANDMARKS, Faces
from mlbench.records import Artifact, Layer, LayerChange, Measurement, Record

if TYPE_CHECKING:
    import tf_keras

Precision = Literal["float32", "float16", "dynamic", "int8", "int4", "dynamic4"]


# --- Variants -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A convolution (VALID padding, stride 1) with ReLU, optionally followed by a 2×2 max-pool."""

    filters: int
    kernel: int
    pool: bool


@dataclass(frozen=True)
class Variant:
    """Definition of a landmark network: grey crop in, 136 pixel coordinates out (paper, section 3).

    A variant of your own is five lines::

        TINY = Variant("tiny", "half the filters",
                       blocks=(Block(16, 3, True), Block(16, 2, True), Block(32, 2, True)),
                       dense=(200, 100))
    """

    name: str
    summary: str
    blocks: tuple[Block, ...]
    dense: tuple[int, ...] = (1000, 500)
    size: int = CROP

    def layers(self) -> list[Layer]:
        """Every layer with its output shape, parameters and multiply-accumulates, in order."""
        side, channels, rows = self.size, 1, []
        for number, block in enumerate(self.blocks, 1):
            side -= block.kernel - 1
            weights = block.kernel**2 * channels * block.filters
            rows.append(
                Layer(
                    name=f"conv{number}",
                    kind="conv",
                    output=(side, side, block.filters),
                    parameters=weights + block.filters,
                    macs=weights * side * side,
                )
            )
            channels = block.filters
            if block.pool:
                side //= 2
                rows.append(
                    Layer(
                        name=f"pool{number}", kind="pool", output=(side, side, channels), parameters=0, macs=0
                    )
                )
        inputs = side * side * channels
        rows.append(Layer(name="flatten", kind="flatten", output=(inputs,), parameters=0, macs=0))
        for number, units in enumerate((*self.dense, 2 * LANDMARKS), 1):
            rows.append(
                Layer(
                    name=f"dense{number}",
                    kind="dense",
                    output=(units,),
                    parameters=(inputs + 1) * units,
                    macs=inputs * units,
                )
            )
            inputs = units
        return rows

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(layer.parameters for layer in self.layers())

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, convolutions and dense layers."""
        return sum(layer.macs for layer in self.layers())

    @property
    def feature_map(self) -> tuple[int, ...]:
        """Shape [height, width, channels] before the flatten layer."""
        shapes = [layer.output for layer in self.layers() if layer.kind in ("conv", "pool")]
        return shapes[-1]


# --- Compressors --------------------------------------------------------------------------------------


class Order(IntEnum):
    """Where in a chain a compressor may stand: orders never decrease from left to right."""

    REPLACE = 1  # layers by smaller ones: by factors, or by fewer neurons and filters
    SHARE = 2  # zeroes or ties weights
    QUANTISE = 3  # fewer bits a weight; last


@dataclass(frozen=True)
class ExportOptions:
    """How a network is written to a file."""

    precision: Precision = "float32"
    sparse: bool = False  # store zeros sparsely
    #: int8 alone: ranges measured on training faces, or those that tuning learned (fake quantisation).
    ranges: Literal["calibrated", "learned"] = "calibrated"
    float_output: bool = False  # int8 alone: the last layer answers in float, not in 256 steps


@dataclass(frozen=True)
class Form:
    """A network on its way to a file: the Keras model [1,96,96,1] -> [1,136] and how it will be written.

    Networks take pixels / 255 and give x0, y0, x1, y1, … in pixels of the crop.
    """

    network: tf_keras.Model
    export: ExportOptions = field(default_factory=ExportOptions)
    changes: tuple[LayerChange, ...] = ()  # of the last compressor

    def with_export(self, **changes: Any) -> Form:
        """The same network, written otherwise."""
        return replace(self, export=replace(self.export, **changes), changes=())


class Progress(Protocol):
    """Shows how far long work is; `rich` on a terminal, silent in tests and with --json."""

    def task(
        self, title: str, total: int, unit: str
    ) -> AbstractContextManager[Callable[[int, str | None], None]]:
        """A bar of `total` steps; call the given function with steps done and a short text (None: as before)."""
        ...

    def say(self, text: str) -> None:
        """One line about what happens now."""
        ...


@dataclass(frozen=True)
class Context:
    """What a compressor may use besides the network."""

    calibration: Faces  # faces of the training split (at most 1,000), never of validation or test
    seed: int
    progress: Progress


class Compressor(BaseModel, ABC):
    """One compression technique. Its fields are its options, validated and described by pydantic.

    Subclasses set the class variables, and implement `compress`; it must not change the network that it
    is given, and must refuse (`RefusedCompressionError`) what would not make the network smaller. The tests in
    tests/compressors/test_contract.py run over every registered compressor.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]  # paper or tool, with section
    order: ClassVar[Order]
    needs_tuning: ClassVar[bool]
    positional: ClassVar[str | None] = None  # the option meant by "svd(32)"
    #: Options with which nothing is lost on a network that is redundant enough; None: it always loses.
    exact: ClassVar[Mapping[str, str] | None] = None
    #: Options for a network of some ten thousand parameters, for tests; none where the defaults do.
    example: ClassVar[Mapping[str, str]] = {}
    #: Whether its tuning leaves zeros zero and tied weights tied, so that it may follow what made them.
    keeps_shared: ClassVar[bool] = False

    @abstractmethod
    def compress(self, form: Form, context: Context) -> Form:
        """The compressed form, ready for tuning.

        Raises:
            RefusedCompressionError: it would not be smaller, or the network has no layer to work on.
        """

    def finish(self, form: Form) -> Form:
        """What would ship now: a form without what only tuning needs (masks, centroids).

        It is asked before tuning too, to know the error before it, and must not change the given form.
        """
        return form

    def before_step(self, network: tf_keras.Model, step: int, steps: int) -> None:
        """Called before each step of tuning (0, 1, … of `steps`): gradual techniques go on here."""

    def settle(self, network: tf_keras.Model) -> None:
        """Called before a tuned network is judged or kept: impose again what the last step moved (zeros)."""

    def first_settled_epoch(self, epochs: int) -> int:
        """The first epoch of tuning whose weights may be kept; gradual techniques are not settled before."""
        return 0

    @classmethod
    def custom_layers(cls) -> dict[str, type]:
        """Keras layers of its own that its networks hold, by class name, so that they can be loaded."""
        return {}

    def describe(self) -> str:
        """The technique with the options that differ from their defaults, as in a chain: `svd(rank=32)`."""
        options = ",".join(f"{key}={value}" for key, value in self.model_dump(exclude_defaults=True).items())
        return f"{self.name}({options})" if options else self.name


class Tuned(Compressor):
    """A compressor after which the network is tuned, as the run's options say or its own."""

    needs_tuning: ClassVar[bool] = True

    epochs: Annotated[int | None, Field(ge=1, le=10_000, description="--tune-epochs of this step")] = None
    rate: Annotated[float | None, Field(gt=0, le=1, description="--tune-rate of this step")] = None
    augment_strength: Annotated[
        float | None, Field(ge=0, le=2, description="--tune-augment-strength of this step")
    ] = None
    teacher_share: Annotated[float | None, Field(ge=0, le=1, description="--teacher-share of this step")] = (
        None
    )


# --- Device runners -----------------------------------------------------------------------------------


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

    @classmethod
    def requirements(cls) -> list[tuple[str, bool, str]]:
        """For `mlbench doctor`, what it needs besides mlbench: name, whether it is there, where or how to get it."""
        return []


# --- Reports ------------------------------------------------------------------------------------------


class Report(ABC):
    """A pure function of records."""

    name: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    def write(self, records: Sequence[Record], target: Path | None) -> Path | None:
        """Render the records to `target` (a file), or to the terminal where it is None."""
