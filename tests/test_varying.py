"""Images changed at random: each way changes what it says, and nothing else."""

import numpy as np
import pytest

from mlbench.contracts import Encoding
from mlbench.training.varying import varied

_IMAGE = {"x": Encoding((20, 16, 1))}


def _batch(count=40, dtype=np.uint8):
    """Grey images with one bright pixel off the middle."""
    images = np.full((count, 20, 16), 50, dtype)
    images[:, 6, 4] = 200
    return {"x": images, "other": np.arange(count)}


def _varied(*ways, strength=1.0, dtype=np.uint8, seed=3):
    encodings = _IMAGE | {"other": Encoding((1,))}
    return varied(_batch(dtype=dtype), encodings, ways, strength, np.random.default_rng(seed))


def _brightest(images):
    flat = images.reshape(len(images), -1).argmax(axis=1)
    return np.stack(np.unravel_index(flat, (20, 16)), axis=1)


def test_without_a_way_or_an_extent_nothing_changes():
    for found in (_varied(), _varied("shift", "turn", "light", strength=0)):
        np.testing.assert_array_equal(found["x"], _batch()["x"])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int16])
@pytest.mark.parametrize("way", ["shift", "turn", "flip", "light"])
def test_each_image_is_changed_in_its_own_way_and_the_rest_stays(way, dtype):
    found = _varied(way, dtype=dtype)
    assert found["x"].shape == (40, 20, 16)
    assert found["x"].dtype == dtype
    assert len(np.unique(found["x"].reshape(40, -1), axis=0)) > (1 if way == "flip" else 30)
    np.testing.assert_array_equal(found["other"], np.arange(40))
    np.testing.assert_array_equal(found["x"], _varied(way, dtype=dtype)["x"])


def test_a_flip_mirrors_left_and_right():
    places = _brightest(_varied("flip")["x"])
    assert {tuple(place) for place in places.tolist()} == {(6, 4), (6, 11)}


def test_a_shift_moves_by_a_share_of_the_sides_and_fills_from_the_edge():
    found = _varied("shift")["x"]
    away = np.abs(_brightest(found) - (6, 4)).max(axis=0)
    assert (away >= 1).all() and (away <= 2).all()
    assert found.min() == 50
    assert (np.abs(_brightest(_varied("shift", strength=2)["x"]) - (6, 4)).max(axis=0) > (2, 1)).all()


def test_light_stays_within_the_type_and_moves_no_pixel():
    found = _varied("light", strength=2)["x"]
    assert (_brightest(found) == (6, 4)).all()
    assert found[:, 0, 0].std() > 5


def test_light_leaves_black_and_white_as_they_are():
    images = np.random.default_rng(1).random((20, 8, 8)) < 0.5
    found = varied({"x": images}, {"x": Encoding((8, 8, 1))}, ("light",), 1.0, np.random.default_rng(2))["x"]
    np.testing.assert_array_equal(found, images)


def test_images_of_many_channels_are_moved():
    images = np.random.default_rng(1).random((2, 8, 8, 7)).astype(np.float32)
    found = varied({"x": images}, {"x": Encoding((8, 8, 7))}, ("turn",), 1.0, np.random.default_rng(2))["x"]
    assert found.shape == images.shape and (found != images).any()


def test_what_is_asked_for_and_forbidden_is_refused(command_line):
    code, _, said = command_line("run", "--vary", "shift", "--no-augment", "--save-config", "-")
    assert (code, said.strip().count("\n")) == (2, 0)
    assert "--vary" in said and "--no-augment" in said


def test_ways_that_would_move_the_targets_are_refused(command_line):
    code, _, said = command_line("run", "--vary", "shift", "--save-config", "-")
    assert code == 2
    assert "--vary shift" in said and "there are: light" in said
