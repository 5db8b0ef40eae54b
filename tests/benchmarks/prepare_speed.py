"""How fast preparation is: one process, two, and a plain loop over the same calls, as ratios of one run.

    python -m tests.benchmarks.prepare_speed [PHOTOS [IMAGES [ROUNDS]]]

PHOTOS is a folder (else faces are drawn), repeated to IMAGES images (2,000). Every measurement is a process
of its own, start-up included, and the three take turns for ROUNDS (3) rounds; medians are compared. The share
of the processor shows whether the machine was quiet: about 1 for one process, 2 for two.
"""

import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path


class Silent:
    @contextmanager
    def task(self, title, total, unit, done=0):
        yield lambda done, text: None

    def say(self, text):
        pass


def plain_loop(photos, out):
    """What prepare calls, one image after the other."""
    import cv2
    import numpy as np

    from mlbench.data.image_files import find_photos
    from mlbench.faces.dataset import Faces, write_npz
    from mlbench.faces.labelling import DlibLabeller, find_predictor
    from mlbench.faces.photographs import Recipe
    from mlbench.faces.preparation import Options

    cv2.setNumThreads(1)
    recipe = Recipe(DlibLabeller(find_predictor()), Options().haar)
    found = [(photo.name, recipe.faces_of(photo.path)[0]) for photo in find_photos([photos]).photos]
    write_npz(
        Faces(
            np.array([face.image for _, face in found]),
            np.array([face.points for _, face in found], np.float32),
            np.array([name for name, _ in found]),
            {"detector": np.array([face.detector for _, face in found])},
        ),
        out,
    )


def prepared(photos, out, workers):
    from mlbench.faces.preparation import Options, prepare

    prepare([photos], out, Options(workers=workers), Silent())


def measure(kind, photos, out):
    """Wall-clock and processor seconds of one process that does it, and of its own processes."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "tests.benchmarks.prepare_speed", "--do", kind, str(photos), str(out)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def repeated(source, images, folder):
    """`images` files: those of `source`, again and again."""
    files = sorted(path for path in source.iterdir() if path.is_file())
    for number in range(images):
        shutil.copyfile(
            files[number % len(files)], folder / f"{number:05}{files[number % len(files)].suffix}"
        )


def main(source, images, rounds):
    kinds = ("loop", "1", "2")
    seconds = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "photos").mkdir()
        if source is None:
            from tests.faces.drawn_faces import write_faces

            source = place / "drawn"
            write_faces(source, 100)
        repeated(source, images, place / "photos")
        for number in range(rounds):
            for kind in kinds[number % 3 :] + kinds[: number % 3]:
                wall, processor = measure(kind, place / "photos", place / f"{kind}.npz")
                seconds[kind].append(wall)
                print(
                    f"round {number + 1} {kind:>4}: {wall:6.1f} s, processor {processor / wall:.2f}",
                    flush=True,
                )
        same = len({(place / f"{kind}.npz").read_bytes() for kind in kinds}) == 1
    loop, one, two = (statistics.median(seconds[kind]) for kind in kinds)
    print(f"{images} images, medians of {rounds} rounds: {loop:.1f} s, {one:.1f} s, {two:.1f} s")
    print(f"1 worker against the plain loop: {loop / one:.3f} times as fast")
    print(f"2 workers against 1:             {one / two:.3f} times as fast")
    print(f"the three files are {'the same' if same else 'DIFFERENT'}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--do"]:
        _, _, kind, photos, out = sys.argv
        plain_loop(Path(photos), Path(out)) if kind == "loop" else prepared(
            Path(photos), Path(out), int(kind)
        )
    else:
        arguments = dict(enumerate(sys.argv[1:]))
        main(
            Path(arguments[0]) if 0 in arguments else None,
            int(arguments.get(1, 2000)),
            int(arguments.get(2, 3)),
        )
