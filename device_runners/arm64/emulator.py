"""Python on the kernels of an ARM CPU, emulated by QEMU in user mode: a JSON line in, a JSON line out."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import mlbench
from mlbench.device_runners.arm64.home import INSTALL, Home
from mlbench.errors import UsageError
from mlbench.plugins import did_you_mean

#: 7.2, which Debian 12 has, crashes in LiteRT.
_OLDEST = (8, 0)

_WORKER = Path(__file__).with_name("worker.py")
_START_S = 1800.0  # emulated imports take seconds, on a crowded machine minutes


class EmulatorError(Exception):
    """The emulated process said no, died or did not answer; the text says why."""


def version_of(qemu: Path) -> str:
    """The emulator's version, "10.0.13".

    Raises:
        UsageError: it does not run, or is too old.
    """
    try:
        told = _output(qemu, "--version")
    except (OSError, subprocess.SubprocessError) as error:
        message = f"{qemu} does not run ({error}): {INSTALL}."
        raise UsageError(message) from error
    found = re.search(r"version (\d+)\.(\d+)[.\d]*", told)
    if found is None:
        message = f"{qemu} does not print its version: {INSTALL}."
        raise UsageError(message)
    version = found[0].removeprefix("version ")
    if (int(found[1]), int(found[2])) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        message = (
            f"{qemu} is QEMU {version}, which crashes in LiteRT; {oldest} or newer is needed: {INSTALL}."
        )
        raise UsageError(message)
    return version


def require_qemu(home: Home) -> Path:
    """The emulator of an installation, new enough.

    Raises:
        UsageError: there is none, or it does not run, or is too old.
    """
    if home.qemu is None:
        message = f"There is no QEMU: {INSTALL}, or put qemu-aarch64 {_OLDEST[0]} or newer on the PATH."
        raise UsageError(message)
    version_of(home.qemu)
    return home.qemu


def require_cpu(qemu: Path, cpu: str) -> None:
    """Check that the emulator knows a CPU model.

    Raises:
        UsageError: it does not.
    """
    known = _output(qemu, "-cpu", "help").split("CPUs:", 1)[-1].split()
    if cpu not in known:
        message = f'QEMU emulates no "{cpu}"{did_you_mean(cpu, known)}'
        raise UsageError(message)


@lru_cache
def _output(qemu: Path, *arguments: str) -> str:
    done = subprocess.run([str(qemu), *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout  # the list of CPUs comes with exit code 1


def try_out(home: Home) -> None:
    """Start the emulated process, which imports all that it needs, and end it.

    Raises:
        UsageError: it does not start.
    """
    try:
        Emulated(home, "max").close()
    except EmulatorError as error:
        message = f"The emulated Python does not run: {error}; free memory, or {INSTALL} again."
        raise UsageError(message) from error


class Emulated:
    """A process on an emulated CPU that has imported what it needs, but knows no model yet."""

    def __init__(self, home: Home, cpu: str) -> None:
        """Start it.

        Raises:
            EmulatorError: it ended before it was ready.
            UsageError: there is no emulator that can run it.
        """
        self._late = False
        self._folder = tempfile.TemporaryDirectory(prefix="mlbench-")
        modules = Path(self._folder.name, "modules")
        modules.mkdir()
        (modules / "mlbench").symlink_to(Path(mlbench.__file__).parent)  # and none of what lies beside it
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (a pipe that nobody reads would fill)
        command = [
            str(require_qemu(home)),
            "-cpu",
            cpu,
            "-L",
            str(home.root),
            str(home.python),
            "-P",
            str(_WORKER),
        ]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=_environment(home, modules),
        )
        try:
            self._read(_START_S)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()
        self._folder.cleanup()

    def ask(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Have something done within so many seconds.

        Raises:
            EmulatorError: it failed, took longer, or the process died.
        """
        try:
            assert self._process.stdin is not None  # noqa: S101 (it is a pipe)
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise EmulatorError(self._cause_of_death()) from error
        answer = self._read(seconds)
        if "error" in answer:
            raise EmulatorError(answer["error"])
        return answer

    def _read(self, seconds: float) -> dict[str, Any]:
        timer = threading.Timer(seconds, self._give_up)
        timer.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout else ""
        finally:
            timer.cancel()
        if self._late:
            message = f"the emulated process did not answer within the limit of {seconds:.0f} s"
            raise EmulatorError(message)
        if not line:
            raise EmulatorError(self._cause_of_death())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _give_up(self) -> None:
        self._late = True
        self._process.kill()

    def _cause_of_death(self) -> str:
        code = self._process.wait(timeout=30)
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        if code == -signal.SIGKILL:
            return "the emulated process was killed, probably out of memory"
        how = f"crashed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return f"the emulated process {how}: {lines[-1] if lines else 'no message'}"


def _environment(home: Home, modules: Path) -> dict[str, str]:
    """Nothing of this machine's Python: its packages are for another processor."""
    return {
        "PATH": os.defpath,
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join((str(modules), str(home.site))),
        "PYTHONPYCACHEPREFIX": str(home.bytecode),
        "PYTHONNOUSERSITE": "1",
    }
