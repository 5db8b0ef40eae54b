"""Where networks are trained: on a GPU that TensorFlow sees, or on so many threads of the CPU.

Measuring is on the CPU always.
"""

from __future__ import annotations

from typing import Literal

from mlbench.errors import UsageError
from mlbench.system import quiet

Accelerator = Literal["auto", "cpu", "gpu"]


def prepare(chosen: Accelerator, threads: int) -> None:
    """Let TensorFlow use what training shall run on; to be called before it is imported.

    Args:
        chosen: what TensorFlow may see.
        threads: of the CPU, pinned before any network is made: one from the cache is looked at, or a small one tried,
            before training or tuning begins. 0: all cores.

    Raises:
        UsageError: a GPU is asked for, and TensorFlow sees none.
    """
    if chosen != "cpu":
        quiet.see_accelerators()
    if chosen == "gpu" and not gpus():
        message = (
            "--accelerator gpu: TensorFlow sees no GPU here; install what it needs by "
            "pip install 'mlbench[gpu]', or leave it out to train on the CPU."
        )
        raise UsageError(message)
    if threads:
        from mlbench.training.step import use_threads  # imports TensorFlow

        use_threads(threads)


def gpus() -> list[str]:
    """The GPUs that TensorFlow sees."""
    quiet.quiet_tensorflow()
    import tensorflow as tf

    return [device.name for device in tf.config.list_physical_devices("GPU")]
