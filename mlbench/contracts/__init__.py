"""What a Variant, Compressor, Detector, DeviceRunner and Report must offer, and the values they exchange.

Plug-ins implement these; `mlbench.plugins` finds them by entry point. Nothing here imports TensorFlow:
a plug-in imports it inside the methods that need it.
"""

from mlbench.contracts.compressor import (
    OTHER_KIND,
    SHARES_OF_BYTES,
    Alone,
    Compressor,
    Context,
    Form,
    Order,
    Tried,
    Tuned,
    unchanged,
)
from mlbench.contracts.detector import Detector
from mlbench.contracts.network import NetworkSource
from mlbench.contracts.precision import ExportOptions, Precision
from mlbench.contracts.progress import Advance, Progress
from mlbench.contracts.reading import AS_STORED, Expected, Reading
from mlbench.contracts.report import Report
from mlbench.contracts.runner import DeviceRunner, Job, Outcome, Pipeline
from mlbench.contracts.samples import Encoding, Samples
from mlbench.contracts.task import Metric, Picture, Task
from mlbench.contracts.variant import Block, Variant

__all__ = [
    "AS_STORED",
    "OTHER_KIND",
    "SHARES_OF_BYTES",
    "Advance",
    "Alone",
    "Block",
    "Compressor",
    "Context",
    "Detector",
    "DeviceRunner",
    "Encoding",
    "Expected",
    "ExportOptions",
    "Form",
    "Job",
    "Metric",
    "NetworkSource",
    "Order",
    "Outcome",
    "Picture",
    "Pipeline",
    "Precision",
    "Progress",
    "Reading",
    "Report",
    "Samples",
    "Task",
    "Tried",
    "Tuned",
    "Variant",
    "unchanged",
]
