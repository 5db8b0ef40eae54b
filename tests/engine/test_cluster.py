"""Workers of a cluster: faults of workers, of the scheduler and of the client; folders from machine to machine."""

import os
import signal
import subprocess
from collections import Counter

import pytest

from mlbench.runs.measuring import Measuring
from mlbench.search.engine import cluster
from mlbench.search.engine.conductor import Conductor
from mlbench.search.engine.transport import place_of
from mlbench.search.work import Job
from mlbench.system import children
from mlbench.system.progress import Silent
from tests.engine import doubles
from tests.engine.doubles import Describes, Plans
from tests.engine.farm import Farm, kill, wait_until

pytestmark = pytest.mark.slow


class Told(Silent):
    """Keeps what is said."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


@pytest.fixture
def describes(tmp_path):
    (tmp_path / "log").touch()
    return Describes(tmp_path)


@pytest.fixture
def farm(tmp_path):
    farm = Farm(tmp_path)
    yield farm
    farm.close()


@pytest.fixture
def engine(farm, describes, cache):
    opened = []

    def of(progress=None):
        pool = cluster.Cluster(
            cluster.connected(farm.address),
            describes,
            progress or Silent(),
            lambda: cluster.came_back(farm.address),
            perform=doubles.perform,
        )
        opened.append(Conductor(Plans(), pool, Measuring(), progress or Silent()))
        return opened[-1]

    yield of
    for conductor in opened:
        conductor.close()


def outcomes(conductor, count):
    found = []
    wait_until(lambda: found.extend(conductor.finished(0.2)) or len(found) >= count)
    return {outcome.job.chain: outcome for outcome in found}


def jobs(*chains):
    return [Job("net", chain) for chain in chains]


def test_a_step_whose_worker_is_killed_is_done_by_another_and_nothing_else_is_done_twice(
    farm, describes, engine, cache
):
    workers = {worker.pid: worker for worker in (farm.start_worker(cache), farm.start_worker(cache))}
    describes.seconds = 0.5
    conductor = engine()
    for job in jobs("a+b", "a+c", "a+dies"):
        conductor.submit(job)
    found = outcomes(conductor, 3)
    assert not any(outcome.failure for outcome in found.values())
    assert {line for line, times in Counter(describes.done()).items() if times > 1} == {"stage a+dies"}
    assert sum(worker.poll() is not None for worker in workers.values()) == 1


def test_a_scheduler_that_is_killed_and_started_again_goes_on_with_what_is_not_done(
    farm, describes, engine, cache
):
    farm.start_worker(cache)
    describes.seconds = 0.3
    told = Told()
    conductor = engine(told)
    for job in jobs("a+b", "a+c"):
        conductor.submit(job)
    wait_until(lambda: list(conductor.finished(0.1)) or "stage a" in describes.done())
    kill(farm.scheduler)
    farm.start_scheduler()
    farm.start_worker(cache)
    found = outcomes(conductor, 2)
    assert not any(outcome.failure for outcome in found.values())
    again = [line for line, times in Counter(describes.done()).items() if times > 1]
    assert len(again) <= 1  # the one that was being done
    assert "baseline none" not in again


_CLIENT = """
import sys
from pathlib import Path
from mlbench.runs.measuring import Measuring
from mlbench.search.engine import cluster
from mlbench.search.engine.conductor import Conductor
from mlbench.search.work import Job
from mlbench.system.progress import Silent
from tests.engine import doubles

address, folder, *chains = sys.argv[1:]
pool = cluster.Cluster(
    cluster.connected(address), doubles.Describes(Path(folder), 0.3), Silent(), None, perform=doubles.perform
)
conductor = Conductor(doubles.Plans(), pool, Measuring(), Silent())
for chain in chains:
    conductor.submit(Job("net", chain))
found = []
while len(found) < len(chains):
    found += conductor.finished(1)
print(len(found))
"""


def test_a_client_that_is_killed_and_started_again_does_nothing_twice(farm, describes, cache):
    farm.start_worker(cache)
    chains = ["a+b", "a+c", "d"]
    command = children.command("-c", _CLIENT, farm.address, str(describes.folder), *chains)
    environment = children.environment() | {"MLBENCH_CACHE": str(cache)}
    first = subprocess.Popen(command, env=environment, start_new_session=True)
    wait_until(lambda: "stage a+b" in describes.done())
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert again.stdout.split() == ["3"]
    assert set(Counter(describes.done()).values()) == {1}


def test_what_a_worker_left_goes_to_others_and_home_by_content(farm, describes, engine, cache, tmp_path):
    conductor = engine()
    one, other = tmp_path / "one", tmp_path / "other"
    farm.start_worker(one, "--name", "one")
    conductor.submit(Job("net", "a"))
    assert outcomes(conductor, 1)["a"].worker == "one"
    assert not list(cache.rglob("*.bin"))
    farm.start_worker(other, "--name", "other")
    wait_until(lambda: conductor.pool._look(now=True) or len(conductor.workers()) == 2)
    conductor.submit(Job("net", "a+b"))
    conductor.submit(Job("net", "a+c"))
    found = outcomes(conductor, 2)
    assert not any(outcome.failure for outcome in found.values())
    conductor.bring(jobs("a+b", "a+c"))
    for folder in {
        place_of(step.mark).parent for job in jobs("a+b", "a+c") for step in Plans().steps(job).steps
    }:
        at_home = next(folder.glob("*.bin")).read_bytes()
        made = [
            path for worker in (one, other) for path in (worker / folder.relative_to(cache)).glob("*.bin")
        ]
        assert made
        assert all(path.read_bytes() == at_home for path in made)
    assert set(Counter(describes.done()).values()) == {1}


def test_a_new_client_finds_what_workers_with_caches_of_their_own_have_done(
    farm, describes, engine, tmp_path
):
    farm.start_worker(tmp_path / "one")
    for _ in range(2):
        conductor = engine()
        conductor.submit(Job("net", "a+b"))
        found = outcomes(conductor, 1)["a+b"]
    assert found.epochs == 0
    assert found.metrics == {"mae": 1.0}
    assert set(Counter(describes.done()).values()) == {1}
