"""The machine and the software that a run took place on, and what about them makes figures doubtful."""

from __future__ import annotations

import os
import platform
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from mlbench.system.cpu import CPU_INFO

_PACKAGES = ("mlbench", "tensorflow", "tf_keras", "ai-edge-litert", "numpy", "opencv-python-headless")

#: Share of the cores that others may use before a warning.
_BUSY = 0.25


def cores() -> int:
    """Cores that this process may use: fewer than the machine has under `taskset` or in a container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, str | int]:
    """CPU, cores, memory, frequency governor and operating system."""
    return {
        "cpu": _cpu_name(),
        "cores": cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "governor": _first_line(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")) or "not told",
        "system": platform.platform(),
    }


def software() -> dict[str, str]:
    """Python and the packages that matter for figures, with versions."""
    return {"python": platform.python_version()} | versions(*_PACKAGES)


def versions(*packages: str) -> dict[str, str]:
    """The versions of those of the packages that are installed."""
    found = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def doubts(threads: int) -> list[str]:
    """Why this machine's latencies may be worth less now, each with a remedy."""
    usable = cores()
    found = []
    if threads > usable:
        found.append(
            f"{threads} threads on {usable} cores wait for each other: use --threads {usable} or fewer."
        )
    busy = _busy_with_others(os.cpu_count() or 1)
    if busy > _BUSY:
        found.append(
            f"Other programs used {busy:.0%} of this machine before measuring: stop them and measure again."
        )
    return found


def _busy_with_others(cores: int, seconds: float = 0.5) -> float:
    """Share of the machine that other processes use now, 0..1."""
    ours, started = time.process_time(), time.perf_counter()
    busy = psutil.cpu_percent(interval=seconds) / 100
    return max(0.0, busy - (time.process_time() - ours) / (time.perf_counter() - started) / cores)


def _cpu_name() -> str:
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
