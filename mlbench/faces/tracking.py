"""Follows faces through a video: detect once, then crop by the landmarks of the frame before.

Per frame:

1. Each face that is followed is looked at where its landmarks were. It is lost where that is refused.
2. The detector searches the whole frame where a face was lost in this frame, and every so many frames: of fewer where
   no face is followed. What it finds beside the faces that are followed is a new face, if that is not refused.
3. Of two tracks that have come to lie on one face, the later one ends.

To look at a box: the network answers its landmarks, and they give the face's box anew. Where the new box is far from
the one that was cut, the face has moved much, and is looked at once more there. It is refused where the new box has
left the frame or no longer meets the one that was cut, and where the network says that it is no face. A network that
does not say so is checked by the detector: a face that two searches in a row do not find is dropped.

Nothing here knows of networks, files or time but what it is given: the same steps are easily written elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mlbench.boxes import Box
from mlbench.faces.box_map import BoxMap, extent
from mlbench.faces.face_network import Look
from mlbench.faces.smoothing import OneEuro

#: Sides of the crop in sides of dlib's mean box: networks err least on crops that are a little tighter.
TIGHTER = 0.96

#: From landmarks to the box to crop; fitted, and tried at other sides, by `python -m tests.benchmarks.box_maps`.
TO_BOX = BoxMap(2.959 * TIGHTER, 0.001, -0.135)

Grey = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]
Detect = Callable[[Grey], list[Box]]
LookAt = Callable[[Grey, Box], Look]


@dataclass(frozen=True)
class Rules:
    """How faces are followed; the app for phones is told them. Overlap is intersection over union.

    Attributes:
        every: frames from one search of the whole frame to the next, while faces are followed.
        idle: the same, at most, while no face is followed.
        most: faces that are followed at once, the largest first.
        min_presence: the chance of a face below which a crop is refused, where the network tells it; None: as its
            file says.
        smooth: whether landmarks are smoothed for display.
        again: overlap below which a face is looked at once more, where its landmarks are.
        lost: overlap below which landmarks are not of what was cut.
        same: overlap from which on two boxes are of one face.
        inside: the share of a box that must lie in the frame.
        patience: searches in a row that may miss a face whose network tells no presence.
    """

    every: int = 15
    idle: int = 3
    most: int = 4
    min_presence: float | None = None
    smooth: bool = False
    again: float = 0.9
    lost: float = 0.3
    same: float = 0.3
    inside: float = 0.5
    patience: int = 2

    def refuse(self, answer: Look) -> bool:
        """Whether what was seen is not taken for a face."""
        least = self.min_presence
        return not answer.shown if least is None or answer.presence is None else answer.presence < least


@dataclass
class Track:
    """A face that is followed.

    Attributes:
        number: of the face, from 1 on.
        box: where it is cut, px of the frame.
        points: its landmarks [68,2], px of the frame.
        presence: the chance that it is a face; None where the network does not tell.
        unseen: searches in a row that did not find it.
        shown: its landmarks as they are to be drawn: smoothed, where that is asked for.
    """

    number: int
    box: Box
    points: Points
    presence: float | None
    unseen: int = 0
    filter: OneEuro = field(default_factory=OneEuro, repr=False)
    shown: Points = field(default_factory=lambda: np.empty((0, 2)), repr=False)


class Tracker:
    """Follows faces from frame to frame."""

    def __init__(self, detect: Detect, look: LookAt, rules: Rules = Rules()) -> None:
        """Follow with a detector and a network.

        Args:
            detect: the boxes in a grey frame.
            look: the landmarks in a box of a grey frame.
            rules: how.
        """
        self._detect, self._look, self._rules = detect, look, rules
        self.tracks: list[Track] = []
        self._numbers = 0
        self._since = rules.idle  # frames since the last search: the first frame is searched

    def step(self, grey: Grey, seconds: float = 0.0) -> list[Track]:
        """The faces of the next frame uint8 [height,width], which was taken at a time."""
        lost = self._follow(grey)
        self._since += 1
        every, idle = self._rules.every, self._rules.idle
        if lost or self._since >= (every if self.tracks else min(every, idle)):
            self._search(grey)
        for track in self.tracks:
            track.shown = track.filter(track.points, seconds) if self._rules.smooth else track.points
        return list(self.tracks)

    def _follow(self, grey: Grey) -> bool:
        """Look at each face where it was; whether one was lost."""
        kept: list[Track] = []
        for track in self.tracks:
            found = self._seen(grey, track.box)
            if found and not self._taken(found[0], kept):
                track.box, (track.points, track.presence) = found[0], (found[1].points, found[1].presence)
                kept.append(track)
        lost = len(kept) < len(self.tracks)
        self.tracks = kept
        return lost

    def _search(self, grey: Grey) -> None:
        """Search the frame for new faces, and for those that are followed."""
        self._since = 0
        boxes = self._detect(grey)
        for track in self.tracks:
            seen = any(track.box.overlap(box) >= self._rules.same for box in boxes)
            track.unseen = 0 if seen else track.unseen + 1
        patience = self._rules.patience
        self.tracks = [
            track for track in self.tracks if track.presence is not None or track.unseen < patience
        ]
        for box in boxes:
            if len(self.tracks) < self._rules.most and not self._taken(box, self.tracks):
                self._begin(grey, box)

    def _begin(self, grey: Grey, box: Box) -> None:
        found = self._seen(grey, box)
        if found and not self._taken(found[0], self.tracks):
            self._numbers += 1
            self.tracks.append(Track(self._numbers, found[0], found[1].points, found[1].presence))

    def _seen(self, grey: Grey, box: Box) -> tuple[Box, Look] | None:
        """The face in a box, and the box that it is to be cut by next; None where it is refused."""
        if not self._in_frame(box, grey):
            return None
        answer = self._look(grey, box)
        moved = TO_BOX.box(*extent(answer.points))
        if self._rules.lost <= box.overlap(moved) < self._rules.again and self._in_frame(moved, grey):
            box, answer = moved, self._look(grey, moved)
            moved = TO_BOX.box(*extent(answer.points))
        far = box.overlap(moved) < self._rules.lost
        return (
            None if self._rules.refuse(answer) or far or not self._in_frame(moved, grey) else (moved, answer)
        )

    def _in_frame(self, box: Box, grey: Grey) -> bool:
        return box.common(Box(0, 0, grey.shape[1], grey.shape[0])) >= self._rules.inside * box.area

    def _taken(self, box: Box, tracks: list[Track]) -> bool:
        return any(box.overlap(track.box) >= self._rules.same for track in tracks)


class EachFrame:
    """Detects in every frame, as the paper's pipeline does, and refuses what shows no face; follows nothing."""

    def __init__(self, detect: Detect, look: LookAt, rules: Rules = Rules()) -> None:
        """Detect with a detector, look with a network, and refuse as the rules say; see `Tracker`."""
        self._detect, self._look, self._rules = detect, look, rules

    def step(self, grey: Grey, seconds: float = 0.0) -> list[Track]:
        """The faces of a frame, the largest first."""
        found = [(box, self._look(grey, box)) for box in self._detect(grey)]
        kept = [(box, answer) for box, answer in found if not self._rules.refuse(answer)]
        return [
            Track(number, box, answer.points, answer.presence, shown=answer.points)
            for number, (box, answer) in enumerate(kept, 1)
        ]
