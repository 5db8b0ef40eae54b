"""What a compression technique offers, and the values that it exchanges with a chain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from mlbench.contracts.precision import ExportOptions
from mlbench.contracts.progress import Progress
from mlbench.contracts.samples import Samples
from mlbench.records import LayerChange

if TYPE_CHECKING:
    import tf_keras


class Order(IntEnum):
    """Where in a chain a compressor may stand: orders never decrease from left to right."""

    REPLACE = 1  # layers by smaller ones: by factors, or by fewer neurons and filters
    SHARE = 2  # zeroes or ties weights
    QUANTISE = 3  # fewer bits per weight; last


@dataclass(frozen=True)
class Form:
    """A network on its way to a file, a functional Keras model, and how it will be written.

    A network that holds others has their layers in their place (`mlbench.networks.graph.flattened`).
    """

    network: tf_keras.Model
    export: ExportOptions = field(default_factory=ExportOptions)
    changes: tuple[LayerChange, ...] = ()  # of the last compressor

    def with_export(self, **changes: Any) -> Form:
        """The same network, written otherwise."""
        return replace(self, export=replace(self.export, **changes), changes=())


@dataclass(frozen=True)
class Context:
    """What a compressor may use besides the network."""

    calibration: Samples  # samples of the training split (at most 1,000), never of validation or test
    seed: int
    progress: Progress


#: Why a layer is left that no other reason is given for.
OTHER_KIND = "not a kind that it works on"


@dataclass(frozen=True)
class Alone:
    """A network of which one layer, or the layers whose channels go together, is compressed, without tuning.

    Attributes:
        layers: their names.
        asked: how many times smaller they were to be.
        ratio: how many times smaller their weights are.
        network: with all other layers as they were.
    """

    layers: tuple[str, ...]
    asked: float
    ratio: float
    network: tf_keras.Model


def unchanged(layer: tf_keras.layers.Layer, reason: str) -> LayerChange:
    """A layer that a compressor leaves as it is, for the record, with the reason."""
    kernel = getattr(layer, "kernel", None)
    return LayerChange(
        layer=layer.name,
        shape=() if kernel is None else tuple(int(n) for n in kernel.shape),
        parameters_before=layer.count_params(),
        parameters_after=layer.count_params(),
        note=reason,
    )


#: Of `Tried`: a range of sizes, as shares of the network's float32 bytes.
SHARES_OF_BYTES = "shares of bytes"


@dataclass(frozen=True)
class Tried:
    """What `mlbench search` tries of a technique where it is not told.

    Attributes:
        steps: in place of which one may stand in a chain, with `{name}` where an option varies; `{epochs}` varies with
            the run's epochs of tuning.
        options: by name a list of values, or a range: `{"low": 0.1, "high": 0.8}`, with `"log": True` where equal
            ratios count as equal steps, and `"of": SHARES_OF_BYTES` where the ends are such.
    """

    steps: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


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
    version: ClassVar[int] = 1  # raised when a change of the code changes what equal options give
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

    def reasons(self, form: Form, context: Context) -> Mapping[str, str] | None:
        """Why layers with a kernel are left as they are, by name; what is not in it is worked on.

        It answers without compressing, for `mlbench inspect`; no calibration sample is needed.

        Returns:
            None where the technique does not say.
        """
        return None

    def one_by_one(self, form: Form, context: Context, ratios: Sequence[float]) -> Iterator[Alone]:
        """The network with each layer alone compressed, by each ratio that the technique can reach.

        For `mlbench inspect`, which measures what each costs; none where the technique does not say.

        Args:
            form: a network that is not compressed yet.
            context: as in `compress`.
            ratios: how many times smaller a layer shall get, over 1.
        """
        return iter(())

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
    def tried(cls) -> Tried:
        """What a search tries of it; by default the technique as it is."""
        return Tried((cls.name,))

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
