"""Fronts and the volume that they dominate, by their properties."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench.search.front import dominates, front_of, hypervolume, ranks_of, volume_added

_quickly = settings(max_examples=50, deadline=None)
_coordinate = st.integers(0, 4).map(float)
_clouds = st.integers(2, 3).flatmap(
    lambda size: st.lists(st.tuples(*[_coordinate] * size), min_size=1, max_size=9)
)


@_quickly
@given(_clouds)
def test_no_point_of_a_front_is_dominated_and_each_other_is(points):
    front = [points[place] for place in front_of(points)]
    assert not any(dominates(one, other) for one, other in itertools.permutations(front, 2))
    assert len(set(front)) == len(front)
    assert all(point in front or any(dominates(best, point) for best in front) for point in points)


@_quickly
@given(_clouds)
def test_the_first_rank_is_the_front_and_each_next_one_of_what_is_left(points):
    ranks = ranks_of(points)
    for rank in range(max(ranks) + 1):
        left = [point for point, its in zip(points, ranks, strict=True) if its >= rank]
        peeled = {point for point, its in zip(points, ranks, strict=True) if its == rank}
        assert peeled == {left[place] for place in front_of(left)}


@_quickly
@given(_clouds)
def test_the_volume_is_the_count_of_unit_boxes_that_a_point_dominates(points):
    reference = (5.0,) * len(points[0])
    boxes = itertools.product(range(5), repeat=len(reference))
    counted = sum(
        any(all(p <= b for p, b in zip(point, box, strict=True)) for point in points) for box in boxes
    )
    assert hypervolume(points, reference) == pytest.approx(counted)


@_quickly
@given(_clouds)
def test_a_further_point_never_lowers_the_volume_and_order_does_not_matter(points):
    reference = (4.0,) * len(points[0])
    whole = hypervolume(points, reference)
    assert hypervolume(points[1:], reference) <= whole + 1e-9
    assert hypervolume(points[::-1], reference) == pytest.approx(whole)


def test_points_beyond_the_reference_count_nothing():
    assert hypervolume([(5.0, 0.0)], (4.0, 4.0)) == 0
    assert hypervolume([], (4.0, 4.0)) == 0


@_quickly
@given(_clouds, st.data())
def test_what_a_point_adds_is_the_difference_of_two_volumes(points, data):
    one = data.draw(st.tuples(*[_coordinate] * len(points[0])))
    reference = (4.5,) * len(one)
    front = [points[place] for place in front_of(points)]
    wanted = hypervolume([*points, one], reference) - hypervolume(points, reference)
    assert volume_added(one, front, reference) == pytest.approx(wanted)
