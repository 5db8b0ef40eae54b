"""Whole neurons and filters removed, so that layers shrink and every runtime gains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mlbench.contracts import Context, Form, Order, Tuned
from mlbench.errors import RefusedCompressionError, UsageError
from mlbench.networks import graph
from mlbench.records import LayerChange

if TYPE_CHECKING:
    import tf_keras

Array = npt.NDArray[np.float64]

_RIDGE = 0.01  # of a unit's mean variance, when removed units are told from those that stay
_PLACES = 64  # positions of a feature map that are looked at, at most


@dataclass(frozen=True)
class Removal:
    """Which units stay, and the layer behind them without the others.

    Attributes:
        kept: indices of units that stay, ascending.
        weights: [places, kept, outputs] of the layer behind.
        shift: [outputs], to be added to its bias.
        energy: share of the importance that stays.
    """

    kept: npt.NDArray[np.intp]
    weights: Array
    shift: Array
    energy: float


def remove_units(weights: Array, means: Array, covariance: Array, count: int) -> Removal:
    """Keep the `count` units whose variation moves the layer behind the most, and let them stand for the others.

    A unit's importance is its variance times the squared norm of its outgoing weights. A removed unit is
    predicted from those that stay by ridge regression, and the layer behind takes the prediction for it
    (He, Zhang & Sun 2017, "Channel pruning", equation 2); a constant or duplicate unit goes at no loss.

    Args:
        weights: [places, units, outputs]: outgoing weights of each unit at each place (or kernel tap).
        means: [places, units].
        covariance: [units, units].
        count: of units that stay.
    """
    importance = np.diag(covariance) * np.square(weights).sum(axis=(0, 2))
    kept = np.sort(np.argsort(-importance, kind="stable")[:count])
    gone = np.setdiff1d(np.arange(weights.shape[1]), kept)
    inner = covariance[np.ix_(kept, kept)]
    ridge = _RIDGE * max(float(np.trace(inner)) / max(len(kept), 1), 1e-12) / len(covariance)
    told = np.linalg.solve(inner + ridge * np.eye(len(kept)), covariance[np.ix_(kept, gone)])
    taken = np.einsum("kg,pgo->pko", told, weights[:, gone])
    shift = np.einsum("pg,pgo->o", means[:, gone] - means[:, kept] @ told, weights[:, gone])
    total = float(importance.sum())
    energy = float(importance[kept].sum()) / total if total else 1.0
    return Removal(kept, weights[:, kept] + taken, shift, energy)


class Slim(Tuned):
    """Removes the neurons and filters that matter least; the layers behind make up for them."""

    name: ClassVar[str] = "slim"
    summary: ClassVar[str] = (
        "whole neurons and filters removed by importance: smaller layers of the same kind"
    )
    source: ClassVar[str] = "Li et al. 2017 (filters); He, Zhang & Sun 2017, section 3.1 (reconstruction)"
    order: ClassVar[Order] = Order.REPLACE
    positional: ClassVar[str | None] = "share"
    exact: ClassVar[dict[str, str]] = {"share": "0.5"}

    share: Annotated[float, Field(gt=0, lt=1, description="of the units of each layer, to be removed")] = 0.5
    layers: Annotated[
        str, Field(pattern=r"^(conv|dense|conv/dense|dense/conv)$", description="which kinds: conv, dense")
    ] = "conv/dense"

    def compress(self, form: Form, context: Context) -> Form:
        """Layer by layer from the input on, each on the network as it is by then."""
        if not len(context.calibration):
            message = "slim needs training faces to tell which units matter: give some."
            raise UsageError(message)
        network, changes = form.network, []
        for name in [layer.name for layer in network.layers if self._handles(layer)]:
            behind = _consumer(network, name)
            units = int(network.get_layer(name).kernel.shape[-1])
            if behind is not None and self._stay(units) < units:
                network, change = self._slimmed(network, name, behind, context)
                changes.append(change)
        if not changes:
            message = (
                f"{self.describe()} found no unit to remove: no layer's units feed a convolution or dense layer "
                "directly, or the share is too small."
            )
            raise RefusedCompressionError(message)
        return Form(network, form.export, tuple(changes))

    def _handles(self, layer: tf_keras.layers.Layer) -> bool:
        from tf_keras import layers as keras

        kind = {keras.Conv2D: "conv", keras.Dense: "dense"}.get(type(layer), "")
        return bool(kind) and kind in self.layers.split("/") and layer.trainable

    def _stay(self, units: int) -> int:
        return max(1, units - round(units * self.share))

    def _slimmed(
        self, network: tf_keras.Model, name: str, behind: str, context: Context
    ) -> tuple[tf_keras.Model, LayerChange]:
        layer, consumer = network.get_layer(name), network.get_layer(behind)
        units = int(layer.kernel.shape[-1])
        count = self._stay(units)
        kernel = consumer.kernel.numpy()
        means, covariance = _statistics(network, consumer, units, context)
        weights = kernel.reshape(-1, units, kernel.shape[-1]).astype(np.float64)
        removal = remove_units(weights, np.broadcast_to(means, weights.shape[:2]), covariance, count)
        bias = consumer.bias.numpy() if consumer.use_bias else np.zeros(kernel.shape[-1], np.float32)
        shape = (*kernel.shape[:2], count, kernel.shape[-1]) if kernel.ndim == 4 else (-1, kernel.shape[-1])
        made = {
            name: _resized(layer, count, [weight[..., removal.kept] for weight in layer.get_weights()]),
            behind: _resized(
                consumer,
                None,
                [
                    removal.weights.reshape(shape).astype(np.float32),
                    (bias + removal.shift).astype(np.float32),
                ],
            ),
        }
        change = LayerChange(
            layer=name,
            shape=tuple(int(n) for n in layer.kernel.shape),
            parameters_before=layer.count_params(),
            parameters_after=layer.count_params() * count // units,
            rank=(count,),
            energy=removal.energy,
            note=f"{count} of {units} units stay",
        )
        return graph.rebuild(network, lambda found: made.get(found.name)), change


def _resized(
    layer: tf_keras.layers.Layer, units: int | None, weights: list[npt.NDArray[np.float32]]
) -> list[graph.NewLayer]:
    config = layer.get_config()
    if units is None:
        config["use_bias"] = True
    else:
        config["filters" if "filters" in config else "units"] = units
    return [(type(layer).from_config(config), weights)]


def _consumer(network: tf_keras.Model, name: str) -> str | None:
    """The layer that takes the units of a layer, pooled or flattened at most; None where there is no such."""
    from tf_keras import layers as keras

    names = [layer.name for layer in network.layers]
    for layer in network.layers[names.index(name) + 1 :]:
        if type(layer) in (keras.Dense, keras.Conv2D):
            valid = isinstance(layer, keras.Dense) or layer.padding == "valid"
            return layer.name if valid and layer.trainable else None
        if not isinstance(layer, (keras.MaxPool2D, keras.Flatten, keras.ReLU)):
            return None
    return None


def _statistics(
    network: tf_keras.Model, consumer: tf_keras.layers.Layer, units: int, context: Context
) -> tuple[Array, Array]:
    """Means [places or 1, units] of what a layer is given, and the covariance [units, units] around them."""
    places = int(np.prod(consumer.kernel.shape[:-1])) // units if len(consumer.kernel.shape) == 2 else 1
    count, total, second = 0, np.zeros((places, units)), np.zeros((units, units))
    rng = np.random.default_rng(context.seed)
    for found in graph.inputs_of(network, [consumer], context.calibration.images):
        rows = found[consumer.name].reshape(-1, places, units).astype(np.float64)
        if places == 1 and len(rows) > 64 * _PLACES:
            rows = rows[rng.choice(len(rows), 64 * _PLACES, replace=False)]
        count, total = count + len(rows), total + rows.sum(axis=0)
        second += np.tensordot(rows, rows, ((0, 1), (0, 1))) / places
    means = total / count
    return means, second / count - means.T @ means / places
