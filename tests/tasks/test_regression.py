"""Regression: errors against hand values, and what is refused."""

import numpy as np
import pytest

from mlbench.contracts import Encoding, Samples
from mlbench.errors import UsageError
from mlbench.evaluation.metrics import figures
from mlbench.tasks.regression import Regression

_TASK = Regression()


def _samples(**targets):
    count = len(next(iter(targets.values())))
    ids = np.arange(count).astype(np.str_)
    return Samples({"x": np.zeros((count, 2))}, targets, ids, ids, {"x": Encoding((2,))})


def _read(folder, y):
    np.savez(folder / "samples.npz", x=np.zeros((len(y), 2)), y=y)
    return _TASK.read(folder / "samples.npz", "", lambda _: None)


def test_errors_are_those_counted_by_hand():
    found = figures(_TASK, {"y": np.array([[1.0], [5.0]])}, {"y": np.array([2.0, 2.0])})
    assert found == {"mae": pytest.approx(2), "rmse": pytest.approx(np.sqrt(5))}


def test_a_sample_of_several_numbers_counts_once_and_several_targets_alike():
    answers = {"a": np.array([[1.0, 3.0]]), "b": np.array([[10.0]])}
    targets = {"a": np.array([[0.0, 0.0]]), "b": np.array([7.0])}
    found = figures(_TASK, answers, targets)
    assert found["mae"] == pytest.approx((2 + 3) / 2)
    assert found["rmse"] == pytest.approx(np.sqrt((5 + 9) / 2))


def test_outputs_are_as_many_as_the_targets_have_and_start_at_their_mean():
    samples = _samples(a=np.array([[1, 2], [3, 6]]), b=np.array([1.0, 2.0]))
    assert _TASK.outputs(samples) == {"a": (2,), "b": (1,)}
    assert {name: bias.tolist() for name, bias in _TASK.prior(samples).items()} == {"a": [2, 4], "b": [1.5]}
    wanted = _TASK.wanted(samples.targets, _TASK.outputs(samples))
    assert (wanted["a"] == [[1, 2], [3, 6]]).all()
    assert (wanted["b"] == [[1], [2]]).all()
    assert {values.dtype for values in wanted.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(("loss", "expected"), [("squared", (4 + 25) / 2), ("absolute", (2 + 5) / 2)])
def test_a_loss_is_of_the_kind_asked_for(loss, expected):
    import tensorflow as tf

    outputs, targets = {"y": tf.constant([[1.0], [9.0]])}, {"y": tf.constant([[3.0], [4.0]])}
    assert float(_TASK.loss(loss, None)(outputs, targets)) == pytest.approx(expected)


def test_a_network_of_another_number_of_outputs_is_refused():
    with pytest.raises(UsageError, match="targets y have 3 numbers per sample, the network 2"):
        _TASK.wanted({"y": np.zeros((4, 3))}, {"y": (2,)})


@pytest.mark.parametrize(
    "y",
    [
        np.array(["a", "b"]),
        np.array([1.0, np.nan]),
        np.array([np.inf, 1.0]),
        np.array([1j, 2j]),
        np.zeros((2, 0)),
    ],
)
def test_targets_that_are_no_numbers_are_one_sentence(tmp_path, y):
    with pytest.raises(
        UsageError, match=r"samples\.npz: y (is .*: give numbers|holds text, not numbers)"
    ) as told:
        _read(tmp_path, y)
    assert "\n" not in str(told.value)


def test_a_picture_tells_the_numbers():
    assert _TASK.picture(_samples(y=np.array([[1.5, 2.0]])), 0).text == "0: 1.5, 2"
    assert _TASK.picture_of_answer({"y": np.array([[0.25]])}, 0).text == "0.25"
