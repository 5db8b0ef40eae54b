"""A budget goes where it lowers the error the most."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench.compressors.allocation import Curve, allocate, growing_path, interpolated

_curves = st.lists(
    st.lists(st.tuples(st.integers(1, 50), st.floats(0, 10)), min_size=1, max_size=5).map(
        lambda steps: Curve(
            tuple(np.cumsum([cost for cost, _ in steps]).tolist()),
            tuple(np.cumsum([fall for _, fall in steps])[::-1].tolist()),
        )
    ),
    min_size=1,
    max_size=3,
)


@given(_curves, st.integers(0, 300))
@settings(max_examples=100, deadline=None)
def test_the_budget_is_kept_or_everything_is_smallest(curves, budget):
    places = allocate(curves, budget)
    spent = sum(curve.costs[place] for curve, place in zip(curves, places, strict=True))
    assert spent <= budget or places == [0] * len(curves)


@given(_curves, st.integers(0, 300))
@settings(max_examples=100, deadline=None)
def test_what_is_found_misses_the_best_by_one_step_at_most(curves, budget):
    def error(places):
        return sum(curve.errors[place] for curve, place in zip(curves, places, strict=True))

    def cost(places):
        return sum(curve.costs[place] for curve, place in zip(curves, places, strict=True))

    found = allocate(curves, budget)
    allowed = [p for p in product(*(range(len(c.costs)) for c in curves)) if cost(p) <= budget]
    if allowed:
        largest_fall = max(a - b for c in curves for a, b in product(c.errors, c.errors))
        assert error(found) <= min(error(p) for p in allowed) + largest_fall + 1e-9


def test_a_cheap_gain_comes_before_a_large_one():
    cheap, large = Curve((1, 2), (5.0, 0.0)), Curve((1, 100), (50.0, 0.0))
    assert allocate([cheap, large], 50) == [1, 0]
    assert allocate([cheap, large], 102) == [1, 1]


def test_interpolation_keeps_what_was_measured_and_never_rises():
    curve = interpolated([1, 2, 4, 8, 16], {0: 8.0, 2: 2.0, 4: 3.0})
    assert curve.errors[0] == pytest.approx(8)
    assert curve.errors[1] == pytest.approx(4)
    assert curve.errors[2] == pytest.approx(2)
    assert curve.errors[4] == pytest.approx(2)


def test_a_path_grows_from_rank_1_to_all_and_first_where_power_is():
    power = np.zeros((6, 6))
    power[:4, 0] = [8, 4, 2, 1]  # everything lies in the first mode
    path = growing_path(power, lambda ranks: 10 * ranks[0] + 10 * ranks[1])
    assert path[0] == (1, 1)
    assert path[-1] == (6, 6)
    assert (4, 1) in path
    assert all(sum(b) > sum(a) for a, b in pairwise(path))
