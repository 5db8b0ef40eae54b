"""What a Variant, Compressor, DeviceRunner and Report must offer, and the values they exchange.

Plug-ins implement these; `mlbench.plugins` finds them by entry point. Nothing here imports TensorFlow:
a plug-in imports it inside the methods that need it.
"""

from mlbench.contracts.compressor import Compressor, Context, Form, Order, Tuned
from mlbench.contracts.network import Block, Variant
from mlbench.contracts.precision import ExportOptions, Precision
from mlbench.contracts.progress import Progress
from mlbench.contracts.report import Report
from mlbench.contracts.runner import DeviceRunner, Job, Outcome

__all__ = [
    "Block",
    "Compressor",
    "Context",
    "DeviceRunner",
    "ExportOptions",
    "Form",
    "Job",
    "Order",
    "Outcome",
    "Precision",
    "Progress",
    "Report",
    "Tuned",
    "Variant",
]
