"""Chains as text, both ways; and what is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.compression.chain import parse_chain, short_names
from mlbench.errors import UsageError

_steps = st.one_of(
    st.just("svd"),
    st.integers(1, 500).map(lambda rank: f"svd(rank={rank})"),
    st.floats(0.01, 1).map(lambda energy: f"svd(energy={energy})"),
    st.integers(1, 900).map(lambda size: f"svd(target={size}KB)"),
)


@given(st.lists(_steps, min_size=1, max_size=3), st.sampled_from(["", "+int8", "+float16", "+dynamic"]))
def test_a_chain_written_and_read_is_the_chain(steps, last):
    chain = parse_chain("+".join(steps) + last)
    assert parse_chain(str(chain)) == chain


@given(st.lists(st.lists(_steps, min_size=1, max_size=3).map("+".join), unique=True))
def test_short_names_tell_chains_apart_and_name_the_same_steps(chains):
    short = short_names(chains)
    assert len(set(short.values())) == len(short) == len(chains)
    for chain, name in short.items():
        named, own = (
            [step.name for step in parse_chain(text).compressors]
            for text in (re.sub(r"\([^()]*\)", "", name), chain)
        )
        assert named == own


def test_a_short_name_has_the_options_that_differ():
    chains = [
        "slim(share=0.7)+dynamic4(epochs=9,rate=0.1)",
        "slim(share=0.7)+dynamic4(epochs=4,rate=0.1)",
        "none",
    ]
    assert list(short_names(chains).values()) == [
        "slim+dynamic4(epochs=9)",
        "slim+dynamic4(epochs=4)",
        "none",
    ]
    assert short_names(["hashing(ratio=8.0)", "hashing"])["hashing"] == "hashing"


@given(st.lists(st.text(max_size=60)))
def test_any_text_has_a_short_name(texts):
    assert list(short_names(texts)) == list(dict.fromkeys(texts))


@given(st.text(max_size=40))
def test_any_text_is_a_chain_or_one_sentence(text):
    try:
        parse_chain(text)
    except UsageError as error:
        assert len(str(error)) > 10


def test_none_is_the_empty_chain():
    assert parse_chain("none").compressors == ()
    assert str(parse_chain(" none ")) == "none"


def test_an_option_may_be_given_by_position():
    assert parse_chain("svd(32)") == parse_chain("svd(rank=32)")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sdv", 'did you mean "svd"'),
        ("svd(rnk=3)", 'did you mean "rank"'),
        ("svd(rank=0)", "positive whole number"),
        ("svd(rank=-1)", "positive whole number"),
        ("svd(energy=1.5)", "less than or equal to 1"),
        ("svd(energy=much)", "valid number"),
        ("svd(target=big)", "is not a size"),
        ("svd(rank=3,energy=0.5)", "one of rank, energy and target"),
        ("svd(rank=3,rank=4)", "twice"),
        ("svd(rank=3", "is not a chain"),
        ("svd++int8", "is not a chain"),
        ("", "is not a chain"),
        ("int8+svd", "svd cannot follow int8"),
        ("int8+float16", "last step, and only once"),
        ("int8(rank=2)", "no option"),
        ("int8(epochs=2)", "no option"),
        ("svd(epochs=0)", "greater than or equal to 1"),
        ("prune+slim", "slim cannot follow prune"),
    ],
)
def test_bad_chains_are_refused_with_the_reason(text, told):
    with pytest.raises(UsageError, match=told.replace("(", r"\(")):
        parse_chain(text)
