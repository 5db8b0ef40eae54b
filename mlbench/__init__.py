"""mlbench: which form of this network fits this device, and what does it cost in accuracy?

record = mlbench.run("net.keras", "samples.npz", compress=["tucker+int8"])
record = mlbench.measure(["a.tflite", "b.tflite"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlbench.api import inspect, measure, run

__version__ = "0.1.0"

__all__ = ["inspect", "measure", "run"]


def __getattr__(name: str) -> Any:
    """What Python users call, imported when asked for: the measuring process imports this package too."""
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from mlbench import api

    return getattr(api, name)
