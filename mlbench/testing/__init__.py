"""Checks that every plug-in must pass, for those who write one, and small networks to try it on.

`parametrize_with_checks` makes pytest's tests of them; `check_compressor`, `check_task` and `check_network_source` run
them anywhere. docs/how-to/plugins.md shows how.
"""

from mlbench.testing.battery import checks_of, parametrize_with_checks
from mlbench.testing.compressor_checks import check_compressor, compressor_checks
from mlbench.testing.networks import NETWORKS, samples_for
from mlbench.testing.source_checks import check_network_source, source_checks
from mlbench.testing.task_checks import check_task, task_checks

__all__ = [
    "NETWORKS",
    "check_compressor",
    "check_network_source",
    "check_task",
    "checks_of",
    "compressor_checks",
    "parametrize_with_checks",
    "samples_for",
    "source_checks",
    "task_checks",
]
