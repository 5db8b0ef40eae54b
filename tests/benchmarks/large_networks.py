"""Time and memory of techniques on a large network of others: ResNet50V2 of Keras, random weights, 224×224.

python -m tests.benchmarks.large_networks FOLDER [CHAIN…]

Writes the network and 120 random images into FOLDER, and prints, per chain, how long `mlbench compress` takes without
tuning, and the most memory that one of its processes had. The network is imported and judged beforehand, once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

_CHAINS = ("svd", "tucker", "slim(0.5)", "int8")
_MADE = """
import sys, keras
keras.utils.set_random_seed(7)
keras.applications.ResNet50V2(weights=None).save(sys.argv[1])
"""


def main() -> None:
    """Measure the chains of the command line, or the usual ones."""
    folder, chains = Path(sys.argv[1]), sys.argv[2:] or _CHAINS
    folder.mkdir(parents=True, exist_ok=True)
    network, images = folder / "resnet50v2.keras", folder / "images.npz"
    subprocess.run([sys.executable, "-c", _MADE, str(network)], check=True, stderr=subprocess.DEVNULL)
    rng = np.random.default_rng(7)
    np.savez(images, x=rng.integers(0, 256, (120, 224, 224, 3), dtype=np.uint8), y=rng.integers(0, 1000, 120))
    os.environ["MLBENCH_CACHE"] = str(folder / "cache")
    print("| chain | seconds | GB | file, bytes |\n|---|---|---|---|")
    for chain in ("none", *chains):
        seconds, memory, size = _compressed(chain, network, images, folder)
        print(f"| `{chain}` | {seconds:.0f} | {memory / 1e9:.1f} | {size:,} |", flush=True)


def _compressed(chain: str, network: Path, images: Path, folder: Path) -> tuple[float, int, int]:
    """Seconds, bytes of the largest process, and bytes of the file."""
    out, started = folder / "out.tflite", time.perf_counter()
    command = [
        sys.executable,
        "-c",
        "from mlbench.cli import main; main()",
        "compress",
        "--model",
        str(network),
    ]
    command += ["--data", str(images), "--task", "classification", "--tune-epochs", "0"]
    command += ["--chain", chain, "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{chain}: mlbench compress ended with {process.returncode}")
    return time.perf_counter() - started, used.ru_maxrss * 1024, out.stat().st_size


if __name__ == "__main__":
    main()
