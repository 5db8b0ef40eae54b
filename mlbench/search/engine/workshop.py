"""Carries steps out, with what is in this machine's cache."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path

from mlbench import plugins
from mlbench.compression.chain import parse_chain
from mlbench.compression.stages import Compressed, StageAhead, carried_out, kept, start
from mlbench.contracts import DeviceRunner, Job, Progress
from mlbench.errors import UsageError
from mlbench.export.artifacts import described
from mlbench.records import Artifact
from mlbench.runs.measuring import Measuring
from mlbench.search.engine.forms import Reply
from mlbench.search.engine.judging import judged
from mlbench.search.engine.steps import Planner, Step
from mlbench.system.cache import cache_folder
from mlbench.training.baselines import Trained, finished, train_baseline
from mlbench.training.loop import epochs_behind

#: Errors of a disk that another machine's may not have.
_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


class UnfitError(UsageError):
    """This machine cannot take any step of this client; another may."""


def tried(do: Callable[[], Reply]) -> Reply:
    """What comes of a step: one that cannot be done is a reply too, for others go on."""
    try:
        return do()
    except UsageError as error:
        cause = error.__cause__
        full = isinstance(cause, OSError) and cause.errno in _OF_DISKS
        status = "unfit" if full or isinstance(error, UnfitError) else "failed"
        return Reply(status=status, message=str(error))
    except (
        Exception
    ) as error:  # of one chain's mathematics, say; it is told, and no reason to lose the others
        return Reply(status="failed", message=f"{type(error).__name__}: {error}")


def carry_out(step: Step, planner: Planner, progress: Progress) -> Reply:
    """Do a step whose needs are there.

    Raises:
        UsageError: it was refused, diverged, or the disk is full.
    """
    started = time.perf_counter()
    reply = {"baseline": _baseline, "stage": _stage, "judged": _judged}[step.kind](step, planner, progress)
    return reply.model_copy(update={"seconds": time.perf_counter() - started})


def _baseline(step: Step, planner: Planner, progress: Progress) -> Reply:
    behind = epochs_behind(planner.baseline(step.network)[1])
    source, making = planner.network(step.network), planner.making
    trained = train_baseline(source, planner.material, making.training, progress, planner.used[0])
    epochs = 0 if trained.reused else len(trained.history) - 1 - behind
    return Reply(status="done", epochs=max(0, epochs))


def _stage(step: Step, planner: Planner, progress: Progress) -> Reply:
    baseline, stages = _made(step, planner)
    before = _compressed(baseline, stages[:-1], planner)
    there, behind = stages[-1].done.exists(), stages[-1].behind()
    made = carried_out(stages[-1], before, baseline, planner.setup)
    epochs = 0 if there else len(made.stages[-1].history) - 1 - behind
    return Reply(status="done", epochs=max(0, epochs))


def _judged(step: Step, planner: Planner, progress: Progress) -> Reply:
    baseline, stages = _made(step, planner)
    return Reply(status="done", judgement=judged(_compressed(baseline, stages, planner), planner.setup))


def _made(step: Step, planner: Planner) -> tuple[Trained, list[StageAhead]]:
    key, folder = planner.baseline(step.network)
    baseline = finished(folder, key, planner.material.task)
    if baseline is None:
        message = f"{folder} no longer exists: run the command again."
        raise UsageError(message)
    return baseline, planner.stages(step.network, parse_chain(step.chain), step.epochs)


def _compressed(baseline: Trained, stages: list[StageAhead], planner: Planner) -> Compressed:
    """What stages that are done left; of all but the last nothing is asked."""
    if not stages:
        return start(baseline, planner.material.task.primary.name)
    return kept(stages[-1])


def time_files(files: list[Path], measuring: Measuring, progress: Progress) -> tuple[float, ...]:
    """The median latency of each file, ms, all interleaved on this machine.

    Raises:
        UsageError: one does not run.
    """
    artifacts = tuple(_numbered(number, path) for number, path in enumerate(files))
    runner: DeviceRunner = plugins.load("device_runners", "host")()
    job = Job(
        artifacts=artifacts,
        folder=cache_folder() / "timing",
        test_sets={},
        threads=measuring.threads,
        min_count=measuring.min_count,
        min_seconds=measuring.min_seconds,
        seed=measuring.seed,
    )
    found = {}
    for outcome in runner.measure(job, progress):
        measured = outcome.measurement
        if measured.network is None:
            why = measured.failure.reason if measured.failure else "it was not timed"
            message = f"{files[int(measured.artifact)]} cannot be timed: {why}."
            raise UsageError(message)
        found[int(measured.artifact)] = measured.network.p50_ms
    return tuple(found[number] for number in range(len(files)))


def _numbered(number: int, path: Path) -> Artifact:
    return described(path).model_copy(update={"id": f"{number}"})
