"""Composed videos: their truth is what they show, and they follow from the seed alone."""

from itertools import islice, pairwise

import numpy as np
import pytest

from mlbench.errors import UsageError
from mlbench.faces.sequences import FPS, SCENES, Scene, sequence

SIZE = (240, 432)


def frames_of(scene, numbers, seed=5, **options):
    last = max(numbers) + 1
    return [
        frame
        for number, frame in enumerate(sequence(scene, last, seed, SIZE, **options))
        if number in numbers
    ]


def test_equal_seeds_give_equal_frames_whatever_their_number():
    long = list(islice(sequence(SCENES["fast"], 50, 5, SIZE), 3))
    short = list(sequence(SCENES["fast"], 3, 5, SIZE))
    for one, other in zip(long, short, strict=True):
        assert (one.image == other.image).all()
        assert (one.faces[0].points == other.faces[0].points).all()
    assert (next(sequence(SCENES["fast"], 1, 6, SIZE)).image != short[0].image).any()


@pytest.mark.parametrize("name", SCENES)
def test_landmarks_lie_in_the_box_and_the_box_in_the_frame(name):
    for frame in frames_of(SCENES[name], (0, 20)):
        assert frame.image.shape == SIZE
        assert frame.image.dtype == np.uint8
        assert len(frame.faces) == SCENES[name].faces
        for face in frame.faces:
            assert face.points.shape == (68, 2)
            middle = face.points.mean(axis=0)
            assert abs(middle[0] - face.box.left - face.box.width / 2) < 0.2 * face.box.width
            assert face.box.top < middle[1] < face.box.top + face.box.height
            assert face.seen == 1 or SCENES[name].leaves or SCENES[name].covered


def test_the_picture_moves_with_the_landmarks():
    """What lies around a landmark in one frame lies around it in the next."""
    first, second = frames_of(Scene(speed=0.1), (0, 4))
    (a, b) = (frame.faces[0] for frame in (first, second))
    moved = np.linalg.norm(b.points - a.points, axis=1).mean()
    assert moved > 5
    assert np.abs(_around(first, a, 30) - _around(second, b, 30)).mean() < 12
    assert np.abs(_around(first, a, 30) - _around(second, a, 30)).mean() > 20


def _around(frame, face, point):
    x, y = face.points[point].round().astype(int)
    return frame.image[y - 12 : y + 13, x - 12 : x + 13].astype(float)


def test_speed_is_bounded_by_the_scene():
    frames = frames_of(Scene(speed=0.05), range(30))
    boxes = [frame.faces[0].box for frame in frames]
    steps = [np.hypot(b.left - a.left, b.top - a.top) / a.width for a, b in pairwise(boxes)]
    assert 0.02 < max(steps) < 0.09
    still = {frame.faces[0].box for frame in frames_of(SCENES["still"], (0, 9))}
    assert len(still) == 1


def test_faces_are_covered_and_leave_and_come_back():
    def seen(name, numbers):
        return [frame.faces[0].seen for frame in frames_of(SCENES[name], numbers)]

    assert seen("covered", (0, 3 * FPS - 10)) == [1, 0]
    shares = seen("leaving", (0, 2 * FPS, 4 * FPS))
    assert shares[0] == shares[2] == 0
    assert shares[1] == 1


def test_an_empty_scene_shows_no_face():
    assert [frame.faces for frame in frames_of(SCENES["empty"], (0, 1))] == [(), ()]


def test_given_faces_and_a_photograph_are_shown(sampled_faces):
    ground = np.full((100, 300), 77, np.uint8)
    (frame,) = frames_of(SCENES["still"], (0,), faces=sampled_faces.take(slice(0, 1)), background=ground)
    assert abs(float(np.median(frame.image)) - 77) < 3


def test_frames_below_a_crop_are_refused():
    with pytest.raises(UsageError, match="64×48 cannot be composed"):
        next(sequence(SCENES["slow"], 1, 1, (48, 64)))
