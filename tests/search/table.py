"""The space whose candidates `table.json` holds the results of, and an engine that replays them."""

from __future__ import annotations

import json
from pathlib import Path

from mlbench.search.space import Space, space_of
from mlbench.search.work import Job, Outcome

TABLE = Path(__file__).with_name("table.json")
EPOCHS = 6  # of tuning, after each step

ENTRIES = {
    "chain": "{slim}+{factors}+{q}",
    "slim": ["none", "slim({share},layers=dense)"],
    "share": [0.25, 0.5, 0.75],
    "factors": ["none", "svd({rank})", "tucker(energy={energy})"],
    "rank": [4, 8, 16, 24],
    "energy": [0.8, 0.9, 0.96, 0.99],
    "q": ["none", "float16", "dynamic", "int8", "dynamic4"],
}


def space_of_table() -> Space:
    """The space, of the one network of the table."""
    return space_of(ENTRIES, ["small"], str.strip, str)


def replayed() -> dict[Job, Outcome]:
    """What each job of the table gave."""
    found = {}
    for chain, rungs in json.loads(TABLE.read_text(encoding="utf-8")).items():
        for epochs, figures in rungs.items():
            job = Job("small", chain, None if epochs == "None" else int(epochs))
            whole = job.epochs is None
            if isinstance(figures, str):
                found[job] = Outcome(job, failure=figures)
            else:
                found[job] = Outcome(job, metrics={"mae": figures[0]}, file_bytes=figures[1], complete=whole)
    return found
