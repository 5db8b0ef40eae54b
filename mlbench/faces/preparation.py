"""From photographs to a data set: the paper's preparation (section 3), in worker processes, resumable.

Photographs are worked on in shards (`mlbench.faces.shards`) kept in `<out>.work/`, so that a run that was
killed goes on where it was, and the result depends neither on kills nor on the number of workers.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from mlbench import plugins
from mlbench.data.image_files import Found, find_photos
from mlbench.errors import UsageError
from mlbench.faces.csv_format import write_csv
from mlbench.faces.dataset import CROP, MARGINS, Faces, write_npz
from mlbench.faces.detection import HaarDetector
from mlbench.faces.labelling import DlibLabeller, find_predictor, require_dlib
from mlbench.faces.persons import person_below
from mlbench.faces.photographs import Recipe
from mlbench.faces.shards import Queue, Shard, shards_of, work_folder
from mlbench.system import children
from mlbench.system.environment import cores
from mlbench.system.files import require_writable, write_atomically

if TYPE_CHECKING:
    from mlbench.contracts import Detector, Progress

_LISTED = 20
_POLL_S = 0.05

# Another process needs 1.2 s to start (dlib's model has 100 MB): measured as long as 80 photographs of 180×225 take.
_WORTH_A_PROCESS = 80


@dataclass(frozen=True)
class Options:
    """How photographs are prepared.

    Attributes:
        margin: sides of the crop, in sides of the face's box; the paper's is 1.
        all_faces: keep every face of a photograph, not the largest alone.
        upsample: how often dlib's detector doubles the image: 0 finds faces of 80 px and more, 1 of 40 px.
        haar: the detector asked where dlib finds no face; its smallest face is half a crop's side, below
        which a crop
            would be mostly invented.
        detector: name of the one asked in place of dlib's and `haar`; "" for these two.
        predictor: dlib's 68-point model; None for that of the package `face_recognition_models`.
        workers: processes, this one among them; fewer for a short job, where another would not pay.
        summary_file: also write `<out>.summary.json`.
    """

    margin: float = 1.0
    all_faces: bool = False
    upsample: int = 0
    haar: HaarDetector = field(default_factory=lambda: HaarDetector(scale_factor=1.1, min_size=CROP // 2))
    detector: str = ""
    predictor: Path | None = None
    workers: int = field(default_factory=cores)
    summary_file: bool = False

    def check(self) -> None:
        """Raise a UsageError that names the option out of range."""
        faults = {
            f"--margin {self.margin} is not between 0.5 and 4": not MARGINS[0] <= self.margin <= MARGINS[1],
            f"--upsample {self.upsample} is not 0, 1 or 2": self.upsample not in (0, 1, 2),
            f"--workers {self.workers} is not between 1 and 256": not 1 <= self.workers <= 256,
        }
        for fault, present in faults.items():
            if present:
                message = f"{fault}: give another value."
                raise UsageError(message)


@dataclass(frozen=True)
class Summary:
    """What became of the photographs.

    Attributes:
        out: the data set written.
        found: the photographs tried, and the files that were not taken for any.
        faces: rows written.
        detectors: rows by the detector that found the face.
        several: photographs with more than one face.
        skipped: name and reason of every photograph left out.
        notes: what decoding had to assume, and of how many photographs.
        resumed: photographs that an earlier, interrupted run had done.
        seconds: of this run.
    """

    out: Path
    found: Found
    faces: int
    detectors: dict[str, int]
    several: int
    skipped: tuple[tuple[str, str], ...]
    notes: dict[str, int]
    resumed: int
    seconds: float

    @property
    def images(self) -> int:
        """Photographs tried."""
        return len(self.found.photos)

    @property
    def kept(self) -> int:
        """Photographs that gave at least one face."""
        return self.images - len(self.skipped)

    def lines(self) -> list[str]:
        """The summary as plain text, a line each."""
        found = ", ".join(f"{count:,} by {name}" for name, count in sorted(self.detectors.items()))
        rate = (self.images - self.resumed) / max(self.seconds, 1e-9)
        done = f" ({self.resumed:,} done before)" if self.resumed else ""
        lines = [
            f"{self.out}: {self.faces:,} faces ({found}) of {self.kept:,} images",
            f"{self.images:,} images{done} in {self.seconds:.1f} s, {rate:.0f} images/s; "
            f"{self.several:,} with several faces; {len(self.skipped):,} skipped",
        ]
        reasons = Counter(reason for _, reason in self.skipped)
        lines += [f"  {count:,} × {reason}" for reason, count in reasons.most_common(_LISTED)]
        lines += [f"  {name}: {reason}" for name, reason in self.skipped[:_LISTED]]
        if len(self.skipped) > _LISTED:
            lines.append(f"  and {len(self.skipped) - _LISTED:,} more")
        lines += [f"{count:,} images: {note}" for note, count in sorted(self.notes.items())]
        other = self.found.left_out_lines()
        if other:
            total = sum(self.found.left_out.values())
            lines.append(f"{total:,} other files not taken: {', '.join(other[:_LISTED])}")
        return lines

    def as_json(self) -> str:
        """The summary without what differs from run to run, all skipped photographs listed."""
        values = {
            "out": self.out.name,
            "images": self.images,
            "kept": self.kept,
            "faces": self.faces,
            "detectors": dict(sorted(self.detectors.items())),
            "several_faces": self.several,
            "skipped": [{"name": name, "reason": reason} for name, reason in self.skipped],
            "notes": dict(sorted(self.notes.items())),
            "not_taken": self.found.left_out,
        }
        return json.dumps(values, indent=1) + "\n"


def prepare(inputs: Sequence[Path], out: Path, options: Options, progress: Progress) -> Summary:
    """Make a data set of photographs.

    Args:
        inputs: folders (searched with their sub-folders) and image files.
        out: `.npz`, or the paper's `.csv` (which keeps no names).
        options: see there.
        progress: is told of every finished shard.

    Returns:
        What was kept, and what was skipped and why.

    Raises:
        UsageError: a bad option, input, predictor or place; dlib is missing; or no photograph gave a face.
    """
    started = time.monotonic()
    options.check()
    if out.suffix.lower() not in (".npz", ".csv"):
        message = f"{out} ends in {out.suffix or 'nothing'}: faces are written to .npz or .csv."
        raise UsageError(message)
    if out.suffix.lower() == ".csv" and options.margin != 1:
        message = f"{out} cannot keep --margin {options.margin:g}: write an .npz."
        raise UsageError(message)
    require_writable(out)
    found = find_photos(inputs)
    require_dlib()
    labeller = DlibLabeller(find_predictor(options.predictor), options.upsample)
    recipe = Recipe(labeller, options.haar, options.margin, _named(options.detector))
    with work_folder(out) as folder:
        shards = shards_of(found.photos, recipe, all_faces=options.all_faces, folder=folder)
        resumed = _finish(shards, recipe, options.workers, progress)
        counts = _assemble(shards, folder, out, options.margin, several=len(inputs) > 1)
        summary = Summary(out, found, **counts, resumed=resumed, seconds=time.monotonic() - started)
        if summary.faces == 0:
            name, reason = summary.skipped[0]
            message = (
                f"none of {summary.images} images gave a face ({name}: {reason}): give photographs of faces."
            )
    if summary.faces == 0:
        raise UsageError(message)
    if options.summary_file:
        with write_atomically(out.with_name(f"{out.name}.summary.json")) as part:
            part.write_text(summary.as_json(), encoding="utf-8")
    return summary


def _named(detector: str) -> Detector | None:
    """A detector that can be used, by its name; None for "".

    Raises:
        UsageError: it cannot be used.
    """
    if not detector:
        return None
    chosen: Detector = plugins.load("detectors", detector)(CROP // 2)
    chosen.require_ready()
    return chosen


def _finish(shards: list[Shard], recipe: Recipe, workers: int, progress: Progress) -> int:
    """Work on the shards that are not there yet; the number of photographs that were."""
    todo = [shard for shard in shards if not shard.path.exists()]
    total = sum(len(shard.photos) for shard in shards)
    resumed = total - sum(len(shard.photos) for shard in todo)
    with progress.task("Preparing", total, "images", resumed) as advance, _one_thread():
        started, done = time.monotonic(), 0
        useful = 1 + (total - resumed) // _WORTH_A_PROCESS
        for count in _worked(todo, recipe, min(workers, useful, len(todo))):
            done += count
            advance(count, f"{done / (time.monotonic() - started):.0f} images/s")
    return resumed


def _worked(shards: list[Shard], recipe: Recipe, workers: int) -> Iterator[int]:
    """Work on all shards, here and in `workers - 1` other processes; counts of photographs as they are done.

    This process works too, so that a short job does not wait for the others to start. What a process that
    died had taken is done here in the end; where it died of a full disk, that error is met here again.
    """
    if workers > 1:
        yield from _shared_out(shards, recipe, workers - 1)
        shards = [shard for shard in shards if not shard.path.exists()]
    for shard in shards:
        shard.work(recipe)
        yield len(shard.photos)


def _shared_out(shards: list[Shard], recipe: Recipe, others: int) -> Iterator[int]:
    queue = Queue(shards, shards[0].path.with_name("next"))
    queue.open()
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_help, args=(queue, recipe), daemon=True) for _ in range(others)]
    missing = {shard.path.name: len(shard.photos) for shard in shards}
    try:
        with children.safe_path():
            for process in processes:
                process.start()
        while missing:
            if not queue.work_on_next(recipe):
                alive = [process.sentinel for process in processes if process.is_alive()]
                if not alive:
                    break
                connection.wait(alive, _POLL_S)
            found = missing.keys() & {path.name for path in queue.counter.parent.iterdir()}
            if found:
                yield sum(missing.pop(name) for name in found)
    finally:
        for process in processes:
            process.terminate()  # at most still starting
            process.join()


def _help(queue: Queue, recipe: Recipe) -> None:
    """What another process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends us
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with _one_thread(), suppress(UsageError):
        while queue.work_on_next(recipe):
            pass


def _die_with_parent() -> None:
    """End this process when the first one was killed: nothing else would."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV on one thread in every process: the cores are shared out already, and results stay the same."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _assemble(
    shards: list[Shard], folder: Path, out: Path, margin: float, *, several: bool
) -> dict[str, Any]:
    """Write the data set, holding the images of one shard in memory; the counts of the summary.

    Where the names of several inputs lead those of the photographs, an array `person` looks below them.
    """
    parts = [{key: values for key, values in shard.read().items() if key != "images"} for shard in shards]
    points, names, detectors, skipped = (
        np.concatenate([part[key] for part in parts]) for key in ("points", "name", "detector", "skipped")
    )
    if len(points):
        images = _joined_images(shards, len(points), folder / "images.npy")
        persons = {"person": np.array([person_below(str(name)) for name in names])} if several else {}
        faces = Faces(images, points, names, {"detector": detectors} | persons, margin=margin)
        (write_csv if out.suffix.lower() == ".csv" else write_npz)(faces, out)
    return {
        "faces": len(points),
        "detectors": dict(Counter(detectors.tolist())),
        "several": int(sum(part["several"] for part in parts)),
        "notes": dict(Counter(note for part in parts for note in part["notes"].tolist())),
        "skipped": tuple((str(name), str(reason)) for name, reason in skipped),
    }


def _joined_images(shards: list[Shard], count: int, path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The images of all shards as one mapped array uint8 [count,96,96]."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, CROP, CROP)}
    with write_atomically(path) as part, part.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for shard in shards:
            file.write(shard.read()["images"].tobytes())
    return np.asarray(np.load(path, mmap_mode="r"))
