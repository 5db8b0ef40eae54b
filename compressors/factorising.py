"""What svd, tucker, cp and tt share: plans for layers, how ranks are chosen for them, and carrying the plans out."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from mlbench.compressors.allocation import allocate, growing_path, interpolated
from mlbench.contracts import (
    OTHER_KIND,
    SHARES_OF_BYTES,
    Alone,
    Context,
    Form,
    Order,
    Tried,
    Tuned,
    unchanged,
)
from mlbench.errors import RefusedCompressionError, UsageError
from mlbench.networks import counting, graph
from mlbench.records import LayerChange
from mlbench.system.sizes import parse_size

if TYPE_CHECKING:
    import tf_keras

Ranks = tuple[int, ...]

#: Targets that a search tries: from 250 times smaller to a third of the weights.
TARGETS = {"low": 0.004, "high": 0.3, "log": True, "of": SHARES_OF_BYTES}

_FLOAT_BYTES = 4
_PROBED_SAMPLES = 64  # on which errors for a target are measured
_PROBED_RANKS = 8  # of each layer's path; between them errors are interpolated
_RANK = re.compile(r"vbmf|(?:[1-9]\d*(?:x[1-9]\d*)*|-)(?:/(?:[1-9]\d*(?:x[1-9]\d*)*|-))*")
_MACS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([MG])MACs?\s*", re.IGNORECASE)


class Plan(ABC):
    """A layer that may become a row of smaller ones: what ranks cost, keep and give.

    Attributes:
        layer: the layer as it is.
        sizes: the largest rank of each mode that can be cut.
    """

    layer: tf_keras.layers.Layer
    sizes: Ranks

    @property
    def whole(self) -> int:
        """Parameters of the layer as it is."""
        return int(self.layer.count_params())

    @cached_property
    def whole_macs(self) -> int:
        """Multiply-accumulates of the layer as it is."""
        return counting.macs_of(self.layer, *self.shapes)

    @property
    def shapes(self) -> tuple[Ranks, Ranks]:
        """Shapes of a sample's input and output in the layer's first call."""
        given, made = self.layer.get_input_shape_at(0), self.layer.get_output_shape_at(0)
        return tuple(int(n or 1) for n in given[1:]), tuple(int(n or 1) for n in made[1:])

    def saves(self, ranks: Ranks) -> bool:
        """Whether the layer gets smaller."""
        return self.parameters(ranks) < self.whole

    @abstractmethod
    def parameters(self, ranks: Ranks) -> int:
        """Weights and biases of the new layers."""

    @abstractmethod
    def macs(self, ranks: Ranks) -> int:
        """Multiply-accumulates of the new layers."""

    @abstractmethod
    def power(self) -> npt.NDArray[np.float64]:
        """Squared entries of the core in the chosen bases, an axis a mode."""

    @abstractmethod
    def ranks_for(self, energy: float) -> Ranks:
        """The smallest ranks that keep this share of the power."""

    @abstractmethod
    def vbmf_ranks(self) -> Ranks:
        """Ranks by variational Bayes on the layer's weights, at least 1."""

    @abstractmethod
    def energy(self, ranks: Ranks) -> float:
        """Share of the power that ranks keep."""

    @abstractmethod
    def layers(self, ranks: Ranks, *, improved: bool = True) -> list[graph.NewLayer]:
        """The new layers; `improved`: with more work for a nearer approximation, where there is such."""

    def change(self, ranks: Ranks) -> LayerChange:
        """What happens to the layer, for the record."""
        smaller, after = self.saves(ranks), self.parameters(ranks)
        shown = "×".join(str(rank) for rank in ranks)
        return LayerChange(
            layer=self.layer.name,
            shape=tuple(int(n) for n in self.layer.kernel.shape),
            parameters_before=self.whole,
            parameters_after=after if smaller else self.whole,
            rank=ranks if smaller else (),
            energy=self.energy(ranks) if smaller else None,
            note="" if smaller else f"rank {shown} takes {after:,} numbers, the layer {self.whole:,}",
        )


class ThreeConvolutions(Plan):
    """A convolution as three: 1×1 at each input position, one of the layer's size and stride, 1×1 behind it."""

    @abstractmethod
    def weights_in_parts(self, ranks: Ranks) -> tuple[int, int, int]:
        """Weights of each of the three; 0 of one that is left out."""

    def parameters(self, ranks: Ranks) -> int:
        """Of the three convolutions, and the bias."""
        return sum(self.weights_in_parts(ranks)) + int(self.layer.kernel.shape[-1])

    def macs(self, ranks: Ranks) -> int:
        """The first at each input position, the others at each output position."""
        before, core, after = self.weights_in_parts(ranks)
        given, made = (math.prod(shape[:-1]) for shape in self.shapes)
        return before * given + (core + after) * made


class Factorising(Tuned):
    """A compressor that replaces layers by products of smaller ones, of ranks chosen by one of several rules."""

    order: ClassVar[Order] = Order.REPLACE
    positional: ClassVar[str | None] = "rank"
    works_on: ClassVar[str]  # for people

    rank: Annotated[
        str | None,
        Field(
            description="vbmf; or of all layers: 64; or one each, - leaves a layer: 64/32/-; with none of rank, "
            "energy and target: dense layers a quarter of the full rank (16 to 64), convolutions half the channels, "
            "the map 10x10x24x64; cp a third of the weights; tt 16, or what halves the layer"
        ),
    ] = None
    energy: Annotated[
        float | None, Field(gt=0, le=1, description="share of the power to keep in each layer")
    ] = None
    target: Annotated[
        str | None,
        Field(description="whole network, as float32 weights or multiply-accumulates: 2MB, 20MMAC"),
    ] = None
    of: Annotated[
        Literal["responses", "weights"],
        Field(description="what stays near: the layers' responses to training samples, or their weights"),
    ] = "responses"

    @field_validator("rank")
    @classmethod
    def _ranks_are_numbers(cls, value: str | None) -> str | None:
        if value is not None and not _RANK.fullmatch(value):
            message = "a rank is vbmf, a positive whole number, or one per layer, as in 64/32/-"
            raise ValueError(message)
        return value

    @field_validator("target")
    @classmethod
    def _target_is_a_size(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                _budget(value)
            except UsageError as error:
                raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if sum(rule is not None for rule in (self.rank, self.energy, self.target)) > 1:
            message = "give one of rank, energy and target"
            raise ValueError(message)
        return self

    @abstractmethod
    def plans(self, network: tf_keras.Model, context: Context) -> list[Plan]:
        """A plan for each layer that this technique works on, in order."""

    def refusal(self, layer: tf_keras.layers.Layer, network: tf_keras.Model) -> str:
        """Why a layer with weights, which seems to be of the kind, is not worked on; "" of other layers."""
        return ""

    @abstractmethod
    def default_ranks(self, plan: Plan) -> Ranks:
        """Where neither rank, energy nor target is given."""

    def compress(self, form: Form, context: Context) -> Form:
        """Replace each layer by smaller ones; layers that would not get smaller stay, with a note."""
        if (self.of == "responses" or self.target) and not len(context.calibration):
            message = f"{self.describe()} needs training samples to calibrate on: give some, or of=weights, no target."
            raise UsageError(message)
        plans = self.plans(form.network, context)
        reasons = [(layer, self.refusal(layer, form.network)) for layer in form.network.layers]
        left = [unchanged(layer, reason) for layer, reason in reasons if reason]
        if not plans:
            told = "".join(f"; {change.layer}: {change.note}" for change in left)
            message = f"{self.name} found no layer in the network that it works on ({self.works_on}{told})."
            raise RefusedCompressionError(message)
        ranks = self._ranks(form.network, plans, context)
        changes = tuple(plan.change(chosen) for plan, chosen in zip(plans, ranks, strict=True))
        if not any(change.rank for change in changes):
            notes = "; ".join(f"{change.layer}: {change.note}" for change in changes)
            message = f"{self.describe()} would not make the network smaller ({notes}): give smaller ranks."
            raise RefusedCompressionError(message)
        chosen = {p.layer.name: (p, r) for p, r in zip(plans, ranks, strict=True) if p.saves(r)}

        def replace(layer: tf_keras.layers.Layer) -> list[graph.NewLayer] | None:
            if layer.name not in chosen:
                return None
            plan, ranks = chosen[layer.name]
            return plan.layers(ranks)

        return Form(graph.rebuild(form.network, replace), form.export, (*changes, *left))

    @classmethod
    def tried(cls) -> Tried:
        """Ranks by a target of the whole network's weights."""
        return Tried((f"{cls.name}(target={{target}},epochs={{epochs}})",), {"target": TARGETS})

    def reasons(self, form: Form, context: Context) -> Mapping[str, str]:
        """Those of `refusal`; or that the ranks, chosen on the weights, would not make a layer smaller."""
        network = form.network
        on_weights = self.model_copy(update={"of": "weights", "target": None})
        plans = on_weights.plans(network, context)
        changes = [
            plan.change(ranks)
            for plan, ranks in zip(plans, on_weights._ranks(network, plans, context), strict=True)
        ]
        notes = {change.layer: change.note for change in changes}
        left = [layer for layer in graph.layers_with_kernel(network) if layer.name not in notes]
        others = {layer.name: self.refusal(layer, network) or OTHER_KIND for layer in left}
        return {name: note for name, note in notes.items() if note} | others

    def one_by_one(self, form: Form, context: Context, ratios: Sequence[float]) -> Iterator[Alone]:
        """The largest ranks, along a path that grows where it keeps most, that a ratio leaves room for."""
        for plan in self.plans(form.network, context):
            name, path = plan.layer.name, growing_path(plan.power(), plan.parameters)
            for ratio in ratios:
                within = [ranks for ranks in path if plan.parameters(ranks) * ratio <= plan.whole]
                if within:
                    made = {name: plan.layers(within[-1])}
                    reached = plan.whole / plan.parameters(within[-1])
                    yield Alone((name,), ratio, reached, graph.with_layers(form.network, made))

    def _ranks(self, network: tf_keras.Model, plans: list[Plan], context: Context) -> list[Ranks]:
        if self.rank == "vbmf":
            return [plan.vbmf_ranks() for plan in plans]
        if self.rank is not None:
            return self._given_ranks(plans, self.rank.split("/"))
        if self.target is not None:
            return self._ranks_within(network, plans, self.target, context)
        if self.energy is not None:
            return [plan.ranks_for(self.energy) for plan in plans]
        return [self.default_ranks(plan) for plan in plans]

    def _given_ranks(self, plans: list[Plan], given: list[str]) -> list[Ranks]:
        if len(given) not in (1, len(plans)):
            names = ", ".join(plan.layer.name for plan in plans)
            told = f"{self.name}(rank={self.rank}) gives {len(given)} ranks"
            message = f"{told}, but there are {len(plans)} layers: {names}."
            raise UsageError(message)
        alone = len(given) == 1
        asked = [
            _numbers(text, plan)
            for text, plan in zip(given * (len(plans) if alone else 1), plans, strict=True)
        ]
        beyond = [
            max(r - s for r, s in zip(r_, p.sizes, strict=True)) > 0
            for r_, p in zip(asked, plans, strict=True)
        ]
        if alone:
            beyond = [max(ranks) > max(plan.sizes) for ranks, plan in zip(asked, plans, strict=True)]
        if plans and (all(beyond) or (any(beyond) and not alone)):
            sizes = ", ".join(f"{plan.layer.name} {'×'.join(map(str, plan.sizes))}" for plan in plans)
            message = (
                f"{self.name}(rank={self.rank}) is above the rank of the layers ({sizes}): give smaller ones."
            )
            raise UsageError(message)
        return [
            # One number for several modes means each mode, as far as it goes.
            tuple(min(r, s) if len(ranks) > 1 else r for r, s in zip(ranks, plan.sizes, strict=True))
            for ranks, plan in zip(asked, plans, strict=True)
        ]

    def _ranks_within(
        self, network: tf_keras.Model, plans: list[Plan], target: str, context: Context
    ) -> list[Ranks]:
        """Spend the target where an added rank lowers the error of the network's answers the most."""
        budget, in_macs = _budget(target)
        work = [plan for plan in plans if plan.saves((1,) * len(plan.sizes))]
        costs = [_Costs(plan, in_macs) for plan in work]
        rest = _whole_cost(network, in_macs) - sum(cost.whole for cost in costs)
        smallest = rest + sum(cost((1,) * len(cost.plan.sizes)) for cost in costs)
        if smallest > budget:
            # Rounded up, so that it is a target that can be given.
            shown = (
                f"{math.ceil(smallest / 1e4) / 100:g}MMAC"
                if in_macs
                else f"{math.ceil(smallest * _FLOAT_BYTES / 10) / 100:g}KB"
            )
            message = (
                f"{self.name}(target={target}) is below what {self.name} can reach: the smallest is {shown} "
                "with rank 1 everywhere; give a larger target."
            )
            raise RefusedCompressionError(message)
        paths = [cost.path() for cost in costs]
        probe = graph.Probe(network, graph.encoded(network, context.calibration.spread(_PROBED_SAMPLES)))
        curves = []
        for cost, path in zip(costs, paths, strict=True):
            context.progress.say(f"Measuring what ranks of {cost.plan.layer.name} are worth …")
            places = [int(i) for i in np.unique(np.linspace(0, len(path) - 2, _PROBED_RANKS).round())]
            tried = (cost.plan.layers(path[i], improved=False) for i in places)
            measured = dict(zip(places, probe.errors(cost.plan.layer, tried), strict=True))
            prices = [cost(ranks) if ranks else cost.whole for ranks in path]
            curves.append(interpolated(prices, measured | {len(path) - 1: 0.0}))
        found = allocate(curves, budget - rest)
        chosen = {plan.layer.name: path[place] for plan, path, place in zip(work, paths, found, strict=True)}
        return [chosen.get(plan.layer.name) or plan.sizes for plan in plans]


@dataclass(frozen=True)
class _Costs:
    """What ranks of a plan cost, in parameters or in multiply-accumulates."""

    plan: Plan
    in_macs: bool

    def __call__(self, ranks: Ranks) -> int:
        return self.plan.macs(ranks) if self.in_macs else self.plan.parameters(ranks)

    @property
    def whole(self) -> int:
        return self.plan.whole_macs if self.in_macs else self.plan.whole

    def path(self) -> list[Ranks]:
        """Growing ranks that save, and at last the layer as it is, written ()."""
        path = growing_path(self.plan.power(), self)
        return [ranks for ranks in path if self(ranks) < self.whole and self.plan.saves(ranks)] + [()]


def _numbers(text: str, plan: Plan) -> Ranks:
    """The ranks that a text asks of a plan, one per mode."""
    if text == "-":
        return plan.sizes
    numbers = tuple(int(part) for part in text.split("x"))
    if len(numbers) not in (1, len(plan.sizes)):
        message = (
            f"rank {text} has {len(numbers)} modes, {plan.layer.name} has {len(plan.sizes)}: give that many."
        )
        raise UsageError(message)
    return numbers if len(numbers) > 1 else numbers * len(plan.sizes)


def _budget(target: str) -> tuple[int, bool]:
    """The budget in parameters, or in multiply-accumulates and True."""
    if match := _MACS.fullmatch(target):
        return round(float(match.group(1)) * (1e9 if match.group(2).upper() == "G" else 1e6)), True
    return parse_size(target) // _FLOAT_BYTES, False


def _whole_cost(network: tf_keras.Model, in_macs: bool) -> int:
    return sum(layer.macs if in_macs else layer.parameters for layer in counting.layer_table(network))
