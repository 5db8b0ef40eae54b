import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.faces.thin_plate import ThinPlate, pulled, settled


def _grid(seed: int, jitter: float) -> tuple[np.ndarray, np.ndarray]:
    sources = np.stack(np.meshgrid(np.arange(0, 96, 16.0), np.arange(0, 96, 16.0)), -1).reshape(-1, 2)
    return sources, sources + np.random.default_rng(seed).uniform(-jitter, jitter, sources.shape)


@given(st.integers(0, 1000))
def test_an_affine_map_is_reproduced(seed: int) -> None:
    sources, _ = _grid(seed, 0)
    rng = np.random.default_rng(seed)
    matrix, shift = np.eye(2) + rng.uniform(-0.3, 0.3, (2, 2)), rng.uniform(-9, 9, 2)
    warp = ThinPlate.through(sources, sources @ matrix + shift)
    elsewhere = rng.uniform(-20, 120, (50, 2))
    np.testing.assert_allclose(warp(elsewhere), elsewhere @ matrix + shift, atol=1e-6)


@given(st.integers(0, 1000))
def test_preimages_are_what_the_warp_takes_to_the_targets(seed: int) -> None:
    sources, targets = _grid(seed, 3)
    warp = ThinPlate.through(sources, targets)
    points, least = warp.preimages(targets, sources)
    assert least > 0
    np.testing.assert_allclose(warp(points), targets, atol=1e-3)


def test_a_fold_is_told() -> None:
    sources, targets = _grid(0, 0)
    targets[14] += [70, 0]
    assert ThinPlate.through(sources, targets).preimages(targets, sources)[1] <= 0


@given(st.integers(0, 1000))
def test_the_dense_map_is_the_warp(seed: int) -> None:
    sources, targets = _grid(seed, 4)
    warp = ThinPlate.through(sources, targets)
    pixels = np.stack(np.meshgrid(np.arange(96.0), np.arange(96.0)), -1)
    np.testing.assert_allclose(warp.dense(96), warp(pixels.reshape(-1, 2)).reshape(96, 96, 2), atol=0.1)


@pytest.mark.parametrize("side", [95, 96, 97])
def test_a_dense_map_has_the_side_asked_for(side: int) -> None:
    sources, _ = _grid(0, 0)
    where = ThinPlate.through(sources, sources).dense(side)
    assert where.shape == (side, side, 2)
    np.testing.assert_allclose(where[-1, -1], side - 1, atol=1e-2)


def test_pulling_by_the_identity_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 96), np.uint8)
    where = np.stack(np.meshgrid(np.arange(96.0), np.arange(96.0)), -1).astype(np.float32)
    np.testing.assert_array_equal(pulled(image, where), image)


def test_settled_points_are_where_the_map_shows_the_targets() -> None:
    where = np.stack(np.meshgrid(np.arange(96.0), np.arange(96.0)), -1).astype(np.float32) * 0.5 + 3
    targets = np.array([[13.25, 33.5], [43.1, 5.2], [-40.0, 10.0]])
    near = (targets - 3) / 0.5 + [0.3, -0.2]
    moved = settled(near, where, targets)
    np.testing.assert_allclose(moved[:2], (targets[:2] - 3) / 0.5, atol=1e-4)
    np.testing.assert_array_equal(moved[2], near[2])
