"""The task of a file is taken from what it holds, where that is plain."""

import numpy as np
import pytest

from mlbench.data.reading import reading_of
from mlbench.data.recognising import recognised
from mlbench.errors import UsageError

_X = np.zeros((60, 4))


def _written(folder, **arrays):
    path = folder / "samples.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (np.arange(60) % 3, "classification"),
        ((np.arange(60) % 3)[:, None], "classification"),
        (np.array(["cat", "dog"] * 30), "classification"),
        (np.linspace(0, 1, 60), "regression"),
        (np.zeros((60, 4), np.float32), "regression"),
    ],
)
def test_plain_targets_tell_the_task(tmp_path, y, task):
    assert recognised(_written(tmp_path, x=_X, y=y)) == task


@pytest.mark.parametrize(
    "y", [np.arange(60), np.eye(60), np.full(60, None).astype("S1"), np.ones((60, 2), int)]
)
def test_other_targets_are_one_sentence_that_asks(tmp_path, y):
    path = _written(tmp_path, x=_X, y=y if y.dtype.kind != "S" else np.arange(60) * 1j)
    with pytest.raises(UsageError, match=r"not plainly samples of one task \(y is .*: give --task, one of"):
        recognised(path)


def test_a_hint_says_what_to_do_with_rows_of_zeros_and_ones(tmp_path):
    with pytest.raises(UsageError, match=r"for classes give their numbers, y\.argmax"):
        recognised(_written(tmp_path, x=_X, y=np.eye(60)))
    with pytest.raises(UsageError) as raised:
        recognised(_written(tmp_path, x=_X, y=np.ones((60, 2), int)))
    assert "argmax" not in str(raised.value)


def test_targets_of_another_name_ask_for_the_column(tmp_path):
    path = _written(tmp_path, images=_X, kind=np.arange(60) % 2)
    with pytest.raises(
        UsageError, match="there is no array y; of images, kind, name the targets by --column y="
    ):
        recognised(path)


def test_columns_say_which_array_is_looked_at(tmp_path):
    path = _written(tmp_path, images=_X, kind=np.arange(60) % 2)
    assert recognised(path, reading_of(columns=["x=images", "y=kind"])) == "classification"


def test_faces_and_folders_are_recognised_and_what_cannot_be_read_is_not(tmp_path, faces_file):
    assert recognised(faces_file) == "landmarks"
    assert recognised(tmp_path) == "classification"
    assert recognised(tmp_path / "absent.npz") is None
    (tmp_path / "damaged.npz").write_bytes(b"PK no zip")
    assert recognised(tmp_path / "damaged.npz") is None
