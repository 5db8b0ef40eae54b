"""Videos that are not as they should be: each ends in frames and a note, or in one sentence."""

import struct

import cv2
import numpy as np
import pytest

from mlbench.errors import UsageError
from mlbench.faces import video
from mlbench.faces.video import Camera, VideoFile, grey_of, written


def write_video(path, frames, fps=25.0, code="mp4v"):
    size = frames[0].shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), fps, size)
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture
def clip(tmp_path):
    frames = [np.full((96, 160, 3), 20 * number, np.uint8) for number in range(8)]
    for frame in frames:
        frame[:48, :80] = 250  # top left
    return write_video(tmp_path / "clip.mp4", frames)


def test_all_frames_come_in_their_order(clip):
    source = VideoFile(clip)
    assert source.total == 8
    assert source.fps == 25
    frames = list(source.frames())
    assert [round(float(frame[80, 140].mean()), -1) for frame in frames] == [20 * n for n in range(8)]
    assert source.notes == []


def test_a_portrait_that_lies_on_its_side_is_turned(clip, tmp_path):
    """The matrix of the track's header turns by 90°, as phones write it."""
    content = bytearray(clip.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # behind flags, times, volume: version 0
    assert struct.unpack(">9i", content[at : at + 36])[0] == 1 << 16
    content[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 96 << 16, 0, 1 << 30)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(content)
    frame = next(VideoFile(turned).frames())
    assert frame.shape == (160, 96, 3)
    assert frame[20, 80].mean() > 200  # the bright corner is now top right
    assert frame[20, 20].mean() < 100


@pytest.mark.parametrize("content", [b"", b"no video", b"\x00\x00\x00\x18ftypmp42" + bytes(100)])
def test_what_cannot_be_decoded_is_one_sentence(tmp_path, content):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="cannot be decoded as a video"):
        VideoFile(path)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        VideoFile(tmp_path / "clip.mp4")


def test_a_video_that_ends_early_gives_what_there_is_and_a_note(tmp_path):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (96, 160, 3), np.uint8) for _ in range(20)]
    whole = write_video(tmp_path / "whole.avi", frames, code="MJPG")
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    source = VideoFile(cut)
    source.total = 20  # as the header says; some readers of AVI count what is there
    count = len(list(source.frames()))
    assert 5 < count < 15
    assert source.notes == [f"It ends after {count} of 20 frames: the rest cannot be decoded."]


def encoded(ending, picture):
    return cv2.imencode(ending, picture)[1].tobytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("deep.png", encoded(".png", np.full((96, 160), 100 * 257, np.uint16))),
        ("deep-colour.png", encoded(".png", np.full((96, 160, 3), 100 * 257, np.uint16))),
        (
            "opacity.png",
            encoded(".png", np.dstack([np.full((96, 160), v, np.uint8) for v in (100, 100, 100, 255)])),
        ),
    ],
    ids=["16 bits", "16 bits, colour", "with opacity"],
)
def test_files_of_all_kinds_become_grey(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    (frame,) = VideoFile(path).frames()
    assert np.unique(grey_of(frame)).tolist() == [100]


def test_frames_of_a_file_that_changes_its_size_all_come(tmp_path):
    """FFmpeg in OpenCV stretches them to the first one's size and does not say so."""
    sizes = [(96, 160)] * 4 + [(64, 200)] * 4
    path = tmp_path / "changes.mjpeg"
    path.write_bytes(b"".join(encoded(".jpg", np.full((*size, 3), 90, np.uint8)) for size in sizes))
    assert [frame.shape for frame in VideoFile(path).frames()] == [(96, 160, 3)] * 8


def test_without_a_camera_there_is_one_sentence():
    with pytest.raises(UsageError, match="There is no camera 99"):
        Camera(99)


class Taken:
    """A camera that is taken away after three frames."""

    def __init__(self, number):
        self.left = 4

    def isOpened(self):  # noqa: N802 (OpenCV's name)
        return True

    def get(self, what):
        return 0.0

    def read(self):
        self.left -= 1
        return (True, np.zeros((96, 160, 3), np.uint8)) if self.left >= 0 else (False, None)

    def release(self):
        pass


def test_a_camera_that_is_taken_away_ends_with_a_note(monkeypatch):
    monkeypatch.setattr(video.cv2, "VideoCapture", Taken)
    camera = Camera(0)
    assert camera.fps == 30
    assert len(list(camera.frames())) == 3
    assert camera.notes[0].startswith("It gave no more frames after 3")


def test_frames_of_all_kinds_become_grey():
    level = np.array([[0, 100, 255]], np.uint8)
    colour = np.dstack([level] * 3)
    assert grey_of(level).tolist() == level.tolist()
    assert grey_of(level[..., None]).tolist() == level.tolist()
    assert grey_of(colour).tolist() == level.tolist()
    assert grey_of(level.astype(np.uint16) * 257).tolist() == level.tolist()
    assert grey_of(colour.astype(np.uint16) * 257).tolist() == level.tolist()


def test_what_is_transparent_shows_white():
    opacity = np.array([[255, 0, 128]], np.uint8)
    black = np.zeros((1, 3, 3), np.uint8)
    assert grey_of(np.dstack([black, opacity])).tolist() == [[0, 255, 127]]


def test_a_written_video_appears_whole_and_takes_frames_of_other_sizes(tmp_path):
    out = tmp_path / "out.mp4"
    with written(out, 25.0) as writer:
        for shape in ((96, 160, 3), (96, 160, 3), (64, 64, 3)):
            writer.write(np.full(shape, 90, np.uint8))
        assert out.exists() is False
    assert [frame.shape for frame in VideoFile(out).frames()] == [(96, 160, 3)] * 3
    assert list(tmp_path.iterdir()) == [out]


def test_what_is_not_finished_leaves_nothing(tmp_path):
    with pytest.raises(UsageError, match="stop"), written(tmp_path / "out.mp4", 25.0) as writer:
        writer.write(np.full((96, 160, 3), 90, np.uint8))
        raise UsageError("stop")  # noqa: EM101
    assert list(tmp_path.iterdir()) == []
