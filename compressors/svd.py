"""Truncated SVD of dense layers: one layer becomes two, whose factors stay apart in the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from compressors import low_rank
from mlbench import surgery
from mlbench.contracts import Compressor, Context, Form, Order
from mlbench.errors import RefusedCompressionError, UsageError
from mlbench.records import LayerChange
from mlbench.sizes import format_size, parse_size

if TYPE_CHECKING:
    import tf_keras

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class _Plan:
    """A dense layer [m,n] with its spectrum; `limit` is the largest rank that makes it smaller, 0 if none."""

    layer: tf_keras.layers.Dense
    spectrum: low_rank.Spectrum

    @property
    def shape(self) -> tuple[int, int]:
        m, n = self.layer.kernel.shape
        return int(m), int(n)

    @property
    def cost(self) -> int:
        return sum(self.shape)

    @property
    def limit(self) -> int:
        m, n = self.shape
        return min((m * n - 1) // self.cost, n)


class Svd(Compressor):
    """Truncated SVD of every dense layer that gets smaller by it."""

    name: ClassVar[str] = "svd"
    summary: ClassVar[str] = "dense layers as products of two thin matrices, by truncated SVD"
    source: ClassVar[str] = "Eckart & Young 1936; of responses: Zhang et al. 2016, section 3.1"
    order: ClassVar[Order] = Order.FACTORISE
    needs_tuning: ClassVar[bool] = True
    positional: ClassVar[str | None] = "rank"

    rank: Annotated[
        str | None, Field(description="rank of all dense layers, or one each: 64 or 64/32/24")
    ] = None
    energy: Annotated[
        float | None, Field(gt=0, le=1, description="share of the power to keep in each layer")
    ] = None
    target: Annotated[str | None, Field(description="float32 size of the whole network: 2MB")] = None
    of: Annotated[
        Literal["responses", "weights"],
        Field(description="what stays near: the layers' responses to training faces, or their weights"),
    ] = "responses"

    @field_validator("rank")
    @classmethod
    def _ranks_are_numbers(cls, value: str | None) -> str | None:
        if value is not None and not all(part.isdigit() and int(part) for part in value.split("/")):
            message = "a rank is a positive whole number, or one a dense layer as in 64/32/24"
            raise ValueError(message)
        return value

    @field_validator("target")
    @classmethod
    def _target_is_a_size(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parse_size(value)
            except UsageError as error:
                raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if sum(rule is not None for rule in (self.rank, self.energy, self.target)) > 1:
            message = "give one of rank, energy and target"
            raise ValueError(message)
        return self

    def compress(self, form: Form, context: Context) -> Form:
        """Replace each dense layer by two; layers that would not get smaller stay, with a note."""
        plans = self._plans(form.network, context)
        ranks = self._ranks(form.network, plans)
        changes = tuple(_change(plan, rank) for plan, rank in zip(plans, ranks, strict=True))
        if not any(change.rank for change in changes):
            notes = "; ".join(f"{change.layer}: {change.note}" for change in changes)
            message = f"{self.describe()} would not make the network smaller ({notes}): give a smaller rank."
            raise RefusedCompressionError(message)
        chosen = {
            plan.layer.name: (plan, rank)
            for plan, rank in zip(plans, ranks, strict=True)
            if rank <= plan.limit
        }

        def replace(layer: tf_keras.layers.Layer) -> list[surgery.NewLayer] | None:
            return _factors(*chosen[layer.name]) if layer.name in chosen else None

        return Form(surgery.rebuild(form.network, replace), form.export, changes)

    def _plans(self, network: tf_keras.Model, context: Context) -> list[_Plan]:
        layers = surgery.dense_layers(network)
        if not layers:
            message = "svd found no dense layer in the network: it works on dense layers only."
            raise RefusedCompressionError(message)
        if self.of == "weights":
            return [_Plan(layer, low_rank.weight_spectrum(layer.kernel.numpy())) for layer in layers]
        responses = surgery.responses_of(
            network, [layer.name for layer in layers], context.calibration.images
        )
        return [_Plan(layer, low_rank.response_spectrum(responses[layer.name])) for layer in layers]

    def _ranks(self, network: tf_keras.Model, plans: list[_Plan]) -> list[int]:
        if self.rank is not None:
            return self._given_ranks(plans, [int(part) for part in self.rank.split("/")])
        if self.target is not None:
            return self._ranks_within(network, plans, parse_size(self.target))
        if self.energy is not None:
            return [plan.spectrum.rank_for(self.energy) for plan in plans]
        return [max(1, min(DEFAULT_RANK, min(plan.shape) // 4)) for plan in plans]

    def _given_ranks(self, plans: list[_Plan], given: list[int]) -> list[int]:
        if len(given) not in (1, len(plans)):
            message = f"svd(rank={self.rank}) gives {len(given)} ranks, but the network has {len(plans)} dense layers."
            raise UsageError(message)
        ranks = given * len(plans) if len(given) == 1 else given
        if min(ranks) > max(min(plan.shape) for plan in plans) or (
            len(given) > 1 and any(rank > min(plan.shape) for plan, rank in zip(plans, ranks, strict=True))
        ):
            shapes = ", ".join(f"{plan.layer.name} {plan.shape[0]}×{plan.shape[1]}" for plan in plans)
            message = (
                f"svd(rank={self.rank}) is above the rank of the matrices ({shapes}): give a smaller one."
            )
            raise UsageError(message)
        return ranks

    def _ranks_within(self, network: tf_keras.Model, plans: list[_Plan], target: int) -> list[int]:
        work = [plan for plan in plans if plan.limit]
        rest = network.count_params() - sum(plan.shape[0] * plan.shape[1] for plan in work)
        smallest = (rest + sum(plan.cost for plan in work)) * _FLOAT_BYTES
        if smallest > target:
            message = (
                f"svd(target={self.target}) is below what svd can reach: the smallest is {format_size(smallest)} "
                "with rank 1 everywhere; give a larger target."
            )
            raise RefusedCompressionError(message)
        budget = target // _FLOAT_BYTES - rest
        limits = [plan.limit for plan in work]
        found = low_rank.allocate([p.spectrum for p in work], [p.cost for p in work], limits, budget)
        ranks = {plan.layer.name: rank for plan, rank in zip(work, found, strict=True)}
        return [ranks.get(plan.layer.name, plan.limit + 1) for plan in plans]


#: Where neither rank, energy nor target is given: this, or a quarter of a layer's full rank where that is less.
DEFAULT_RANK = 64


def _change(plan: _Plan, rank: int) -> LayerChange:
    m, n = plan.shape
    smaller = rank <= plan.limit
    note = (
        "" if smaller else f"rank {rank} of {m}×{n} takes {rank * plan.cost:,} numbers, the layer {m * n:,}"
    )
    return LayerChange(
        layer=plan.layer.name,
        shape=plan.shape,
        parameters_before=m * n + n,
        parameters_after=(rank * plan.cost if smaller else m * n) + n,
        rank=(rank,) if smaller else (),
        energy=plan.spectrum.energy(rank) if smaller else None,
        note=note,
    )


def _factors(plan: _Plan, rank: int) -> list[surgery.NewLayer]:
    import tf_keras

    layer = plan.layer
    kernel, bias = layer.get_weights()
    first, second = low_rank.factorise(kernel, plan.spectrum, rank)
    return [
        (tf_keras.layers.Dense(rank, use_bias=False, name=f"{layer.name}_a"), [first]),
        (
            tf_keras.layers.Dense(plan.shape[1], activation=layer.activation, name=f"{layer.name}_b"),
            [second, low_rank.recentred_bias(bias, plan.spectrum, rank)],
        ),
    ]
