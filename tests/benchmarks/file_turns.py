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
    """Measure and print: the median ratio of all turns, its 95 % interval by resampling turns."""
    paths, order, rng = sys.argv[1:3], random.Random(7), np.random.default_rng(7)
    found: dict[str, list[float]] = {path: [] for path in paths}
    for _ in range(_ROUNDS):
        for path in order.sample(paths, len(paths)):
            found[path].append(median_ms(path, rng))
    ratios = np.divide(found[paths[1]], found[paths[0]])
    drawn = np.median(ratios[rng.integers(_ROUNDS, size=(5000, _ROUNDS))], axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    for path in paths:
        print(f"{path}: {np.median(found[path]):.3f} ms")
    print(f"times as long: {np.median(ratios):.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
