"""Spaces: what may be chosen, how it is written, and that every default candidate is a chain."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlbench import plugins
from mlbench.compression.chain import parse_chain
from mlbench.contracts import Context
from mlbench.errors import UsageError
from mlbench.search.space import Range, Space, dimension_of, space_of
from mlbench.search.usual import recommended, table_of, usual_space
from mlbench.system.progress import Silent
from mlbench.testing.networks import NETWORKS, samples_for

_HAND_WRITTEN = {
    "chain": "slim({s1},layers=dense)+tucker(target={t})+{q}",
    "s1": [0.3, 0.8],
    "t": {"low": "60KB", "high": "900KB", "log": True},
    "q": ["dynamic", "dynamic4"],
}


def _space(entries, networks=("basic",)) -> Space:
    return space_of(entries, networks, str.strip, lambda key: f"experiment.toml: search.{key}")


def _picking(rng: random.Random):
    """Chooses anything, as a sampler does."""

    def pick(name, values):
        if isinstance(values, Range):
            return values.text(rng.uniform(*values.ends))
        return rng.choice(values)

    return pick


def test_a_hand_written_space_gives_its_chains():
    space, chosen = _space(_HAND_WRITTEN), {"s1": "0.3", "t": "123KB", "q": "dynamic4"}
    assert space.chosen(chosen).chain == "slim(share=0.3,layers=dense)+tucker(target=123KB)+dynamic4"


def test_it_is_asked_for_what_a_candidate_needs_and_each_name_once():
    asked = []
    space = _space(
        {"chain": "{first}", "first": ["svd({r})+{last}", "{last}"], "r": [8, 16], "last": ["none", "int8"]}
    )

    def pick(name, values):
        asked.append(name)
        return values[-1]

    assert space.candidate(pick).chain == "int8"
    assert asked == ["first", "last"]


def test_fields_of_a_variant_are_chosen_too():
    from mlbench.networks.changed import network_named

    entries = {"chain": "dynamic", "f": ["8-16-32", "32-32-64"], "k": {"low": 2, "high": 3}}
    named = lambda text: network_named(text).name  # noqa: E731
    space = space_of(entries, ["basic(filters={f},kernel={k})"], named, str)
    assert space.chosen({"f": "8-16-32", "k": "3"}).network == "basic(filters=8-16-32,kernel=3-3-3)"
    assert space.chosen({"f": "32-32-64", "k": "2"}).network == "basic(kernel=2-2-2)"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"t": {"low": "60XB", "high": "900KB"}}, "search.t: 900KB is not a number of XB"),
        ({"t": {"low": "900KB", "high": "60KB"}}, "search.t: goes from 900KB to 60KB: give low below high"),
        (
            {"t": {"low": 0, "high": 3, "log": True}},
            "search.t: goes from 0 to 3: give low below high, both above 0",
        ),
        ({"t": {"low": 1, "hihg": 3}}, "search.t: "),
        ({"t": []}, "search.t: "),
        ({"t": {"low": 1}}, "search.t: high: Field required"),
        ({"tt": [1]}, "search.chain: tt: no chain or network uses {tt}"),
        (
            {"chain": "svd({rnak})", "rank": [1]},
            'holds {rnak}, which has no values; did you mean "rank"?',
        ),
        ({"chain": 3}, "search.chain must be a text"),
        ({"chain": []}, "search.chain must be a text"),
        ({"q": ["dynamic", "{q}"]}, "q: its values hold {q} themselves"),
        ({"q": ["dynamic", "int8+svd"]}, "search.chain: svd cannot follow int8"),
        ({"q": ["int9", "dynamic"]}, 'search.chain: There is no compressor "int9"'),
        ({"two words": [1]}, "search.two words: a name must consist of"),
    ],
)
def test_a_mistake_is_one_sentence_with_file_and_key(changed, told):
    with pytest.raises(UsageError) as error:
        _space(_HAND_WRITTEN | changed)
    assert told in str(error.value)
    assert str(error.value).startswith("experiment.toml: search.")


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["svd", "{t}", "7KB", "x=", "\0"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["low", "high", "log", "x"]), inner)
    ),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["chain", "s1", "t", "q"]), _json))
def test_any_table_is_a_space_or_one_sentence(changed):
    try:
        space = _space(_HAND_WRITTEN | changed)
    except UsageError as error:
        assert str(error).startswith("experiment.toml: search.")
    else:
        assert space.configuration()["chain"]


@given(st.integers(1, 500), st.integers(501, 10_000), st.floats(0, 1), st.booleans())
@settings(max_examples=50, deadline=None)
def test_texts_of_a_range_are_within_it(low, high, at, log):
    for unit in ("", "KB", "MMAC"):
        values = dimension_of({"low": f"{low}{unit}", "high": f"{high}{unit}", "log": log})
        text = values.text(low + at * (high - low))
        assert low <= values.number(text) <= high
        assert values.text(values.number(text)) == text


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_default_candidate_of_any_network_is_a_chain(name):
    network = NETWORKS[name](3)
    context = Context(samples_for(network, 40, 3), 7, Silent())
    entries = usual_space([network], context, 3, None)
    assert {"svd(target={svd_target},epochs={epochs})+{after_svd}", "none"} <= set(entries["replace"])
    handled = "cp(target={cp_target},epochs={epochs})+{after_cp}" in entries["replace"]
    assert handled == (name in ("sequential", "residual"))  # convolutions over more than one channel
    space, rng = _space(entries), random.Random(7)
    for _ in range(300):
        found = space.candidate(_picking(rng))
        assert str(parse_chain(found.chain)) == found.chain
        assert space.chosen(space.values_of("basic", parse_chain(found.chain))) == found


def _everything(most_bytes):
    return table_of(plugins.usable("compressors")[0].values(), (33e6, 33e6), 4, most_bytes)


def test_each_order_of_techniques_is_in_the_default_space():
    space, rng = _space(_everything(None)), random.Random(7)
    seen = {re.sub(r"\([^)]*\)", "", space.candidate(_picking(rng)).chain) for _ in range(1500)}
    assert {
        "none",
        "slim+tucker+dynamic4",
        "svd+cp+prune+int8",
        "cluster+dynamic",
        "slim+slim+tucker+qat",
    } <= seen
    assert not any(re.search(r"(prune|cluster)\+(qat|dynamic4)", chain) for chain in seen)


@pytest.mark.parametrize("most_bytes", [None, 128_000])
def test_recommended_chains_are_in_the_default_space(most_bytes):
    space = _space(_everything(most_bytes))
    for text in recommended(33e6, most_bytes):
        found = space.chosen(space.values_of("basic", parse_chain(text)))
        plain = re.sub(r",?epochs=\d+", "", found.chain)
        assert re.sub(r"\(,?", "(", plain).replace("()", "") == str(parse_chain(text))


def test_every_candidate_of_a_finite_space_is_gone_through_once():
    entries = {
        "chain": "{first}+{q}",
        "first": ["none", "svd({r})", "none"],
        "r": [4, 8],
        "q": ["none", "int8"],
    }
    space = _space(entries)
    every = space.every(100)
    assert {candidate.chain for _, candidate in every} == {
        "none",
        "int8",
        "svd(rank=4)",
        "svd(rank=4)+int8",
        "svd(rank=8)",
        "svd(rank=8)+int8",
    }
    assert len(every) == 6
    assert all(space.chosen(values) == candidate for values, candidate in every)
    assert space.every(5) is None
    assert _space(_HAND_WRITTEN).every(100) is None


def test_what_is_not_in_a_space_has_no_values():
    space = _space(_HAND_WRITTEN)
    for chain in (
        "svd",
        "slim(0.3,layers=dense)+tucker(target=99KB)",
        "slim(0.3,layers=conv)+tucker(target=99KB)+dynamic",
    ):
        assert space.values_of("basic", parse_chain(chain)) is None
    assert space.values_of("other", parse_chain("slim(0.3,layers=dense)+tucker(target=99KB)+dynamic")) is None


def test_set_changes_an_entry_of_the_file_or_one_end_of_it(tmp_path, monkeypatch):
    import click

    from mlbench.cli.experiment import entries_of_space
    from mlbench.cli.search import search

    (tmp_path / "experiment.toml").write_text(
        "[search]\nt = {low = 1, high = 9, log = true}\ns = [1]\ntrials = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    for order in (0, 1):
        words = [["--config", "experiment.toml"], ["--set", "search.t.low=2", "--set", "search.s=[2, 3]"]]
        arguments = [*words[order], *words[1 - order]]
        with search.make_context("search", arguments) as context:
            assert isinstance(context, click.Context)
            entries, place = entries_of_space()
            assert entries == {"t": {"low": 2, "high": 9, "log": True}, "s": [2, 3]}
            assert (place("t"), place("none")) == ("--set search.t", "search.none")
            assert context.params["trials"] == 3
