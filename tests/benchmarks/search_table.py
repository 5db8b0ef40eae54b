"""Makes tests/search/table.json: what every candidate of a small space really gives, for searches that are replayed.

`python -m tests.benchmarks.search_table` trains a small network on sampled faces, then carries out each chain untuned,
after a quarter of its epochs, and whole: minutes; it goes on where it was.
"""

from __future__ import annotations

import json
from pathlib import Path

from mlbench.compression.chain import parse_chain
from mlbench.contracts import Block, Reading, Variant
from mlbench.data.sources import Source
from mlbench.faces.landmarks import Landmarks
from mlbench.runs.measuring import Measuring
from mlbench.runs.plan import Making
from mlbench.search.engine import open_engine
from mlbench.search.halving import epochs_of, rungs_of
from mlbench.search.work import Job
from mlbench.system.progress import Silent
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.search.table import EPOCHS, TABLE, space_of_table

NETWORK = Variant(
    "small",
    "for a table of results",
    blocks=(Block(8, 3, True), Block(12, 2, True), Block(16, 2, True)),
    dense=(64, 48),
    shape=(96, 96, 1),
    outputs=136,
)


def main() -> None:
    """Carry out every candidate, and write what it gave."""
    options = {"batch": 60, "optimizer": "muon", "loss": "absolute", "augment": False, "teacher_share": 0.0}
    making = Making(
        Source(Landmarks(), None, 800, "shuffled", 7, Reading()),
        TrainingOptions(epochs=24, rate=3e-3, **options),
        TuningOptions(epochs=EPOCHS, rate=2e-3, **options),
    )
    engine = open_engine(making, {"small": NETWORK}, Measuring(), progress=Silent())
    kept = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    every = space_of_table().every(10_000) or []
    chains = {candidate.chain for _, candidate in every}
    for chain in sorted(chains | {"none"}):
        for epochs in rungs_of(epochs_of(parse_chain(chain), EPOCHS)):
            if f"{epochs}" not in kept.get(chain, {}):
                engine.submit(Job("small", chain, epochs))
                [found] = engine.finished(3600)
                figures = (
                    [round(found.metrics["mae"], 5), found.file_bytes] if not found.failure else found.failure
                )
                kept.setdefault(chain, {})[f"{epochs}"] = figures
                print(chain, epochs, figures, flush=True)
                _write(TABLE, kept)


def _write(path: Path, kept: dict[str, dict[str, object]]) -> None:
    lines = [f"{json.dumps(chain)}: {json.dumps(figures)}" for chain, figures in sorted(kept.items())]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
