"""`mlbench run`, killed six times at random moments, ends with the files of an uninterrupted run."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlbench.system.files import file_sha256

_KILLS = 6

#: Starts runs as children that have all imports and the page's library: else these take most of the time, and most of
#: the kills.
_NURSERY = """
import json, os, signal, sys, time
import mlbench.export.convert, mlbench.runs.pipeline, mlbench.training.step
from mlbench.cli import main
from mlbench.reports.html import page

page._charting_library()
print(flush=True)
for line in sys.stdin:
    arguments, cache, log, killed_after = json.loads(line)
    child = os.fork()
    if not child:
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(written, 1)
        os.dup2(written, 2)
        os.environ["MLBENCH_CACHE"] = cache
        sys.argv = ["mlbench", *arguments]
        main()
    if killed_after is not None:
        time.sleep(killed_after)
        os.kill(child, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

Run = Callable[[Path, float | None], int]


@pytest.fixture
def run(plugin, faces_file) -> Iterator[Run]:
    """Runs the job with its own cache and results below a folder, killed after some seconds or not; its exit code."""
    training = "--epochs 8 --tune-epochs 4 --batch 32 --rate 0.003"
    measuring = "--no-pipeline --min-count 20 --min-seconds 0.05"
    job = f"run --variant tiny --compress svd(rank=4) {training} {measuring}".split()
    job += ["--data", str(faces_file)]
    command = [sys.executable, "-c", _NURSERY]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as nursery:
        assert nursery.stdin
        assert nursery.stdout
        nursery.stdout.readline()  # all is imported

        def run(folder: Path, killed_after: float | None = None) -> int:
            asked = [[*job, "--out", str(folder / "runs")], str(folder / "cache"), str(folder / "log.txt")]
            print(json.dumps([*asked, killed_after]), file=nursery.stdin, flush=True)
            return int(nursery.stdout.readline())

        yield run
        nursery.stdin.close()


def files_of(folder: Path) -> dict[str, str]:
    """Names and hashes of the files that a run left, without its record (whose timings differ)."""
    return {path.name: file_sha256(path) for path in folder.glob("runs/*/*.tflite")}


@pytest.mark.slow
def test_a_run_killed_six_times_ends_with_the_same_files(run, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    started = time.perf_counter()
    assert run(whole) == 0, (whole / "log.txt").read_text()[-2000:]
    seconds = time.perf_counter() - started
    told = " ".join((whole / "log.txt").read_text().split())
    assert "learnt nothing" not in told, "the weights before training are kept, whatever kills do to it"
    moments = random.Random(7)
    assert -9 in [run(killed, moments.uniform(0, 0.8 * seconds)) for _ in range(_KILLS)]
    assert run(killed) == 0, (killed / "log.txt").read_text()[-2000:]
    assert files_of(whole) == files_of(killed)
    assert len(files_of(whole)) == 2
    assert not list((killed / "runs").rglob("*.part"))
