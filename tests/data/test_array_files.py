"""Samples in an `.npz`: what its arrays mean, and one sentence for each that means nothing."""

import numpy as np
import pytest

from mlbench.data.array_files import read_samples
from mlbench.errors import UsageError


def _written(folder, **arrays):
    path = folder / "samples.npz"
    np.savez(path, **arrays)
    return path


def test_x_and_y_are_an_input_and_a_target(tmp_path):
    images, numbers = np.arange(72, dtype=np.uint8).reshape(2, 6, 6), np.array([1.5, 2.5])
    found = read_samples(_written(tmp_path, x=images, y=numbers))
    assert (found.inputs["x"] == images).all()
    assert (found.targets["y"] == numbers).all()
    assert found.ids.tolist() == found.groups.tolist() == ["0", "1"]
    assert (found.unit, dict(found.extra)) == ("sample", {})
    assert isinstance(found.inputs["x"].base, np.memmap)


def test_several_inputs_and_targets_have_names(tmp_path):
    arrays = {
        "x.left": np.zeros((3, 2)),
        "x.right": np.ones((3, 4)),
        "y.age": np.arange(3),
        "y.size": np.arange(3),
    }
    found = read_samples(_written(tmp_path, **arrays))
    assert {name: values.shape for name, values in found.inputs.items()} == {"left": (3, 2), "right": (3, 4)}
    assert list(found.targets) == ["age", "size"]


def test_groups_names_and_a_split_come_from_the_file(tmp_path):
    path = _written(
        tmp_path,
        x=np.zeros((2, 3)),
        y=np.zeros(2),
        group=np.array([7, 7]),
        id=np.array(["a", "b"]),
        split=np.array(["train", "test"]),
    )
    found = read_samples(path)
    assert (found.groups.tolist(), found.ids.tolist(), found.unit) == (["7", "7"], ["a", "b"], "group")
    assert list(found.extra) == ["split"]


def test_a_label_names_other_targets(tmp_path):
    path = _written(tmp_path, x=np.zeros((2, 3)), y=np.zeros(2), human=np.ones(2))
    found = read_samples(path, "human")
    assert found.targets["human"].tolist() == [1, 1]
    assert list(found.targets) == ["human"]


@pytest.mark.parametrize(
    ("values", "shape", "scale", "layout"),
    [
        (np.zeros((2, 5, 6), np.uint8), (5, 6, 1), 255, "HWC"),
        (np.zeros((2, 5, 6, 3), np.uint8), (5, 6, 3), 255, "HWC"),
        (np.zeros((2, 5, 6, 3), np.float32), (5, 6, 3), 1, "HWC"),
        (np.zeros((2, 9), np.float64), (9,), 1, ""),
        (np.zeros(2, np.int16), (1,), 1, ""),
    ],
)
def test_bytes_are_grey_levels_and_all_else_is_taken_as_it_is(tmp_path, values, shape, scale, layout):
    encoding = read_samples(_written(tmp_path, x=values, y=np.zeros(2))).encodings["x"]
    assert (encoding.shape, encoding.scale, encoding.offset, encoding.layout) == (shape, scale, 0, layout)


_GOOD = {"x": np.zeros((2, 3)), "y": np.zeros(2)}


@pytest.mark.parametrize(
    ("arrays", "label", "sentence"),
    [
        ({"y": np.zeros(2)}, "", r"has no array x or x.NAME \(it has y\)"),
        ({"x": np.zeros(2)}, "", r"has no array y or y.NAME \(it has x\)"),
        (_GOOD, "human", r"has no array 'human' \(it has x, y\)"),
        ({**_GOOD, "y": np.zeros(3)}, "", "x has 2 rows, y has 3"),
        ({**_GOOD, "group": np.zeros(1)}, "", "x has 2 rows, group has 1"),
        ({**_GOOD, "y": np.float64(3)}, "", "x has 2 rows, y has 0"),
        ({"x": np.zeros((0, 3)), "y": np.zeros(0)}, "", "holds no sample"),
        ({**_GOOD, "x": np.full((2, 3), np.nan)}, "", "input x holds values that are not finite"),
        ({**_GOOD, "x": np.array(["a", "b"])}, "", "input x is <U1: give numbers"),
        ({**_GOOD, "x": np.zeros((2, 0))}, "", "input x has no values"),
        ({**_GOOD, "id": np.array([b"\xff", b"a"])}, "", "cannot be read as samples"),
        ({**_GOOD, "group": np.array([None, "a"])}, "", "holds Python objects"),
    ],
)
def test_bad_arrays_are_one_sentence(tmp_path, arrays, label, sentence):
    path = _written(tmp_path, **arrays)
    with pytest.raises(UsageError, match=sentence) as told:
        read_samples(path, label)
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("content", [None, b"", b"PK not a zip", b"\x93NUMPY"])
def test_what_is_no_npz_is_one_sentence(tmp_path, content):
    path = tmp_path / "samples.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        UsageError, match=r"samples\.npz .*; give an \.npz|samples\.npz does not exist: give an"
    ):
        read_samples(path)
