"""One `.tflite` in a process of its own: load it, run it on noise, print bytes, latency and memory as JSON.

python -m tests.benchmarks.file_latency net.tflite
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

_SECONDS, _COUNT = 3.0, 5  # at least; a slow one takes longer


def resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main() -> None:
    """Measure and print."""
    before = resident("VmRSS")
    interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]
    interpreter.set_tensor(entry["index"], np.random.default_rng(7).random(entry["shape"], np.float32))
    samples: list[float] = []
    started = time.perf_counter()
    while len(samples) < _COUNT or time.perf_counter() - started < _SECONDS:
        begun = time.perf_counter()
        interpreter.invoke()
        samples.append((time.perf_counter() - begun) * 1000)
    figures = {
        "bytes": Path(sys.argv[1]).stat().st_size,
        "p50_ms": round(float(np.median(samples)), 3),
        "min_ms": round(min(samples), 3),
        "peak_mb": round(resident("VmHWM") / 1e6, 1),
        "process_mb": round(before / 1e6, 1),
        "partitions": sum(op["op_name"] == "DELEGATE" for op in interpreter._get_ops_details()),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
