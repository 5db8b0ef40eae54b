"""Error figures: what they mean, where they end, and that intervals cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench.evaluation import statistics
from mlbench.evaluation.metrics import scores_of
from mlbench.faces import accuracy
from mlbench.faces.landmarks import POINTS, Landmarks
from mlbench.records import Interval, Timing


def _truth(rng, n=40):
    points = rng.uniform(10, 86, (n, 68, 2)).astype(np.float32)
    points[:, 36], points[:, 45] = (30, 40), (70, 40)
    return points


def _scores(predicted, truth, groups=None):
    place = "a", "host", "test"
    return scores_of(Landmarks(), place, {POINTS: predicted}, {POINTS: truth}, 7, groups)


def test_a_perfect_answer_has_no_error(rng):
    truth = _truth(rng)
    found = {name: figure.value for name, figure in _scores(truth, truth).metrics.items()}
    assert found == {
        **dict.fromkeys(("mae", "rmse", "nme", "failure8"), 0),
        **dict.fromkeys(("auc8", "rounded_accuracy", "argmax_accuracy"), 1),
    }


def test_a_known_shift_has_known_errors(rng):
    truth = _truth(rng)
    scores = _scores(truth + np.float32([3, 4]), truth)
    found = {name: figure.value for name, figure in scores.metrics.items()}
    assert found["mae"] == pytest.approx(3.5, abs=1e-4)
    assert found["rmse"] == pytest.approx(np.sqrt(12.5), abs=1e-4)
    assert found["nme"] == pytest.approx(5 / 40, abs=1e-5)
    assert found["failure8"] == 1
    assert found["auc8"] == 0
    assert scores.details["by_landmark_px"] == pytest.approx((5.0,) * 68, abs=1e-4)
    assert scores.per_sample == pytest.approx((3.5,) * 40, abs=1e-4)


def test_intervals_of_all_figures_resample_persons(rng):
    persons = np.repeat(np.arange(20), 10)
    truth = _truth(rng, 200)
    predicted = truth + (rng.normal(2, 1, (20, 1, 1))[persons] + rng.normal(0, 0.3, truth.shape)).astype("f4")
    predicted[persons % 4 == 0, 5, 0] = 500  # the largest output is another one for whole persons
    by_face, by_person = _scores(predicted, truth).metrics, _scores(predicted, truth, persons).metrics
    figures = ("mae", "rmse", "nme", "auc8", "failure8", "rounded_accuracy", "argmax_accuracy")
    assert set(by_face) == set(figures)
    for face, person in ((by_face[name], by_person[name]) for name in figures):
        assert person.value == pytest.approx(face.value)
        assert person.high - person.low > 1.5 * (face.high - face.low) > 0
        assert person.low <= person.value <= person.high


@given(st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_auc_is_the_area_under_the_error_curve(seed):
    rng = np.random.default_rng(seed)
    nme = rng.exponential(0.05, 200)
    thresholds = np.linspace(0, accuracy.FAILURE_NME, 20001)
    curve = (nme[None] < thresholds[:, None]).mean(axis=1)
    area = np.trapezoid(curve, thresholds) / accuracy.FAILURE_NME
    assert accuracy.auc_per_face(nme).mean() == pytest.approx(area, abs=1e-3)


def test_rounded_accuracy_is_the_papers_equation_2(rng):
    truth = np.full((1, 68, 2), 10.0, np.float32)
    predicted = truth.copy()
    predicted[0, :17] += 0.4  # rounds to the same
    predicted[0, 17:34] += 0.6  # does not
    assert accuracy.rounded_accuracy_per_face(predicted, truth)[0] == 0.75


def test_intervals_of_a_mean_cover_it_about_as_often_as_they_say(rng):
    hits = 0
    for seed in range(200):
        sample = rng.exponential(1.0, 80)
        found = statistics.paired_difference(sample, np.zeros(80), seed)
        hits += found.low <= 1.0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_pairing_finds_what_lies_below_the_spread_of_faces(rng):
    baseline = rng.exponential(1.0, 500)
    candidate = baseline + 0.05 + rng.normal(0, 0.01, 500)
    found = statistics.paired_difference(candidate, baseline, 7)
    assert 0.045 < found.low < found.high < 0.055


def _timing(samples, bursts=20):
    return Timing.from_samples(list(samples), [len(samples) // bursts] * bursts, 1.0)


def test_a_ratio_of_latencies_is_found_with_its_interval(rng):
    baseline = _timing(rng.normal(10, 0.2, 400))
    candidate = _timing(rng.normal(5, 0.1, 400))
    found = statistics.latency_ratio(candidate, baseline)
    assert found.low < 0.5 < found.high
    assert found.high - found.low < 0.02


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((0.8, 0.7, 0.9), "better"),
        ((1.2, 1.1, 1.3), "worse"),
        ((1.0, 0.99, 1.01), "same"),
        ((1.02, 0.9, 1.2), "cannot tell"),
    ],
)
def test_verdicts(interval, expected):
    value, low, high = interval
    assert statistics.verdict(Interval(value=value, low=low, high=high), 1.0, 0.03) == expected


def test_a_timing_tells_percentiles_and_drift():
    timing = Timing.from_samples([1.0] * 30 + [2.0] * 30, [30, 30], 0.99)
    assert timing.n == 60
    assert timing.drift == 2.0
    assert timing.p99_ms == 2.0
    assert timing.fps == pytest.approx(1000 / 1.5)
