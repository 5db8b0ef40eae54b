"""The mathematics of low rank: exact at full rank, optimal below, planted ranks found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench.compressors import low_rank


def _planted(rng, m, n, rank, noise=0.0):
    return (
        rng.standard_normal((m, rank)) @ rng.standard_normal((rank, n)) + noise * rng.standard_normal((m, n))
    ).astype(np.float32)


@given(st.integers(1, 60), st.integers(1, 40), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_full_rank_is_exact(m, n, seed):
    weights = np.random.default_rng(seed).standard_normal((m, n)).astype(np.float32)
    first, second = low_rank.factorise(weights, low_rank.weight_spectrum(weights), n)
    np.testing.assert_allclose(first @ second, weights, atol=1e-4)


def test_weights_are_approximated_as_well_as_by_the_svd(rng):
    weights = rng.standard_normal((300, 80)).astype(np.float32)
    exact = np.linalg.svd(weights, compute_uv=False)
    for rank in (1, 10, 40):
        first, second = low_rank.factorise(weights, low_rank.weight_spectrum(weights), rank)
        best = np.sqrt(np.square(exact[rank:]).sum())
        assert np.linalg.norm(weights - first @ second) == pytest.approx(best, rel=1e-3)


def test_a_planted_rank_holds_all_the_energy(rng):
    spectrum = low_rank.weight_spectrum(_planted(rng, 400, 60, rank=7))
    assert spectrum.rank_for(1 - 1e-6) == 7
    assert spectrum.energy(7) == pytest.approx(1, abs=1e-6)
    assert spectrum.energy(6) < 1 - 1e-4


def test_weights_of_zero_lose_nothing_at_rank_1():
    spectrum = low_rank.weight_spectrum(np.zeros((5, 4), np.float32))
    assert (spectrum.rank_for(0.9), spectrum.energy(1)) == (1, 1.0)


def test_responses_keep_what_the_inputs_need(rng):
    inputs = _planted(rng, 500, 200, rank=5)  # inputs lie in five dimensions, weights in all
    weights, bias = (
        rng.standard_normal((200, 40)).astype(np.float32),
        rng.standard_normal(40).astype(np.float32),
    )
    responses = inputs @ weights + bias
    spectrum = low_rank.response_spectrum(responses)
    first, second = low_rank.factorise(weights, spectrum, 5)
    approximated = inputs @ first @ second + low_rank.recentred_bias(bias, spectrum, 5)
    assert np.abs(approximated - responses).max() < 1e-3 * np.abs(responses).max()


def test_the_recentred_bias_is_the_bias_at_full_rank(rng):
    responses = rng.standard_normal((100, 12)) + 5
    bias = rng.standard_normal(12).astype(np.float32)
    np.testing.assert_allclose(
        low_rank.recentred_bias(bias, low_rank.response_spectrum(responses), 12), bias, atol=1e-5
    )


def test_responses_in_batches_are_responses_at_once(rng):
    responses = 40 + rng.standard_normal((90, 6)) * [5, 4, 3, 2, 1, 0.1]
    sums = low_rank.ResponseSums(6)
    for part in np.split(responses, 9):
        sums.add(part.reshape(2, 5, 6))  # places, samples
    whole = low_rank.response_spectrum(responses)
    np.testing.assert_allclose(sums.spectrum().power, whole.power, rtol=1e-6)
    np.testing.assert_allclose(sums.spectrum().centre, whole.centre)
    np.testing.assert_allclose(
        whole.power, np.linalg.eigvalsh(np.cov(responses.T, bias=True))[::-1], rtol=1e-6
    )


def test_a_rank_out_of_range_is_an_error(rng):
    weights = rng.standard_normal((10, 4)).astype(np.float32)
    for rank in (0, 5):
        with pytest.raises(ValueError, match="rank"):
            low_rank.factorise(weights, low_rank.weight_spectrum(weights), rank)
