"""Magnitude pruning of dense layers, entry by entry or in blocks that the runtime's kernels skip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mlbench.contracts import OTHER_KIND, Context, Form, Order, Tried, Tuned, unchanged
from mlbench.errors import RefusedCompressionError
from mlbench.networks import graph
from mlbench.records import LayerChange

if TYPE_CHECKING:
    import tf_keras

_UPDATES = 10  # of the masks, while the sparsity grows
_BLOCKS = {"1x1": (1, 1), "4x1": (4, 1)}


def magnitude_mask(
    weights: npt.NDArray[np.float32], sparsity: float, block: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Which entries of a matrix [m,n] stay: the blocks of largest mean magnitude, ties in their order.

    Han et al. 2015; blocks as in TFMOT. At sparsity 0 all stay.
    """
    height, width = block
    rows, columns = -(-weights.shape[0] // height), -(-weights.shape[1] // width)
    padded = np.zeros((rows * height, columns * width), np.float32)
    padded[: weights.shape[0], : weights.shape[1]] = np.abs(weights)
    pooled = padded.reshape(rows, height, columns, width).sum(axis=(1, 3)).ravel()
    kept = np.zeros(pooled.size, bool)
    count = round(pooled.size * (1 - sparsity))
    if count:
        kept[np.argpartition(-pooled, count - 1)[:count]] = True
    mask = kept.reshape(rows, columns).repeat(height, axis=0).repeat(width, axis=1)
    return mask[: weights.shape[0], : weights.shape[1]]


class Prune(Tuned):
    """Zeroes the smallest weights of dense layers while tuning, and stores only the others."""

    name: ClassVar[str] = "prune"
    summary: ClassVar[str] = (
        "the smallest weights of dense layers become zeros, which a float32 file leaves out"
    )
    source: ClassVar[str] = "Zhu & Gupta 2017 (schedule); TFMOT magnitude pruning"
    order: ClassVar[Order] = Order.SHARE
    version: ClassVar[int] = 2
    positional: ClassVar[str | None] = "sparsity"
    exact: ClassVar[dict[str, str]] = {"sparsity": "0.5", "smallest": "0"}
    example: ClassVar[dict[str, str]] = {"smallest": "0"}

    sparsity: Annotated[float, Field(gt=0, lt=1, description="share of zeros in each dense layer")] = 0.9
    block: Annotated[
        Literal["1x1", "4x1"],
        Field(description="4x1: four inputs at once, which run faster; 1x1: single weights, smaller only"),
    ] = "4x1"
    schedule: Annotated[
        Literal["gradual", "once"],
        Field(description="gradual: sparsity grows over the first half of tuning; once: before it"),
    ] = "gradual"

    smallest: Annotated[
        int, Field(ge=0, description="weights below which a layer stays dense: little to gain, much to lose")
    ] = 20_000

    @classmethod
    def tried(cls) -> Tried:
        """Shares of zeros."""
        return Tried(("prune({sparsity},epochs={epochs})",), {"sparsity": [0.5, 0.7, 0.8, 0.9, 0.95]})

    def compress(self, form: Form, context: Context) -> Form:
        """The network with TFMOT's pruning around its dense layers."""
        dense = graph.dense_layers(form.network)
        layers = [layer for layer in dense if not self._refusal(layer)]
        if not layers:
            message = (
                f"{self.describe()} found no dense layer of {self.smallest:,} weights or more"
                f"{' and inputs in fours' if self.block == '4x1' else ''}: give a smaller smallest=."
            )
            raise RefusedCompressionError(message)
        left = [unchanged(layer, reason) for layer in dense if (reason := self._refusal(layer))]
        changes = (*map(self._change, layers), *left)
        names = {layer.name for layer in layers}

        def wrap(layer: tf_keras.layers.Layer) -> list[graph.NewLayer] | None:
            return [(self._wrapped(layer), None)] if layer.name in names else None

        export = form.with_export(sparse=True).export
        return Form(graph.rebuild(form.network, wrap), export, changes)

    def reasons(self, form: Form, context: Context) -> Mapping[str, str]:
        """Of dense layers the options, of others that they are none."""
        dense = graph.dense_layers(form.network)
        left = graph.layers_with_kernel(form.network)
        told = {layer.name: self._refusal(layer) if layer in dense else OTHER_KIND for layer in left}
        return {name: why for name, why in told.items() if why}

    def _refusal(self, layer: tf_keras.layers.Layer) -> str:
        """Why a dense layer is not pruned; "" of those that are."""
        (inputs, units), height = layer.kernel.shape, _BLOCKS[self.block][0]
        if inputs * units < self.smallest:
            return f"fewer than {self.smallest:,} weights"
        # Of inputs that blocks do not divide, the runtime's kernels compute something else.
        return f"its {inputs} inputs do not come in blocks of {height}" if inputs % height else ""

    def _wrapped(self, layer: tf_keras.layers.Layer) -> Any:
        from tensorflow_model_optimization.python.core.sparsity.keras import pruning_schedule, pruning_wrapper

        once = self.schedule == "once"
        constant = pruning_schedule.ConstantSparsity(self.sparsity, 1, end_step=1, frequency=1)
        # The ends are set before the first step, when the number of steps is known.
        growing = pruning_schedule.PolynomialDecay(0.0, self.sparsity, 1, 2, frequency=1)
        inner = graph.built_copy(layer)
        if once:
            kernel = inner.kernel.numpy()
            inner.kernel.assign(kernel * magnitude_mask(kernel, self.sparsity, _BLOCKS[self.block]))
        return pruning_wrapper.PruneLowMagnitude(
            inner,
            pruning_schedule=constant if once else growing,
            block_size=_BLOCKS[self.block],
        )

    def before_step(self, network: tf_keras.Model, step: int, steps: int) -> None:
        """Tell the wrappers which step this is and, before the first, when the sparsity is to be reached."""
        for layer in network.layers:
            if not hasattr(layer, "pruning_step"):
                continue
            layer.pruning_step.assign(step)  # the wrapper counts it up by one, and starts at 1
            schedule = layer.pruning_schedule
            if self.schedule == "gradual" and schedule.end_step == 2:
                schedule.frequency = max(1, steps // 2 // _UPDATES)
                schedule.end_step = 1 + schedule.frequency * max(1, steps // 2 // schedule.frequency)

    def settle(self, network: tf_keras.Model) -> None:
        """Zero what the optimiser moved since the masks were last applied, which is before each step."""
        for layer in network.layers:
            if hasattr(layer, "pruning_step"):
                layer.pruning_obj.weight_mask_op()

    def first_settled_epoch(self, epochs: int) -> int:
        """After the first half, where the sparsity grows: it is whole with the step behind that half."""
        return 0 if self.schedule == "once" else epochs // 2 + 1

    def finish(self, form: Form) -> Form:
        """Plain layers whose masks have been applied, at the full sparsity."""

        def strip(layer: tf_keras.layers.Layer) -> list[graph.NewLayer] | None:
            if not hasattr(layer, "pruning_step"):
                return None
            kernel, *rest = layer.layer.get_weights()
            mask = magnitude_mask(kernel, self.sparsity, _BLOCKS[self.block])
            [(plain, _)] = graph.kept(layer.layer)
            return [(plain, [kernel * mask, *rest])]

        return Form(graph.rebuild(form.network, strip), form.export, form.changes)

    def _change(self, layer: tf_keras.layers.Layer) -> LayerChange:
        kernel = layer.kernel.numpy()
        mask = magnitude_mask(kernel, self.sparsity, _BLOCKS[self.block])
        others = layer.count_params() - kernel.size
        power = float(np.square(kernel, dtype=np.float64).sum())
        return LayerChange(
            layer=layer.name,
            shape=kernel.shape,
            parameters_before=layer.count_params(),
            parameters_after=int(mask.sum()) + others,
            energy=float(np.square(kernel * mask, dtype=np.float64).sum()) / power if power else 1.0,
            note="parameters that are not zero",
        )
