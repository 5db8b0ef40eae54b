"""Variants with other fields, as text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench import plugins
from mlbench.errors import UsageError
from mlbench.networks import building
from mlbench.networks.changed import network_named
from mlbench.networks.ports import predict

_names = st.sampled_from(["basic", "two_pool", "one_pool"])
_sizes = st.lists(st.integers(1, 64), min_size=1, max_size=4)
_fields = st.fixed_dictionaries(
    {},
    optional={
        "filters": _sizes,
        "dense": st.lists(st.integers(1, 900), max_size=3),
        "pools": st.integers(0, 3),
    },
)


def _text(name: str, fields: dict[str, object]) -> str:
    told = [
        f"{key}={'-'.join(map(str, value)) or 'none' if isinstance(value, list) else value}"
        for key, value in fields.items()
    ]
    return f"{name}({','.join(told)})"


@settings(max_examples=60, deadline=None)
@given(_names, _fields)
def test_the_name_of_a_changed_variant_makes_it_again(name, fields):
    try:
        made = network_named(_text(name, fields))
    except UsageError as error:
        assert "convolutions" in str(error)  # more pools than convolutions
        return
    assert network_named(made.name) == made
    assert made.name == name or made != plugins.load("variants", name)


def test_fields_are_as_they_are_written():
    made = network_named("basic(filters=8-16-32-48, kernel=3, pools=2, dense=none)")
    assert [(block.filters, block.kernel, block.pool) for block in made.blocks] == [
        (8, 3, False),
        (16, 3, False),
        (32, 3, True),
        (48, 3, True),
    ]
    assert made.dense == ()
    assert made.name == "basic(filters=8-16-32-48,kernel=3-3-3-3,dense=none,pools=2)"
    assert made.outputs == 136


def test_what_changes_nothing_is_the_variant_itself():
    assert network_named("basic(filters=32-32-64,pools=3)") is plugins.load("variants", "basic")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("basic(filter=8)", 'no field "filter"; did you mean "filters"?'),
        ("basic(filters=8-x)", "filters=8-x is not of each convolution"),
        ("basic(filters=8-16,kernel=3-3-3)", "filters has 2 numbers for 3 convolutions"),
        ("basic(pools=4)", "pools=4 is more than its 3 convolutions"),
        ("basic(kernel=90)", "has a feature map that vanishes"),
        ("basik(kernel=3)", 'There is no variant "basik"'),
    ],
)
def test_a_mistake_is_one_sentence(text, told):
    with pytest.raises(UsageError) as error:
        network_named(text)
    assert told in str(error.value)


@pytest.mark.parametrize("task", ["landmarks", "presence"])
def test_a_changed_variant_answers_samples(task):
    task = plugins.load("tasks", task)()
    samples, source = task.sample(4, 7), network_named("basic(filters=2-2-4,dense=8)")
    found = predict(building.build(source, task, samples, 7), samples)
    assert {name: values.shape[1:] for name, values in found.items()} == task.outputs(samples)
