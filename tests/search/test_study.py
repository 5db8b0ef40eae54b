"""A search over an engine that looks figures up: what is asked, kept, ended, and taken up again."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from mlbench.errors import UsageError
from mlbench.evaluation.budgets import parse_budget
from mlbench.faces.landmarks import Landmarks
from mlbench.search import study as studies
from mlbench.search.aim import Aim
from mlbench.search.halving import goes_on, rungs_of
from mlbench.search.searching import Limits, Search
from mlbench.search.space import space_of
from mlbench.search.study import Study, database_in
from tests.search.doubles import Looked, formula

ENTRIES = {
    "chain": "tucker(target={t})+{q}",
    "t": {"low": "40KB", "high": "900KB", "log": True},
    "q": ["none", "dynamic", "int8"],
}
SMALL = {"chain": "tucker(target={t})+{q}", "t": ["50KB", "100KB", "200KB"], "q": ["none", "dynamic"]}
AIM = Aim(Landmarks().primary)


def _space(entries=ENTRIES):
    return space_of(entries, ["basic"], str.strip, str)


def _study(folder: Path | None, entries=ENTRIES, sampler="tpe", seed=7, objectives=2) -> Study:
    """A study in a folder, or in memory."""
    return Study(
        database_in(folder) if folder else None, "small", _space(entries), objectives, sampler, seed, print
    )


def _search(folder: Path | None, trials: int, look=formula, aim=AIM, seconds=None, **options):
    study, engine = _study(folder, **options), Looked(look)
    try:
        return Search(study, engine, aim, 4).run(Limits(trials, seconds), lambda seen: None), engine
    finally:
        study.close()


def _candidates(rows):
    return [row.candidate for row in rows]


@pytest.mark.parametrize("sampler", studies.SAMPLERS)
def test_a_search_tries_so_many_candidates_and_none_twice(sampler):
    found, engine = _search(None, 15, sampler=sampler)
    assert len(set(_candidates(found.rows))) == len(found.rows) == 15
    assert len(engine.asked) == len(set(engine.asked))
    assert {row.state for row in found.rows} <= {"complete", "stopped"}
    assert found.front and all(row.fits for row in found.front)
    assert found.volumes == sorted(found.volumes)


@pytest.mark.parametrize("sampler", ["model", "tpe"])
def test_a_trial_holds_the_values_that_give_its_candidate(sampler):
    entries = ENTRIES | {"chain": "tucker(target={t},epochs={e})+{q}", "e": [1, 3, 9]}
    found, _ = _search(None, 12, entries=entries, sampler=sampler)
    space = _space(entries)
    assert {row.values["e"] for row in found.rows} == {"1", "3", "9"}
    assert all(space.chosen(row.values) == row.candidate for row in found.rows)


def test_equal_seeds_ask_equal_candidates():
    first, _ = _search(None, 8)
    again, _ = _search(None, 8)
    other, _ = _search(None, 8, seed=8)
    assert _candidates(first.rows) == _candidates(again.rows) != _candidates(other.rows)


def test_a_space_that_holds_nothing_new_ends_the_search():
    found, engine = _search(None, 50, entries=SMALL)
    assert len(found.rows) == 6
    assert len(engine.asked) == len(set(engine.asked))


def test_only_what_can_reach_the_front_is_tuned():
    found, engine = _search(None, 20)
    untuned = [job for job in engine.asked if job.epochs == 0]
    whole = [job for job in engine.asked if job.epochs is None and job.chain != "none"]
    assert len(untuned) == 20 > len(whole) > 0
    assert {job.chain for job in whole} == {
        row.candidate.chain for row in found.rows if row.state == "complete"
    }


def test_rungs_are_untuned_a_quarter_and_all():
    assert rungs_of(0) == [None]
    assert rungs_of(6) == [0, None]
    assert rungs_of(40) == [0, 10, None]


def test_the_front_of_a_rung_goes_on_and_the_worst_of_many_does_not():
    rung = [(float(n), float(-n)) for n in range(6)] + [(9.0, 9.0)]
    assert all(goes_on(point, rung) for point in rung[:6])
    assert not goes_on((9.0, 9.0), rung)


def test_what_breaks_a_size_budget_is_not_tuned_and_never_on_the_front():
    aim = replace(AIM, budgets=(parse_budget("size=60KB"),))
    found, engine = _search(None, 15, aim=aim)
    large = {row.candidate.chain for row in found.rows if row.last.file_bytes > 60_000}
    assert large and not large & {job.chain for job in engine.asked if job.epochs is None}
    assert found.front and not large & {row.candidate.chain for row in found.front}


def test_budgets_against_the_baseline_and_of_metrics_are_judged():
    metrics = Landmarks().metrics
    aim = replace(AIM, budgets=(parse_budget("size=-90%"), parse_budget("mae=1.2px", metrics)))
    found, _ = _search(None, 15, aim=aim)
    for row in found.front:
        assert row.last.file_bytes <= 0.1 * found.baselines["basic"].file_bytes
        assert row.last.metrics["mae"] <= 1.2


def test_latency_is_an_objective_as_a_ratio_to_the_baseline():
    found, _ = _search(None, 8, aim=replace(AIM, latency=True), objectives=3)
    made = [row for row in found.rows if row.state == "complete"]
    assert made and all(row.p50_ms == pytest.approx(1 + len(row.candidate.chain) / 100) for row in made)


def test_a_trial_that_fails_keeps_its_reason_and_the_search_goes_on():
    def look(job):
        if "int8" in job.chain:
            return replace(formula(job), metrics={}, file_bytes=0, failure="it would make the network larger")
        return formula(job)

    found, _ = _search(None, 12, look=look)
    failed = [row for row in found.rows if row.state == "failed"]
    assert failed and len(found.rows) == 12
    assert {row.failure for row in failed} == {"it would make the network larger"}
    assert found.front


def test_the_model_leaves_what_fails():
    def look(job):
        return replace(formula(job), failure="it would be larger") if "int8" in job.chain else formula(job)

    found, _ = _search(None, 24, look=look, sampler="model")
    failed = [row.state == "failed" for row in found.rows]
    assert any(failed)
    assert sum(failed[12:]) <= 3


def test_a_candidate_that_makes_no_sense_is_a_failed_trial():
    entries = {
        "chain": ["tucker(target={t})+{q}", "{q}+{q}"],
        "t": ["50KB", "70KB"],
        "q": ["none", "dynamic"],
    }
    with pytest.raises(UsageError, match="cannot follow"):
        _space(entries)
    entries["chain"] = "tucker(target={t})+{q}+{p}"
    found, _ = _search(
        None, 8, entries=entries | {"p": ["none", "none", "svd"]} | {"q": ["none", "int8", "none"]}
    )
    assert any("cannot follow" in row.failure for row in found.rows)
    assert any(row.state == "complete" for row in found.rows)


def test_a_baseline_that_fails_ends_the_search():
    with pytest.raises(UsageError, match="The baseline of basic failed: it diverged"):
        _search(None, 5, look=lambda job: replace(formula(job), failure="it diverged"))


def test_the_same_search_goes_on_and_more_trials_are_added(tmp_path):
    first, _ = _search(tmp_path, 6)
    again, engine = _search(tmp_path, 6)
    assert engine.asked == [] and again.rows == first.rows and again.front == first.front
    assert again.volumes == first.volumes
    more, engine = _search(tmp_path, 8)
    assert more.rows[:6] == first.rows and len(more.rows) == 8
    assert not {job.chain for job in engine.asked} & {row.candidate.chain for row in first.rows}


def test_a_time_limit_stops_and_the_next_call_goes_on(tmp_path):
    stopped, _ = _search(tmp_path, 6, seconds=-1)
    assert stopped.rows == []
    found, _ = _search(tmp_path, 6, seconds=1e6)
    assert len(found.rows) == 6


def test_a_stop_in_the_middle_gives_up_nothing(tmp_path):
    count = itertools.count()

    def look(job):
        if next(count) == 4:
            raise KeyboardInterrupt
        return formula(job)

    with pytest.raises(KeyboardInterrupt):
        _search(tmp_path, 6, look=look)
    found, _ = _search(tmp_path, 6)
    assert len(set(_candidates(found.rows))) == len(found.rows) == 6
    assert {row.state for row in found.rows} <= {"complete", "stopped"}


def _killed(folder: Path, after: int) -> None:
    count = itertools.count()

    def look(job):
        if next(count) == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return formula(job)

    _search(folder, 6, look=look)


@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_client_that_is_killed_loses_nothing_and_nothing_is_done_twice(tmp_path, after):
    process = multiprocessing.get_context("fork").Process(target=_killed, args=(tmp_path, after))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    study = _study(tmp_path)
    left = [row for row in study.rows() if row.state == "running"]
    before = {row.candidate.chain for row in study.rows() if row.state in ("complete", "stopped")}
    study.close()
    assert len(left) == 1
    found, engine = _search(tmp_path, 6)
    assert len(set(_candidates(found.rows))) == len(found.rows) == 6
    assert left[0].candidate in _candidates(found.rows)
    assert not before & {job.chain for job in engine.asked}
    assert {row.state for row in found.rows} <= {"complete", "stopped"}


def test_two_clients_share_a_study(tmp_path):
    one, other = _study(tmp_path), _study(tmp_path, seed=8)
    rows = [study.ask() for study in (one, other, one, other)]
    assert len(set(_candidates(rows))) == 4
    for study, row in zip((one, other, one, other), rows, strict=True):
        outcome = formula(replace_job(row))
        study.note(row.number, outcome)
        study.complete(row.number, AIM.point(outcome), {})
    assert [row.state for row in one.rows()] == ["complete"] * 4 == [row.state for row in other.rows()]
    one.close()
    other.close()


def replace_job(row):
    from mlbench.search.work import Job

    return Job(row.candidate.network, row.candidate.chain)


def test_a_study_of_another_version_is_refused(tmp_path, monkeypatch):
    _study(tmp_path).close()
    monkeypatch.setattr(studies, "__version__", "9.9")
    with pytest.raises(UsageError, match=r"is of mlbench 0\.1\.0, this is 9\.9"):
        _study(tmp_path)


def test_starting_points_are_asked_first_and_once():
    study = _study(None)
    starts = [{"t": "123KB", "q": "dynamic"}, {"t": "456KB", "q": "none"}]
    study.start_with(starts)
    asked = [study.ask().candidate.chain for _ in starts]
    study.start_with(starts)
    third = study.ask().candidate.chain
    study.close()
    assert asked == ["tucker(target=123KB)+dynamic", "tucker(target=456KB)"]
    assert third not in asked
