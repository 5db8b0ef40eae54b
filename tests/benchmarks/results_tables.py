"""Tables of the pages in docs/evidence from the records of runs.

    python -m tests.benchmarks.results_tables paper  RUN…    the paper's Tables 1 and 2 beside ours
    python -m tests.benchmarks.results_tables ratios RUN…    what compression wins and costs, as in Kim et al. 2016
    python -m tests.benchmarks.results_tables goals  RUN…    of each run's last chain, what it reaches of what it shall
    python -m tests.benchmarks.results_tables front  RUN…    error against bytes, and which files no other beats
    python -m tests.benchmarks.results_tables stages RUN…    what each step of a chain gave and cost
    python -m tests.benchmarks.results_tables pools  RUN…    training time against the number of pools
    python -m tests.benchmarks.results_tables techniques RUN…    size raw and deflated, speed, memory and error
    python -m tests.benchmarks.results_tables files  RUN…    the chain of each file, a step per line

A RUN is a folder with record.json, or the file. With --sizes a file is named by its size in place of its chain.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from mlbench.compression.chain import short_names
from mlbench.errors import UsageError
from mlbench.records import Artifact, Interval, Measurement, Record, Scores, Stage, read_record
from mlbench.reports.paper_results import PAPER_DETECTOR_FPS, PAPER_RESULTS
from mlbench.system.sizes import format_size

Row = list[str]

#: Columns of a kind that is too wide for one table, by table.
_TABLES = {
    "paper": (range(7), (0, *range(7, 11))),
    "ratios": (range(6), (0, *range(6, 12))),
    "front": (range(3), (1, *range(3, 9))),
    "stages": (range(4), (0, 1, *range(4, 10))),
}


def main() -> None:
    """Print one kind of table of all records together."""
    kinds: dict[str, Callable[[list[Record]], Iterator[Row]]] = {
        "paper": paper,
        "ratios": ratios,
        "goals": goals,
        "front": front,
        "stages": stages,
        "pools": pools,
        "techniques": techniques,
        "files": files,
    }
    asked = [word for word in sys.argv[1:] if word != "--sizes"]
    if len(asked) < 2 or asked[0] not in kinds:
        sys.exit(__doc__)
    try:
        records = [read_record(Path(place)) for place in asked[1:]]
        rows = [*kinds[asked[0]]([*map(_by_size, records)] if "--sizes" in sys.argv else records)]
    except UsageError as error:
        sys.exit(f"Error: {error}")
    if asked[0] == "files":
        print("\n".join(f"{name}, {size} bytes:\n\n```text\n{chain}\n```\n" for name, size, chain in rows))
        return
    for columns in _TABLES.get(asked[0], [range(len(rows[0]))]):
        head, *others = ([row[column] for column in columns if column < len(row)] for row in rows)
        for row in (head, ["---"] * len(head), *others):
            print(f"| {' | '.join(row)} |")
        print()


def paper(records: list[Record]) -> Iterator[Row]:
    """Accuracy by both definitions, errors, bytes, map, speed and budgets; the paper's figures, named as such."""
    yield [
        "network",
        "argmax / rounded accuracy",
        "RMSE, px",
        "MAE, px",
        "NME, %",
        "bytes",
        "map",
        "FPS network / detector / both",
        "68 MB",
        "100 MB",
        "paper: accuracy, MB, FPS",
    ]
    for record, artifact in _artifacts(records):
        error, measured = _error(record, artifact, "test"), _measured(record, artifact)
        verdicts = {
            b.budget: "fits" if b.fits else "does not" for b in record.budgets if b.artifact == artifact.id
        }
        told = PAPER_RESULTS.get(artifact.variant) if artifact.chain == "none" else None
        fps = f"{told.fps:g}" if told and told.fps else "N/A"
        speeds = (
            (measured.network, measured.parts.get("detector"), measured.parts.get("both")) if measured else ()
        )
        yield [
            _label(record, artifact),
            f"{error.metrics['argmax_accuracy'].value:.3f} / {error.metrics['rounded_accuracy'].value:.3f}"
            if error
            else "–",
            f"{error.metrics['rmse'].value:.3f}" if error else "–",
            f"{error.metrics['mae'].value:.3f}" if error else "–",
            f"{error.metrics['nme'].value:.2%}".rstrip("%") if error else "–",
            f"{artifact.file_bytes:,}",
            _map(record, artifact),
            " / ".join(f"{1000 / timing.mean_ms:.0f}" if timing else "–" for timing in speeds) or "–",
            *(verdicts.get(budget, "–") for budget in _budgets(record)),
            f"{told.accuracy}, {told.file_mb:g}, {fps} (detector alone {PAPER_DETECTOR_FPS})" if told else "",
        ]


def ratios(records: list[Record]) -> Iterator[Row]:
    """How many times smaller, fewer, faster and leaner than the baseline, and what it costs."""
    yield [
        "network",
        "size ×",
        "MACs ×",
        "latency × (99 %)",
        "memory ×",
        "validation MAE before → after tuning, px",
        *(f"{name}: MAE change, px" for name in _sets(records)),
    ]
    for record in records:
        base, *others = record.artifacts
        for artifact in others:
            whole, small = _measured(record, base), _measured(record, artifact)
            memory = (
                f"{whole.memory.peak_above_baseline_bytes / small.memory.peak_above_baseline_bytes:.1f}"
                if whole and small and whole.memory and small.memory
                else "–"
            )
            faster = _difference(record, artifact, "p50_ratio", "")
            yield [
                _label(record, artifact),
                f"{base.file_bytes / artifact.file_bytes:.1f}",
                f"{base.macs / artifact.macs:.1f}" if base.macs and artifact.macs else "–",
                f"{1 / faster.value:.1f} ({1 / faster.high:.1f} to {1 / faster.low:.1f})" if faster else "–",
                memory,
                _tuning(record, artifact),
                *(_signed(_difference(record, artifact, "mae", name)) for name in _sets(records)),
            ]


def goals(records: list[Record]) -> Iterator[Row]:
    """How far the last chain of each record goes: one column per record."""
    yield ["goal", *(record.artifacts[0].variant for record in records)]
    columns = [_goals(record) for record in records]
    for row in zip(*columns, strict=True):
        yield [row[0][0], *(shown for _, shown in row)]


def _goals(record: Record) -> list[tuple[str, str]]:
    base, best = record.artifacts[0], record.artifacts[-1]
    kib = 96 if base.variant == "basic" else 128
    rows = [
        ("bytes (96 KiB for basic, 128 KiB)", _met(f"{best.file_bytes:,}", best.file_bytes <= kib * 1024)),
        ("times smaller", f"{base.file_bytes / best.file_bytes:,.0f}"),
    ]
    for name in _sets([record]):
        change = _difference(record, best, "mae", name)
        shown = _met(_signed(change), change.high <= 0.02) if change else "–"
        rows.append((f"{name}: MAE change (at most +0.02 px)", shown))
    ratio, measured = _difference(record, best, "p50_ratio", ""), _measured(record, best)
    speed = f"{1 / ratio.value:.1f}" if ratio else "–"
    if ratio and base.variant == "one_pool":
        speed = _met(speed, 1 / ratio.value >= 20)
    rows.append(("times faster, p50 on one thread (20 for one_pool)", speed))
    memory = measured.memory.peak_above_baseline_bytes / 1e6 if measured and measured.memory else None
    rows.append(
        (
            "peak memory above a bare interpreter (12 MB)",
            _met(f"{memory:.1f} MB", memory <= 12) if memory else "–",
        )
    )
    before, after = (_error(record, artifact, "human_dev:human (frontal)") for artifact in (base, best))
    if before and after:
        shown = _met(f"{before.metrics['nme'].value:.2%}", before.metrics["nme"].value <= 0.042)
        rows.append(("baseline: NME, frontal, manual labels (4.2 %)", shown))
        rows.append(("best chain: the same", f"{after.metrics['nme'].value:.2%}"))
    return rows


def _met(shown: str, met: bool) -> str:
    return f"{shown}: {'met' if met else 'not met'}"


def front(records: list[Record]) -> Iterator[Row]:
    """Files by size with their errors; those that no file of their size or less beats are on the front."""
    names = _sets(records)
    yield ["bytes", "network", "on the front", *(f"{name}: MAE, px" for name in names)]
    files = sorted(_artifacts(records), key=lambda pair: pair[1].file_bytes)
    errors = [[_error(record, artifact, name) for name in names] for record, artifact in files]
    values = np.array([[error.metrics["mae"].value if error else np.inf for error in row] for row in errors])
    sizes = np.array([artifact.file_bytes for _, artifact in files])
    for (record, artifact), row, own in zip(files, errors, values, strict=True):
        least = values[sizes <= artifact.file_bytes].min(axis=0)
        won = [name for name, best in zip(names, np.isfinite(own) & (own == least), strict=True) if best]
        shown = [_with_interval(error.metrics["mae"]) if error else "–" for error in row]
        yield [
            f"{artifact.file_bytes:,}",
            _label(record, artifact),
            "all" if len(won) == len(names) else ", ".join(won),
            *shown,
        ]


def stages(records: list[Record]) -> Iterator[Row]:
    """Parameters, multiply-accumulates, bytes and error after each step, a step that chains share once."""
    yield [
        "no.",
        "network",
        "after no.",
        "step",
        "technique",
        "parameters",
        "MACs",
        "bytes",
        "validation MAE before → after tuning, px",
        "epochs",
    ]
    numbers = dict[tuple[int, tuple[str, ...]], int]()
    for position, record in enumerate(records):
        for names, stage in _steps(record).items():
            before = numbers.get((position, names[:-1]), "")
            yield [
                f"{numbers.setdefault((position, names), len(numbers) + 1)}",
                record.artifacts[0].variant,
                f"{before}",
                f"`{stage.name}`",
                stage.name.partition("(")[0],
                f"{stage.parameters:,}",
                f"{stage.macs / 1e6:.1f} M",
                f"{stage.file_bytes:,}" if stage.file_bytes else "–",
                _change(stage),
                f"{stage.history[-1].epoch}" if stage.history else "–",
            ]


def _steps(record: Record) -> dict[tuple[str, ...], Stage]:
    """Each step of the chains by the names of all steps up to it."""
    chains = [record.stages[artifact.id] for artifact in record.artifacts]
    return {
        tuple(stage.name for stage in chain[: end + 1]): stage
        for chain in chains
        for end, stage in enumerate(chain)
    }


def pools(records: list[Record]) -> Iterator[Row]:
    """Median speed of training the baselines, as their histories tell."""
    yield ["network", "MACs", "parameters", "images/s", "seconds per epoch", "epochs", "minutes of training"]
    for record in records:
        base = record.artifacts[0]
        history = record.stages[base.id][0].history[1:]
        yield [
            base.variant,
            f"{(base.macs or 0) / 1e6:.1f} M",
            f"{base.parameters:,}",
            f"{np.median([epoch.samples_per_s for epoch in history]):.0f}",
            f"{np.median([epoch.seconds for epoch in history]):.0f}",
            f"{len(history)}",
            f"{sum(epoch.seconds for epoch in history) / 60:.0f}",
        ]


def techniques(records: list[Record]) -> Iterator[Row]:
    """Of each file its sizes, multiply-accumulates, p50, peak memory above a bare process, and errors."""
    yield [
        "variant",
        "chain",
        "file",
        "deflated",
        "MACs",
        "p50, ms",
        "memory, MB",
        "validation MAE before → after tuning, px",
        "test MAE, px (95 %)",
    ]
    for record, artifact in _artifacts(records):
        measured, error = _measured(record, artifact), _error(record, artifact, "test")
        yield [
            artifact.variant,
            f"`{artifact.chain}`",
            format_size(artifact.file_bytes),
            format_size(artifact.deflated_bytes),
            f"{artifact.macs / 1e6:.1f} M" if artifact.macs else "–",
            f"{measured.network.p50_ms:.2f}" if measured and measured.network else "–",
            f"{measured.memory.peak_above_baseline_bytes / 1e6:.0f}" if measured and measured.memory else "–",
            _tuning(record, artifact),
            _with_interval(error.metrics["mae"]) if error else "–",
        ]


def files(records: list[Record]) -> Iterator[Row]:
    """The name of each file, its bytes, and its chain with a step per line."""
    for record, artifact in _artifacts(records):
        steps = "\n+ ".join(stage.name for stage in record.stages[artifact.id][1:])
        yield [_label(record, artifact), f"{artifact.file_bytes:,}", steps or "none"]


def _by_size(record: Record) -> Record:
    """The record with the size of each file in place of its chain; with what tells apart files of one size."""
    base, *others = record.artifacts
    sizes = [format_size(artifact.file_bytes) for artifact in record.artifacts]
    named = [
        artifact.model_copy(
            update={"chain": size + (_last_tuning(artifact) if sizes.count(size) > 1 else "")}
        )
        for artifact, size in zip(others, sizes[1:], strict=True)
    ]
    return record.model_copy(update={"artifacts": (base, *named)})


def _last_tuning(artifact: Artifact) -> str:
    options = dict(re.findall(r"(\w+)=([\w.]+)", artifact.chain.rpartition("+")[2]))
    return f", {options['epochs']} epochs" + (", teacher" if "teacher_share" in options else "")


def _artifacts(records: Iterable[Record]) -> list[tuple[Record, Artifact]]:
    return [(record, artifact) for record in records for artifact in record.artifacts]


def _label(record: Record, artifact: Artifact) -> str:
    if artifact.chain[0].isdigit():  # a size
        return f"{artifact.variant} {artifact.chain}"
    short = short_names(other.chain for other in record.artifacts)
    return f"{artifact.variant} `{short[artifact.chain]}`"


def _sets(records: Iterable[Record]) -> list[str]:
    """The test sets, each as a whole."""
    names = dict.fromkeys(scores.test_set for record in records for scores in record.scores)
    return [name for name in names if not name.endswith("(frontal)")]


def _error(record: Record, artifact: Artifact, test_set: str) -> Scores | None:
    found = (s for s in record.scores if (s.artifact, s.test_set) == (artifact.id, test_set))
    return next(found, None)


def _measured(record: Record, artifact: Artifact) -> Measurement | None:
    return next((m for m in record.measurements if m.artifact == artifact.id), None)


def _difference(record: Record, artifact: Artifact, quantity: str, test_set: str) -> Interval | None:
    wanted = artifact.id, quantity, test_set
    return next(
        (d.change for d in record.differences if (d.artifact, d.quantity, d.test_set) == wanted), None
    )


def _budgets(record: Record) -> list[str]:
    return list(dict.fromkeys(verdict.budget for verdict in record.budgets))


def _map(record: Record, artifact: Artifact) -> str:
    """Shape before the first flatten layer: the feature map."""
    shapes = [layer.output for layer in record.layers[artifact.id] if len(layer.output) == 3]
    return "×".join(map(str, shapes[-1])) if artifact.chain == "none" and shapes else ""


def _change(stage: Stage) -> str:
    return f"{stage.validation_before_tuning:.3f} → {stage.validation:.3f}"


def _tuning(record: Record, artifact: Artifact) -> str:
    """What the last tuning of a chain changed."""
    tuned = [stage for stage in record.stages[artifact.id][1:] if stage.history]
    return _change(tuned[-1]) if tuned else "–"


def _signed(change: Interval | None) -> str:
    return f"{change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})" if change else "–"


def _with_interval(value: Interval) -> str:
    return f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})"


if __name__ == "__main__":
    main()
