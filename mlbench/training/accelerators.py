"""Where networks are trained: on a GPU that TensorFlow sees, or on so many threads of the CPU.

Measuring is on the CPU always.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

from mlbench.errors import UsageError
from mlbench.system import quiet
from mlbench.system.installing import install_extra

Accelerator = Literal["auto", "cpu", "gpu"]


def prepare(chosen: Accelerator) -> None:
    """Let TensorFlow see what training shall run on; to be called before it is imported.

    Raises:
        UsageError: a GPU is asked for, and TensorFlow sees none.
    """
    if chosen != "cpu":
        quiet.see_accelerators()
    if chosen == "gpu" and not gpus():
        message = (
            "--accelerator gpu: TensorFlow sees no GPU here. Install its libraries by "
            f"{install_extra('gpu')}, or leave the option out to train on the CPU."
        )
        raise UsageError(message)


def use_threads(threads: int) -> None:
    """Pin TensorFlow's threads, where there is a number; skipped once a network was made, when it is too late."""
    if threads:
        import tensorflow as tf

        with suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)


def gpus() -> list[str]:
    """The GPUs that TensorFlow sees."""
    quiet.quiet_tensorflow()
    import tensorflow as tf

    return [device.name for device in tf.config.list_physical_devices("GPU")]
