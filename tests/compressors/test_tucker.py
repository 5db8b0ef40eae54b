"""Tucker on networks: what becomes of each kind of layer, exact where nothing is lost, targets kept."""

import numpy as np
import pytest

from mlbench.compression.chain import parse_chain
from mlbench.compressors import tucker
from mlbench.contracts import Context, Form
from mlbench.errors import RefusedCompressionError, UsageError
from mlbench.networks import counting, graph
from mlbench.system.progress import Silent
from tests.conftest import TINY
from tests.fitted import fitted, points_of


@pytest.fixture(scope="module")
def network(sampled):
    return fitted(TINY, sampled)


def _compress(text, network, faces):
    form = Form(network)
    for step in parse_chain(text).compressors:
        form = step.compress(form, Context(faces.take(slice(0, 128)), 7, Silent()))
    return form


def _moved(network, form, faces):
    return np.abs(points_of(form.network, faces) - points_of(network, faces)).mean()


def test_convolutions_map_and_dense_layers_become_factors(network, sampled):
    form = _compress("tucker(rank=2/2/2x3/4x4x4x8/4/4)", network, sampled)
    names = [layer.name for layer in form.network.layers]
    assert {"conv1_core", "conv1_out", "conv2_in", "conv2_core", "conv2_out"} <= set(names)
    assert {"dense1_channels", "dense1_rows", "dense1_columns", "dense1_core", "dense1_units"} <= set(names)
    assert {"dense2_a", "dense2_b"} <= set(names)
    assert "conv1_in" not in names  # one input channel: nothing to cut there
    assert [change.rank for change in form.changes][3] == (4, 4, 4, 8)


@pytest.mark.parametrize("of", ["responses", "weights"])
def test_parameters_and_macs_are_foreseen(network, sampled, of):
    technique = parse_chain(f"tucker(rank=3,of={of})").compressors[0]
    context = Context(sampled.take(slice(0, 64)), 7, Silent())
    for plan in technique.plans(network, context):
        ranks = tuple(min(3, size) for size in plan.sizes)
        from mlbench.networks import graph

        made = graph.rebuild(
            network, lambda layer, p=plan, r=ranks: p.layers(r) if layer.name == p.layer.name else None
        )
        assert made.count_params() - network.count_params() == plan.parameters(ranks) - plan.whole
        macs = [sum(row.macs for row in counting.layer_table(net)) for net in (made, network)]
        assert macs[0] - macs[1] == plan.macs(ranks) - plan.whole_macs


@pytest.mark.parametrize("of", ["responses", "weights"])
def test_full_ranks_of_each_layer_are_exact(network, sampled, of):
    technique = parse_chain(f"tucker(energy=1,of={of})").compressors[0]
    context = Context(sampled.take(slice(0, 64)), 7, Silent())
    from mlbench.networks import graph

    for plan in technique.plans(network, context):
        made = graph.rebuild(
            network, lambda layer, p=plan: p.layers(p.sizes) if layer.name == p.layer.name else None
        )
        wanted = points_of(network, sampled.take(slice(0, 32)))
        assert wanted.std(axis=0).mean() > 0.5  # from face to face, fifty times the tolerance
        np.testing.assert_allclose(points_of(made, sampled.take(slice(0, 32))), wanted, rtol=0, atol=0.01)


def test_more_rank_moves_the_answers_less(network, sampled):
    moved = [
        _moved(network, _compress(f"tucker(rank=-/-/-/{r}x{r}x{r}x{2 * r}/-/-)", network, sampled), sampled)
        for r in (1, 3, 6)
    ]
    assert moved[0] > moved[1] > moved[2]


def test_responses_stay_nearer_than_when_weights_are_kept(network, sampled):
    chain = "tucker(rank=-/-/-/4x4x4x12/-/-,of={})"
    by_responses, by_weights = (
        _moved(network, _compress(chain.format(of), network, sampled), sampled)
        for of in ("responses", "weights")
    )
    assert by_responses < by_weights


@pytest.mark.parametrize("target", ["30KB", "60KB", "0.2MMAC"])
def test_a_target_is_kept_and_used(network, sampled, target):
    form = _compress(f"tucker(target={target})", network, sampled)
    if target.endswith("MAC"):
        used, allowed = sum(row.macs for row in counting.layer_table(form.network)), 0.2e6
    else:
        used, allowed = form.network.count_params() * 4, float(target[:-2]) * 1000
    assert 0.6 * allowed < used <= allowed


def test_what_no_face_shows_has_no_power(network, sampled):
    """A channel that is silent on all faces counts for nothing, however large its weights are."""
    quiet = graph.copy(network)
    kernel, bias = quiet.get_layer("conv3").get_weights()
    quiet.get_layer("conv3").set_weights([kernel, np.where(np.arange(len(bias)) == 3, -100, bias)])
    weights, bias = quiet.get_layer("dense1").get_weights()
    loud = np.where(np.arange(len(weights)) % kernel.shape[-1] == 3, 50.0, 1.0)
    quiet.get_layer("dense1").set_weights([weights * loud[:, None], bias])
    shares = {}
    for of in ("weights", "responses"):
        technique = parse_chain(f"tucker(layers=map,of={of})").compressors[0]
        [plan] = technique.plans(quiet, Context(sampled.take(slice(0, 128)), 7, Silent()))
        power = plan.power()
        shares[of] = power[:, :, 0].sum() / power.sum()  # the loud channel is the first direction
    assert shares["weights"] > 0.9
    assert shares["responses"] < 0.01


def test_an_unreachable_target_names_the_smallest(network, sampled):
    with pytest.raises(RefusedCompressionError, match="the smallest is") as refused:
        _compress("tucker(target=1KB)", network, sampled)
    smallest = str(refused.value).split("the smallest is ")[1].split()[0]
    assert _compress(f"tucker(target={smallest})", network, sampled).network.count_params()


def test_vbmf_leaves_no_layer_without_a_rank(network, sampled):
    form = _compress("tucker(rank=vbmf)", network, sampled)
    assert all(min(change.rank, default=1) >= 1 for change in form.changes)
    assert form.network.count_params() < network.count_params()


@pytest.mark.parametrize(
    "chain",
    [
        "tucker(rank=4)+svd(rank=2)",
        "svd(rank=8)+tucker(rank=3,layers=conv/map)",
        "tucker(rank=4)+tucker(rank=2)",
    ],
)
def test_it_composes(network, sampled, chain):
    form = _compress(chain, network, sampled)
    assert form.network.output_shape == network.output_shape
    first = _compress(chain.split("+", maxsplit=1)[0], network, sampled)
    assert form.network.count_params() < first.network.count_params()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tucker(layers=conv/dens)", "layers are some of"),
        ("tucker(rank=4x4)", "has 2 modes"),
        ("tucker(rank=1/2)", "gives 2 ranks"),
        ("tucker(rank=900)", "above the rank"),
    ],
)
def test_bad_options_are_one_sentence(network, sampled, text, told):
    with pytest.raises(UsageError, match=told):
        _compress(text, network, sampled)


def test_a_network_without_such_layers_is_refused(sampled):
    import tf_keras

    layers = tf_keras.layers
    bare = tf_keras.Sequential([layers.InputLayer((96, 96, 1)), layers.Flatten(), layers.Dense(136)])
    with pytest.raises(RefusedCompressionError, match="found no layer"):
        tucker.TuckerDecomposition(layers="conv").compress(
            Form(bare), Context(sampled.take(slice(0, 16)), 7, Silent())
        )
