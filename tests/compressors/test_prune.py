"""Pruning: masks keep the largest blocks, sparsity is reached, files are sparse and load."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench.compression.chain import parse_chain
from mlbench.compressors.prune import magnitude_mask
from mlbench.contracts import Context, Form
from mlbench.errors import UsageError
from mlbench.export.written import file_of, written
from mlbench.faces.landmarks import Landmarks
from mlbench.networks import building, graph, storage
from mlbench.system.progress import Silent
from mlbench.training.loop import fit
from mlbench.training.options import TrainingOptions
from tests.conftest import TINY
from tests.fitted import fitted, points_in, points_of


@given(
    st.integers(1, 30),
    st.integers(1, 20),
    st.floats(0.05, 0.95),
    st.sampled_from([(1, 1), (4, 1)]),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_a_mask_keeps_the_largest_blocks_and_as_many_as_asked(rows, columns, sparsity, block, seed):
    weights = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    mask = magnitude_mask(weights, sparsity, block)
    height = block[0]
    sums = [
        (np.abs(weights[r : r + height, c]).sum(), mask[r : r + height, c])
        for r in range(0, rows, height)
        for c in range(columns)
    ]
    assert all(part.all() or not part.any() for _, part in sums)
    kept = [value for value, part in sums if part.all()]
    gone = [value for value, part in sums if not part.any()]
    assert len(kept) == round(len(sums) * (1 - sparsity))
    assert not kept or not gone or min(kept) >= max(gone)


def _form(text, network, faces):
    [step] = parse_chain(text).compressors
    return step, step.compress(Form(network), Context(faces.take(slice(0, 64)), 7, Silent()))


def _zeros(network):
    kernels = [layer.kernel.numpy() for layer in network.layers if layer.name.startswith("dense")]
    return sum((kernel == 0).sum() for kernel in kernels) / sum(kernel.size for kernel in kernels)


@pytest.mark.parametrize("schedule", ["gradual", "once"])
def test_the_sparsity_is_reached_and_stays_while_tuning(sampled, tmp_path, schedule):
    network = building.build(TINY, Landmarks(), sampled, 7)
    building.start_from_prior(network, Landmarks().prior(sampled))
    step, form = _form(f"prune(0.8,schedule={schedule},smallest=0)", network, sampled)
    options = TrainingOptions(epochs=4, batch=64, threads=1)
    fit(
        form.network,
        Landmarks(),
        sampled.take(slice(0, 250)),
        sampled.take(slice(250, 300)),
        options,
        tmp_path,
        Silent(),
        title="",
        before_step=step.before_step,
        settle=step.settle,
        first_settled=step.first_settled_epoch(4),
    )
    tuned = points_of(form.network, sampled.take(slice(0, 20)))
    shipped = step.finish(form)
    assert _zeros(shipped.network) == pytest.approx(0.8, abs=0.01)
    # What ships computes what was tuned: the masks were there already.
    np.testing.assert_allclose(points_of(shipped.network, sampled.take(slice(0, 20))), tuned, atol=1e-3)


@pytest.mark.parametrize("block", ["4x1", "1x1"])
def test_the_file_is_sparse_and_answers_like_the_network(sampled, tmp_path, block):
    network = fitted(TINY, sampled)
    step, form = _form(f"prune(0.9,block={block},smallest=0)", network, sampled)
    shipped = step.finish(form)
    storage.save(shipped.network, tmp_path)
    facts = written(tmp_path, shipped.export, sampled)
    assert facts.file_bytes < 4 * TINY.parameters / 4
    found = points_in(file_of(tmp_path, shipped.export), sampled.take(slice(0, 20)))
    assert found.std(axis=0).mean() > 0.1  # from face to face, a hundred times the tolerance
    np.testing.assert_allclose(found, points_of(shipped.network, sampled.take(slice(0, 20))), atol=1e-3)


def test_small_layers_and_inputs_that_blocks_do_not_divide_stay_dense(sampled):
    network = building.build(TINY, Landmarks(), sampled, 7)
    step, form = _form("prune(0.5,smallest=5000)", network, sampled)
    sizes = {layer.name: layer.kernel.shape for layer in graph.dense_layers(network)}
    expected = {name for name, (m, n) in sizes.items() if m * n >= 5000 and m % 4 == 0}
    pruned = {change.layer for change in form.changes if change.parameters_after < change.parameters_before}
    assert pruned == expected
    assert len(expected) < len(sizes)
    shipped = step.finish(form).network
    for name in sizes:
        assert bool((shipped.get_layer(name).kernel.numpy() == 0).any()) == (name in expected)


@pytest.mark.parametrize("then", ["float16", "dynamic", "int8"])
def test_zeros_survive_quantisation_and_the_file_loads(sampled, tmp_path, then):
    network = building.build(TINY, Landmarks(), sampled, 7)
    building.start_from_prior(network, Landmarks().prior(sampled))
    step, form = _form("prune(0.9,smallest=0)", network, sampled)
    shipped = step.finish(form)
    [last] = parse_chain(then).compressors
    final = last.compress(shipped, Context(sampled, 7, Silent()))
    storage.save(final.network, tmp_path)
    facts = written(tmp_path, final.export, sampled)
    assert np.isfinite(points_in(file_of(tmp_path, final.export), sampled.take(slice(0, 5)))).all()
    assert facts.deflated_bytes < 0.5 * facts.file_bytes


@pytest.mark.parametrize("chain", ["prune+prune", "prune+qat", "cluster+prune", "prune+svd"])
def test_what_would_undo_the_zeros_is_refused(chain):
    with pytest.raises(UsageError, match="cannot follow"):
        parse_chain(chain)


def test_clustering_may_follow_and_keeps_zeros(sampled):
    network = building.build(TINY, Landmarks(), sampled, 7)
    step, form = _form("prune(0.8,smallest=0)", network, sampled)
    shipped = step.finish(form)
    [cluster] = parse_chain("cluster(8)").compressors
    tied = cluster.finish(cluster.compress(shipped, Context(sampled.take(slice(0, 8)), 7, Silent())))
    kernel = tied.network.get_layer("dense1").kernel.numpy()
    assert (kernel[shipped.network.get_layer("dense1").kernel.numpy() == 0] == 0).all()
    assert len(np.unique(kernel)) <= 8
