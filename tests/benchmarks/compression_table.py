"""The measured table of docs/compression.md, from the records of runs.

    python -m tests.benchmarks.compression_table runs/basic-* runs/two_pool-*

Prints Markdown: for each artifact its size raw and deflated, multiply-accumulates, p50, peak memory above a bare
process, the validation error of its last tuned stage before and after tuning, and the test error; then the stages of
each chain.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from mlbench.errors import UsageError
from mlbench.records import Artifact, Record, Stage, read_record
from mlbench.sizes import format_size

_HEAD = (
    "| variant | chain | file | deflated | MACs | p50, ms | memory, MB | validation MAE untuned → tuned, px "
    "| test MAE, px (95 %) |\n|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Print the tables, each with the command that made its record."""
    try:
        records = [read_record(Path(place)) for place in sys.argv[1:]]
    except UsageError as error:
        sys.exit(f"Error: {error}")
    for record in records:
        print(f"`{' '.join(record.command)}`\n\n{_HEAD}")
        print("\n".join(_row(record, artifact) for artifact in record.artifacts), end="\n\n")
        print(
            "What each step of the chains gave and cost:\n\n"
            "| chain | step | parameters | file | MAE, px |\n|---|---|---|---|---|"
        )
        print("\n".join(_steps(record)), end="\n\n")


def _row(record: Record, artifact: Artifact) -> str:
    measured = next((m for m in record.measurements if m.artifact == artifact.id), None)
    error = next((e for e in record.errors if e.artifact == artifact.id), None)
    tuned = [stage for stage in record.stages.get(artifact.id, ())[1:] if stage.history][-1:]
    cells = [
        artifact.variant,
        f"`{artifact.chain}`",
        format_size(artifact.file_bytes),
        format_size(artifact.deflated_bytes),
        f"{artifact.macs / 1e6:.1f} M" if artifact.macs else "–",
        f"{measured.network.p50_ms:.2f}" if measured and measured.network else "–",
        f"{measured.memory.peak_above_baseline_bytes / 1e6:.0f}" if measured and measured.memory else "–",
        _change(tuned[0]) if tuned else "–",
        f"{error.mae_px.value:.3f} ({error.mae_px.low:.3f} to {error.mae_px.high:.3f})" if error else "–",
    ]
    return f"| {' | '.join(cells)} |"


def _change(stage: Stage) -> str:
    return f"{stage.validation_mae_before_tuning_px:.3f} → {stage.validation_mae_px:.3f}"


def _steps(record: Record) -> Iterator[str]:
    for artifact in record.artifacts:
        stages = record.stages.get(artifact.id, ())[1:]  # without the baseline
        for stage in stages if len(stages) > 1 else ():
            size = format_size(stage.file_bytes) if stage.file_bytes else "–"
            yield f"| `{artifact.chain}` | {stage.name} | {stage.parameters:,} | {size} | {_change(stage)} |"


if __name__ == "__main__":
    main()
