"""What the engine costs by itself: steps that do nothing, on many workers of one process.

    python -m tests.benchmarks.engine_cost --jobs 3333 --workers 64

Each job has a baseline that all share, a stage and a judgement.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from typing import Any

import dask

from mlbench.runs.measuring import Measuring
from mlbench.search.engine.conductor import Conductor
from mlbench.search.engine.forms import Reply
from mlbench.search.engine.judging import Judgement
from mlbench.search.engine.local import UNWATCHED
from mlbench.search.engine.pools import Holders
from mlbench.search.engine.steps import Kind, Planned, Step
from mlbench.search.work import Job
from mlbench.system.progress import Silent

_JUDGED = Judgement(metrics={"mae": 1.0}, file_bytes=1, deflated_bytes=1, parameters=1, macs=1)


class Plans:
    """A stage and a judgement on one baseline."""

    def steps(self, job: Job) -> Planned:
        """See `Planner.steps`."""

        def step(kind: Kind, chain: str, *needs: str) -> Step:
            key = hashlib.sha256(f"{kind} {chain}".encode()).hexdigest()[:16]
            return Step(kind, key, f"stages/{key}/stage.json", job.network, chain, None, needs, alone=key)

        baseline = step("baseline", "none")
        stage = step("stage", job.chain, baseline.mark)
        return Planned((baseline, stage, step("judged", job.chain, stage.mark)), stage.key, complete=True)


class Describes:
    """Tells a worker nothing but a text as long as a real one."""

    def step(self, step: Step, holders: Holders) -> str:
        """See `mlbench.search.engine.cluster.Describes`."""
        return step.kind + " " * 2000

    def offer(self, mark: str) -> None:
        """Nothing to offer."""


def perform(text: str) -> str:
    """A step that does nothing."""
    judged = text.startswith("judged")
    return Reply(status="done", judgement=_JUDGED if judged else None).model_dump_json()


def main() -> None:
    """Print seconds per step."""
    os.environ |= UNWATCHED
    dask.config.refresh()  # reads the environment again
    from distributed import Client, LocalCluster

    from mlbench.search.engine.cluster import Cluster

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=3333)
    parser.add_argument("--workers", type=int, default=64)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLBENCH_CACHE"] = folder
        with (
            LocalCluster(
                n_workers=asked.workers, threads_per_worker=1, processes=False, dashboard_address=None
            ) as started,
            Client(started, set_as_default=False) as client,
        ):
            client.wait_for_workers(asked.workers)
            told: dict[str, Any] = {
                "describes": Describes(),
                "progress": Silent(),
                "reconnect": lambda: client,
            }
            engine = Conductor(Plans(), Cluster(client, perform=perform, **told), Measuring(), Silent())
            begun, cpu, left = time.perf_counter(), time.process_time(), asked.jobs
            for number in range(asked.jobs):
                engine.submit(Job("net", f"c{number}"))
            while left:
                left -= len(list(engine.finished(1)))
            wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
            steps = 1 + 2 * asked.jobs
            print(
                f"{steps:,} steps on {asked.workers} workers: {1e3 * wall / steps:.2f} ms per step, ", end=""
            )
            print(f"{1e3 * cpu / steps:.2f} ms of CPU per step (client, scheduler and workers together)")


if __name__ == "__main__":
    main()
