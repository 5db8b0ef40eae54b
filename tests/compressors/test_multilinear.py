"""Tucker decomposition: exact at full rank, as good as tensorly's below, never worse after an iteration."""

import itertools

import numpy as np
import pytest
import tensorly
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorly.decomposition import partial_tucker

from mlbench.compressors import multilinear


def _bases(tensor, ranks):
    return {m: multilinear.eigenvectors(multilinear.gram(tensor, m))[1][:, :r] for m, r in ranks.items()}


def _error(tensor, found):
    return np.linalg.norm(tensor - found.tensor()) / np.linalg.norm(tensor)


@given(st.lists(st.integers(1, 7), min_size=2, max_size=4), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_full_ranks_are_exact(shape, seed):
    tensor = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    found = multilinear.hooi(tensor, _bases(tensor, dict(enumerate(shape))))
    np.testing.assert_allclose(found.tensor(), tensor, atol=1e-4)


@given(st.lists(st.integers(1, 7), min_size=2, max_size=4), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_gram_and_product_are_those_of_the_unfolding(shape, seed):
    rng = np.random.default_rng(seed)
    tensor = rng.standard_normal(shape).astype(np.float32)
    for mode in range(len(shape)):
        unfolded = tensorly.base.unfold(tensor, mode)
        np.testing.assert_allclose(
            multilinear.gram(tensor, mode), unfolded @ unfolded.T, rtol=1e-4, atol=1e-2
        )
        factor = rng.standard_normal((shape[mode], 3)).astype(np.float32)
        expected = tensorly.tenalg.mode_dot(tensor, factor.T, mode)
        np.testing.assert_allclose(multilinear.times(tensor, factor, mode), expected, rtol=1e-4, atol=1e-3)


def test_eigenvalues_are_those_of_their_vectors_descending_and_not_negative(rng):
    matrix = multilinear.gram(rng.standard_normal((5, 8)).astype(np.float32), 0)
    values, vectors = multilinear.eigenvectors(matrix)
    np.testing.assert_allclose(matrix @ vectors, vectors * values, atol=1e-4)
    assert (np.diff(values) < 0).all()
    assert (multilinear.eigenvectors(-np.eye(2))[0] == 0).all()


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_a_gram_matrix_is_the_same_in_blocks(rng, monkeypatch, mode):
    tensor = rng.standard_normal((5, 6, 3, 4)).astype(np.float32)
    whole = multilinear.gram(tensor, mode)
    monkeypatch.setattr(multilinear, "_BLOCK", 2 * tensor[0, 0].size)
    np.testing.assert_allclose(multilinear.gram(tensor, mode), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("samples", "features"), [(50, 7), (7, 50)])
def test_a_refitted_core_is_that_of_ridge_regression(rng, samples, features):
    core, residual = rng.standard_normal((features, 3)), rng.standard_normal((samples, 3))
    given = 3 * rng.standard_normal((samples, features))
    found = multilinear.refitted(core.astype(np.float32), given, residual, 0.1)
    ridge = 0.1 * np.square(given).sum() / min(samples, features)
    step = np.linalg.solve(given.T @ given + ridge * np.eye(features), given.T @ residual)
    np.testing.assert_allclose(found, core + step, rtol=1e-3, atol=1e-4)


def test_a_truncated_decomposition_is_the_leading_part(rng):
    tensor = rng.standard_normal((5, 6, 7)).astype(np.float32)
    whole = multilinear.hosvd(tensor, _bases(tensor, {0: 5, 2: 7}))
    cut = whole.truncated({0: 2, 2: 3})
    alone = multilinear.hosvd(tensor, _bases(tensor, {0: 2, 2: 3}))
    assert cut.core.shape == (2, 6, 3)
    np.testing.assert_allclose(cut.tensor(), alone.tensor(), atol=1e-4)


def test_planted_ranks_are_found_again(rng):
    core = rng.standard_normal((2, 3, 4)).astype(np.float32)
    tensor = core
    for mode, size in enumerate((9, 10, 11)):
        tensor = multilinear.times(
            tensor, rng.standard_normal((core.shape[mode], size)).astype(np.float32), mode
        )
    found = multilinear.hosvd(tensor, _bases(tensor, {0: 2, 1: 3, 2: 4}))
    assert _error(tensor, found) < 1e-5


@pytest.mark.parametrize("ranks", [{0: 3, 1: 3, 2: 5, 3: 6}, {2: 4, 3: 3}])
def test_the_error_is_that_of_tensorly(rng, ranks):
    tensor = rng.standard_normal((6, 7, 8, 9)).astype(np.float32)
    modes = sorted(ranks)
    (core, factors), _ = partial_tucker(tensor, rank=[ranks[m] for m in modes], modes=modes, n_iter_max=20)
    peer = multilinear.Tucker(core, dict(zip(modes, factors, strict=True)))
    ours = multilinear.hooi(tensor, _bases(tensor, ranks), iterations=20)
    assert _error(tensor, ours) == pytest.approx(_error(tensor, peer), rel=0.01)


def test_iterations_never_make_it_worse(rng):
    tensor = rng.standard_normal((6, 7, 8, 9)).astype(np.float32)
    ranks = {0: 2, 1: 2, 2: 3, 3: 4}
    errors = [_error(tensor, multilinear.hosvd(tensor, _bases(tensor, ranks)))]
    errors += [_error(tensor, multilinear.hooi(tensor, _bases(tensor, ranks), n)) for n in (1, 2, 4)]
    assert all(later <= earlier + 1e-6 for earlier, later in itertools.pairwise(errors))
