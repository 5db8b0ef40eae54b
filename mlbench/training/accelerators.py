"""Where networks are trained: on a GPU that TensorFlow sees, or on the CPU. Measuring is on the CPU always."""

from __future__ import annotations

from typing import Literal

from mlbench.errors import UsageError
from mlbench.system import quiet

Accelerator = Literal["auto", "cpu", "gpu"]


def prepare(chosen: Accelerator) -> None:
    """Let TensorFlow see what training shall run on; to be called before it is imported.

    Raises:
        UsageError: a GPU is asked for, and TensorFlow sees none.
    """
    if chosen == "cpu":
        return
    quiet.see_accelerators()
    if chosen == "gpu" and not gpus():
        message = (
            "--accelerator gpu: TensorFlow sees no GPU here. Install its libraries by "
            "pip install 'mlbench[gpu]', or leave the option out to train on the CPU."
        )
        raise UsageError(message)


def gpus() -> list[str]:
    """The GPUs that TensorFlow sees."""
    quiet.quiet_tensorflow()
    import tensorflow as tf

    return [device.name for device in tf.config.list_physical_devices("GPU")]
