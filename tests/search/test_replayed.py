"""Searches over real results that are looked up: how much of the whole front so few trials find."""

from __future__ import annotations

import math
from functools import cache

import pytest

from mlbench.search.aim import Aim
from mlbench.search.front import hypervolume
from mlbench.search.searching import Limits, Search
from mlbench.search.study import Sampler, Study
from mlbench.search.work import Job
from tests.search.doubles import Looked
from tests.search.table import EPOCHS, METRIC, NETWORK, replayed, space_of_table

AIM = Aim(METRIC)
TRIALS, SEEDS = 30, range(20)

_table = cache(replayed)


def _volume(outcomes):
    return hypervolume([AIM.point(one) for one in outcomes], AIM.reference(_table()[Job(NETWORK, "none")]))


def share_of(sampler: Sampler, seed: int) -> float:
    """Of the hypervolume of the whole front, the share that a search of `TRIALS` trials finds."""
    study = Study(None, "replayed", space_of_table(), 2, sampler, seed, print)
    try:
        found = Search(study, Looked(_table().__getitem__), AIM, EPOCHS).run(
            Limits(TRIALS), lambda seen: None
        )
    finally:
        study.close()
    made = [row.last for row in found.rows if row.state == "complete"]
    return _volume(made) / _volume(one for one in _table().values() if one.complete)


@pytest.fixture(scope="module")
def shares():
    return {sampler: [share_of(sampler, seed) for seed in SEEDS] for sampler in ("model", "random")}


def test_thirty_trials_find_most_of_the_front(shares):
    assert sum(shares["model"]) / len(SEEDS) >= 0.97


def test_it_is_better_than_chance_with_as_many_trials(shares):
    """By a paired sign test, one-sided: so many wins have a probability of less than 5 % by chance alone."""
    pairs = list(zip(shares["model"], shares["random"], strict=True))
    decided = [mine > other for mine, other in pairs if mine != other]
    chance = sum(math.comb(len(decided), wins) for wins in range(sum(decided), len(decided) + 1)) / 2 ** len(
        decided
    )
    assert chance < 0.05
