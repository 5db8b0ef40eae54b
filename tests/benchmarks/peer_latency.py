"""The host runner beside its peer: p50 of the worker and of `litert-benchmark` on one file, interleaved.

    python -m tests.benchmarks.peer_latency runs/*/basic-none.tflite --threads 1

Prints the ratio of the medians, and the worker's memory above a bare interpreter that has imported the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from mlbench.contracts import Job
from mlbench.device_runners.host import _Inputs, _Worker

_BARE = """
import numpy
from ai_edge_litert.interpreter import Interpreter
print(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
"""


def peer_p50(model: Path, threads: int, runs: int) -> float:
    """Median latency in ms that `litert-benchmark` reports."""
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch, "result.json")
        command = [
            str(Path(sys.executable).with_name("litert-benchmark")),
            *("--model", str(model), "--num_runs", str(runs), "--warmup_runs", "20"),
            *("--num_threads", str(threads), "--result_json", str(result)),
        ]
        subprocess.run(command, check=True, capture_output=True)
        return float(json.loads(result.read_text())["latency"]["median_ms"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        job = Job((), Path(scratch), test_sets={}, threads=given.threads)
        worker = _Worker(given.model, job, _Inputs.write(job, job.folder))
        worker.ask("load")
        worker.ask("warm_up")
        ours, theirs = [], []
        for _ in range(given.rounds):
            burst = worker.ask("network", seconds=0.0, count=given.runs)["samples_ms"]
            ours.append(statistics.median(burst))
            theirs.append(peer_p50(given.model, given.threads, given.runs))
            print(f"worker {ours[-1]:.4f} ms, litert-benchmark {theirs[-1]:.4f} ms", flush=True)
        baseline = worker.ask("memory")["baseline_bytes"]
        worker.close()
    bare = (
        int(subprocess.run([sys.executable, "-I", "-c", _BARE], capture_output=True, text=True).stdout) * 1024
    )
    print(f"ratio of medians {statistics.median(ours) / statistics.median(theirs):.4f}")
    print(f"worker before the model {(baseline - bare) / 1e6:+.1f} MB above a bare interpreter")


if __name__ == "__main__":
    main()
