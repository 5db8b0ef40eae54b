"""Workers as processes on this machine, of a scheduler in this process."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from distributed import Client, LocalCluster

from mlbench.errors import UsageError
from mlbench.system import children
from mlbench.system.cache import cache_folder

_ENDS = 10  # seconds that a worker may take to end
_ALONE = "60"  # seconds after which a worker ends that finds no scheduler

#: Dask looks a hundred times a second at what a worker is at, for a page that nobody opens.
UNWATCHED = {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"}


class LocalWorkers:
    """A scheduler in this process, and worker processes that share this machine's cache.

    Attributes:
        client: of the scheduler.
    """

    def __init__(self, count: int, threads: int) -> None:
        """Start `count` workers of `threads` threads each; they join when they are ready."""
        self._scheduler = LocalCluster(
            n_workers=0,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )
        self.client = Client(self._scheduler, set_as_default=False)
        self._scratch = tempfile.TemporaryDirectory(prefix="mlbench-workers-")
        self._workers = [self._started(number, threads) for number in range(1, count + 1)]

    def _started(self, number: int, threads: int) -> subprocess.Popen[bytes]:
        address = self._scheduler.scheduler_address
        options = ["--nthreads", "1", "--memory-limit", "0", "--no-dashboard", "--death-timeout", _ALONE]
        options += ["--name", f"worker {number}", "--local-directory", self._scratch.name]
        options += ["--resources", "measuring=1"] if number == 1 else []
        numbers = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), f"{threads}")
        own = {"MLBENCH_CACHE": str(cache_folder().absolute()), **UNWATCHED}
        environment = children.environment() | numbers | own
        with self._log(number).open("wb") as log:
            return subprocess.Popen(
                children.command("-m", "distributed.cli.dask_worker", address, *options),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _log(self, number: int) -> Path:
        return Path(self._scratch.name, f"worker-{number}.log")

    def require_alive(self) -> None:
        """See that a worker lives, or may come to.

        Raises:
            UsageError: none does; the last that one said.
        """
        if all(worker.poll() is not None for worker in self._workers):
            said = self._log(1).read_text(encoding="utf-8", errors="replace").strip().splitlines()
            message = (
                f"All workers ended ({said[-1] if said else 'without a message'}): run with --workers 1."
            )
            raise UsageError(message)

    def close(self) -> None:
        """End the workers and the scheduler."""
        for worker in self._workers:
            _signal(worker, signal.SIGTERM)
        for worker in self._workers:
            try:
                worker.wait(_ENDS)
            except subprocess.TimeoutExpired:
                _signal(worker, signal.SIGKILL)
                worker.wait()
            _signal(worker, signal.SIGKILL)  # what it started
        self._scheduler.close()
        self._scratch.cleanup()


def _signal(worker: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, number)
