"""The figures of docs/evidence/live.md: pipelines on composed videos whose truth is known.

    python -m tests.benchmarks.live                                  # a table per question
    python -m tests.benchmarks.live --data faces_dev.npz             # of real faces
    python -m tests.benchmarks.live --first-seed 40 --idle 1 2 3     # to choose by: other videos
    python -m tests.benchmarks.live --models compact --strip docs/pictures/live.jpg

The first row is the paper's pipeline: `basic` behind the Haar detector, in each frame.

Pipelines take turns scene by scene. Times are of the processor, on one thread: other programs do not count.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from mlbench import plugins
from mlbench.errors import UsageError
from mlbench.export import ready_models
from mlbench.faces.dataset import OUTER_EYE_CORNERS
from mlbench.faces.face_network import FaceNetwork
from mlbench.faces.files import read_faces
from mlbench.faces.live import SMALLEST, Clock, drawn, follower
from mlbench.faces.sequences import FPS, SCENES, Face, Frame, sequence
from mlbench.faces.tracking import Rules, Track

_SHOWN, _GONE = 0.75, 0.25  # share of a face from which on it counts as shown, and up to which as gone
_FOUND = 0.5  # overlap of a box with a face's
_LONG = ("covered", "leaving")  # scenes that take two turns, to see faces come back
_WITHOUT = (*_LONG, "empty")  # scenes with frames in which there is no face to follow

DETECTORS = ("haar", "dlib", "blazeface", "blazeface_short")
MODELS = ("basic", "compact", "compact_small")
PAPER = "basic, haar, each frame"


@dataclass(frozen=True)
class Way:
    """A pipeline: network, detector, and how faces are followed; None: they are detected in each frame."""

    model: str
    detector: str
    rules: Rules | None = None

    def __str__(self) -> str:
        told = "each frame"
        if self.rules:
            given, usual = asdict(self.rules), asdict(Rules())
            told = ", ".join(
                ["tracked", *(f"{key} {given[key]}" for key in given if given[key] != usual[key])]
            )
        return f"{self.model}, {self.detector}, {told}"


@dataclass
class Scores:
    """What a pipeline did, over all videos.

    Attributes:
        nme: of each face that was found, by (scene, seed, frame, face).
        error: its mean distance of landmarks, px of the frame.
        shown: faces that were to be found, by scene; `found`: those that were.
        empty, false: frames of scenes without any face, and faces found in them.
        gone, stale: frames whose faces are all covered or out of sight, and faces found in them.
        again: frames from a face's return to its finding.
        spent: milliseconds per frame, by scene.
        tremble: root mean square of a still face's landmarks about their means, px.
    """

    clock: Clock = field(default_factory=lambda: Clock(time.process_time))
    nme: dict[tuple[str, int, int, int], float] = field(default_factory=dict)
    error: list[float] = field(default_factory=list)
    shown: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    empty: int = 0
    false: int = 0
    gone: int = 0
    stale: int = 0
    again: list[int] = field(default_factory=list)
    spent: dict[str, list[float]] = field(default_factory=dict)
    tremble: list[float] = field(default_factory=list)

    def fps(self, scenes: Iterable[str] = SCENES) -> float:
        """Frames per second of processor time, over some scenes."""
        return 1000 / float(np.mean([spent for scene in scenes for spent in self.spent[scene]]))

    @property
    def recall(self) -> float:
        """Of all scenes together."""
        return sum(self.found.values()) / max(1, sum(self.shown.values()))


def matching(tracks: list[Track], face: Face, overlap: float = _FOUND) -> Track | None:
    """The track that lies best on a face."""
    best = max(tracks, key=lambda track: track.box.overlap(face.box), default=None)
    return best if best and best.box.overlap(face.box) >= overlap else None


def scored(scores: Scores, pipeline: object, frames: list[Frame], scene: str, seed: int) -> None:
    """Run a new pipeline through a video and take in what it did."""
    gone: dict[int, int | None] = {}  # frame in which a face came back, None while it is gone
    still: list[np.ndarray] = []
    for number, frame in enumerate(frames):
        with scores.clock.timed("pipeline"):
            tracks = pipeline.step(frame.image, number / FPS)  # type: ignore[attr-defined]
        scores.clock.next_frame()
        scores.spent.setdefault(scene, []).append(scores.clock.parts["pipeline"][-1])
        if not frame.faces:
            scores.empty += 1
            scores.false += len(tracks)
        elif not any(face.seen > 0 for face in frame.faces):
            scores.gone += 1
            scores.stale += len(tracks)
        for which, face in enumerate(frame.faces):
            if face.seen < _GONE:
                gone[which] = None
            if face.seen < _SHOWN:
                continue
            track = matching(tracks, face)
            if which in gone and gone[which] is None:
                gone[which] = number
            scores.shown[scene] = scores.shown.get(scene, 0) + 1
            if track is None:
                continue
            if (since := gone.pop(which, None)) is not None:
                scores.again.append(number - since)
            scores.found[scene] = scores.found.get(scene, 0) + 1
            distance = float(np.linalg.norm(track.shown - face.points, axis=1).mean())
            left, right = (face.points[corner] for corner in OUTER_EYE_CORNERS)
            scores.nme[scene, seed, number, which] = distance / float(np.linalg.norm(left - right))
            scores.error.append(distance)
            if scene == "still":
                still.append(track.shown)
    if len(still) > 1:
        scores.tremble.append(float(np.sqrt(np.var(still, axis=0).mean())))


def ways(given: argparse.Namespace) -> list[Way]:
    """The pipelines that are asked for and can run here."""
    found: list[Way] = []
    for detector in given.detectors:
        try:
            plugins.load("detectors", detector)(SMALLEST).require_ready()
        except UsageError as error:
            print(error)
            continue
        for model in given.models:
            found.append(Way(model, detector))
            found += [
                Way(model, detector, Rules(every=every, idle=idle))
                for every, idle in product(given.every, given.idle)
            ]
    return [way for way in found if not given.only or any(part in f"{way}" for part in given.only)]


def compared(a: Scores, b: Scores) -> str:
    """Mean difference of NME, a - b, on faces that both found, in points; the 95 % interval resamples videos."""
    videos: dict[tuple[str, int], list[float]] = {}
    for key in a.nme.keys() & b.nme.keys():
        videos.setdefault(key[:2], []).append(a.nme[key] - b.nme[key])
    sums, counts = (np.array([value(one) for one in videos.values()], float) for value in (sum, len))
    rows = np.random.default_rng(7).integers(len(videos), size=(5000, len(videos)))
    low, high = np.percentile(sums[rows].sum(1) / counts[rows].sum(1), [2.5, 97.5]) * 100
    return f"{100 * sums.sum() / counts.sum():+.2f} points ({low:+.2f} to {high:+.2f})"


def videos(given: argparse.Namespace) -> Iterator[tuple[str, int, list[Frame]]]:
    """The frames of each scene and seed."""
    faces = read_faces(given.data) if given.data else None
    for number, (name, scene) in enumerate(SCENES.items()):
        for seed in range(given.first_seed, given.first_seed + given.seeds):
            length = given.frames * (2 if name in _LONG else 1)
            yield name, seed, list(sequence(scene, length, seed=1000 * seed + number, faces=faces))


def measure(given: argparse.Namespace) -> dict[str, Scores]:
    """All pipelines on all videos."""
    networks = {model: FaceNetwork.of(ready_models.file_named(model)) for model in given.models}
    chosen = ways(given)
    scores = {str(way): Scores() for way in chosen}
    for scene, seed, frames in videos(given):
        for way in chosen:
            one, finder = scores[str(way)], plugins.load("detectors", way.detector)(SMALLEST)
            rules, track = way.rules or Rules(), way.rules is not None
            made = follower(finder, networks[way.model], rules, one.clock, track)
            scored(one, made, frames, scene, seed)
    return scores


def row(*cells: object) -> None:
    """A row of a table in Markdown."""
    print(f"| {' | '.join(map(str, cells))} |")


def head(*cells: str) -> None:
    """The first row of a table, after an empty line."""
    print()
    row(*cells)
    print(f"|{'---|' * len(cells)}")


def show(scores: dict[str, Scores]) -> None:
    """Tables in Markdown."""
    followed = [scene for scene in SCENES if scene not in _WITHOUT]
    head("pipeline", "frames/s, face shown", "frames/s, all", "p50, ms", "p90, ms", "p99, ms")
    for name, one in scores.items():
        times = np.percentile(one.clock.parts["pipeline"], [50, 90, 99])
        row(name, f"{one.fps(followed):,.0f}", f"{one.fps():,.0f}", *(f"{time:.2f}" for time in times))
    head("pipeline", "recall", "NME", "error, px", "trembling, px", "found again after, frames")
    for name, one in scores.items():
        nme = float(np.mean(list(one.nme.values())))
        again = f"{np.mean(one.again):.1f}, at most {max(one.again)}" if one.again else "never"
        trembling = f"{np.mean(one.tremble or np.nan):.3f}"
        row(name, f"{one.recall:.1%}", f"{nme:.2%}", f"{np.mean(one.error):.2f}", trembling, again)
    head("pipeline", "false faces per minute of empty frames", "per minute of frames whose face is gone")
    for name, one in scores.items():
        pairs = ((one.false, one.empty), (one.stale, one.gone))
        row(name, *(f"{found / max(1, frames) * FPS * 60:.0f}" for found, frames in pairs))
    scenes = [scene for scene in SCENES if scene != "empty"]
    head("recall", *scenes)
    for name, one in scores.items():
        row(name, *(f"{one.found.get(scene, 0) / max(1, one.shown.get(scene, 0)):.1%}" for scene in scenes))
    head("NME", *scenes)
    for name, one in scores.items():
        errors = ([error for key, error in one.nme.items() if key[0] == scene] for scene in scenes)
        row(name, *(f"{np.mean(some or np.nan):.2%}" for some in errors))
    told = "NME against each frame", "against the first network", "times as many frames/s, face shown", "all"
    head("pipeline", *told)
    for name in (name for name in scores if "tracked" in name):
        model, detector, mode = name.split(", ", 2)
        others = (
            f"{model}, {detector}, each frame",
            f"{next(iter(scores)).split(', ')[0]}, {detector}, {mode}",
        )
        base = scores.get(PAPER, scores[name])
        times = (scores[name].fps(some) / base.fps(some) for some in (followed, [*SCENES]))
        differences = (
            compared(scores[name], scores[other]) if other in scores else "not run" for other in others
        )
        row(name, *differences, *(f"{time:.1f}" for time in times))


def write_strip(path: Path, model: str) -> None:
    """A frame of six scenes each, as `mlbench live --out` draws them."""
    network, tiles = FaceNetwork.of(ready_models.file_named(model)), []
    for name in ("turning", "near and far", "covered", "fast", "two", "leaving"):
        finder = plugins.load("detectors", "blazeface")(SMALLEST)
        pipeline = follower(finder, network, Rules(), Clock())
        for frame in sequence(SCENES[name], 72, seed=25):
            tracks = pipeline.step(frame.image, 0.0)
        picture = drawn(frame.image, frame.image, tracks)
        cv2.putText(picture, name, (12, 32), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 255, 255), 2, cv2.LINE_AA)
        tiles.append(cv2.resize(picture, (432, 240), interpolation=cv2.INTER_AREA))
    rows = [np.hstack(tiles[first : first + 3]) for first in (0, 3)]
    cv2.imwrite(str(path), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])


def main() -> None:
    """Print the tables, or write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--every", type=int, nargs="+", default=[Rules.every])
    parser.add_argument("--idle", type=int, nargs="+", default=[Rules.idle])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--detectors", nargs="+", default=DETECTORS)
    parser.add_argument("--only", nargs="+", help="pipelines whose names have one of these in them")
    parser.add_argument("--strip", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    if given.strip:
        write_strip(given.strip, given.models[0])
        return
    show(measure(given))


if __name__ == "__main__":
    main()
