"""Variational Bayes finds planted ranks, and nothing in noise."""

import numpy as np
import pytest

from mlbench.compressors.evbmf import evb_rank


def _rank_of(matrix):
    return evb_rank(np.square(np.linalg.svd(matrix, compute_uv=False)), *matrix.shape)


@pytest.mark.parametrize(("rows", "columns"), [(60, 60), (80, 200), (300, 50), (64, 3000)])
@pytest.mark.parametrize("planted", [1, 5, 12])
def test_a_planted_rank_is_found_in_noise(rng, rows, columns, planted):
    signal = rng.standard_normal((rows, planted)) @ rng.standard_normal((planted, columns))
    assert _rank_of(signal + 0.3 * rng.standard_normal((rows, columns))) == planted


@pytest.mark.parametrize("shape", [(50, 50), (40, 400), (500, 100)])
def test_noise_has_no_rank(rng, shape):
    assert _rank_of(rng.standard_normal(shape)) == 0


def test_the_scale_does_not_matter(rng):
    matrix = rng.standard_normal((70, 4)) @ rng.standard_normal((4, 90)) + 0.5 * rng.standard_normal((70, 90))
    assert _rank_of(matrix) == _rank_of(1e-4 * matrix) == _rank_of(1e4 * matrix) == 4


def test_a_matrix_of_exact_rank_keeps_it(rng):
    assert _rank_of(rng.standard_normal((40, 3)) @ rng.standard_normal((3, 30))) == 3


def test_components_below_the_noise_are_dropped(rng):
    left, _ = np.linalg.qr(rng.standard_normal((100, 2)))
    right, _ = np.linalg.qr(rng.standard_normal((100, 2)))
    # Noise of variance 1 has singular values up to 20: one component well above, one well below.
    matrix = left * [80, 8] @ right.T + rng.standard_normal((100, 100))
    assert _rank_of(matrix) == 1


def test_a_zero_matrix_has_rank_0():
    assert evb_rank(np.zeros(10), 10, 20) == 0
