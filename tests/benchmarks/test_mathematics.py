"""The mathematics of the compressors at the sizes of the paper's first dense layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compressors import low_rank
from tests.benchmarks.conftest import once

_RANK = 64


@pytest.fixture(scope="module", params=[(30_976, 1000), (135_424, 1000)], ids=["two_pool", "one_pool"])
def weights(request: pytest.FixtureRequest) -> np.ndarray:
    rows, columns = request.param
    if once(request.config):
        rows, columns = rows // 100, 200
    return np.random.default_rng(7).standard_normal((rows, columns), np.float32)


@pytest.mark.benchmark(group="spectrum")
def test_spectrum_of_weights(benchmark: Any, weights: np.ndarray) -> None:
    spectrum = benchmark.pedantic(low_rank.weight_spectrum, (weights,), rounds=1)
    benchmark.extra_info.update(shape=list(weights.shape))
    assert spectrum.energy(weights.shape[1]) == pytest.approx(1)


@pytest.mark.benchmark(group="factors")
def test_factors(benchmark: Any, weights: np.ndarray) -> None:
    n = weights.shape[1]
    directions = np.linalg.qr(np.random.default_rng(7).standard_normal((n, n)).astype(np.float32))[0]
    spectrum = low_rank.Spectrum(np.ones(n), directions, np.zeros(n))
    left, right = benchmark.pedantic(low_rank.factorise, (weights, spectrum, _RANK), rounds=3)
    benchmark.extra_info.update(shape=list(weights.shape), rank=_RANK)
    assert (left.shape, right.shape) == ((len(weights), _RANK), (_RANK, n))
