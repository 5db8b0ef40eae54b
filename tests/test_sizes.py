"""Sizes and budgets as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.errors import UsageError
from mlbench.evaluation.budgets import parse_budget
from mlbench.system.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("512KB", 512_000), ("1.5MiB", 1_572_864), ("68MB", 68_000_000), ("7", 7), ("2 gb", 2 * 10**9)],
)
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_one_sentence(text):
    try:
        assert parse_size(text) >= 1
    except UsageError as error:
        assert "is not a size" in str(error)


@given(st.integers(1, 10**12))
def test_sizes_for_people_are_right_to_half_a_percent(size):
    shown = parse_size(format_size(size))
    assert abs(shown - size) <= 0.0051 * size


@pytest.mark.parametrize(
    ("text", "quantity", "limit"),
    [
        ("size=68MB", "size", 68e6),
        ("p50=10ms", "p50", 10),
        ("nme=4%", "nme", 0.04),
        ("mae<1.2px", "mae", 1.2),
    ],
)
def test_budgets_are_read(text, quantity, limit):
    budget = parse_budget(text)
    assert (budget.quantity, budget.limit) == (quantity, limit)


@pytest.mark.parametrize(
    "text",
    [
        "size",
        "sice=3MB",
        "p50=fast",
        "size=0MB",
        "=3",
        "mae=nan",
        "mae=0px",
        "mae=-1px",
        "p50=infms",
        "nme=4",
        "nme=1e-323%",
        f"size={'9' * 400}MB",
    ],
)
def test_bad_budgets_are_refused(text):
    with pytest.raises(UsageError):
        parse_budget(text)


def test_a_share_without_its_sign_is_not_a_budget():
    with pytest.raises(UsageError, match="nme=4%"):
        parse_budget("nme=4")
