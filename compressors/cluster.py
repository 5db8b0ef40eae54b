"""Weight clustering: the weights of a layer take few distinct values, which deflate well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from mlbench.contracts import Context, Form, Order, Tried, Tuned, unchanged
from mlbench.errors import RefusedCompressionError
from mlbench.networks import graph
from mlbench.records import LayerChange

if TYPE_CHECKING:
    import tf_keras


class Cluster(Tuned):
    """Ties the weights of each layer to a few centroids, which are trained.

    The raw file does not shrink; its deflated size does, which is what a store's package or a zip holds.
    """

    name: ClassVar[str] = "cluster"
    summary: ClassVar[str] = "few distinct weights per layer: the same raw bytes, fewer when deflated"
    source: ClassVar[str] = "Han et al. 2016, section 3; TFMOT weight clustering"
    order: ClassVar[Order] = Order.SHARE
    keeps_shared: ClassVar[bool] = True
    positional: ClassVar[str | None] = "clusters"
    exact: ClassVar[dict[str, str]] = {"clusters": "16"}

    clusters: Annotated[int, Field(ge=3, le=256, description="distinct values per layer")] = 16

    @classmethod
    def tried(cls) -> Tried:
        """Numbers of values."""
        return Tried(("cluster({clusters},epochs={epochs})",), {"clusters": [8, 16, 32, 64]})

    def compress(self, form: Form, context: Context) -> Form:
        """The network with TFMOT's clustering around its dense and convolution layers."""
        chosen = [layer for layer in form.network.layers if self._handles(layer)]
        if not chosen:
            message = f"{self.describe()} found no layer with more than {_ENOUGH * self.clusters} weights."
            raise RefusedCompressionError(message)
        names = {layer.name for layer in chosen}

        def wrap(layer: tf_keras.layers.Layer) -> list[graph.NewLayer] | None:
            return [(self._wrapped(layer, form.export.sparse), None)] if layer.name in names else None

        network = graph.rebuild(form.network, wrap)
        # The first call moves the wrappers' weights to another order, which checkpoints must not see.
        network([np.zeros((1, *made.shape[1:]), made.dtype.as_numpy_dtype) for made in network.inputs])
        others = [layer for layer in form.network.layers if layer not in chosen and layer.trainable]
        left = [unchanged(layer, reason) for layer in others if (reason := self._refusal(layer))]
        return Form(network, form.export, (*map(self._change, chosen), *left))

    def _handles(self, layer: tf_keras.layers.Layer) -> bool:
        from tf_keras import layers as keras

        # TFMOT accepts other layers too, and leaves them as they are.
        kinds = type(layer) in (keras.Dense, keras.Conv2D) and layer.trainable
        return kinds and int(np.prod(layer.kernel.shape)) > _ENOUGH * self.clusters

    def reasons(self, form: Form, context: Context) -> Mapping[str, str]:
        """Few weights, or a kind that TFMOT leaves."""
        left = [layer for layer in graph.layers_with_kernel(form.network) if not self._handles(layer)]
        return {layer.name: self._refusal(layer) if layer.trainable else "not trained" for layer in left}

    def _refusal(self, layer: tf_keras.layers.Layer) -> str:
        """Why a layer with a kernel is not clustered; "" of layers without one."""
        kind = type(layer).__name__
        if not hasattr(layer, "kernel") and not hasattr(layer, "depthwise_kernel"):
            return ""
        small = kind in ("Dense", "Conv2D")
        return f"{_ENOUGH * self.clusters} weights or fewer" if small else f"TFMOT leaves a {kind} as it is"

    def _wrapped(self, layer: tf_keras.layers.Layer, sparse: bool) -> Any:
        from tensorflow_model_optimization.python.core.clustering.keras import cluster_config, cluster_wrapper

        return cluster_wrapper.ClusterWeights(
            graph.built_copy(layer),
            number_of_clusters=self.clusters,
            cluster_centroids_init=cluster_config.CentroidInitialization.KMEANS_PLUS_PLUS,
            preserve_sparsity=sparse,
        )

    def finish(self, form: Form) -> Form:
        """Plain layers with the clustered weights."""

        def strip(layer: tf_keras.layers.Layer) -> list[graph.NewLayer] | None:
            if not hasattr(layer, "update_clustered_weights_associations"):
                return None
            layer.update_clustered_weights_associations()
            inner = layer.layer
            weights = [np.asarray(inner.kernel), *([inner.bias.numpy()] if inner.use_bias else [])]
            return [(type(inner).from_config(inner.get_config()), weights)]

        return Form(graph.rebuild(form.network, strip), form.export, form.changes)

    def _change(self, layer: tf_keras.layers.Layer) -> LayerChange:
        count = layer.count_params()
        return LayerChange(
            layer=layer.name,
            shape=tuple(int(n) for n in layer.kernel.shape),
            parameters_before=count,
            parameters_after=count,
            note=f"{self.clusters} distinct values",
        )


_ENOUGH = 4  # weights a cluster, at least
