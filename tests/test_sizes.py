"""Sizes as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.errors import UsageError
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
