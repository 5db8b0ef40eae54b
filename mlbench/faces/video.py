"""Frames of a video file or a camera, one after the other, and what has to be said of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from mlbench.errors import UsageError
from mlbench.system.files import write_atomically
from mlbench.system.quiet import muted_standard_error

Frame = npt.NDArray[Any]
Grey = npt.NDArray[np.uint8]

_USUAL_FPS = 30.0  # where a source does not tell
_PAPER = 255  # what shows through transparent pixels: white, as in photographs
_FASTEST = 1000.0  # frames per second that are believed


class Source(Protocol):
    """What gives frames.

    Attributes:
        name: for people.
        fps: frames per second.
        total: how many frames it says that it has; 0 where it does not say.
        notes: what was wrong with those that were read, a sentence each.
    """

    name: str
    fps: float
    total: int
    notes: list[str]

    def frames(self) -> Iterator[Frame]:
        """Each frame, as it was decoded."""
        ...


class VideoFile:
    """A file that FFmpeg decodes, each frame upright; a `Source`."""

    def __init__(self, path: Path) -> None:
        """Open a file and decode its first frame.

        Raises:
            UsageError: there is no such file, or nothing in it can be decoded.
        """
        if not path.is_file():
            message = f"{path} does not exist: give a video by --video."
            raise UsageError(message)
        self.name, self.notes = f"{path}", list[str]()
        with muted_standard_error():
            self._capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
            self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
            self._first: Frame | None = self._capture.read()[1]
        if self._first is None:
            message = (
                f"{path} cannot be decoded as a video: give one that FFmpeg plays, such as H.264 in .mp4."
            )
            raise UsageError(message)
        self.fps, self.total = _fps(self._capture), max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def frames(self) -> Iterator[Frame]:
        """See `Source.frames`."""
        frame, count = self._first, 0
        while frame is not None:
            count += 1
            yield frame
            frame = self._capture.read()[1]
        self._capture.release()
        if count < self.total - 1:
            self.notes.append(f"It ends after {count} of {self.total} frames: the rest cannot be decoded.")


class Camera:
    """A camera of this machine, by its number; a `Source`."""

    def __init__(self, number: int) -> None:
        """Open it.

        Raises:
            UsageError: there is none, or it gives no frame.
        """
        self.name, self.total, self.notes = f"camera {number}", 0, list[str]()
        with muted_standard_error():
            self._capture = cv2.VideoCapture(number)
            read = self._capture.isOpened() and self._capture.read()[0]
        if not read:
            message = f"There is no camera {number} that gives frames: connect one, or give a video by --video FILE."
            raise UsageError(message)
        self.fps = _fps(self._capture)

    def frames(self) -> Iterator[Frame]:
        """See `Source.frames`: until it gives none."""
        count = 0
        while (frame := self._capture.read()[1]) is not None:
            count += 1
            yield frame
        self._capture.release()
        self.notes.append(
            f"It gave no more frames after {count}: it was taken away, or another program uses it."
        )


def _fps(capture: cv2.VideoCapture) -> float:
    told = capture.get(cv2.CAP_PROP_FPS)
    return float(told) if 0 < told <= _FASTEST else _USUAL_FPS


def grey_of(frame: Frame) -> Grey:
    """A frame as grey levels uint8 [height,width].

    Of 16 bits, the upper eight are taken; transparent pixels show white.

    Args:
        frame: uint8 or uint16; grey [height,width], or [height,width,channels] with one channel, blue, green and red,
            or these with opacity.
    """
    narrow = np.asarray(frame >> 8, np.uint8) if frame.dtype == np.uint16 else np.asarray(frame, np.uint8)
    if narrow.ndim == 2:
        return narrow
    channels = narrow.shape[2]
    if channels == 1:
        return narrow[..., 0]
    grey = np.asarray(cv2.cvtColor(narrow[..., :3], cv2.COLOR_BGR2GRAY), np.uint8)
    if channels == 3:
        return grey
    opacity = narrow[..., 3].astype(np.float32) / 255
    return np.asarray(np.rint(grey * opacity + _PAPER * (1 - opacity)), np.uint8)


class Writer(Protocol):
    """Takes the frames of a video."""

    def write(self, frame: Frame) -> None:
        """The next one, uint8 [height,width,3], blue, green and red; all of the size of the first."""
        ...


class _Mp4:
    """Writes MPEG-4 once it knows the size."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, frame: Frame) -> None:
        if self._writer is None:
            self._size = (frame.shape[1], frame.shape[0])
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), cv2.CAP_FFMPEG, code, self._fps, self._size)
            if not self._writer.isOpened():
                message = "This OpenCV cannot write MPEG-4 videos: leave --out away, or install opencv-python-headless."
                raise UsageError(message)
        if (frame.shape[1], frame.shape[0]) != self._size:
            frame = np.asarray(cv2.resize(frame, self._size, interpolation=cv2.INTER_AREA))
        self._writer.write(frame)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()


@contextmanager
def written(path: Path | None, fps: float) -> Iterator[Writer | None]:
    """A writer of an `.mp4` that appears whole when the block ends well, or not at all; None without a path.

    Frames of another size than the first are stretched to it.

    Raises:
        UsageError: the file cannot be written.
    """
    if path is None:
        yield None
        return
    with ExitStack() as stack:
        part = stack.enter_context(write_atomically(path))
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=path.parent, prefix=".mlbench-"))
        made = Path(folder) / "made.mp4"  # FFmpeg chooses the format by the ending
        writer = _Mp4(made, fps)
        stack.callback(writer.close)
        yield writer
        writer.close()
        if made.exists():
            shutil.copyfile(made, part)
