"""Notes of C++ libraries, kept off the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from mlbench.system.cpu import cpu_flags


@contextmanager
def muted_standard_error() -> Iterator[None]:
    """Keep what is written to standard error meanwhile off the terminal."""
    # At the level of the file descriptor: the notes come from C++, before any log level holds.
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


_seen: list[str] = []  # what TensorFlow may see beside the CPU


def _variables(flags: frozenset[str]) -> dict[str, str]:
    """What TensorFlow is told by the environment, on a CPU of these flags, where the user has not."""
    found = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    if (
        "avx2" in flags
    ):  # TensorFlow asks for AVX512-VNNI or more; training is 1.3 to 2 times as fast with AVX2 too
        found["TF_ENABLE_ONEDNN_OPTS"] = "1"
    return found if _seen else found | {"CUDA_VISIBLE_DEVICES": "-1"}


def see_accelerators() -> None:
    """Let TensorFlow see this machine's GPUs, where it is not imported yet."""
    _seen[:] = ["GPU"]


@lru_cache(maxsize=1)
def quiet_tensorflow() -> None:
    """Import TensorFlow with legacy Keras, and without the notes that it prints while it starts.

    It sees the CPU alone, unless `see_accelerators` was called before.
    """
    for name, value in _variables(cpu_flags()).items():
        os.environ.setdefault(name, value)
    with muted_standard_error():
        import tensorflow

        for gpu in tensorflow.config.list_physical_devices("GPU"):
            tensorflow.config.experimental.set_memory_growth(gpu, True)  # not all of its memory at once
        tensorflow.get_logger().setLevel("ERROR")  # its advice on tracing is for who writes the loop
