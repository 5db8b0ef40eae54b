"""`mlbench run`, killed ten times at random moments, ends with the files of an uninterrupted run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlbench.system.files import file_sha256

_KILLS = 10


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    """A run with its own cache and results below `folder`."""
    command = [sys.executable, "-c", "from mlbench.cli import main; main()", "run", *arguments]
    environment = os.environ | {"MLBENCH_CACHE": str(folder / "cache")}
    log = (folder / "log.txt").open("a")
    return subprocess.Popen(
        [*command, "--out", str(folder / "runs")], env=environment, stdout=log, stderr=log
    )


def run_with_kills(arguments: list[str], folder: Path, kills: int, seconds: float, seed: int) -> list[float]:
    """Kill a run at random moments, start it again each time, and let the last one finish; returns the moments."""
    rng, moments = random.Random(seed), []
    for _ in range(kills):
        process = start(arguments, folder)
        moments.append(rng.uniform(0, seconds))
        time.sleep(moments[-1])
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(arguments, folder).wait() == 0, (folder / "log.txt").read_text()[-2000:]
    return moments


def files_of(folder: Path) -> dict[str, str]:
    """Names and hashes of the files that a run left, without its record (whose timings differ)."""
    return {path.name: file_sha256(path) for path in folder.glob("runs/*/*.tflite")}


@pytest.mark.slow
def test_a_run_killed_ten_times_ends_with_the_same_files(plugin, faces_file, tmp_path):
    arguments = [
        "--variant",
        "tiny",
        "--compress",
        "svd(rank=4)",
        "--data",
        str(faces_file),
        "--epochs",
        "20",
    ]
    arguments += ["--tune-epochs", "10", "--batch", "32", "--no-pipeline", "--min-seconds", "0.05"]
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    started = time.perf_counter()
    assert start(arguments, tmp_path / "whole").wait() == 0, (tmp_path / "whole" / "log.txt").read_text()[
        -2000:
    ]
    whole = time.perf_counter() - started
    run_with_kills(arguments, tmp_path / "killed", _KILLS, 0.8 * whole, seed=7)
    assert files_of(tmp_path / "whole") == files_of(tmp_path / "killed")
    assert len(files_of(tmp_path / "whole")) == 2
    assert not list((tmp_path / "killed" / "runs").rglob("*.part"))
