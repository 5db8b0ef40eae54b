"""Jobs through their steps: what is shared is done once, and what fails is one job's end, not all's."""

from collections import Counter
from itertools import product

import pytest

from mlbench.errors import UsageError
from mlbench.runs.measuring import Measuring
from mlbench.search.engine.conductor import Conductor
from mlbench.search.engine.forms import Reply
from mlbench.search.engine.transport import place_of
from mlbench.search.work import Job, Timing
from mlbench.system.progress import Silent
from tests.engine.doubles import Describes, Plans, Serial

#: Forty chains of four steps on one baseline: 2 × 2 × 2 × 5.
FORTY = [Job("net", "+".join(words)) for words in product("ab", "cd", "ef", "ghijk")]


@pytest.fixture
def describes(tmp_path, cache):
    (tmp_path / "log").touch()
    return Describes(tmp_path)


def engine(pool):
    return Conductor(Plans(), pool, Measuring(), Silent())


def outcomes(conductor, count):
    found = []
    while len(found) < count:
        new = list(conductor.finished(60))
        assert new
        found += new
    return found


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_forty_chains_with_shared_prefixes_run_a_third_of_the_epochs_and_none_twice(workers, describes):
    pool = Serial(describes, workers)
    conductor = engine(pool)
    for job in FORTY:
        conductor.submit(job)
    found = outcomes(conductor, 40)
    assert {outcome.job for outcome in found} == set(FORTY)
    assert all(outcome.metrics == {"mae": 1.0} and outcome.complete for outcome in found)
    assert set(Counter(describes.done()).values()) == {1}
    trained = [line for line in describes.done() if not line.startswith("judged")]
    assert len(trained) == 1 + 2 + 4 + 8 + 40
    assert sum(outcome.epochs for outcome in found) == len(trained) + 40  # the double counts judging too
    assert len(trained) <= 40 * 5 / 3
    assert pool.most == workers


def test_a_second_engine_does_nothing_again(describes):
    for _ in range(2):
        conductor = engine(Serial(describes))
        for job in FORTY[:3]:
            conductor.submit(job)
        found = outcomes(conductor, 3)
    assert set(Counter(describes.done()).values()) == {1}
    assert [outcome.epochs for outcome in found] == [0, 0, 0]
    assert [outcome.metrics for outcome in found] == [{"mae": 1.0}] * 3


@pytest.mark.parametrize(
    ("chain", "why"),
    [("a+diverges", "diverged"), ("a+breaks", "ArithmeticError: breaks"), ("unknown", "no such compressor")],
)
def test_a_chain_that_fails_is_an_outcome_and_the_others_go_on(chain, why, describes):
    conductor = engine(Serial(describes))
    jobs = [Job("net", chain), Job("net", f"{chain}+b"), Job("net", "a+b")]
    for job in jobs:
        conductor.submit(job)
    found = {outcome.job: outcome for outcome in outcomes(conductor, 3)}
    assert all(why in found[job].failure and not found[job].metrics for job in jobs[:2])
    assert not found[jobs[2]].failure
    assert describes.done().count(f"stage {chain}") <= 1


def test_a_worker_whose_disk_is_full_gets_no_more_steps_and_the_step_goes_to_another(describes):
    pool = Serial(describes, 2)
    conductor = engine(pool)
    conductor.submit(Job("net", "fills"))
    assert not outcomes(conductor, 1)[0].failure
    assert pool.excluded == [""]
    alone = engine(Serial(describes))
    (describes.folder / "filled").unlink()
    alone.submit(Job("net", "a+fills"))
    with pytest.raises(UsageError, match="disk is full"):
        outcomes(alone, 1)


def test_what_got_lost_is_done_again(describes, monkeypatch):
    pool = Serial(describes)
    conductor, job = engine(pool), Job("net", "a+b")
    first = Plans().steps(job).steps[1]

    def reply(step):
        if step.kind == "stage" and step.chain == "a+b" and describes.done().count("stage a") == 1:
            place_of(first.mark).unlink()
        return Serial.reply(pool, step)

    monkeypatch.setattr(pool, "reply", reply)
    conductor.submit(job)
    assert not outcomes(conductor, 1)[0].failure
    assert describes.done().count("stage a") == 2
    assert describes.done().count("baseline none") == 1


def test_what_is_lost_each_time_ends_its_job_alone(describes, monkeypatch):
    pool = Serial(describes)
    conductor = engine(pool)
    lacking = Reply(status="lacking", lacking=(Plans().steps(Job("net", "a")).steps[0].mark,))
    monkeypatch.setattr(
        pool, "reply", lambda step: lacking if step.chain == "a" else Serial.reply(pool, step)
    )
    conductor.submit(Job("net", "a"))
    conductor.submit(Job("net", "b"))
    found = {outcome.job.chain: outcome.failure for outcome in outcomes(conductor, 2)}
    assert "was lost" in found["a"]
    assert not found["b"]


def test_files_are_timed_with_their_baseline_and_only_when_they_are_finished(describes):
    conductor, job = engine(Serial(describes)), Job("net", "a")
    with pytest.raises(UsageError, match="not finished"):
        conductor.timed([job])
    conductor.submit(job)
    conductor.submit(Job("net", "none"))
    outcomes(conductor, 2)
    assert conductor.timed([job]) == {job: Timing(p50_ms=2.0, baseline_p50_ms=1.0, machine="a machine")}
