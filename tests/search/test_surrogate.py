"""The model that proposes candidates: what it has learnt from trials decides which it takes."""

from __future__ import annotations

import pytest

from mlbench.search.surrogate import Tried, most_promising


def _tried(rank, kind, point, *, final=True, **excess):
    return Tried({"rank": rank, "kind": kind}, point, final, excess)


#: The error falls and bytes grow with the rank; kind b has the same errors at half the bytes.
LINE = [
    _tried(0.0, "a", (2.0, 1.0)),
    _tried(0.5, "a", (1.5, 2.0)),
    _tried(1.0, "a", (1.0, 3.0)),
    _tried(0.5, "b", (1.5, 1.3)),
]


def _places(*pairs):
    return [{"rank": rank, "kind": kind} for rank, kind in pairs]


def test_a_kind_that_was_better_is_taken_at_other_ranks_too():
    ahead = _places((0.25, "a"), (0.75, "b"), (0.75, "a"))
    assert most_promising(LINE, ahead) == 1


def test_what_is_likely_to_break_a_budget_is_left():
    """Kind b breaks it at every rank that was tried."""
    over = [
        *(_tried(rank, "b", (1.0 + rank, 0.5), size=0.5) for rank in (0.0, 0.4, 0.8)),
        *(_tried(rank, "a", (2.0 - rank, 1 + rank), size=-0.5) for rank in (0.0, 0.4, 0.8)),
    ]
    assert most_promising(over, _places((0.6, "b"), (0.6, "a"))) == 1


def test_what_is_likely_to_fail_is_left():
    """Kind b promises more where it was carried out, and fails at small ranks."""
    failing = [*LINE, *(_tried(rank, "b", (), final=False) for rank in (0.1, 0.2))]
    ahead = _places((0.15, "b"), (0.25, "a"), (0.75, "b"))
    assert most_promising(failing, ahead[:2]) == 1
    assert most_promising(failing, ahead) == 2


def test_figures_before_tuning_count_less_than_final_ones():
    """Where a final figure stands nothing is left to gain; an untuned one says less of what tuning will give."""
    known = {final: [*LINE, _tried(0.8, "b", (1.4, 1.6), final=final)] for final in (True, False)}
    ahead = _places((0.8, "b"), (0.3, "a"))
    assert most_promising(known[False], ahead) == 0
    assert most_promising(known[True], ahead) == 1


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_metric_below_zero_is_taken_as_it_is(sign):
    """A metric of which more is better comes turned round, as a number below 0."""
    tried = [_tried(rank, "a", (sign * 2 - rank, 1 + 3 * rank)) for rank in (0.0, 0.5, 1.0)]
    assert most_promising(tried, _places((0.25, "a"), (0.5, "a"))) == 0


def test_candidates_without_a_name_are_compared_by_the_others():
    tried = [*LINE, Tried({"kind": "none"}, (3.0, 4.0), True, {})]
    assert most_promising(tried, [{"kind": "none"}, *_places((0.75, "b"))]) == 1
