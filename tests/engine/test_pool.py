"""What the engine asks of Dask, on workers that are threads of this process."""

from collections import Counter

import dask
import pytest
from distributed import Client, LocalCluster

from mlbench.errors import UsageError
from mlbench.runs.measuring import Measuring
from mlbench.search.engine import cluster
from mlbench.search.engine.conductor import Conductor
from mlbench.search.engine.peers import reach_from
from mlbench.search.engine.transport import listed
from mlbench.search.work import Job
from mlbench.system.progress import Silent
from tests.engine import doubles
from tests.engine.doubles import Describes, Plans
from tests.engine.farm import wait_until
from tests.engine.test_conductor import FORTY


class Told(Silent):
    """Keeps what is said."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


@pytest.fixture(scope="module")
def threads():
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, resources={"measuring": 1}
    ) as started:
        yield started


@pytest.fixture
def describes(tmp_path, cache):
    (tmp_path / "log").touch()
    return Describes(tmp_path)


@pytest.fixture
def engine(threads, describes):
    told = Told()
    with Client(threads, set_as_default=False) as client:
        pool = cluster.Cluster(
            client, describes, told, lambda: client, perform=doubles.perform, measure=doubles.measure
        )
        yield Conductor(Plans(), pool, Measuring(), told)


def outcomes(conductor, count):
    found = []
    wait_until(lambda: found.extend(conductor.finished(0.5)) or len(found) >= count)
    return {outcome.job.chain: outcome for outcome in found}


def jobs(*chains):
    return [Job("net", chain) for chain in chains]


def test_shared_steps_are_done_once_on_two_workers(engine, describes):
    for job in FORTY:
        engine.submit(job)
    found = outcomes(engine, 40)
    assert set(Counter(describes.done()).values()) == {1}
    assert len({outcome.worker for outcome in found.values()}) == 2


def test_chains_that_fail_are_outcomes_and_a_full_disk_is_left_to_another_worker(engine, describes):
    for job in jobs("a+diverges", "a+breaks", "a+fills", "a"):
        engine.submit(job)
    found = outcomes(engine, 4)
    assert "diverged" in found["a+diverges"].failure
    assert "ArithmeticError" in found["a+breaks"].failure
    assert found["a+fills"].metrics == found["a"].metrics == {"mae": 1.0}
    assert any("gets no more steps: The disk is full" in line for line in engine.progress.lines)
    assert len(engine.workers()) == 2


def test_files_are_timed_on_one_machine_that_does_nothing_else(engine, describes):
    with pytest.raises(UsageError, match="not finished"):
        engine.timed(jobs("a"))
    for job in jobs("a", "none"):
        engine.submit(job)
    outcomes(engine, 2)
    engine.submit(Job("net", "b"))
    [timing] = engine.timed(jobs("a")).values()
    assert (timing.p50_ms, timing.baseline_p50_ms) == (2.0, 1.0)
    assert outcomes(engine, 1)["b"].metrics


def test_without_a_worker_for_it_nothing_is_timed(engine, monkeypatch):
    for job in jobs("a", "none"):
        engine.submit(job)
    outcomes(engine, 2)
    monkeypatch.setattr(cluster, "MEASURING", "another")
    with pytest.raises(UsageError, match="--resources measuring=1"):
        engine.timed(jobs("a"))


def test_workers_of_another_version_are_named_and_get_no_steps(engine, describes, monkeypatch):
    monkeypatch.setattr(cluster, "require_same_versions", _refused)
    with pytest.raises(UsageError, match=r"No usable worker is left.*mlbench 99"):
        engine.submit(Job("net", "a"))
    assert not describes.done()


def _refused(theirs, who):
    message = f"{who} has mlbench 99, here it is 1."
    raise UsageError(message)


def test_a_worker_that_went_away_is_an_error_of_the_network(engine):
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}),  # 30 s by default
        pytest.raises(OSError, match=r"\w"),
    ):
        reach_from(engine.pool.client, "tcp://127.0.0.1:1")(listed, "stages/a/stage.json")


def test_a_scheduler_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(cluster, "_ANSWER", 0.2)
    with pytest.raises(UsageError, match=r"tcp://127\.0\.0\.1:1 does not answer"):
        cluster.connected("tcp://127.0.0.1:1")
