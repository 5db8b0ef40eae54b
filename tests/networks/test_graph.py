"""Graphs: who gives what to whom, surgery on any make of network, answers with a layer replaced."""

import numpy as np
import pytest
import tf_keras

from mlbench.networks import graph
from mlbench.testing import NETWORKS, samples_for

layers = tf_keras.layers


@pytest.fixture(params=NETWORKS)
def network(request):
    return NETWORKS[request.param](7)


def _answers(network, samples):
    return np.concatenate(
        [part.reshape(len(part), -1) for part in graph.answers_of(network, samples)], axis=1
    )


def _names(found):
    return [layer.name for layer in found]


def test_a_copy_answers_to_the_last_bit_and_shares_no_weight(network):
    samples = graph.encoded(network, samples_for(network, 20, 3))
    copied = graph.copy(network)
    assert _names(graph.input_layers(copied)) == _names(graph.input_layers(network))
    assert [w.name for w in copied.weights] == [w.name for w in network.weights]
    expected = _answers(network, samples)
    np.testing.assert_array_equal(_answers(copied, samples), expected)
    copied.set_weights([weight + 1 for weight in copied.get_weights()])
    np.testing.assert_array_equal(_answers(network, samples), expected)


def test_answers_with_a_layer_replaced_are_those_of_the_rebuilt_network(network):
    samples = graph.encoded(network, samples_for(network, 70, 3))
    probe = graph.Probe(network, samples)
    before = graph.answers_of(network, samples)
    for layer in [layer for layer in network.layers if hasattr(layer, "kernel")][1::4]:
        other = [weight * np.float32(0.9) for weight in layer.get_weights()]
        candidates = [
            [(made, weights)] for weights in (layer.get_weights(), other) for made, _ in graph.kept(layer)
        ]
        same, moved = probe.errors(layer, candidates)
        assert same == pytest.approx(0, abs=1e-10)
        rebuilt = graph.rebuild(
            network, lambda found, layer=layer, other=other: _with(found, other) if found is layer else None
        )
        after = graph.answers_of(rebuilt, samples)
        spread = [answers.var(axis=0).mean() for answers in before]
        changes = [np.square(a - b).mean() for a, b in zip(after, before, strict=True)]
        expected = sum(change / part * spread[0] for change, part in zip(changes, spread, strict=True))
        assert moved == pytest.approx(expected, rel=1e-3)
        assert moved > 0


def _with(layer, weights):
    [(made, _)] = graph.kept(layer)
    return [(made, weights)]


def test_a_layer_becomes_several_or_none():
    network = NETWORKS["residual"](7)
    samples = graph.encoded(network, samples_for(network, 10, 3))
    dropped = graph.rebuild(network, lambda layer: [] if layer.name == "first_relu" else None)
    assert "first_relu" not in _names(dropped.layers)
    first_sum = dropped.get_layer("first_sum")
    assert "second_a" in _names(graph.consumers(dropped, first_sum))
    double = [(layers.Dense(24, use_bias=False, name="hidden_twice"), [np.eye(24, dtype=np.float32)])]
    longer = graph.rebuild(
        network, lambda layer: [*graph.kept(layer), *double] if layer.name == "hidden" else None
    )
    np.testing.assert_allclose(_answers(longer, samples), _answers(network, samples), atol=1e-6)


def test_who_gives_and_who_takes():
    network = NETWORKS["residual"](7)
    assert _names(graph.producers(network, network.get_layer("first_sum"))) == ["stem_relu", "first_b_norm"]
    assert _names(graph.consumers(network, network.get_layer("first_relu"))) == ["second_a", "second_way"]
    assert _names(graph.producers(network, network.get_layer("stem"))) == ["image"]
    assert _names(graph.last_layers(network)) == ["answers"]
    assert _names(graph.last_layers(NETWORKS["two_inputs"](7))) == ["answers", "further"]


def _shared():
    """A layer that is called twice, on a path from one input and on one from the other."""
    left, right = tf_keras.Input((4,), name="left"), tf_keras.Input((4,), name="right")
    shared = layers.Dense(5, activation="relu", name="shared")
    answers = layers.Dense(2, name="answers")(layers.Concatenate(name="both")([shared(left), shared(right)]))
    return tf_keras.Model([left, right], answers)


def test_a_shared_layer_stays_one_layer(rng):
    network = _shared()
    samples = {name: rng.standard_normal((9, 4)).astype(np.float32) for name in ("left", "right")}
    shared = network.get_layer("shared")
    [given] = graph.inputs_of(network, [shared], samples)
    np.testing.assert_array_equal(given["shared"], np.concatenate([samples["left"], samples["right"]]))
    weights = shared.get_weights()
    parts = [(layers.Dense(4, use_bias=False, name="before"), [np.eye(4, dtype=np.float32)])]
    rebuilt = graph.rebuild(network, lambda layer: [*parts, *graph.kept(layer)] if layer is shared else None)
    assert rebuilt.count_params() == network.count_params() + 16
    np.testing.assert_allclose(_answers(rebuilt, samples), _answers(network, samples), atol=1e-6)
    moved = graph.Probe(network, samples).errors(shared, [_with(shared, [weights[0] * 2, weights[1]])])
    changed = graph.rebuild(
        network, lambda layer: _with(layer, [weights[0] * 2, weights[1]]) if layer is shared else None
    )
    expected = np.square(_answers(changed, samples) - _answers(network, samples)).mean()
    assert moved == [pytest.approx(expected, rel=1e-5)]


def test_networks_within_a_network_give_way_to_their_layers(rng):
    inside = tf_keras.Sequential(
        [
            layers.InputLayer((6,)),
            layers.Dense(5, activation="relu", name="one"),
            layers.Dense(4, name="two"),
        ],
        name="inside",
    )
    left, right = tf_keras.Input((6,), name="left"), tf_keras.Input((6,), name="right")
    both = layers.Concatenate(name="both")([inside(left), inside(right)])
    network = tf_keras.Model([left, right], layers.Dense(2, name="answers")(both))
    flat = graph.flattened(network)
    assert _names(flat.layers) == ["left", "right", "inside_one", "inside_two", "both", "answers"]
    assert flat.count_params() == network.count_params()
    samples = {name: rng.standard_normal((9, 6)).astype(np.float32) for name in ("left", "right")}
    np.testing.assert_array_equal(_answers(flat, samples), _answers(network, samples))
    assert graph.flattened(flat) is flat


def test_inputs_and_outputs_by_name_keep_their_structure(rng):
    one = tf_keras.Input((3,), name="one")
    outputs = {"double": layers.Rescaling(2.0, name="d")(one), "half": layers.Rescaling(0.5, name="h")(one)}
    network = tf_keras.Model({"one": one}, outputs)
    values = rng.standard_normal((4, 3)).astype(np.float32)
    found = graph.copy(network)({"one": values})
    np.testing.assert_allclose(found["double"], 2 * values)
    np.testing.assert_allclose(found["half"], values / 2)


def test_layers_of_every_kind_are_copied(rng):
    image = tf_keras.Input((12, 8), name="signal")
    x = layers.Conv1D(6, 3, padding="causal", dilation_rate=2, name="causal")(image)
    x = layers.Conv1DTranspose(5, 3, strides=2, name="transposed")(x)
    x = layers.SeparableConv1D(4, 3, name="separable")(x)
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.Multiply(name="gate")([x, layers.Activation("sigmoid", name="sigmoid")(x)])
    x = layers.GlobalMaxPooling1D(name="pooled")(layers.Dense(7, name="each")(x))
    network = tf_keras.Model(image, layers.Softmax(name="answers")(x))
    values = rng.standard_normal((5, 12, 8)).astype(np.float32)
    np.testing.assert_array_equal(_answers(graph.copy(network), values), _answers(network, values))


def test_of_several_outputs_each_keeps_its_name_where_its_layer_is_replaced():
    given = tf_keras.Input((6,), name="given")
    outputs = [layers.Dense(2, name=name)(given) for name in ("first", "second")]
    network = tf_keras.Model(given, outputs)

    def apart(layer):
        return [
            (layers.Dense(1, name=f"{layer.name}_a"), None),
            (layers.Dense(2, name=f"{layer.name}_b"), None),
        ]

    assert graph.rebuild(network, apart).output_names == ["first", "second"]
    single = tf_keras.Model(given, outputs[0])
    assert graph.rebuild(single, apart).output_names == ["first_b"]
