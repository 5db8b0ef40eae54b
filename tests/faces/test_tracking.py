"""The tracker, on frames that a stub network reads the truth from: each rule by itself."""

import numpy as np
import pytest

from mlbench.boxes import Box
from mlbench.faces.face_network import Look
from mlbench.faces.smoothing import OneEuro
from mlbench.faces.tracking import TIGHTER, TO_BOX, EachFrame, Rules, Tracker
from tests.benchmarks import box_maps

GREY = np.zeros((480, 864), np.uint8)
#: Landmarks whose box is that of (0, 0, 100, 100): three marks at the same distance from their mean.
_ANGLES = np.arange(68) * 2 * np.pi / 68
UNIT = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)]) * 100 / TO_BOX.side


def points_of(box):
    """Landmarks from which the tracker takes this box."""
    size = box.width / TO_BOX.side
    centre = np.array([box.left, box.top]) + (box.width - 1) / 2 - size * np.array([TO_BOX.x, TO_BOX.y])
    return UNIT * box.width / 100 + centre


class World:
    """Faces by their boxes, a detector that sees them and a network that answers the nearest one's landmarks."""

    def __init__(self, *faces, presence=None):
        self.faces, self.presence = list(faces), presence
        self.blind = False
        self.searches = self.looks = 0

    def detect(self, grey):
        self.searches += 1
        return [] if self.blind else list(self.faces)

    def look(self, grey, box):
        self.looks += 1
        near = max(self.faces, key=box.overlap, default=None)
        if near is None or box.overlap(near) == 0:  # a mean face, as networks answer for anything
            return Look(points_of(box)) if self.presence is None else Look(points_of(box), 0.1, shown=False)
        return Look(points_of(near), self.presence)

    def tracker(self, **rules):
        return Tracker(self.detect, self.look, Rules(**rules))


def test_a_face_is_detected_once_and_then_followed():
    world = World(Box(100, 100, 120, 120))
    tracker = world.tracker(every=100)
    for frame in range(40):
        world.faces = [Box(100 + 10 * frame, 100 + frame, 120, 120)]
        (track,) = tracker.step(GREY)
        assert track.number == 1
        assert track.box.overlap(world.faces[0]) > 0.9
        assert np.allclose(track.points, points_of(world.faces[0]))
    assert world.searches == 1


def test_a_face_that_hardly_moves_is_looked_at_once_a_frame():
    world = World(Box(100, 100, 120, 120))
    tracker = world.tracker(every=100)
    for frame in range(10):
        world.faces = [Box(100 + 4 * frame, 100, 120, 120)]
        assert tracker.step(GREY)[0].box == world.faces[0]
    assert world.looks == 10


def test_a_face_that_jumps_is_looked_at_again_where_it_went():
    world = World(Box(100, 100, 120, 120))
    tracker = world.tracker(every=100)
    tracker.step(GREY)
    world.faces, world.looks = [Box(135, 100, 120, 120)], 0
    (track,) = tracker.step(GREY)
    assert world.looks == 2
    assert track.box == world.faces[0]


def test_new_faces_are_found_every_so_many_frames():
    world = World(Box(100, 100, 120, 120))
    tracker = world.tracker(every=5)
    tracker.step(GREY)
    world.faces.append(Box(500, 100, 120, 120))
    counts = [len(tracker.step(GREY)) for _ in range(6)]
    assert counts == [1, 1, 1, 1, 2, 2]
    assert [track.number for track in tracker.tracks] == [1, 2]


def test_no_more_faces_are_followed_than_asked_the_first_of_the_detector():
    world = World(Box(100, 100, 150, 150), Box(400, 100, 120, 120), Box(600, 100, 100, 100))
    assert [track.box for track in world.tracker(most=2).step(GREY)] == world.faces[:2]


@pytest.mark.parametrize(
    ("rules", "searched"),
    [
        ({}, [1, 0, 0, 1, 0, 0, 1, 0]),
        ({"idle": 1}, [1] * 8),
        ({"idle": 2}, [1, 0] * 4),
        ({"every": 1, "idle": 3}, [1] * 8),
    ],
    ids=[
        "each third by default",
        "each frame",
        "each second",
        "no more seldom than where a face is followed",
    ],
)
def test_where_there_is_no_face_the_first_and_then_some_frames_are_searched(rules, searched):
    world, counts = World(), []
    tracker = world.tracker(**rules)
    for _ in searched:
        before = world.searches
        assert tracker.step(GREY) == []
        counts.append(world.searches - before)
    assert counts == searched
    assert world.looks == 0


def test_a_face_that_comes_back_waits_for_the_next_search():
    world = World(Box(100, 100, 120, 120), presence=0.9)
    tracker, seen = world.tracker(idle=3), []
    for frame in range(9):
        world.faces = [] if frame in (1, 2) else [Box(100, 100, 120, 120)]
        seen.append(len(tracker.step(GREY)))
    assert seen == [1, 0, 0, 0, 1, 1, 1, 1, 1]  # searched when lost, in frame 1, and three frames later


def test_a_face_that_leaves_the_frame_is_lost_and_found_when_it_comes_back():
    world = World(Box(10, 100, 120, 120))
    tracker = world.tracker(every=50, idle=1)
    seen = []
    for left in (10, -20, -50, -80, -110, -80, -50, -20, 10):
        world.faces = [Box(left, 100, 120, 120)]
        seen.append(len(tracker.step(GREY)))
    assert seen == [1, 1, 1, 0, 0, 0, 1, 1, 1]
    assert tracker.tracks[0].number == 2


def test_without_presence_a_face_that_two_searches_miss_is_dropped():
    world = World(Box(100, 100, 120, 120))
    tracker = world.tracker(every=5)
    tracker.step(GREY)
    world.faces = []  # the network goes on to answer a face
    counts = [len(tracker.step(GREY)) for _ in range(11)]
    assert counts == [1] * 9 + [0, 0]


def test_a_face_that_one_search_misses_is_kept():
    world = World(Box(100, 100, 120, 120))
    tracker = world.tracker(every=1)
    tracker.step(GREY)
    for blind in (True, False, True, False):
        world.blind = blind
        assert [track.number for track in tracker.step(GREY)] == [1]


def test_with_presence_a_crop_that_is_no_face_is_refused_at_once():
    world = World(Box(100, 100, 120, 120), presence=0.9)
    tracker = world.tracker(every=50)
    assert tracker.step(GREY)[0].presence == 0.9
    world.faces = []
    assert tracker.step(GREY) == []
    assert world.searches == 2  # in the very frame


def test_with_presence_a_false_alarm_of_the_detector_is_refused():
    world = World(presence=0.9)
    tracker = Tracker(lambda grey: [Box(100, 100, 120, 120)], world.look)
    assert tracker.step(GREY) == []


def test_with_presence_a_face_that_the_detector_misses_is_kept():
    world = World(Box(100, 100, 120, 120), presence=0.9)
    tracker = world.tracker(every=2)
    tracker.step(GREY)
    world.blind = True
    assert [len(tracker.step(GREY)) for _ in range(10)] == [1] * 10


def test_the_least_presence_can_be_chosen():
    world = World(Box(100, 100, 120, 120), presence=0.6)
    assert world.tracker(min_presence=0.5).step(GREY)
    assert not world.tracker(min_presence=0.7).step(GREY)


def test_two_tracks_that_come_to_lie_on_one_face_become_one():
    world = World(Box(100, 100, 120, 120), Box(260, 100, 120, 120))
    tracker = world.tracker(every=50)
    assert len(tracker.step(GREY)) == 2
    world.faces = [Box(150, 100, 120, 120)]  # both answer it
    for _ in range(3):
        tracks = tracker.step(GREY)
    assert [track.number for track in tracks] == [1]


def test_landmarks_that_are_not_of_what_was_cut_are_refused():
    far = Look(points_of(Box(600, 300, 120, 120)))
    tracker = Tracker(lambda grey: [Box(100, 100, 120, 120)], lambda grey, box: far)
    assert tracker.step(GREY) == []


def test_frames_of_another_size_begin_anew():
    world = World(Box(700, 300, 120, 120))
    tracker = world.tracker(every=50)
    tracker.step(GREY)
    world.faces = [Box(20, 20, 80, 80)]
    (track,) = tracker.step(np.zeros((120, 160), np.uint8))
    assert track.number == 2
    assert track.box == world.faces[0]


def test_each_frame_anew_follows_nothing():
    world = World(Box(100, 100, 120, 120), Box(400, 100, 100, 100))
    finder = EachFrame(world.detect, world.look)
    for _ in range(3):
        tracks = finder.step(GREY)
        assert [track.box for track in tracks] == world.faces
    assert world.searches == 3


@pytest.mark.parametrize(("least", "count"), [(None, 0), (0.05, 1), (0.2, 0)])
def test_each_frame_anew_refuses_as_the_rules_say(least, count):
    refused = World(Box(400, 100, 100, 100), presence=0.9)
    finder = EachFrame(lambda grey: [Box(100, 100, 120, 120)], refused.look, Rules(min_presence=least))
    assert len(finder.step(GREY)) == count


def test_the_map_is_the_one_that_the_fit_gives():
    fitted = box_maps.of_landmarks(300)
    side = fitted.side * TIGHTER
    assert np.allclose([TO_BOX.side, TO_BOX.x, TO_BOX.y], [side, fitted.x, fitted.y], atol=0.03)


@pytest.mark.parametrize("smooth", [False, True])
def test_smoothing_is_for_what_is_drawn_alone(smooth):
    rng, world = np.random.default_rng(0), World(Box(100, 100, 120, 120))

    def look(grey, box):
        return Look(points_of(world.faces[0]) + rng.normal(0, 1, (68, 2)))

    tracker = Tracker(world.detect, look, Rules(smooth=smooth))
    drawn, raw = [], []
    for frame in range(60):
        (track,) = tracker.step(GREY, frame / 30)
        drawn.append(track.shown)
        raw.append(track.points)
    calmer = np.std(drawn[20:], axis=0).mean() / np.std(raw[20:], axis=0).mean()
    assert calmer < 0.6 if smooth else calmer == 1


def test_the_filter_follows_fast_points():
    still, fast = OneEuro(), OneEuro()
    for frame in range(30):
        last = np.array([[20.0 * frame, 0.0]])
        lagged = fast(last, frame / 30)
        still(np.zeros((1, 2)), frame / 30)
    assert last[0, 0] - lagged[0, 0] < 20  # less than a frame
    assert still(np.full((1, 2), 0.1), 1.0).max() < 0.03  # a still one hardly takes a tremble


def test_the_filter_takes_times_that_stand_still():
    smooth = OneEuro()
    assert all(np.isfinite(smooth(np.full((1, 2), value), 0.0)).all() for value in (1.0, 2.0, 3.0))
