"""Compressors on networks of different make: smaller with answers near, or named and refused with the reason.

What holds of their results whatever the options, `tests/test_battery.py` asks.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import tf_keras

from mlbench import plugins
from mlbench.compression.chain import parse_chain
from mlbench.contracts import Context, Form, Order
from mlbench.errors import RefusedCompressionError
from mlbench.networks import counting, graph
from mlbench.system.progress import Silent
from mlbench.testing import NETWORKS, samples_for
from mlbench.training.step import _in_bfloat16

keras = tf_keras.layers

#: Gentle options; of others the defaults.
_OPTIONS = {
    "svd": "svd(energy=0.95)",
    "tucker": "tucker(energy=0.94)",
    "cp": "cp(energy=0.8)",
    "tt": "tt(rank=16)",
    "slim": "slim(0.15)",
    "hashing": "hashing(2)",
    "prune": "prune(0.2,block=1x1,smallest=0)",
    "cluster": "cluster(32)",
}
_REFUSED = {
    ("dynamic4", "separable"): "no dense layer before the output layer",
    ("cp", "two_inputs"): "cp found no layer",
    ("cp", "separable"): "cp found no layer",
    ("tt", "residual"): "tt found no layer",
    ("tt", "separable"): "tt found no layer",
    ("hashing", "separable"): "answers: 418 numbers, the layer 250",
}


@cache
def _network(make):
    """A network, its samples and their answers, which no test changes."""
    network = NETWORKS[make](7)
    samples = samples_for(network, 100, 3)
    return network, samples, _answers(network, samples)


def _answers(network, samples):
    return graph.answers_of(network, graph.encoded(network, samples))


def _step(name):
    [step] = parse_chain(_OPTIONS.get(name, name)).compressors
    return step


def _moved(answers, other, samples):
    """Mean change of each output's answers, as a share of their spread."""
    pairs = zip(answers, _answers(other, samples), strict=True)
    return [np.abs(after - before).mean() / before.std(axis=0).mean() for before, after in pairs]


@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize("name", plugins.names("compressors"))
def test_any_compressor_on_any_network_stays_near_or_says_why_not(name, make):
    network, samples, answers = _network(make)
    step, context = _step(name), Context(samples, 7, Silent())
    if (name, make) in _REFUSED:
        with pytest.raises(RefusedCompressionError, match=_REFUSED[name, make]):
            step.compress(Form(network), context)
        return
    shipped = step.finish(step.compress(Form(network), context))
    assert all(moved < 0.5 for moved in _moved(answers, shipped.network, samples))
    if step.order == Order.REPLACE:
        assert counting.parameters_of(shipped.network) < counting.parameters_of(network)
    else:
        assert counting.parameters_of(shipped.network) == counting.parameters_of(network)


def _one(given, layer, *, norm=False, units=3):
    """A network with a layer, normalised if asked, before dense answers."""
    first = tf_keras.Input(given, name="given")
    x = layer(first)
    x = keras.ReLU()(keras.BatchNormalization(name="norm")(x)) if norm else x
    return tf_keras.Model(first, keras.Dense(units, name="answers")(keras.Flatten(name="flat")(x)))


@pytest.mark.parametrize(
    ("given", "layer"),
    [
        ((12, 12, 6), keras.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="conv")),
        ((12, 12, 6), keras.Conv2D(8, 3, dilation_rate=2, padding="same", use_bias=False, name="conv")),
        ((12, 12, 6), keras.Conv2D(8, (3, 1), strides=(1, 2), name="conv")),
        ((16, 6), keras.Conv1D(8, 3, padding="causal", dilation_rate=2, name="conv")),
        ((16, 6), keras.Conv1D(8, 5, strides=2, padding="same", activation="relu", name="conv")),
        ((6, 6, 6, 4), keras.Conv3D(6, 3, name="conv")),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else type(value).__name__,
)
@pytest.mark.parametrize("norm", [True, False])
def test_tucker_is_exact_at_full_rank_for_any_stride_padding_and_dilation(given, layer, norm):
    network = _one(given, type(layer).from_config(layer.get_config()), norm=norm)
    samples = samples_for(network, 40, 3)
    technique = parse_chain("tucker(layers=conv)").compressors[0]
    [plan] = technique.plans(network, Context(samples, 7, Silent()))
    answers = _answers(network, samples)
    for ranks in (plan.sizes, tuple(max(1, size // 2) for size in plan.sizes)):
        made = graph.rebuild(
            network, lambda found, ranks=ranks: plan.layers(ranks) if found is plan.layer else None
        )
        assert made.count_params() - network.count_params() == plan.parameters(ranks) - plan.whole
        macs = [sum(row.macs for row in counting.layer_table(net)) for net in (made, network)]
        assert macs[0] - macs[1] == plan.macs(ranks) - plan.whole_macs
        if ranks == plan.sizes:
            assert _moved(answers, made, samples)[0] < 1e-4
            if norm:  # behind the last factor, as it was behind the layer
                assert graph.producers(made, made.get_layer("norm"))[0].name == "conv_out"


def test_svd_takes_1x1_convolutions_in_branches_with_their_strides_but_no_factors():
    network, samples, _ = _network("residual")
    form = parse_chain("svd(rank=4)").compressors[0].compress(Form(network), Context(samples, 7, Silent()))
    assert form.network.get_layer("second_way_a").strides == (2, 2)
    assert [change.layer for change in form.changes] == ["second_way", "hidden", "answers"]
    factors = _one((8, 8, 4), keras.Conv2D(6, 1, use_bias=False, name="factor_a"))
    behind = tf_keras.Sequential([*factors.layers[:2], keras.Conv2D(9, 1, name="factor_b"), keras.Flatten()])
    with pytest.raises(RefusedCompressionError, match="found no layer"):
        parse_chain("svd").compressors[0].compress(
            Form(behind), Context(samples_for(behind, 8, 3), 7, Silent())
        )


def test_the_map_is_found_behind_what_works_entry_by_entry():
    given = tf_keras.Input((8, 8, 4), name="given")
    x = keras.Dropout(0.5)(keras.ReLU()(keras.Flatten()(given)))
    network = tf_keras.Model(given, keras.Dense(20, name="answers")(x))
    context = Context(samples_for(network, 40, 3), 7, Silent())
    form = parse_chain("tucker(rank=3)").compressors[0].compress(Form(network), context)
    assert "answers_rows" in [layer.name for layer in form.network.layers]


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (keras.DepthwiseConv2D(3, name="odd"), "depthwise"),
        (keras.SeparableConv2D(8, 3, name="odd"), "separable"),
        (keras.Conv2DTranspose(8, 3, name="odd"), "transposed"),
        (keras.Conv2D(8, 3, groups=2, name="odd"), "in groups of channels"),
    ],
    ids=["depthwise", "separable", "transposed", "grouped"],
)
def test_layers_that_tucker_cannot_take_are_named_with_the_reason(layer, told):
    network = _one((8, 8, 6), layer)
    context = Context(samples_for(network, 40, 3), 7, Silent())
    form = parse_chain("tucker(rank=2)").compressors[0].compress(Form(network), context)
    assert told in {change.layer: change.note for change in form.changes}["odd"]
    with pytest.raises(RefusedCompressionError, match=f"found no layer.*odd: .*{told}"):
        parse_chain("tucker(layers=conv)").compressors[0].compress(Form(network), context)


def test_cluster_names_what_it_leaves():
    network, samples, _ = _network("separable")
    step = parse_chain("cluster(32)").compressors[0]
    form = step.compress(Form(network), Context(samples, 7, Silent()))
    left = {change.layer: change.note for change in form.changes if "distinct" not in change.note}
    assert set(left) == {"stem", "pointwise1", "depthwise1", "depthwise2", "depthwise3"}
    assert left["pointwise1"] == "128 weights or fewer"
    assert left["depthwise1"] == "TFMOT leaves a DepthwiseConv2D as it is"


def test_qat_names_what_it_leaves_in_float():
    network = _one((16, 6), keras.Conv1D(8, 3, name="odd"), norm=True)
    context = Context(samples_for(network, 40, 3), 7, Silent())
    form = parse_chain("qat").compressors[0].compress(Form(network), context)
    assert [change.layer for change in form.changes] == ["odd", "norm"]
    assert "TFMOT cannot quantise a Conv1D" in form.changes[0].note


def test_ranges_of_qat_are_those_of_each_input():
    network, samples, _ = _network("two_inputs")
    wide = replace(samples, inputs={**samples.inputs, "facts": samples.inputs["facts"] * 50})
    form = parse_chain("qat").compressors[0].compress(Form(network), Context(wide, 7, Silent()))
    ends = {
        graph.producers(form.network, layer)[0].name: float(layer.weights[1])
        for layer in form.network.layers
        if type(layer).__name__ == "QuantizeLayer"
    }
    assert ends == {name: pytest.approx(float(values.max())) for name, values in wide.inputs.items()}


def test_hashing_names_dense_layers_of_sequences():
    network = _one((6, 16), keras.Dense(16, activation="relu", name="each"), units=40)
    context = Context(samples_for(network, 40, 3), 7, Silent())
    form = parse_chain("hashing(2,layers=all)").compressors[0].compress(Form(network), context)
    assert {change.layer: change.note for change in form.changes}["each"].startswith("it works at each step")


@pytest.mark.parametrize("make", NETWORKS)
def test_copies_in_bfloat16_answer_in_float32_and_share_the_order_of_weights(make):
    network, _, _ = _network(make)
    low = _in_bfloat16(network)
    assert [layer.compute_dtype for layer in graph.last_layers(low)] == ["float32"] * len(network.outputs)
    assert "bfloat16" in {layer.compute_dtype for layer in low.layers}
    for a, b in zip(low.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_network_within_is_compressed_by_its_layers():
    inside = tf_keras.Sequential([keras.InputLayer((16,)), keras.Dense(16, name="one")], name="inside")
    given = tf_keras.Input((16,), name="given")
    network = tf_keras.Model(given, keras.Dense(3, name="answers")(keras.ReLU()(inside(given))))
    context = Context(samples_for(network, 40, 3), 7, Silent())
    form = parse_chain("svd(rank=4)").compressors[0].compress(Form(graph.flattened(network)), context)
    assert form.changes[0].layer == "inside_one"
    assert form.changes[0].rank == (4,)
