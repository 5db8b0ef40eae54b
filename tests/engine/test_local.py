"""Local workers on real networks: a worker that is killed, and a run whose chains two workers make."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from mlbench.data.sources import Source
from mlbench.errors import UsageError
from mlbench.faces.landmarks import Landmarks
from mlbench.runs.measuring import Measuring
from mlbench.runs.plan import Making
from mlbench.search.engine import open_engine
from mlbench.search.engine.local import LocalWorkers
from mlbench.search.work import Job
from mlbench.system.progress import Silent
from mlbench.training.loop import epochs_behind
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.conftest import TINY
from tests.engine.farm import wait_until

pytestmark = pytest.mark.slow


def _steps():
    """Processes that train, below this one."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "multiprocessing" in " ".join(process.cmdline()) and "spawn_main" in " ".join(process.cmdline())
    ]


def test_a_killed_workers_training_is_taken_up_at_its_checkpoint(cache, faces_file, tmp_path):
    epochs = 40
    training = TrainingOptions(epochs=epochs, batch=64, threads=1)
    making = Making(Source(Landmarks(), faces_file, 0, None, 7), training, TuningOptions(epochs=0))
    engine = open_engine(making, {"tiny": TINY}, Measuring(), workers=2, progress=Silent())
    try:
        engine.submit(Job("tiny", "none"))
        found = []

        def begun():
            found.extend(engine.finished(0.1))
            return found or any(epochs_behind(folder) > 2 for folder in cache.glob("baselines/*"))

        wait_until(begun)
        assert not found
        busiest = max(_steps(), key=lambda process: sum(process.cpu_times()[:2]))
        os.kill(busiest.pid, signal.SIGKILL)
        wait_until(lambda: found.extend(engine.finished(0.5)) or found)
    finally:
        engine.close()
    [outcome] = found
    assert not outcome.failure
    assert 0 < outcome.epochs < epochs - 2


def test_a_run_on_two_workers_is_that_of_one(faces_file, plugin, tmp_path):
    records = []
    for workers in ("1", "2"):
        out = tmp_path / f"runs{workers}"
        options = (
            "--epochs",
            "1",
            "--tune-epochs",
            "1",
            "--no-pipeline",
            "--no-gallery",
            "--train-threads",
            "1",
        )
        chains = (
            "--compress",
            "svd(rank=8)",
            "--compress",
            "svd(rank=8)+dynamic",
            "--compress",
            "svd(rank=4000)",
        )
        few = ("--min-count", "20", "--min-seconds", "0.05", "--out", out, "--workers", workers)
        words = ["run", "--variant", "tiny", "--data", faces_file, *options, *chains, *few]
        # In a process of its own: TensorFlow takes no number of threads once it has computed.
        command = [sys.executable, "-c", "from mlbench.cli import main; main()", *map(str, words)]
        environment = os.environ | {"MLBENCH_CACHE": str(tmp_path / f"cache{workers}")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        [path] = out.rglob("record.json")
        records.append(path.read_text())
    assert len(list((tmp_path / "cache2").glob("stages/*/stage.json"))) == 2
    hashes = [sorted(set(re.findall(r'"sha256": ?"(\w+)"', text))) for text in records]
    assert hashes[0] == hashes[1]
    assert all("above the rank" in text for text in records)


def test_workers_that_cannot_start_are_told(cache, monkeypatch, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such interpreter >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    workers = LocalWorkers(2, 1)
    try:
        for worker in workers._workers:
            worker.wait()
        with pytest.raises(UsageError, match=r"All workers ended .no such interpreter.*--workers 1"):
            workers.require_alive()
    finally:
        workers.close()


def test_nothing_is_left_of_workers_that_were_closed(cache):
    workers = LocalWorkers(1, 1)
    workers.client.wait_for_workers(1)
    scratch = Path(workers._scratch.name)
    began = psutil.Process(workers._workers[0].pid).children(recursive=True)
    workers.close()
    wait_until(lambda: not any(process.is_running() for process in began))
    assert not scratch.exists()
