"""What a search leaves: its front measured by ordinary runs, all files interleaved on one machine, and its record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlbench import __version__
from mlbench.compression.chain import parse_chain
from mlbench.contracts import NetworkSource, Progress
from mlbench.errors import UsageError
from mlbench.evaluation.budgets import Budget, against_baseline, excess
from mlbench.records import FrontPoint, Interval, MetricFacts, Record, SearchRecord, SearchTrial
from mlbench.runs import pipeline, steps
from mlbench.runs.measuring import now
from mlbench.runs.pipeline import Finished
from mlbench.runs.plan import Plan
from mlbench.search.searching import Found
from mlbench.search.study import Row
from mlbench.system.files import write_atomically
from mlbench.training.baselines import Material

NAME = "search.json"

#: Says the command that makes a network and chain again.
Command = Callable[[str, str], str]


@dataclass(frozen=True)
class Telling:
    """What a record says beside what was found.

    Attributes:
        study: its name.
        metric: that is sought to be good.
        budgets: as they were given.
        sampler: of candidates.
        command: that was given.
        again: see `Command`.
    """

    study: str
    metric: MetricFacts
    budgets: tuple[str, ...]
    sampler: str
    command: tuple[str, ...]
    again: Command

    def record(self, found: Found) -> SearchRecord:
        """The record of what was found, before its front is measured."""
        return SearchRecord(
            mlbench_version=__version__,
            created=now(),
            command=self.command,
            study=self.study,
            metric=self.metric,
            budgets=self.budgets,
            sampler=self.sampler,
            baselines={
                name: (one.metrics[self.metric.name], one.file_bytes)
                for name, one in found.baselines.items()
                if not one.failure
            },
            trials=tuple(_trial(row, self.metric.name) for row in found.rows),
            front=tuple(
                FrontPoint(trial=row.number, command=self.again(row.candidate.network, row.candidate.chain))
                for row in sorted(found.front, key=lambda row: row.last.file_bytes if row.last else 0)
            ),
            volumes=tuple(found.volumes),
        )


def _trial(row: Row, metric: str) -> SearchTrial:
    last = row.last
    figures: dict[str, Any] = (
        {
            "epochs": None if row.state == "complete" else last.job.epochs,
            "value": last.metrics[metric],
            "file_bytes": last.file_bytes,
            "deflated_bytes": last.deflated_bytes,
            "parameters": last.parameters,
            "macs": last.macs,
        }
        if last
        else {}
    )
    return SearchTrial(
        number=row.number,
        network=row.candidate.network,
        chain=row.candidate.chain,
        values=dict(row.values),
        state=row.state,
        p50_ms=row.p50_ms,
        fits=row.fits,
        failure=row.failure,
        **figures,
    )


def measured(
    record: SearchRecord,
    plan: Plan,
    networks: Mapping[str, NetworkSource],
    material: Material,
    folder: Path,
    progress: Progress,
) -> tuple[SearchRecord, list[Finished]]:
    """The front measured by a run of each network, and where there are several, all its files beside each other.

    Args:
        record: of what was found.
        plan: how networks are made and measured.
        networks: by name.
        material: what they learnt from.
        folder: of the search.
        progress: shows how far it is.

    Raises:
        UsageError: see `mlbench.runs.pipeline.run`.
    """
    front = [record.trials_by_number[point.trial] for point in record.front]
    chains: dict[str, list[str]] = {}
    for trial in front:
        chains.setdefault(trial.network, []).append(trial.chain)
    runs = [
        pipeline.run(
            replace(plan, networks=(networks[name],), chains=tuple(map(parse_chain, texts)), out=folder),
            progress,
            material,
        )[0]
        for name, texts in chains.items()
    ]
    files = {
        (name, artifact.chain): run.folder / artifact.path
        for name, run in zip(chains, runs, strict=True)
        for artifact in run.record.artifacts
    }
    beside = [files[trial.network, trial.chain] for trial in front if (trial.network, trial.chain) in files]
    if len(runs) > 1 and beside:
        runs.append(_beside(beside, plan, folder, progress))
    points = tuple(
        _point(point, files.get((trial.network, trial.chain)), trial, runs, folder)
        for point, trial in zip(record.front, front, strict=True)
    )
    where = tuple(str((run.folder / "record.json").relative_to(folder)) for run in runs)
    return record.model_copy(update={"front": points, "records": where}), runs


def _beside(files: Sequence[Path], plan: Plan, folder: Path, progress: Progress) -> Finished:
    """All files interleaved in one run, whatever networks they come from: the smallest is what others differ from."""
    measuring = replace(plan.measuring, gallery=False)
    return steps.measure_files(files, None, (), measuring, folder, plan.command, progress)


def _point(
    point: FrontPoint, file: Path | None, trial: SearchTrial, runs: Sequence[Finished], folder: Path
) -> FrontPoint:
    """With what the runs say of its file; where several networks are on the front, its latency in the run of all."""
    if file is None:
        return point
    update: dict[str, object] = {"file": str(file.relative_to(folder))}
    for run in runs:
        for artifact in run.record.artifacts:
            if (run.folder / artifact.path).resolve() == file.resolve():
                update |= _figures(run.record, artifact.id)
    return point.model_copy(update=update)


def _figures(record: Record, artifact: str) -> dict[str, Interval]:
    found = {}
    for scores in record.scores:
        if scores.artifact == artifact and record.task and "tested" not in found:
            found["tested"] = scores.metrics[record.task.primary.name]
    for row in record.measurements:
        if row.artifact == artifact and row.network:
            times = sorted(row.network.samples_ms)
            ends = times[len(times) // 10], times[-1 - len(times) // 10]
            found["p50_ms"] = Interval(value=row.network.p50_ms, low=ends[0], high=ends[1])
    return found


def best_of(record: SearchRecord, budgets: Sequence[Budget]) -> SearchTrial | None:
    """The candidate to ship: of those carried out that keep the budgets, the one with the best metric.

    Args:
        record: of a search.
        budgets: of the size, of latency and of the metric.
    """
    better = -1 if record.metric.better == "higher" else 1
    kept = [trial for trial in record.trials if trial.state == "complete" and _keeps(trial, record, budgets)]
    return min(kept, key=lambda trial: (better * (trial.value or 0), trial.file_bytes or 0), default=None)


def _keeps(trial: SearchTrial, record: SearchRecord, budgets: Sequence[Budget]) -> bool:
    base, size = record.baselines.get(trial.network, (0.0, 0))
    known: dict[str, tuple[float | None, float | None]] = {
        "size": (trial.file_bytes, size),
        "p50": (trial.p50_ms, None),
        record.metric.name: (trial.value, base),
    }
    for budget in budgets:
        if budget.quantity.name not in known:
            message = f"--best {budget.name}: a search measures only size, p50 and {record.metric.name}."
            raise UsageError(message)
        value, reference = known[budget.quantity.name]
        if value is None or (budget.against and not reference):
            return False
        if budget.against and reference:
            value = against_baseline(value, reference, budget)
        if excess(value, budget) > 0:
            return False
    return True


def write(record: SearchRecord, folder: Path) -> Path:
    """Write the record of a search into its folder."""
    path = folder / NAME
    with write_atomically(path) as part:
        part.write_text(record.model_dump_json(indent=1), encoding="utf-8")
    return path


def read(path: Path) -> SearchRecord:
    """The record of a search, in a folder or file.

    Raises:
        UsageError: there is none.
    """
    file = path / NAME if path.is_dir() else path
    try:
        return SearchRecord.model_validate_json(file.read_bytes())
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror or error}; give the folder of a search."
        raise UsageError(message) from error
    except ValidationError as error:
        message = f"{file} is not the record of a search by this version of mlbench: run the search again."
        raise UsageError(message) from error


def newest(out: Path) -> Path:
    """The folder of the newest search in a folder of results.

    Raises:
        UsageError: there is none.
    """
    found = sorted(out.glob(f"search-*/{NAME}"), key=lambda path: path.stat().st_mtime)
    if not found:
        message = f"There is no search in {out}: run `mlbench search` first, or name its folder by --out."
        raise UsageError(message)
    return found[-1].parent
