"""Parameters and multiply-accumulates of each kind of layer, against counts by hand."""

import pytest
import tf_keras

from mlbench.networks import counting

keras = tf_keras.layers

#: Layer, shape of a sample, parameters, multiply-accumulates.
_BY_HAND = [
    (keras.Dense(5), (7,), 7 * 5 + 5, 7 * 5),
    (keras.Dense(5, use_bias=False), (4, 7), 7 * 5, 4 * 7 * 5),
    (keras.Conv2D(6, 3), (10, 8, 4), 9 * 4 * 6 + 6, 9 * 4 * 6 * 8 * 6),
    (keras.Conv2D(6, 3, strides=2, padding="same"), (10, 8, 4), 9 * 4 * 6 + 6, 9 * 4 * 6 * 5 * 4),
    (keras.Conv2D(6, 3, dilation_rate=2), (10, 8, 4), 9 * 4 * 6 + 6, 9 * 4 * 6 * 6 * 4),
    (keras.Conv2D(6, 3, groups=2), (10, 8, 4), 9 * 2 * 6 + 6, 9 * 2 * 6 * 8 * 6),
    (keras.Conv2D(6, (1, 3)), (10, 8, 4), 3 * 4 * 6 + 6, 3 * 4 * 6 * 10 * 6),
    (keras.Conv1D(6, 3), (10, 4), 3 * 4 * 6 + 6, 3 * 4 * 6 * 8),
    (keras.Conv1D(6, 3, padding="causal"), (10, 4), 3 * 4 * 6 + 6, 3 * 4 * 6 * 10),
    (keras.Conv3D(2, 3), (5, 6, 7, 3), 27 * 3 * 2 + 2, 27 * 3 * 2 * 3 * 4 * 5),
    (keras.DepthwiseConv2D(3), (10, 8, 4), 9 * 4 + 4, 9 * 4 * 8 * 6),
    (keras.DepthwiseConv2D(3, depth_multiplier=2), (10, 8, 4), 9 * 8 + 8, 9 * 8 * 8 * 6),
    (keras.DepthwiseConv1D(3), (10, 4), 3 * 4 + 4, 3 * 4 * 8),
    (keras.SeparableConv2D(6, 3), (10, 8, 4), 9 * 4 + 4 * 6 + 6, (9 * 4 + 4 * 6) * 8 * 6),
    (keras.SeparableConv1D(6, 3), (10, 4), 3 * 4 + 4 * 6 + 6, (3 * 4 + 4 * 6) * 8),
    (keras.Conv2DTranspose(6, 3, strides=2), (5, 4, 4), 9 * 4 * 6 + 6, 9 * 4 * 6 * 5 * 4),
    (keras.Conv1DTranspose(6, 3, strides=2), (5, 4), 3 * 4 * 6 + 6, 3 * 4 * 6 * 5),
    (keras.BatchNormalization(), (5, 4, 6), 4 * 6, 0),
    (keras.LayerNormalization(), (5, 6), 2 * 6, 0),
    (keras.MaxPool2D(2), (6, 6, 3), 0, 0),
    (keras.TimeDistributed(keras.Dense(5)), (4, 7), 7 * 5 + 5, 4 * 7 * 5),
    (keras.LSTM(3), (8, 5), 4 * (5 * 3 + 3 * 3 + 3), 8 * 4 * (5 * 3 + 3 * 3)),
    (keras.Bidirectional(keras.LSTM(3)), (8, 5), 8 * (5 * 3 + 3 * 3 + 3), 8 * 8 * (5 * 3 + 3 * 3)),
    (keras.Embedding(20, 3), (8,), 60, 0),
]


@pytest.mark.parametrize(
    ("layer", "shape", "parameters", "macs"),
    _BY_HAND,
    ids=[f"{type(row[0]).__name__}-{number}" for number, row in enumerate(_BY_HAND)],
)
def test_counts_are_those_by_hand(layer, shape, parameters, macs):
    given = tf_keras.Input(shape)
    network = tf_keras.Model(given, layer(given))
    [row] = counting.layer_table(network)
    assert (row.parameters, row.macs) == (parameters, macs)
    assert counting.parameters_of(network) == parameters
    assert row.output == tuple(network.output_shape[1:])


def test_a_layer_that_is_called_twice_computes_twice_and_is_stored_once():
    shared = keras.Dense(3, name="shared")
    left, right = tf_keras.Input((4,)), tf_keras.Input((4,))
    network = tf_keras.Model([left, right], keras.Add()([shared(left), shared(right)]))
    found = {row.name: row for row in counting.layer_table(network)}["shared"]
    assert (found.parameters, found.macs) == (15, 24)


def test_layers_of_a_network_within_are_counted():
    inside = tf_keras.Sequential([keras.InputLayer((6,)), keras.Dense(5, name="one")], name="inside")
    given = tf_keras.Input((6,))
    network = tf_keras.Model(given, keras.Dense(2, name="last")(inside(given)))
    found = {row.name: row.macs for row in counting.layer_table(network)}
    assert found == {"inside_one": 30, "last": 10}
    assert counting.parameters_of(network) == 35 + 12


@pytest.mark.parametrize("wrapped", ["prune", "cluster"])
def test_what_wrappers_keep_beside_the_weights_does_not_count(wrapped):
    from mlbench.networks import graph

    given = tf_keras.Input((64,))
    network = tf_keras.Model(given, keras.Dense(8, name="dense")(given))
    if wrapped == "prune":
        from tensorflow_model_optimization.python.core.sparsity.keras.pruning_wrapper import (
            PruneLowMagnitude as Wrapper,
        )

        options = {}
    else:
        from tensorflow_model_optimization.python.core.clustering.keras import cluster_config
        from tensorflow_model_optimization.python.core.clustering.keras.cluster_wrapper import (
            ClusterWeights as Wrapper,
        )

        options = {
            "number_of_clusters": 4,
            "cluster_centroids_init": cluster_config.CentroidInitialization.LINEAR,
        }
    made = graph.rebuild(network, lambda layer: [(Wrapper(graph.built_copy(layer), **options), None)])
    assert counting.parameters_of(made) == 64 * 8 + 8
    assert [row.macs for row in counting.layer_table(made)] == [64 * 8]
