"""The space whose candidates `table.json` holds the results of, and an engine that replays them."""

from __future__ import annotations

import json
from pathlib import Path

from mlbench.search.space import Space, space_of
from mlbench.search.work import Job, Outcome
from mlbench.tasks.classification import Classification

TABLE = Path(__file__).with_name("table.json")
NETWORK = "small"
EPOCHS = 3  # of tuning, after each step

#: Few samples are judged: of their top-1 most candidates would have the same.
METRIC = next(metric for metric in Classification.metrics if metric.name == "cross_entropy")

ENTRIES = {
    "chain": "{slim}+{factors}+{q}",
    "slim": ["none", "slim({share},layers=dense)"],
    "share": [0.25, 0.5, 0.75],
    "factors": ["none", "svd({rank})", "tucker(energy={energy})"],
    "rank": [4, 8, 16, 24],
    "energy": [0.8, 0.95],
    "q": ["none", "dynamic", "int8", "dynamic4"],
}


def space_of_table() -> Space:
    """The space, of the one network of the table."""
    return space_of(ENTRIES, [NETWORK], str.strip, str)


def replayed() -> dict[Job, Outcome]:
    """What each job of the table gave."""
    found = {}
    for chain, rungs in json.loads(TABLE.read_text(encoding="utf-8")).items():
        for epochs, figures in rungs.items():
            job = Job(NETWORK, chain, None if epochs == "None" else int(epochs))
            whole = job.epochs is None
            if isinstance(figures, str):
                found[job] = Outcome(job, failure=figures)
            else:
                found[job] = Outcome(
                    job, metrics={METRIC.name: figures[0]}, file_bytes=figures[1], complete=whole
                )
    return found
