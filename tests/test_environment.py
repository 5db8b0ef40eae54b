"""What a machine is, as far as this process may use it."""

import os

import pytest

from mlbench.faces.preparation import Options
from mlbench.system import environment


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="processes are bound to cores on Linux alone"
)
def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert environment.machine()["cores"] == 1
    assert "2 threads on 1 cores" in environment.doubts(2)[0]
    assert Options().workers == 1
