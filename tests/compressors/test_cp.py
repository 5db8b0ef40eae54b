"""CP of convolutions: what becomes of the kernel, exact where nothing is lost, never worse by iterating."""

import subprocess
import sys

import numpy as np
import pytest
import tf_keras
from tensorly.cp_tensor import cp_to_tensor

from mlbench.compression.chain import parse_chain
from mlbench.compressors import canonical
from mlbench.contracts import Context, Form
from mlbench.errors import RefusedCompressionError, UsageError
from mlbench.networks import counting, graph
from mlbench.system.progress import Silent
from mlbench.testing import NETWORKS, samples_for

keras = tf_keras.layers

_SHAPES = [(9, 12, 10), (4, 6, 20), (5, 16, 3)]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def _planted(rng, shape, rank):
    return cp_to_tensor((None, [rng.standard_normal((size, rank)).astype(np.float32) for size in shape]))


def _one(given, layer):
    first = tf_keras.Input(given, name="given")
    flat = keras.Flatten(name="flat")(layer(first))
    return tf_keras.Model(first, keras.Dense(3, name="answers")(flat))


def _plans(text, network, count=40):
    technique = parse_chain(text).compressors[0]
    return technique.plans(network, Context(samples_for(network, count, 3), 7, Silent()))


def _compressed(text, network):
    step = parse_chain(text).compressors[0]
    return step.compress(Form(network), Context(samples_for(network, 60, 3), 7, Silent()))


@pytest.mark.parametrize("shape", _SHAPES)
def test_all_components_are_the_tensor_and_their_powers_are_what_they_add(rng, shape):
    tensor = rng.standard_normal(shape).astype(np.float32)
    found = canonical.orthogonal(tensor)
    np.testing.assert_allclose(cp_to_tensor((None, list(found.factors))), tensor, atol=1e-4)
    for rank in (1, 5, 11):
        kept = canonical.kept(tensor, found.leading(rank))
        assert kept == pytest.approx(found.power[:rank].sum() / found.power.sum(), abs=1e-5)
    assert (np.diff(found.power) <= 0).all()


@pytest.mark.parametrize("shape", _SHAPES)
@pytest.mark.parametrize("rank", [1, 4, 9])
def test_iterating_is_never_worse_and_often_better(rng, shape, rank):
    tensor = rng.standard_normal(shape).astype(np.float32)
    start = canonical.orthogonal(tensor).leading(rank)
    before, after = (canonical.kept(tensor, f) for f in (start, canonical.improved(tensor, start, 20)))
    assert after >= before - 1e-5
    assert rank == 1 or after > before + 0.005


@pytest.mark.parametrize("shape", _SHAPES)
def test_a_planted_rank_is_found(rng, shape):
    tensor = _planted(rng, shape, 3)
    found = canonical.improved(tensor, canonical.orthogonal(tensor).leading(3), 200)
    error = np.linalg.norm(cp_to_tensor((None, list(found))) - tensor) / np.linalg.norm(tensor)
    assert error < 0.01


def test_components_that_cancel_stay_small_and_are_balanced(rng):
    """A tensor of rank 3 with ones of rank 2 as near as one likes, of components that grow without bound."""
    a, b = np.eye(2, dtype=np.float32)
    tensor = sum(np.einsum("i,j,k", *vectors) for vectors in ((a, a, b), (a, b, a), (b, a, a)))
    start = canonical.orthogonal(tensor).leading(2)
    found = canonical.improved(tensor, start, 5000)
    norms = np.array([np.linalg.norm(factor, axis=0) for factor in found])
    assert np.prod(norms, axis=0).max() < 100 * np.linalg.norm(tensor)
    np.testing.assert_allclose(norms[0], norms[1], rtol=1e-4)
    np.testing.assert_allclose(norms[0], norms[2], rtol=1e-4)
    assert canonical.kept(tensor, found) >= canonical.kept(tensor, start) - 1e-5


def test_what_would_take_too_much_memory_stays_in_closed_form_and_is_said(monkeypatch):
    large = np.broadcast_to(np.float32(0), (9, 512, 512))
    assert canonical.iterations_of(large, 1025) == 0
    assert 3 <= canonical.iterations_of(large, 1024) < canonical.iterations_of(large[:, :64, :64], 128) == 50
    monkeypatch.setattr(canonical, "_LARGEST", 10)
    said = []

    class Heard(Silent):
        def say(self, text):
            said.append(text)

    network = NETWORKS["residual"](7)
    context = Context(samples_for(network, 20, 3), 7, Heard())
    plan, *_ = parse_chain("cp(of=weights)").compressors[0].plans(network, context)
    for found, start in zip(plan.layers((5,)), plan.layers((5,), improved=False), strict=True):
        np.testing.assert_array_equal(found[1][0], start[1][0])
    assert said == ["Decomposing first_a into 5 components in closed form, for want of memory …"]


def test_another_backend_of_tensorly_is_left_as_it_was():
    """In a process of its own: that backend changes what TensorFlow's numbers do, for as long as the process lives."""
    program = (
        "import numpy as np, tensorly; from mlbench.compressors import canonical; "
        "tensorly.set_backend('tensorflow'); t = np.random.default_rng(0).random((4, 5, 6), np.float32); "
        "found = canonical.improved(t, canonical.orthogonal(t).leading(2), 3); "
        "print(tensorly.get_backend(), {type(f).__name__ for f in found})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "tensorflow {'ndarray'}"


@pytest.mark.parametrize(
    ("given", "layer"),
    [
        ((12, 12, 6), keras.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="conv")),
        ((12, 11, 6), keras.Conv2D(8, 3, strides=2, padding="valid", use_bias=False, name="conv")),
        ((12, 12, 6), keras.Conv2D(8, 3, dilation_rate=2, padding="same", use_bias=False, name="conv")),
        ((12, 12, 6), keras.Conv2D(8, (3, 2), padding="same", name="conv")),
        ((16, 6), keras.Conv1D(8, 5, strides=2, padding="same", activation="relu", name="conv")),
        ((16, 6), keras.Conv1D(8, 3, dilation_rate=2, name="conv")),
    ],
)
def test_the_network_answers_as_with_the_decomposed_kernel(given, layer):
    network = _one(given, type(layer).from_config({**layer.get_config(), "bias_initializer": "ones"}))
    [plan] = _plans("cp(of=weights)", network)
    [sample] = graph.inputs_of(network, [plan.layer], graph.encoded(network, samples_for(network, 10, 4)))
    inputs, kernel, plain = sample["conv"], plan.layer.kernel.numpy(), plan.layer
    for ranks in ((2,), (7,), plan.sizes):
        parts = plan.layers(ranks)
        first, taps, last = (weights[0] for _, weights in parts)
        rank = ranks[0]
        factors = [taps.reshape(-1, rank), first.reshape(-1, rank), last.reshape(rank, -1).T]
        approximated = cp_to_tensor((None, factors)).reshape(kernel.shape)
        expected = plain.convolution_op(inputs, approximated) + (plain.bias if plain.use_bias else 0)
        np.testing.assert_allclose(graph.applied(parts, inputs), plain.activation(expected), atol=1e-4)
        made = graph.rebuild(network, lambda found, r=ranks: plan.layers(r) if found is plan.layer else None)
        assert made.count_params() - network.count_params() == plan.parameters(ranks) - plan.whole
        macs = [sum(row.macs for row in counting.layer_table(net)) for net in (made, network)]
        assert macs[0] - macs[1] == plan.macs(ranks) - plan.whole_macs
    np.testing.assert_allclose(approximated, kernel, atol=1e-3)  # of all components


def test_responses_stay_nearer_than_when_weights_are_kept():
    network = NETWORKS["residual"](7)
    unseen = graph.encoded(network, samples_for(network, 50, 4))
    probe = graph.Probe(network, unseen)
    for responses, weights in zip(
        *(_plans(f"cp(of={of})", network) for of in ("responses", "weights")), strict=True
    ):
        by_responses, by_weights = probe.errors(
            responses.layer, (plan.layers((6,)) for plan in (responses, weights))
        )
        assert by_responses < by_weights


def test_more_energy_takes_more_components_and_that_much_is_kept():
    network = NETWORKS["residual"](7)
    ranks = []
    for energy in (0.3, 0.5, 0.7):
        changes = [change for change in _compressed(f"cp(energy={energy})", network).changes if change.rank]
        assert changes
        assert all(change.energy >= energy for change in changes)
        ranks.append([plan.ranks_for(energy)[0] for plan in _plans("cp", network)])
    assert all(a < b < c for a, b, c in zip(*ranks, strict=True))


@pytest.mark.parametrize("target", ["20KB", "0.2MMAC"])
def test_a_target_is_kept_and_used(target):
    form = _compressed(f"cp(target={target})", NETWORKS["residual"](7))
    if target.endswith("MAC"):
        used, allowed = sum(row.macs for row in counting.layer_table(form.network)), 0.2e6
    else:
        used, allowed = counting.parameters_of(form.network) * 4, 20_000
    assert 0.7 * allowed < used <= allowed


def test_an_unreachable_target_names_the_smallest():
    with pytest.raises(RefusedCompressionError, match="the smallest is"):
        _compressed("cp(target=1KB)", NETWORKS["residual"](7))


def test_vbmf_finds_a_planted_rank(rng):
    network = _one((8, 8, 16), keras.Conv2D(20, 3, use_bias=False, name="conv"))
    factors = [np.linalg.qr(rng.standard_normal((size, 3)))[0] for size in (9, 16, 20)]
    noise = rng.standard_normal((9, 16, 20)) * 0.003
    network.get_layer("conv").set_weights(
        [(cp_to_tensor(([1, 0.8, 0.6], factors)) + noise).reshape(3, 3, 16, 20)]
    )
    assert _plans("cp", network)[0].vbmf_ranks() == (3,)


@pytest.mark.parametrize(
    ("given", "layer", "told"),
    [
        ((8, 8, 4), keras.Conv2D(4, 1, name="conv"), "of size 1"),
        ((8, 8, 1), keras.Conv2D(4, 3, name="conv"), "over one channel"),
        ((8, 8, 4), keras.Conv2D(4, 3, groups=2, name="conv"), "in groups"),
        ((8, 8, 4), keras.Conv2D(4, 3, strides=(1, 2), name="conv"), "same stride"),
        ((8, 4), keras.Conv1D(4, 3, padding="causal", name="conv"), "no causal padding"),
        ((5, 5, 5, 2), keras.Conv3D(4, 3, name="conv"), "three dimensions"),
        ((8, 8, 4), keras.DepthwiseConv2D(3, name="conv"), "joins no channels"),
    ],
)
def test_what_cannot_be_decomposed_is_named_with_the_reason(given, layer, told):
    network = _one(given, type(layer).from_config(layer.get_config()))
    with pytest.raises(RefusedCompressionError, match=told):
        _compressed("cp", network)


def test_a_rank_above_all_is_refused():
    with pytest.raises(UsageError, match="above the rank"):
        _compressed("cp(rank=5000)", NETWORKS["residual"](7))
