"""Composed videos whose truth is known: sampled faces on a path before a room or a photograph, from a seed.

A frame's faces come with their landmarks, the box that dlib's detector would give, and how much of them shows.
Frame i depends on scene, seed, size and i alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from mlbench.boxes import Box
from mlbench.errors import UsageError
from mlbench.faces.appearance import AppearanceModel
from mlbench.faces.dataset import CROP, Faces
from mlbench.faces.frames import FRAME_SIZE, Image, Picture, room, with_person

#: Frames per second that speeds and periods are meant for.
FPS = 30

_SIDE = 128  # of a face in its person's picture, px
_ROOM_ABOVE, _ROOM_ASIDE, _HEIGHT = 0.8, 1.2, 4.0  # of that picture around the face, in sides
_PERIOD = 4.0  # seconds between two occlusions
_CROSSING = 8.0  # seconds from outside the frame through it and back
_GRAIN = 2.0  # standard deviation of a pixel's noise, grey levels


@dataclass(frozen=True)
class Scene:
    """What happens in a video.

    Attributes:
        faces: how many.
        speed: at most, in sides of the face's box per frame.
        size: least and greatest side of the box, in heights of the frame.
        roll: greatest angle to either side, degrees.
        blur: standard deviation of a Gaussian, px.
        light: greatest change of all grey levels, as the logarithm of a factor.
        covered: whether something passes before the face every four seconds.
        leaves: whether the face comes from outside, crosses the frame and comes back, in eight seconds.
    """

    faces: int = 1
    speed: float = 0.005
    size: tuple[float, float] = (0.35, 0.35)
    roll: float = 0.0
    blur: float = 0.0
    light: float = 0.0
    covered: bool = False
    leaves: bool = False


#: By name.
SCENES = {
    "still": Scene(speed=0.0),
    "slow": Scene(),
    "fast": Scene(speed=0.06),
    "near and far": Scene(size=(0.2, 0.6)),
    "turning": Scene(roll=20),
    "blurred": Scene(speed=0.02, blur=2.0),
    "changing light": Scene(light=0.5),
    "covered": Scene(covered=True),
    "leaving": Scene(leaves=True),
    "two": Scene(faces=2, size=(0.25, 0.35)),
    "empty": Scene(faces=0),
}


@dataclass(frozen=True)
class Face:
    """A face of a frame: its box, its landmarks [68,2], px of the frame, and the share of its box that shows."""

    box: Box
    points: npt.NDArray[np.float64]
    seen: float


@dataclass(frozen=True)
class Frame:
    """A frame uint8 [height,width] and its faces, those out of sight too."""

    image: Image
    faces: tuple[Face, ...]


def sequence(
    scene: Scene,
    count: int,
    seed: int = 7,
    size: tuple[int, int] = FRAME_SIZE,
    background: Image | None = None,
    faces: Faces | None = None,
) -> Iterator[Frame]:
    """The frames of a video, one after the other.

    Args:
        scene: what happens.
        count: of frames.
        seed: of faces, paths, room and grain.
        size: height and width, px.
        background: grey photograph, stretched to the frame; None: a blurred room.
        faces: which are shown, chosen by the seed; sampled from the bundled appearance model where not given.

    Raises:
        UsageError: the size is below a crop's, or no faces are given.
    """
    if min(size) < CROP or (faces is not None and not len(faces)):
        message = (
            f"Frames of {size[1]}×{size[0]} cannot be composed: give at least {CROP} px a side, and a face."
        )
        raise UsageError(message)
    rng = np.random.default_rng((seed, 101))
    ground = room(size, rng) if background is None else _stretched(background, size)
    shown = faces or AppearanceModel.load().sample(scene.faces, seed=seed, purpose="frame")
    chosen = rng.permutation(len(shown))[: scene.faces]
    people = [
        _Person(scene, number, size, seed, shown.take(slice(row, row + 1)))
        for number, row in enumerate(chosen)
    ]
    for number in range(count):
        yield _frame(scene, ground, people, number, np.random.default_rng((seed, 102, number)))


def _frame(
    scene: Scene, ground: Picture, people: list[_Person], number: int, rng: np.random.Generator
) -> Frame:
    picture, faces = ground.copy(), []
    for person in people:
        place = person.place(number / FPS)
        person.drawn(picture, place)
        bar = _bar(place, number / FPS) if scene.covered else None
        if bar:
            _cover(picture, bar)
        faces.append(Face(place.box, place.moved(person.points), _share_seen(place.box, bar, picture.shape)))
    if scene.blur:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), scene.blur), np.float32)
    gain = np.exp(scene.light * np.sin(2 * np.pi * number / FPS / 3.1))
    grain = rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(_GRAIN)
    image = np.clip(np.rint(picture * np.float32(gain) + grain), 0, 255).astype(np.uint8)
    return Frame(image, tuple(faces))


@dataclass(frozen=True)
class _Place:
    """Where a face is: centre x and y and side of its box, px of the frame; its roll, radians."""

    x: float
    y: float
    side: float
    roll: float

    @property
    def box(self) -> Box:
        """Upright, as a detector's."""
        side = round(self.side)
        return Box(round(self.x + 0.5 - side / 2), round(self.y + 0.5 - side / 2), side, side)

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """From pixels of the person's picture to the frame's, [2,3]."""
        cosine, sine = np.array([np.cos(self.roll), np.sin(self.roll)]) * self.side / _SIDE
        turn = np.array([[cosine, -sine], [sine, cosine]])
        middle = np.array([_ROOM_ASIDE, _ROOM_ABOVE]) * _SIDE + (_SIDE - 1) / 2
        return np.column_stack([turn, np.array([self.x, self.y]) - turn @ middle])

    def moved(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Points of the person's picture, in the frame."""
        matrix = self.matrix
        return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


class _Person:
    """A face with hair and shoulders, and the path that it takes."""

    def __init__(self, scene: Scene, number: int, size: tuple[int, int], seed: int, face: Faces) -> None:
        self._scene, self._size, self._face = scene, size, face
        self._rng = np.random.default_rng((seed, 103, number))
        self._phases = self._rng.uniform(0, 2 * np.pi, 4)
        self._lane = (number + 0.5) / scene.faces  # the middle of its part of the frame, in widths

    @property
    def points(self) -> npt.NDArray[np.float64]:
        """Landmarks in the person's picture, [68,2]."""
        inside = (self._face.points[0].astype(np.float64) + 0.5) * (_SIDE / CROP) - 0.5
        return np.asarray(inside + np.array([_ROOM_ASIDE, _ROOM_ABOVE]) * _SIDE)

    @cached_property
    def _layers(self) -> Picture:
        """The person's picture on black, and how much of it covers what is behind: [height,width,2].

        What it covers is told by drawing it on black and on white.
        """
        shape = (round(_HEIGHT * _SIDE), round((1 + 2 * _ROOM_ASIDE) * _SIDE))
        box = (round(_ROOM_ASIDE * _SIDE), round(_ROOM_ABOVE * _SIDE), _SIDE, _SIDE)
        state = self._rng.bit_generator.state
        drawn = []
        for grey in (0, 255):
            self._rng.bit_generator.state = state
            ground = np.full(shape, grey, np.float32)
            drawn.append(with_person(ground, self._face.images[0], box, self._rng))
        return np.dstack([drawn[0], 1 - (drawn[1] - drawn[0]) / 255]).astype(np.float32)

    def place(self, seconds: float) -> _Place:
        """Where the face is at a time."""
        scene, (height, width) = self._scene, self._size
        low, high = np.array(scene.size) * height
        wave = np.sin(2 * np.pi * seconds / 6.3 + self._phases[0])
        side = float(np.sqrt(low * high) * (high / low) ** (wave / 2))
        reach_x = 0.9 * (width / scene.faces - high) / 2
        x = self._lane * width + reach_x * np.sin(self._turned(seconds, reach_x, side) + self._phases[1])
        reach_y = (height - high) / 2 * 0.5
        y = 0.45 * height + reach_y * np.sin(self._turned(seconds, reach_y, side) / 2 + self._phases[2])
        if scene.leaves:
            x = width / 2 - (width / 2 + side) * np.cos(2 * np.pi * seconds / _CROSSING)
        roll = np.radians(scene.roll) * np.sin(2 * np.pi * seconds / 2.7 + self._phases[3])
        return _Place(float(x), float(y), side, float(roll))

    def _turned(self, seconds: float, reach: float, side: float) -> float:
        """The phase of a swing of this reach, px, whose greatest speed is the scene's."""
        low, high = np.array(self._scene.size) * self._size[0]
        return seconds * FPS * self._scene.speed * float(np.sqrt(low * high)) / max(reach, 1)

    def drawn(self, picture: Picture, place: _Place) -> None:
        """Put the person into a picture, in place."""
        seen = cv2.warpAffine(self._layers, place.matrix, picture.shape[::-1], flags=cv2.INTER_LINEAR)
        picture *= 1 - seen[..., 1]
        picture += seen[..., 0]


def _bar(place: _Place, seconds: float) -> Box | None:
    """What passes before the face: twice as wide as its box, from its left to its right in two seconds of four."""
    share = (seconds % _PERIOD) / _PERIOD * 2 - 1
    if not 0 <= share < 1:
        return None
    box = place.box
    return Box(
        round(box.left + (4 * share - 2) * box.width),
        box.top - box.height // 4,
        2 * box.width,
        2 * box.height,
    )


def _cover(picture: Picture, bar: Box) -> None:
    rows = slice(max(bar.top, 0), max(bar.top + bar.height, 0))
    columns = slice(max(bar.left, 0), max(bar.left + bar.width, 0))
    picture[rows, columns] = 40


def _share_seen(box: Box, bar: Box | None, shape: tuple[int, ...]) -> float:
    """The share of a box that lies in the frame and not behind the bar."""
    frame = Box(0, 0, shape[1], shape[0])
    hidden = bar.common(box) if bar else 0
    return max(0.0, (box.common(frame) - hidden) / box.area)


def _stretched(photograph: Image, size: tuple[int, int]) -> Picture:
    return np.asarray(cv2.resize(photograph, size[::-1], interpolation=cv2.INTER_AREA), np.float32)
