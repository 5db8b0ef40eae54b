"""Points move with the pixels, and chance is the generator's alone."""

import numpy as np
import pytest

from mlbench.faces.augmentation import MIRROR, NO_AUGMENTATION, Augmentation, move_points, warp
from mlbench.faces.dataset import CROP

_GRID = np.stack(np.meshgrid(np.arange(CROP), np.arange(CROP)), axis=-1).astype(np.float64)


def _blob(point, sigma=5.0):
    return np.exp(-np.square(_GRID - point).sum(axis=-1) / (2 * sigma**2)).astype(np.float32)


def _centroid(image):
    weights = image.astype(np.float64)
    return (weights[..., None] * _GRID).sum(axis=(0, 1)) / weights.sum()


def test_points_move_with_the_pixels(rng):
    augmentation = Augmentation(rotation=20, scale=0.15, shift=6)
    mirrored = np.arange(60) % 2 == 0
    maps = augmentation._affine(60, mirrored, rng)
    misses = []
    for affine in maps:
        point = rng.uniform(38, 58, 2)
        moved = affine[:, :2] @ point + affine[:, 2]
        if (np.abs(moved - 48) < 22).all():  # the whole blob stays in the crop
            misses.append(_centroid(warp(_blob(point), affine)) - moved)
    assert len(misses) > 30
    assert np.abs(misses).mean() < 1e-3
    assert np.linalg.norm(np.mean(misses, axis=0)) < 1e-3


def test_mirroring_renames_left_and_right():
    points = np.zeros((1, 68, 2), np.float32)
    points[0, :, 0] = np.arange(68)
    flip = np.array([[[-1.0, 0, CROP - 1], [0, 1, 0]]])
    moved = move_points(points, flip, np.array([True]))
    left_eye, right_eye = 36, 45
    assert moved[0, left_eye, 0] == CROP - 1 - right_eye
    assert (MIRROR[MIRROR] == np.arange(68)).all()


def test_the_mean_face_is_nearly_its_own_mirror(sampled_faces):
    mean = sampled_faces.points.mean(axis=0)
    flipped = np.stack([CROP - 1 - mean[MIRROR, 0], mean[MIRROR, 1]], axis=1)
    assert np.abs(flipped - flipped.mean(0) - (mean - mean.mean(0))).mean() < 1.0


def test_a_mirrored_twice_batch_is_the_batch(sampled_faces):
    always = Augmentation(1.0, *(0.0,) * 8)
    images, points = sampled_faces.images[:8], sampled_faces.points[:8]
    once = always.apply(images, points, np.random.default_rng(0))
    twice = always.apply(*once, np.random.default_rng(0))
    assert (once[0] == images[:, :, ::-1]).all()
    assert (twice[0] == images).all()
    np.testing.assert_allclose(twice[1], points, atol=1e-4)


def test_equal_generators_give_equal_batches(sampled_faces):
    first, again = (
        Augmentation().apply(sampled_faces.images, sampled_faces.points, np.random.default_rng(1))
        for _ in range(2)
    )
    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()


def test_the_given_images_are_not_changed(sampled_faces):
    before = sampled_faces.images.copy()
    Augmentation(occlusion=1.0, blur=1.0).apply(
        sampled_faces.images, sampled_faces.points, np.random.default_rng(1)
    )
    assert (sampled_faces.images == before).all()


def test_no_augmentation_changes_nothing(sampled_faces, rng):
    images, points = NO_AUGMENTATION.apply(sampled_faces.images, sampled_faces.points, rng)
    assert (images == sampled_faces.images).all()
    np.testing.assert_allclose(points, sampled_faces.points, atol=1e-4)


@pytest.mark.parametrize("change", ["contrast", "brightness", "blur", "noise", "occlusion"])
def test_light_and_damage_leave_the_points(sampled_faces, rng, change):
    values = dict.fromkeys(Augmentation.__dataclass_fields__, 0.0) | {change: getattr(Augmentation(), change)}
    values |= {key: 1.0 for key in ("blur", "occlusion") if key == change}
    images, points = Augmentation(**values).apply(sampled_faces.images, sampled_faces.points, rng)
    np.testing.assert_allclose(points, sampled_faces.points, atol=1e-4)
    assert (images != sampled_faces.images).any()


def test_half_the_strength_moves_points_half_as_far(sampled_faces):
    moved = Augmentation(mirror=0, rotation=0, scale=0)
    whole, half, none = (
        moved.times(strength).apply(sampled_faces.images, sampled_faces.points, np.random.default_rng(3))[1]
        - sampled_faces.points
        for strength in (1, 0.5, 0)
    )
    assert np.abs(whole).max() > 1
    np.testing.assert_allclose(half, whole / 2, atol=1e-3)
    np.testing.assert_allclose(none, 0, atol=1e-4)


def test_no_strength_leaves_mirroring_alone():
    assert Augmentation().times(0) == Augmentation(0.5, *(0.0,) * 8)
