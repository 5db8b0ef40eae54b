"""Hashing: sketches are the virtual matrix, buckets the nearest, files hold no matrix."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench.compression.chain import parse_chain
from mlbench.compressors import hashing
from mlbench.contracts import Block, Context, Form, Variant
from mlbench.errors import RefusedCompressionError
from mlbench.export.written import file_of, written
from mlbench.faces.landmarks import Landmarks
from mlbench.networks import building, storage
from mlbench.system.progress import Silent
from tests.conftest import TINY
from tests.fitted import fitted, points_in, points_of


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 9), st.integers(1, 7), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_sketch_times_buckets_is_the_input_times_the_virtual_matrix(extra, sketches, length, units, seed):
    rng = np.random.default_rng(seed)
    hashes = hashing.signs(sketches + extra, sketches, seed)
    inputs = rng.standard_normal((3, len(hashes) * length)).astype(np.float32)
    buckets = rng.standard_normal((length * sketches, units)).astype(np.float32)
    direct = inputs @ hashing.virtual_matrix(buckets, hashes)
    np.testing.assert_allclose(hashing.sketched(inputs, hashes) @ buckets, direct, atol=1e-3)


def test_buckets_are_found_again_and_nearest(rng):
    hashes = hashing.signs(32, 4, 7)
    buckets = rng.standard_normal((20, 6)).astype(np.float32)
    weights = hashing.virtual_matrix(buckets, hashes)
    np.testing.assert_allclose(hashing.nearest_buckets(weights, hashes), buckets, atol=1e-4)
    other = weights + rng.standard_normal(weights.shape).astype(np.float32)
    best = hashing.nearest_buckets(other, hashes)
    distance = np.linalg.norm(other - hashing.virtual_matrix(best, hashes))
    for _ in range(5):
        moved = best + 0.05 * rng.standard_normal(best.shape).astype(np.float32)
        assert np.linalg.norm(other - hashing.virtual_matrix(moved, hashes)) > distance


@pytest.mark.parametrize("inputs", [7744, 30976, 135_424, 968])
@pytest.mark.parametrize("ratio", [8, 64])
def test_the_ratio_is_nearly_as_asked_and_blocks_fit(inputs, ratio):
    blocks, sketches = hashing.sketch_shape(inputs, ratio)
    assert inputs % blocks == 0
    assert 0.85 * ratio < blocks / sketches < 1.18 * ratio


def _file(text, sampled, folder):
    network = fitted(TINY, sampled)
    [step] = parse_chain(text).compressors
    form = step.compress(Form(network), Context(sampled.take(slice(0, 200)), 7, Silent()))
    storage.save(form.network, folder)
    return network, form, written(folder, form.export, sampled)


@pytest.mark.parametrize("form", ["block", "entry"])
def test_the_file_holds_buckets_alone_and_answers_like_the_network(sampled, tmp_path, form):
    network, made, facts = _file(f"hashing(16,form={form})", sampled, tmp_path)
    matrix = 4 * network.get_layer("dense1").count_params()
    assert facts.file_bytes < 4 * network.count_params() - 0.85 * matrix + 12_000
    found = points_in(file_of(tmp_path, made.export), sampled.take(slice(0, 20)))
    assert found.std(axis=0).mean() > 0.1  # from face to face, ten times the tolerance
    again = storage.load(tmp_path)
    np.testing.assert_allclose(found, points_of(again, sampled.take(slice(0, 20))), atol=1e-2)
    np.testing.assert_allclose(found, points_of(made.network, sampled.take(slice(0, 20))), atol=1e-2)


def test_chens_form_trains_the_matrix_that_it_answers_with(sampled):
    layer = hashing.hashed_dense()(7, 30, 5, activation="relu")
    inputs = np.random.default_rng(0).standard_normal((4, 96)).astype(np.float32)
    layer.build(inputs.shape)
    np.testing.assert_allclose(layer(inputs, training=True), layer(inputs, training=False), atol=1e-4)


def test_chens_hashes_spread_over_buckets_and_signs():
    import tensorflow as tf

    layer = hashing.hashed_dense()(100, 50, 5)
    layer.build((None, 400))
    buckets, signs = layer.hashes(tf.range(400))
    counts = np.bincount(buckets.numpy().ravel(), minlength=50)
    assert len(counts) == 50
    assert counts.min() > 600  # of 800 expected
    assert abs(float(np.mean(signs))) < 0.03


def test_a_layer_too_small_for_the_ratio_is_refused(sampled):
    [step] = parse_chain("hashing(1000)").compressors
    with pytest.raises(RefusedCompressionError, match="smaller ratio"):
        step.compress(
            Form(building.build(TINY, Landmarks(), sampled, 7)),
            Context(sampled.take(slice(0, 8)), 7, Silent()),
        )


def test_int8_after_entry_wise_hashing_is_refused_and_dynamic_is_not(sampled, tmp_path):
    network = building.build(TINY, Landmarks(), sampled, 7)
    chain = parse_chain("hashing(8,form=entry)+int8").compressors
    hashed = chain[0].compress(Form(network), Context(sampled.take(slice(0, 64)), 7, Silent()))
    with pytest.raises(RefusedCompressionError, match="use dynamic"):
        chain[1].compress(hashed, Context(sampled, 7, Silent()))
    [dynamic] = parse_chain("dynamic").compressors
    form = dynamic.compress(hashed, Context(sampled, 7, Silent()))
    storage.save(form.network, tmp_path)
    written(tmp_path, form.export, sampled)
    assert np.isfinite(points_in(file_of(tmp_path, form.export), sampled.take(slice(0, 5)))).all()


_WIDE = Variant(
    "wide",
    "basic's first dense layer behind small convolutions",
    blocks=(Block(4, 3, pool=True), Block(4, 2, pool=True), Block(64, 2, pool=True)),
    dense=(1000,),
)


@pytest.mark.parametrize("form", ["block", "entry"])
def test_neither_the_file_nor_the_running_process_holds_the_matrix(sampled, tmp_path, form):
    """7744×1000 in float32 are 31 MB; memory is the high-water mark of a process that ran the file."""
    network = building.build(_WIDE, Landmarks(), sampled, 7)
    matrix = 4 * network.get_layer("dense1").count_params()
    [step] = parse_chain(f"hashing(64,form={form})").compressors
    made = step.compress(Form(network), Context(sampled.take(slice(0, 64)), 7, Silent()))
    storage.save(made.network, tmp_path)
    facts = written(tmp_path, made.export, sampled.take(slice(0, 64)))
    assert facts.file_bytes < matrix / 20
    command = [sys.executable, "-m", "tests.benchmarks.file_latency", str(file_of(tmp_path, made.export))]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    figures = json.loads(told.splitlines()[-1])
    # The interpreter alone takes some 10 MB; with the matrix it would be more than 40.
    assert figures["peak_mb"] - figures["process_mb"] < matrix / 1e6
