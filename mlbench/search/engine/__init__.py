"""The engine of a search: carries out jobs in this process, on local workers, or on a cluster that others started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import NoReturn

from mlbench.contracts import NetworkSource, Progress
from mlbench.errors import UsageError
from mlbench.runs.measuring import Measuring
from mlbench.runs.plan import Making
from mlbench.search.engine.conductor import Conductor
from mlbench.search.engine.pools import InProcess, Pool
from mlbench.search.engine.steps import Planner
from mlbench.search.work import Engine
from mlbench.system.environment import cores
from mlbench.system.installing import install_extra
from mlbench.training.baselines import Material


def open_engine(
    making: Making,
    networks: Mapping[str, NetworkSource],
    measuring: Measuring,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress,
    material: Material | None = None,
) -> Engine:
    """An engine that is ready for jobs; close it.

    Args:
        making: how networks are made.
        networks: by the names that jobs call them by.
        measuring: how files are timed.
        workers: processes on this machine; 1: this process alone.
        scheduler: address of a Dask cluster that others started, as tcp://host:8786; `workers` has no meaning then.
        progress: is told what happens.
        material: what is learnt from, where it is there already; else it is read.

    Raises:
        UsageError: the samples cannot be read, the cluster cannot be reached, or its versions are others.
    """
    planner = Planner(making, networks, progress)
    planner.material = material or planner.material  # read now: bad input is told before workers are started
    if scheduler is None and workers == 1:
        return Conductor(planner, InProcess(planner, progress), measuring, progress)
    return Conductor(planner, _cluster(planner, workers, scheduler, progress), measuring, progress)


def _cluster(planner: Planner, workers: int, scheduler: str | None, progress: Progress) -> Pool:
    try:
        from mlbench.search.engine import cluster  # imports Dask
        from mlbench.search.engine.local import LocalWorkers
    except ModuleNotFoundError as error:
        message = (
            f"--workers and --scheduler need {error.name}: {install_extra('cluster')}, or use one worker."
        )
        raise UsageError(message) from error

    if scheduler is not None:
        client = cluster.connected(scheduler)
        told = cluster.Descriptions.of(planner)
        return cluster.Cluster(client, told, progress, partial(cluster.came_back, scheduler))
    threads = planner.making.training.threads or max(1, cores() // workers)
    planner.making = with_threads(planner.making, threads)
    told = cluster.Descriptions.of(planner)
    local = LocalWorkers(workers, threads)

    def gone() -> NoReturn:
        message = "The scheduler in this process ended: give the same command again."
        raise UsageError(message)

    return cluster.Cluster(local.client, told, progress, gone, closing=local.close, alive=local.require_alive)


def with_threads(making: Making, threads: int) -> Making:
    """The same making with so many threads per worker, which change no key."""
    training = making.training.model_copy(update={"threads": threads})
    tuning = making.tuning.model_copy(update={"threads": threads})
    return replace(making, training=training, tuning=tuning)
