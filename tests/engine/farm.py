"""A scheduler and workers as others start them, for tests: processes that can be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from mlbench.system import children

_PATIENCE = 600  # seconds, on a machine that does much else


class Farm:
    """Processes of a Dask cluster on this machine.

    Attributes:
        address: of the scheduler, which stays where it is when it is started again.
    """

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self._port}"
        self._folder, self._started = folder, list[subprocess.Popen[bytes]]()
        self.scheduler = self.start_scheduler()

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        options = ("--host", "127.0.0.1", "--port", str(self._port), "--no-dashboard", "--no-jupyter")
        self.scheduler = self._start("dask_scheduler", *options)
        wait_until(self._answers)
        return self.scheduler

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def start_worker(self, cache: Path, *options: str) -> subprocess.Popen[bytes]:
        usual = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0")
        place = ("--local-directory", str(self._folder / f"worker-{len(self._started)}"))
        return self._start("dask_worker", self.address, *usual, *place, *options, cache=cache)

    def _start(self, command: str, *options: str, cache: Path | None = None) -> subprocess.Popen[bytes]:
        environment = children.environment() | ({"MLBENCH_CACHE": str(cache)} if cache else {})
        with (self._folder / f"{command}-{len(self._started)}.log").open("wb") as log:
            started = subprocess.Popen(
                children.command("-m", f"distributed.cli.{command}", *options),
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(started)
        return started

    def close(self) -> None:
        for process in self._started:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """As a machine that loses power."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(there: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE
    while not there():
        assert time.monotonic() < until
        time.sleep(0.05)
