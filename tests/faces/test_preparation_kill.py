"""`kill -9` at six random moments, then going on, ends with the bytes of a run that nobody killed.

Also a script: `python -m tests.faces.test_preparation_kill [FOLDER [KILLS [SEED]]]`, with your photographs.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from mlbench.errors import UsageError
from mlbench.faces.labelling import find_predictor, require_dlib
from tests.faces.drawn_faces import write_faces

CHILD = """
import sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from tests.faces.test_preparation_kill import Silent
from mlbench.faces.preparation import Options, prepare
if __name__ == "__main__":
    prepare([Path(sys.argv[1])], Path(sys.argv[2]), Options(workers=2), Silent())
"""


class Silent:
    @contextmanager
    def task(self, title, total, unit, done=0):
        yield lambda done, text: None

    def say(self, text):
        pass


def start(photos, out):
    command = [sys.executable, "-c", CHILD, str(photos), str(out), str(Path(__file__).parents[2])]
    return subprocess.Popen(command)


def processes_of(process):
    try:
        return [*psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill(process):
    """Kill the first process alone; those that it had started must end by themselves."""
    children = processes_of(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, orphans = psutil.wait_procs(children, timeout=30)
    assert not orphans, f"still running after the kill: {orphans}"


def kill_and_resume(photos, folder, kills, seed):
    """Kill `kills` runs at work; the number of shards that each start found done."""
    whole, out, work = folder / "whole.npz", folder / "killed.npz", folder / "killed.npz.work"
    assert start(photos, whole).wait() == 0
    moments = random.Random(seed)
    found = []
    while len(found) < kills:
        before = shards_in(work)
        process = start(photos, out)
        new = moments.choice([0, 1, 1, 2])  # some kills before anything is done, most amid the work
        while process.poll() is None and shards_in(work) < before + new:
            time.sleep(0.01)
        try:
            process.wait(timeout=moments.uniform(0, 0.3 if new else 2.0))
        except subprocess.TimeoutExpired:
            kill(process)
            found.append(before)
            continue
        assert process.returncode == 0  # it ended before it was killed: compare, and begin again
        assert out.read_bytes() == whole.read_bytes()
        out.unlink()
    found.append(shards_in(work))
    assert start(photos, out).wait() == 0
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["killed.npz", "whole.npz"]
    return found


def shards_in(work):
    return len(list(work.glob("[0-9a-f]*.npz")))


def absent():
    try:
        require_dlib()
        find_predictor()
    except UsageError as error:
        return str(error)
    return None


@pytest.mark.skipif(absent() is not None, reason=f"{absent()}")
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="preparation needs Linux")
def test_six_kills_end_with_the_same_bytes(tmp_path):
    photos = tmp_path / "photos"
    write_faces(photos, 240)
    (tmp_path / "out").mkdir()
    found = kill_and_resume(photos, tmp_path / "out", kills=6, seed=7)
    assert len(found) == 7
    assert max(found) > 0, "no kill came after work was done: nothing was resumed"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        given = Path(sys.argv[1]) if len(sys.argv) > 1 else place / "photos"
        if len(sys.argv) < 2:
            write_faces(given, 240)
        (place / "out").mkdir()
        count = int(sys.argv[2]) if len(sys.argv) > 2 else 10
        seed = int(sys.argv[3]) if len(sys.argv) > 3 else 7
        found = kill_and_resume(given, place / "out", count, seed)
        print(f"{count} kills; finished shards at each start: {found}; byte-identical")
