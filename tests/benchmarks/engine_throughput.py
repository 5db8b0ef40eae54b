"""Throughput of two local workers against one, one thread each, on the same chains of a real network.

    python -m tests.benchmarks.engine_throughput --variant basic --faces 600 --chains 6

The baseline is trained before: what is timed are the chains, which share nothing else. Workers have been started, and
have imported TensorFlow. On a machine that does nothing else with at least two cores.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time

from mlbench.data.sources import Source
from mlbench.faces.landmarks import Landmarks
from mlbench.plugins import load
from mlbench.runs.measuring import Measuring
from mlbench.runs.plan import Making
from mlbench.search.engine import open_engine
from mlbench.search.work import Engine, Job
from mlbench.system.progress import Silent
from mlbench.training.options import TrainingOptions, TuningOptions


def _seconds(engine: Engine, jobs: list[Job]) -> float:
    begun, left = time.perf_counter(), len(jobs)
    for job in jobs:
        engine.submit(job)
    while left:
        for outcome in engine.finished(1):
            assert not outcome.failure, outcome.failure
            left -= 1
    return time.perf_counter() - begun


def main() -> None:
    """Print the ratio of the throughputs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--variant", default="basic")
    parser.add_argument("--faces", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--chains", type=int, default=6)
    asked = parser.parse_args()
    training = TrainingOptions(epochs=1, threads=1)
    tuning = TuningOptions(epochs=asked.epochs, threads=1)
    making = Making(Source(Landmarks(), None, asked.faces, None, 7), training, tuning)
    network, seconds = load("variants", asked.variant), {}
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["MLBENCH_CACHE"] = folder
            engine = open_engine(
                making, {asked.variant: network}, Measuring(), workers=workers, progress=Silent()
            )
            try:
                # Two that end only when each worker has had one: TensorFlow is imported then.
                _seconds(engine, [Job(asked.variant, f"svd(rank={rank})", 1) for rank in (30, 31)])
                ranks = range(8, 8 + asked.chains)
                seconds[workers] = _seconds(
                    engine, [Job(asked.variant, f"svd(rank={rank})") for rank in ranks]
                )
            finally:
                engine.close()
    print(
        f"one worker {seconds[1]:.1f} s, two {seconds[2]:.1f} s: {seconds[1] / seconds[2]:.2f} × the throughput"
    )


if __name__ == "__main__":
    main()
