"""Faces in a video, as a product would find them: each frame through a tracker, timed by part, and drawn if asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from mlbench import plugins
from mlbench.boxes import Box
from mlbench.contracts import Advance, Detector
from mlbench.errors import UsageError
from mlbench.faces.face_network import FaceNetwork
from mlbench.faces.tracking import EachFrame, Rules, Track, Tracker
from mlbench.faces.video import Source, Writer, grey_of

#: The detector of `live` where it is installed; docs/evidence/live.md has the figures.
BEST, ELSE = "blazeface", "haar"

#: px: the smallest face that is searched in a video.
SMALLEST = 80

_PERCENTILES = (50, 90, 99)
_BOX, _POINT, _TEXT = (230, 160, 40), (60, 220, 60), (255, 255, 255)

_Points = dict[int, npt.NDArray[np.float64]]  # landmarks by the number of the face


class Follower(Protocol):
    """What gives the faces of a frame: a `Tracker`, or `EachFrame`."""

    def step(self, grey: npt.NDArray[np.uint8], seconds: float) -> list[Track]:
        """The faces of the next frame."""
        ...


@dataclass
class Clock:
    """Milliseconds of each part of a pipeline, per frame that it took part in.

    Attributes:
        now: the time in seconds: of the wall, or of the processor.
        parts: the milliseconds, by part.
    """

    now: Callable[[], float] = time.perf_counter
    parts: dict[str, list[float]] = field(default_factory=dict)
    _frame: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Time a block; several of one part in one frame are added up."""
        started = self.now()
        yield
        self._frame[part] = self._frame.get(part, 0.0) + 1000 * (self.now() - started)

    def next_frame(self) -> None:
        """Take in what was timed since the frame before."""
        for part, spent in self._frame.items():
            self.parts.setdefault(part, []).append(spent)
        self._frame.clear()

    def around(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """A function that is timed whenever it is called."""

        def timed(*arguments: Any) -> Any:
            with self.timed(part):
                return work(*arguments)

        return timed

    def figures(self) -> dict[str, dict[str, float]]:
        """Frames and percentiles by part."""
        return {
            part: {"frames": len(spent)}
            | {f"p{q}_ms": round(float(np.percentile(spent, q)), 4) for q in _PERCENTILES}
            for part, spent in self.parts.items()
        }


@dataclass
class Watched:
    """What was seen of a video.

    Attributes:
        clock: the time of each part.
        frames: how many there were.
        with_face: how many of them had a face.
        faces: how many faces were followed; one that was lost and found again counts twice.
        lost: how many ended before the video did.
        sizes: widths and heights of the frames, in their order.
        notes: what was not as it should be.
    """

    clock: Clock = field(default_factory=Clock)
    frames: int = 0
    with_face: int = 0
    faces: set[int] = field(default_factory=set)
    lost: int = 0
    sizes: list[tuple[int, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _before: tuple[_Points, _Points] = field(default_factory=lambda: ({}, {}))  # of the last two frames
    _bends: list[float] = field(default_factory=list)

    def take(self, tracks: list[Track]) -> None:
        """The faces of a further frame."""
        older, before = self._before
        shown = {track.number: track.shown for track in tracks}
        self._before = before, shown
        self.frames += 1
        self.with_face += bool(tracks)
        self.lost += len(before.keys() - shown.keys())
        self.faces |= shown.keys()
        for number in older.keys() & before.keys() & shown.keys():
            bend = older[number] - 2 * before[number] + shown[number]
            self._bends.append(float((bend**2).mean()))

    @property
    def fps(self) -> float:
        """Frames per second of detecting, tracking and the network alone."""
        spent = sum(self.clock.parts.get("pipeline", [])) / 1000
        return self.frames / spent if spent else 0.0

    @property
    def jitter(self) -> float | None:
        """How far points tremble, px: from their second differences, in which steady movement is nothing.

        The second difference of independent noise has six times its variance.
        """
        return float(np.sqrt(np.mean(self._bends) / 6)) if self._bends else None

    def as_json(self) -> dict[str, Any]:
        """As JSON values, in base units."""
        return {
            "frames": self.frames,
            "frames_with_face": self.with_face,
            "tracks": len(self.faces),
            "tracks_lost": self.lost,
            "sizes_px": [list(size) for size in self.sizes],
            "fps": round(self.fps, 2),
            "jitter_px": None if self.jitter is None else round(self.jitter, 4),
            "parts": self.clock.figures(),
            "notes": self.notes,
        }


def detector_for(name: str, min_size: int) -> Detector:
    """The detector of a name, ready; "" is BlazeFace where it is installed, else the paper's.

    Raises:
        UsageError: it cannot be used.
    """
    if not name:
        with suppress(UsageError):
            return detector_for(BEST, min_size)
    found: Detector = plugins.load("detectors", name or ELSE)(min_size)
    found.require_ready()
    return found


def follower(
    detector: Detector, network: FaceNetwork, rules: Rules, clock: Clock, track: bool = True
) -> Follower:
    """What finds faces in frames by these parts, which are timed; in each frame anew, or by following them."""
    detect, look = clock.around("detector", detector.detect), clock.around("network", network.look)
    return (Tracker if track else EachFrame)(detect, look, rules)


def watch(
    source: Source,
    finder: Follower,
    watched: Watched,
    smallest: int = SMALLEST,
    writer: Writer | None = None,
    most: int | None = None,
    advance: Advance | None = None,
) -> None:
    """Find the faces in the frames of a source, until it ends or the user stops it.

    Args:
        source: of frames.
        finder: that `follower` made with the clock of `watched`.
        watched: is told what was found.
        smallest: side of the smallest face, px.
        writer: takes the frames with what was found.
        most: of frames; None: all.
        advance: is told of each frame.

    Raises:
        UsageError: frames are smaller than the smallest face.
    """
    clock = watched.clock
    with suppress(KeyboardInterrupt):  # what was seen so far is told
        frames = source.frames()
        while most is None or watched.frames < most:
            with clock.timed("decoding"):
                frame = next(frames, None)
                grey = None if frame is None else grey_of(frame)
            if frame is None or grey is None:
                break
            _note_size(grey.shape, watched, source.name, smallest)
            with clock.timed("pipeline"):
                tracks = finder.step(grey, watched.frames / source.fps)
            watched.take(tracks)
            if writer is not None:
                with clock.timed("drawing"):
                    writer.write(drawn(frame, grey, tracks, watched.clock))
            clock.next_frame()
            if advance:
                advance(1, f"{len(tracks)} faces")
    watched.notes += source.notes


def _note_size(shape: tuple[int, ...], watched: Watched, name: str, smallest: int) -> None:
    size = (shape[1], shape[0])
    if min(size) < smallest:
        message = (
            f"{name}: frames of {size[0]}×{size[1]} px are smaller than the smallest face that is searched, "
            f"{smallest} px: give a smaller --min-size, or a larger video."
        )
        raise UsageError(message)
    if watched.sizes and size != watched.sizes[-1]:
        before = "×".join(map(str, watched.sizes[-1]))
        watched.notes.append(
            f"Its size changes from {before} to {size[0]}×{size[1]} px at frame {watched.frames + 1}."
        )
    if not watched.sizes or size != watched.sizes[-1]:
        watched.sizes.append(size)


def drawn(
    frame: npt.NDArray[Any], grey: npt.NDArray[np.uint8], tracks: list[Track], clock: Clock | None = None
) -> npt.NDArray[np.uint8]:
    """A frame in colour with boxes, landmarks and, with a clock, the last pipeline's frames per second."""
    plain = frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
    picture = np.asarray(frame.copy() if plain else cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)
    for track in tracks:
        box, radius = track.box, max(1, track.box.width // 80)
        _rectangle(picture, box, radius)
        for x, y in track.shown:
            cv2.circle(picture, (round(float(x)), round(float(y))), radius, _POINT, -1, cv2.LINE_AA)
        told = f"{track.number}" if track.presence is None else f"{track.number}: {track.presence:.2f}"
        _write(picture, told, (box.left, box.top - 6))
    spent = clock.parts.get("pipeline", [])[-30:] if clock else []
    if spent:
        _write(picture, f"{1000 * len(spent) / max(sum(spent), 1e-9):.0f} frames/s", (10, 24))
    return picture


def _rectangle(picture: npt.NDArray[np.uint8], box: Box, width: int) -> None:
    cv2.rectangle(picture, (box.left, box.top), (box.left + box.width, box.top + box.height), _BOX, width)


def _write(picture: npt.NDArray[np.uint8], text: str, place: tuple[int, int]) -> None:
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, _TEXT, 1, cv2.LINE_AA)
