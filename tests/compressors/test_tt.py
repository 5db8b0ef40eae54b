"""TT-matrices of dense layers: what the network answers is what tensorly's matrix answers; ranks, targets, refusals."""

import math

import numpy as np
import pytest
import tf_keras
from tensorly.decomposition import tensor_train_matrix
from tensorly.tt_matrix import tt_matrix_to_tensor

from mlbench.compression.chain import parse_chain
from mlbench.compressors import tt
from mlbench.contracts import Context, Form
from mlbench.errors import RefusedCompressionError, UsageError
from mlbench.networks import counting, graph
from mlbench.system.progress import Silent
from mlbench.testing import NETWORKS, samples_for

keras = tf_keras.layers


def _one(rows, units, **options):
    first = tf_keras.Input((rows,), name="given")
    dense = keras.Dense(units, name="dense", bias_initializer="ones", **options)
    return tf_keras.Model(first, dense(first))


def _plans(text, network, count=60):
    technique = parse_chain(text).compressors[0]
    return technique.plans(network, Context(samples_for(network, count, 3), 7, Silent()))


def _compressed(text, network):
    step = parse_chain(text).compressors[0]
    return step.compress(Form(network), Context(samples_for(network, 60, 3), 7, Silent()))


def _matrix(plan, cores):
    """The kernel that a TT-matrix stands for, its units in the order of the plan."""
    return tt_matrix_to_tensor(cores).transpose(0, 1, 2, 4, 5, 3).reshape(plan.layer.kernel.shape)


@pytest.fixture
def split(monkeypatch):
    """Cores of which each has inputs and outputs."""
    monkeypatch.setattr(tt, "parted", lambda rows, columns: ((4, 3, 5), (3, 2, 4)))


@pytest.mark.parametrize("options", [{}, {"use_bias": False}, {"activation": "softmax"}])
@pytest.mark.parametrize("ranks", [(1, 1), (4, 7), (12, 20), (2, 20), (12, 1)])
def test_the_network_answers_what_the_tt_matrix_answers(split, options, ranks):
    network = _one(60, 24, **options)
    [plan] = _plans("tt(of=weights)", network)
    samples = graph.encoded(network, samples_for(network, 10, 4))
    layer, matrix = plan.layer, _matrix(plan, plan.cores(ranks))
    expected = layer.activation(samples @ matrix + (layer.bias if layer.use_bias else 0))
    made = graph.rebuild(network, lambda found: plan.layers(ranks) if found is layer else None)
    np.testing.assert_allclose(graph.answers_of(made, samples)[0], expected, atol=1e-5)
    assert made.count_params() - network.count_params() == plan.parameters(ranks) - plan.whole
    macs = [sum(row.macs for row in counting.layer_table(net)) for net in (made, network)]
    assert macs[0] - macs[1] == plan.macs(ranks) - plan.whole_macs
    kept = 1 - np.square(matrix - layer.kernel.numpy()).sum() / np.square(layer.kernel.numpy()).sum()
    assert plan.energy(ranks) == pytest.approx(kept, abs=1e-4)


@pytest.mark.parametrize("ranks", [(1, 1), (4, 7), (12, 20)])
def test_the_matrix_is_as_near_as_that_of_tensorly(split, ranks):
    [plan] = _plans("tt(of=weights)", _one(60, 24))
    kernel = plan.layer.kernel.numpy()
    tensor = kernel.reshape(4, 3, 5, 2, 4, 3).transpose(0, 1, 2, 5, 3, 4)
    expected = _matrix(plan, tensor_train_matrix(tensor, [1, *ranks, 1]).factors)
    np.testing.assert_allclose(_matrix(plan, plan.cores(ranks)), expected, atol=1e-4)


def test_full_ranks_are_exact():
    network = _one(60, 24)
    for of in ("weights", "responses"):
        [plan] = _plans(f"tt(of={of})", network)
        assert math.prod(plan.rows) == 60
        assert math.prod(plan.columns) == 24
        samples = samples_for(network, 10, 4)
        made = graph.rebuild(network, lambda found, p=plan: p.layers(p.sizes) if found is p.layer else None)
        answers = (graph.answers_of(net, graph.encoded(network, samples))[0] for net in (made, network))
        np.testing.assert_allclose(*answers, atol=0.02)


def test_a_planted_train_is_found(split):
    network = _one(60, 24)
    rng = np.random.default_rng(3)
    [plan] = _plans("tt(of=weights)", network)
    cores = [rng.standard_normal(shape) for shape in ((1, 4, 3, 2), (2, 3, 2, 3), (3, 5, 4, 1))]
    network.get_layer("dense").set_weights([_matrix(plan, cores), np.zeros(24)])
    [plan] = _plans("tt(of=weights)", network)
    assert plan.ranks_for(0.99999) == (2, 3)
    np.testing.assert_allclose(_matrix(plan, plan.cores((2, 3))), plan.layer.kernel.numpy(), atol=1e-3)
    noisy = plan.layer.kernel.numpy() + rng.standard_normal((60, 24)) * 0.01
    network.get_layer("dense").set_weights([noisy, np.zeros(24)])
    assert _plans("tt", network)[0].vbmf_ranks() == (2, 3)


def test_responses_stay_nearer_than_when_weights_are_kept():
    network = NETWORKS["sequential"](7)
    probe = graph.Probe(network, graph.encoded(network, samples_for(network, 50, 4)))
    plans = zip(*(_plans(f"tt(of={of})", network) for of in ("responses", "weights")), strict=True)
    for responses, weights in plans:
        by_responses, by_weights = probe.errors(
            responses.layer, (plan.layers((3, 3)) for plan in (responses, weights))
        )
        assert by_responses < by_weights


def test_more_energy_takes_higher_ranks_and_that_much_is_kept():
    network = _one(240, 60)
    ranks = []
    for energy in (0.2, 0.4, 0.6):
        [plan] = _plans("tt(of=weights)", network)
        ranks.append(plan.ranks_for(energy))
        assert plan.energy(ranks[-1]) >= energy
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == 3


@pytest.mark.parametrize("target", ["10KB", "0.006MMAC"])
def test_a_target_is_kept_and_used(target):
    form = _compressed(f"tt(target={target})", NETWORKS["two_inputs"](7))
    if target.endswith("MAC"):
        used, allowed = sum(row.macs for row in counting.layer_table(form.network)), 0.006e6
    else:
        used, allowed = counting.parameters_of(form.network) * 4, 10_000
    assert 0.6 * allowed < used <= allowed


def test_sizes_of_cores_multiply_to_the_layers_and_are_even():
    assert tt.parted(135_424, 1000) == tt.parted(135_424, 1000)
    for rows, units in ((135_424, 1000), (7744, 500), (13, 7), (1, 1), (25_088, 4096)):
        m, n = tt.parted(rows, units)
        assert math.prod(m) == rows
        assert math.prod(n) == units
        if rows > 1000:
            cores = [a * b * r for a, b, r in zip(m, n, (8, 64, 8), strict=True)]
            assert sum(cores) < rows * units / 50


def test_what_cannot_be_decomposed_is_named_with_the_reason():
    first = tf_keras.Input((5, 8), name="given")
    network = tf_keras.Model(first, keras.Dense(16, name="each")(first))
    with pytest.raises(RefusedCompressionError, match="each: it takes more than a row per sample"):
        _compressed("tt", network)
    with pytest.raises(RefusedCompressionError, match="dense: of fewer than 1,024 weights"):
        _compressed("tt", _one(31, 33))
    cores = _compressed("tt(rank=2)", _one(64, 32)).network
    with pytest.raises(RefusedCompressionError, match="found no layer"):  # what it left is not taken again
        _compressed("tt", cores)


@pytest.mark.parametrize(
    ("rank", "told"), [("900", "above the rank"), ("2x3x4", "3 modes"), ("2/3", "gives 2")]
)
def test_ranks_that_cannot_be_are_refused(rank, told):
    with pytest.raises(UsageError, match=told):
        _compressed(f"tt(rank={rank})", _one(60, 24))
