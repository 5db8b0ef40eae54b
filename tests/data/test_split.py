"""Splits: parts that share nothing, whole groups, and the same rows each time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from mlbench.contracts import Encoding, Samples
from mlbench.data.npz_arrays import GIVEN
from mlbench.data.split import split
from mlbench.errors import UsageError

_RULES = ("file-order", "shuffled", "stratified")


def _samples(values, groups, classes=None, **extra):
    """Samples with these inputs [n] of these groups."""
    count = len(values)
    return Samples(
        inputs={"x": np.asarray(values)[:, None]},
        targets={"y": np.zeros(count, int) if classes is None else np.asarray(classes)},
        ids=np.array([f"{row}" for row in range(count)]),
        groups=np.asarray(groups).astype(np.str_),
        encodings={"x": Encoding((1,))},
        extra=extra,
        unit="patient",
    )


def _parts(found):
    return found.train, found.validation, found.test


@given(st.integers(0, 2**31), st.sampled_from(_RULES))
@settings(max_examples=60, deadline=None)
def test_parts_share_no_row_no_input_and_the_test_no_group(seed, rule):
    rng = np.random.default_rng(seed)
    count, groups = rng.integers(60, 200), rng.integers(20, 80)
    classes = rng.integers(0, rng.integers(1, 4), count)
    samples = _samples(rng.integers(0, 150, count), rng.integers(0, groups, count), classes)
    try:
        found = split(samples, rule, seed % 100)
    except UsageError:
        reject()
    rows = np.concatenate(_parts(found))
    assert len(np.unique(rows)) == len(rows) == count - found.left_out
    train, validation, test = (set(samples.take(part).keys.tolist()) for part in _parts(found))
    assert not train & validation
    assert not (train | validation) & test
    learnt = np.concatenate([found.train, found.validation])
    assert not set(samples.groups[learnt]) & set(samples.groups[found.test])
    again = split(samples, rule, seed % 100)
    assert all((one == other).all() for one, other in zip(_parts(found), _parts(again), strict=True))


def _alone(count=300):
    return _samples(np.arange(count), [f"patient {row // 3}" for row in range(count)])


def test_a_group_stays_where_it_is_when_samples_are_added():
    whole, half = _alone(), _alone().take(slice(0, 150))
    before, after = (set(one.groups[split(one, "file-order", 7).test]) for one in (half, whole))
    assert before == after & set(half.groups)


def test_about_a_tenth_is_for_each_part_and_the_seed_decides_which():
    samples = _alone(3000)
    found = split(samples, "file-order", 7)
    assert 0.07 < len(found.test) / 3000 < 0.13
    assert len(found.validation) == round(0.1 * (3000 - len(found.test)))
    assert set(found.test) != set(split(samples, "file-order", 8).test)


def test_validation_is_the_end_of_the_file_or_of_a_shuffled_one():
    samples = _alone()
    ordered, shuffled = split(samples, "file-order", 7), split(samples, "shuffled", 7)
    assert (ordered.test == shuffled.test).all()
    assert ordered.train.max() < ordered.validation.min()
    assert set(ordered.validation) != set(shuffled.validation)
    assert set(split(samples, "shuffled", 8).validation) != set(shuffled.validation)


@pytest.mark.parametrize("names", [np.array([0, 1]), np.array(["cat", "dog"])])
def test_stratified_takes_a_tenth_of_each_class(names):
    classes = names[(np.arange(250) % 5 == 0).astype(int)]
    samples = _samples(np.arange(250), np.arange(250), classes)
    found = split(samples, "stratified", 7)
    for part, counts in zip(_parts(found), ((160, 40), (20, 5), (20, 5)), strict=True):
        assert tuple(np.sum(classes[part] == name) for name in names) == counts


def test_a_group_of_several_classes_is_not_torn():
    samples = _samples(np.arange(300), np.arange(300) // 3, np.arange(300) % 3 // 2)
    found = split(samples, "stratified", 7)
    for one, other in ((found.train, found.validation), (found.train, found.test)):
        assert not set(samples.groups[one]) & set(samples.groups[other])


def test_stratified_needs_classes():
    with pytest.raises(UsageError, match="stratified needs a class per sample"):
        split(_samples(np.arange(60), np.arange(60), np.linspace(0, 1, 60)), "stratified", 7)


def test_the_file_says_which_is_which():
    said = np.array(["test", "train", "train", "validation"])[np.arange(40) % 4]
    found = split(_samples(np.arange(40), np.arange(40), **{GIVEN: said}), "given", 7)
    for part, name in zip(_parts(found), ("train", "validation", "test"), strict=True):
        assert part.tolist() == np.flatnonzero(said == name).tolist()


@pytest.mark.parametrize(
    ("said", "groups", "sentence"),
    [
        (None, range(4), "has no array `split`"),
        (["train", "train", "dev", "test"], range(4), "holds 'dev': each row is train, validation or test"),
        (
            ["train", "validation", "test", "test"],
            [1, 2, 2, 3],
            r"puts the patient 2 on both sides .* \(1 such\)",
        ),
        (["train", "train", "test", "test"], range(4), "too few to split"),
    ],
)
def test_a_file_that_says_it_wrongly_is_one_sentence(said, groups, sentence):
    samples = _samples(range(4), groups, **({GIVEN: np.array(said)} if said else {}))
    with pytest.raises(UsageError, match=sentence) as told:
        split(samples, "given", 7)
    assert "\n" not in str(told.value)


def test_a_key_holds_rows_and_samples():
    samples = _alone()
    found = split(samples, "file-order", 7)
    moved = replace(found, train=found.train[1:])
    other = replace(samples, ids=np.array([f"{name}x" for name in samples.ids]))
    assert len({found.key(samples), moved.key(samples), found.key(other)}) == 3
