"""Notes of C++ libraries, kept off the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache


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


@lru_cache(maxsize=1)
def quiet_tensorflow() -> None:
    """Import TensorFlow with legacy Keras, on the CPU, and without the notes that it prints while it starts."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    with muted_standard_error():
        import tensorflow

        tensorflow.config.list_physical_devices()
        tensorflow.get_logger().setLevel("ERROR")  # its advice on tracing is for who writes the loop
