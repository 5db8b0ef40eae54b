"""The mathematics of the compressors at the sizes of the paper's first dense layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlbench.compressors import evbmf, hashing, low_rank, multilinear, prune
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


@pytest.mark.benchmark(group="tucker")
def test_tucker_of_the_map(benchmark: Any, weights: np.ndarray) -> None:
    side = round((len(weights) / 64) ** 0.5) if len(weights) > 10_000 else 1
    tensor = weights[: side * side * 64].reshape(side, side, -1, weights.shape[1])
    ranks = dict(
        enumerate(min(rank, size) for rank, size in zip((10, 10, 24, 64), tensor.shape, strict=True))
    )

    def decompose() -> multilinear.Tucker:
        spectra = {mode: multilinear.eigenvectors(multilinear.gram(tensor, mode))[1] for mode in ranks}
        return multilinear.hooi(tensor, {mode: spectra[mode][:, :rank] for mode, rank in ranks.items()})

    found = benchmark.pedantic(decompose, rounds=1)
    benchmark.extra_info.update(shape=list(tensor.shape), rank=list(ranks.values()))
    assert found.core.shape == tuple(ranks.values())


@pytest.mark.benchmark(group="ranks")
def test_vbmf_rank(benchmark: Any, weights: np.ndarray) -> None:
    rows, columns = weights.shape
    power = np.linalg.eigvalsh(weights.T @ weights)[::-1].astype(np.float64)
    assert benchmark.pedantic(evbmf.evb_rank, (power, rows, columns), rounds=3) < columns


@pytest.mark.benchmark(group="hashing")
def test_nearest_buckets(benchmark: Any, weights: np.ndarray) -> None:
    length = next(n for n in (16, 11, 13, 7, 5, 3, 1) if len(weights) % n == 0)
    hashes = hashing.signs(length, 1, 7)
    buckets = benchmark.pedantic(hashing.nearest_buckets, (weights, hashes), rounds=3)
    benchmark.extra_info.update(shape=list(weights.shape), ratio=length)
    assert buckets.shape == (len(weights) // length, weights.shape[1])


@pytest.mark.benchmark(group="prune")
def test_mask_of_blocks(benchmark: Any, weights: np.ndarray) -> None:
    mask = benchmark.pedantic(prune.magnitude_mask, (weights, 0.9, (4, 1)), rounds=1)
    benchmark.extra_info.update(shape=list(weights.shape))
    assert mask.mean() == pytest.approx(0.1, abs=0.01)
