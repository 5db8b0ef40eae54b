"""Makes tests/search/table.json: what every candidate of a small space really gives, for searches that are replayed.

`python -m tests.benchmarks.search_table` trains a small network on scikit-learn's digits, then carries out each chain
untuned, after a quarter of its epochs, and whole: minutes on one core; it goes on where it was.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from mlbench.compression.chain import parse_chain
from mlbench.contracts import Block, Reading, Variant
from mlbench.data.sources import Source
from mlbench.runs.measuring import Measuring
from mlbench.runs.plan import Making
from mlbench.search.engine import open_engine
from mlbench.search.halving import epochs_of, rungs_of
from mlbench.search.work import Job
from mlbench.system.progress import Silent
from mlbench.tasks.classification import Classification
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.search.table import EPOCHS, METRIC, NETWORK, TABLE, space_of_table

SMALL = Variant(
    NETWORK,
    "for a table of results",
    blocks=(Block(12, 3, False), Block(16, 3, True)),
    dense=(64, 48),
    shape=(8, 8, 1),
    outputs=10,
)


def main() -> None:
    """Carry out every candidate, and write what it gave."""
    with tempfile.TemporaryDirectory() as folder:
        _fill(_digits(Path(folder)))


def _digits(folder: Path) -> Path:
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    path = folder / "digits.npz"
    np.savez(path, x=(images.reshape(-1, 8, 8, 1) / 16).astype(np.float32), y=classes)
    return path


def _fill(data: Path) -> None:
    options = {"batch": 64, "augment": False, "teacher_share": 0.0, "threads": 1}
    making = Making(
        Source(Classification(), data, 0, "shuffled", 7, Reading()),
        TrainingOptions(epochs=30, rate=2e-3, **options),
        TuningOptions(epochs=EPOCHS, rate=1e-3, **options),
    )
    engine = open_engine(making, {NETWORK: SMALL}, Measuring(), progress=Silent())
    kept = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    chains = {candidate.chain for _, candidate in space_of_table().every(10_000) or []}
    for chain in sorted(chains | {"none"}):
        for epochs in rungs_of(epochs_of(parse_chain(chain), EPOCHS)):
            if f"{epochs}" not in kept.get(chain, {}):
                engine.submit(Job(NETWORK, chain, epochs))
                [found] = engine.finished(3600)
                figures = found.failure or [round(found.metrics[METRIC.name], 5), found.file_bytes]
                kept.setdefault(chain, {})[f"{epochs}"] = figures
                print(chain, epochs, figures, f"{found.seconds:.1f} s", flush=True)
                _write(TABLE, kept)


def _write(path: Path, kept: dict[str, dict[str, object]]) -> None:
    lines = [f"{json.dumps(chain)}: {json.dumps(figures)}" for chain, figures in sorted(kept.items())]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
