"""Verdicts: how often they err about equal files, and what they find."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.evaluation import statistics
from mlbench.evaluation.statistics import (
    SAME_RATIO,
    bootstrap_means,
    latency_ratio,
    paired_difference,
    rank_sum_interval,
    signed_rank_interval,
    verdict,
)
from mlbench.records import Interval, Timing
from tests.latency_noise import BUSY, CALM, STARVED, Noise, measured

TRIALS = 1500


def share_of(said: str, noise: Noise, slowdown: float, seed: int) -> float:
    rng = np.random.default_rng(seed)
    count = 0
    for _ in range(TRIALS):
        ratio = latency_ratio(*measured(noise, slowdown, rng))
        assert ratio is not None
        count += verdict(ratio, 1.0, SAME_RATIO) in said.split("/")
    return count / TRIALS


@pytest.mark.parametrize("noise", [CALM, BUSY, STARVED], ids=["calm", "busy", "starved"])
def test_equal_files_are_called_different_at_most_once_in_a_hundred(noise: Noise) -> None:
    # 1500 trials at a true 1 % stay below 1.6 % in 99 of 100 seeds.
    assert share_of("better/worse", noise, 1.0, seed=1) <= 0.016


def test_five_percent_slower_is_found_nineteen_times_in_twenty_on_a_calm_machine() -> None:
    assert share_of("worse", CALM, 1.05, seed=2) >= 0.95


def test_a_starved_machine_says_that_it_cannot_tell() -> None:
    assert share_of("cannot tell", STARVED, 1.05, seed=3) > 0.9


def test_twice_as_slow_is_found_even_on_a_starved_machine() -> None:
    assert share_of("worse", STARVED, 2.0, seed=4) > 0.9


def test_the_share_of_false_alarms_can_fail() -> None:
    """The bootstrap of single samples, which takes them for independent, errs far more often: the test would see it."""
    rng, wrong = np.random.default_rng(5), 0
    for _ in range(200):
        ours, theirs = (np.log(t.samples_ms) for t in measured(CALM, 1.0, rng, samples=60))
        resampled = [
            np.median(rng.choice(ours, len(ours))) - np.median(rng.choice(theirs, len(theirs)))
            for _ in range(200)
        ]
        low, high = np.percentile(resampled, (0.5, 99.5))
        wrong += low > 0 or high < 0
    assert wrong / 200 > 0.1


def test_the_interval_agrees_with_published_signed_rank_values() -> None:
    # Hollander, Wolfe & Chicken 2014, example 3.1 and 3.4: depression scores of nine patients;
    # estimate -0.46, interval (-0.786, -0.010) at confidence 0.961.
    before = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    after = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    found = signed_rank_interval(after - before, 0.96)
    assert found is not None
    assert found.value == pytest.approx(-0.46, abs=0.001)
    assert (found.low, found.high) == pytest.approx((-0.786, -0.010), abs=0.001)


@given(st.lists(st.floats(-10, 10), min_size=8, max_size=30))
def test_the_interval_holds_its_estimate_and_turns_with_its_sign(differences: list[float]) -> None:
    values = np.array(differences)
    found, turned = signed_rank_interval(values, 0.99), signed_rank_interval(-values, 0.99)
    assert found is not None
    assert turned is not None
    assert found.low <= found.value <= found.high
    assert (turned.low, turned.value, turned.high) == pytest.approx((-found.high, -found.value, -found.low))


@given(
    st.lists(st.floats(-10, 10), min_size=5, max_size=15),
    st.lists(st.floats(-10, 10), min_size=5, max_size=15),
)
def test_the_shift_of_two_samples_turns_when_they_change_places(
    ours: list[float], theirs: list[float]
) -> None:
    found = rank_sum_interval(np.array(ours), np.array(theirs), 0.95)
    turned = rank_sum_interval(np.array(theirs), np.array(ours), 0.95)
    assert found is not None
    assert turned is not None
    assert found.low <= found.value <= found.high
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def test_separate_samples_of_one_distribution_differ_as_often_as_said() -> None:
    rng = np.random.default_rng(6)
    wrong = 0
    for _ in range(1000):
        found = rank_sum_interval(rng.normal(size=20), rng.normal(size=20), 0.99)
        assert found is not None
        wrong += found.low > 0 or found.high < 0
    assert wrong / 1000 <= 0.018


@pytest.mark.parametrize("rounds", [1, 5, 7])
def test_too_few_rounds_give_no_interval(rounds: int) -> None:
    timing = Timing.from_samples([1.0, 1.1] * rounds, [2] * rounds, 1.0)
    assert latency_ratio(timing, timing) is None


def test_a_timing_against_itself_is_the_same() -> None:
    ours, _ = measured(STARVED, 1.0, np.random.default_rng(7))
    ratio = latency_ratio(ours, ours)
    assert ratio == Interval(value=1.0, low=1.0, high=1.0)
    assert verdict(ratio, 1.0, SAME_RATIO) == "same"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.99, 1.01, "same"),
        (1.01, 1.02, "same"),  # shown, but too small to matter
        (1.01, 1.06, "worse"),
        (0.90, 0.95, "better"),
        (0.90, 1.10, "cannot tell"),
    ],
)
def test_verdicts_follow_from_the_interval(low: float, high: float, said: str) -> None:
    assert verdict(Interval(value=(low + high) / 2, low=low, high=high), 1.0, SAME_RATIO) == said


def test_paired_differences_see_what_is_smaller_than_the_spread_of_faces() -> None:
    rng = np.random.default_rng(8)
    faces = rng.gamma(4, 0.3, 300)
    change = statistics.paired_difference(faces + 0.05 + rng.normal(0, 0.02, 300), faces, seed=7)
    assert change.low > 0.04
    assert change.high < 0.06


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=12), st.integers(1, 5), st.randoms())
def test_copies_of_a_face_tell_nothing_more_than_the_face(
    values: list[float], copies: int, order: random.Random
) -> None:
    once = bootstrap_means(np.array(values)[:, None], 7, resamples=50)
    rows = [(value, person) for person, value in enumerate(values)] * copies
    order.shuffle(rows)
    table, groups = np.array([row[0] for row in rows])[:, None], np.array([row[1] for row in rows])
    assert bootstrap_means(table, 7, groups, resamples=50) == pytest.approx(once)


def test_a_resample_weighs_persons_by_their_faces() -> None:
    table, groups = np.array([[0.0], [0.0], [0.0], [1.0]]), np.array([5, 5, 5, 2])
    means = set(bootstrap_means(table, 7, groups, resamples=300)[:, 0].tolist())
    assert means == {0.0, 0.25, 1.0}  # one person twice, or both


def test_the_seed_decides_the_resamples() -> None:
    table = np.arange(9.0)[:, None]
    first, again, other = (bootstrap_means(table, seed, resamples=600) for seed in (7, 7, 8))
    assert len(first) == 600
    assert (first == again).all()
    assert (first != other).any()
    assert len(np.unique(first[:250])) > 20
    assert (first[:250] != first[250:500]).any(), "every part of the resamples is drawn anew"


def test_one_person_cannot_be_resampled_but_the_faces_can() -> None:
    table = np.arange(9.0)[:, None]
    alone = bootstrap_means(table, 7, np.zeros(9, np.int64))
    assert (alone == bootstrap_means(table, 7)).all()


def _against_nothing(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
    """Differences of faces of 40 persons, who lie 0.05 px about 0; the faces of one person 0.05 px about that."""
    groups = np.repeat(np.arange(40), rng.integers(4, 12, 40))
    difference = rng.normal(0, 0.05, 40)[groups] + rng.normal(0, 0.05, len(groups))
    return difference, np.zeros_like(difference), int(rng.integers(1000)), groups


def test_intervals_cover_the_mean_of_all_persons_where_persons_repeat() -> None:
    rng = np.random.default_rng(9)
    found = [paired_difference(*_against_nothing(rng)) for _ in range(150)]
    assert 0.88 <= np.mean([row.low <= 0 <= row.high for row in found]) <= 0.99


def test_the_test_of_coverage_can_fail() -> None:
    """Faces that are taken as independent give intervals that miss the mean far more often."""
    rng = np.random.default_rng(9)
    found = [paired_difference(*_against_nothing(rng)[:3]) for _ in range(60)]
    assert np.mean([row.low <= 0 <= row.high for row in found]) < 0.75
