"""How many times as long a `.tflite` takes as another: processor time, which other programs hardly change.

python -m tests.benchmarks.file_turns one.tflite other.tflite

Both take turns, each time loaded anew: where its memory lies changes a file's speed by several percent.
"""

from __future__ import annotations

import random
import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from mlbench.evaluation.statistics import LATENCY_CONFIDENCE, signed_rank_interval

_ROUNDS, _WARM, _COUNT = 200, 5, 40


def median_ms(path: str, rng: np.random.Generator) -> float:
    """Of one inference on noise, by a newly loaded file."""
    interpreter = Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]
    interpreter.set_tensor(entry["index"], rng.random(entry["shape"], np.float32))
    samples: list[float] = []
    for _ in range(_WARM + _COUNT):
        begun = time.process_time()
        interpreter.invoke()
        samples.append((time.process_time() - begun) * 1000)
    return float(np.median(samples[_WARM:]))


def main() -> None:
    """Measure and print: the ratio over all turns, with its 99 % interval as in a record."""
    paths, order, rng = sys.argv[1:3], random.Random(7), np.random.default_rng(7)
    found: dict[str, list[float]] = {path: [] for path in paths}
    for _ in range(_ROUNDS):
        for path in order.sample(paths, len(paths)):
            found[path].append(median_ms(path, rng))
    one, other = (np.log(found[path]) for path in paths)
    ratio = signed_rank_interval(other - one, LATENCY_CONFIDENCE)
    assert ratio is not None
    for path in paths:
        print(f"{path}: {np.median(found[path]):.3f} ms")
    value, low, high = np.exp([ratio.value, ratio.low, ratio.high])
    print(f"times as long: {value:.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
