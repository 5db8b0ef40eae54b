"""Samples: their encoding is one everywhere, and their fingerprint holds all that decides a figure."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from mlbench.contracts import Encoding, Samples
from mlbench.contracts.samples import joined
from mlbench.device_runners.host_worker import Input
from mlbench.errors import UsageError
from mlbench.networks.ports import Ports

_NAMES = np.array(["a", "b", "c"])


def _samples(**changed):
    usual = Samples(
        inputs={"image": np.arange(36, dtype=np.uint8).reshape(3, 2, 2, 3), "age": np.arange(3.0)},
        targets={"y": np.array([0, 1, 0])},
        ids=_NAMES,
        groups=np.array(["p", "p", "q"]),
        encodings={"image": Encoding((2, 2, 3), 255.0), "age": Encoding((1,))},
        extra={"hard": np.array([True, False, False])},
    )
    return replace(usual, **changed)


@pytest.mark.parametrize(
    ("scale", "offset"),
    [(255.0, 0.0), (127.5, 127.5), ((58.4, 57.1, 57.4), (123.7, 116.3, 103.5)), (0.5, (0.0, 1.0, -2.0))],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_an_encoding_is_the_same_for_training_files_and_devices(tmp_path, scale, offset, dtype):
    import tensorflow as tf

    stored = np.random.default_rng(7).integers(0, 256, (4, 12)).astype(dtype)
    wanted = (stored.reshape(4, 2, 2, 3) - np.array(offset)) / np.array(scale)
    encoding = Encoding((2, 2, 3), scale, offset, "HWC")
    np.save(tmp_path / "x.npy", stored)
    worker = Input("x", str(tmp_path / "x.npy"), asdict(encoding))
    ports = Ports(("x",), ("y",), {"x": encoding})
    found = {
        "numpy": encoding.encode(stored),
        "TensorFlow": ports.encoded({"x": tf.constant(stored)})[0].numpy(),
        "worker": np.stack([worker.encoded(row) for row in worker.values]),
    }
    for where, values in found.items():
        assert values.dtype == np.float32, where
        np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-5, err_msg=where)


def test_a_fingerprint_changes_with_all_that_decides_a_figure():
    usual = _samples()
    image, age = usual.inputs["image"], usual.inputs["age"]
    encodings = usual.encodings
    others = [
        _samples(inputs={"image": image ^ 1, "age": age}),
        _samples(inputs={"image": image, "age": age + 1}),
        _samples(inputs={"image": image.astype(np.int16), "age": age}),
        _samples(inputs={"image": image.reshape(3, 4, 3), "age": age}),
        _samples(
            inputs={"picture": image, "age": age}, encodings={"picture": encodings["image"], **encodings}
        ),
        _samples(targets={"y": np.array([0, 1, 1])}),
        _samples(targets={"z": np.array([0, 1, 0])}),
        _samples(ids=np.array(["a", "b", "d"])),
        _samples(groups=np.array(["p", "q", "q"])),
        _samples(extra={"hard": np.array([True, True, False])}),
        _samples(extra={"easy": usual.extra["hard"]}),
        _samples(extra={}),
        _samples(encodings={**encodings, "age": Encoding((1,), 2.0)}),
        _samples(classes={"y": ("cat", "dog")}),
        usual.take([1, 0, 2]),
    ]
    prints = {one.fingerprint for one in (usual, *others)}
    assert len(prints) == len(others) + 1
    assert _samples().fingerprint == usual.fingerprint == usual.take(slice(0, 3)).fingerprint


def test_a_sample_is_known_by_its_inputs_whatever_it_is_called():
    usual, other = _samples(), _samples(ids=np.array(["x", "y", "z"]), targets={"y": np.array([1, 1, 1])})
    assert usual.keys.tolist() == other.keys.tolist()
    assert len(set(usual.keys.tolist())) == 3
    changed = _samples(inputs={**usual.inputs, "age": np.array([0.0, 9.0, 2.0])})
    assert (usual.keys == changed.keys).tolist() == [True, False, True]


def test_rows_are_taken_of_every_array():
    found = _samples().take([2, 0])
    assert found.inputs["age"].tolist() == [2, 0]
    assert found.targets["y"].tolist() == [0, 0]
    assert (found.ids.tolist(), found.groups.tolist()) == (["c", "a"], ["q", "p"])
    assert found.extra["hard"].tolist() == [False, True]


def test_classes_of_two_files_get_the_same_numbers():
    known = _samples(classes={"y": ("ant", "cat", "dog")})
    found = _samples(classes={"y": ("cat", "dog")}).numbered_as(known, "test.npz")
    assert found.targets["y"].tolist() == [1, 2, 1]
    assert found.classes == known.classes
    assert _samples().numbered_as(_samples(), "test.npz").targets["y"].tolist() == [0, 1, 0]


@pytest.mark.parametrize(("known", "told"), [({"y": ("ant", "cat")}, "ant, cat"), ({}, "numbers")])
def test_a_class_that_training_has_not_is_one_sentence(known, told):
    with pytest.raises(
        UsageError, match=rf"test.npz: y has the class '\w+', which training has not \(it has {told}\)"
    ):
        _samples(classes={"y": ("cat", "dog")}).numbered_as(_samples(classes=known), "test.npz")


def test_joined_samples_keep_what_all_of_them_have():
    found = joined([_samples(), _samples(extra={}).take([1])])
    assert found.ids.tolist() == ["a", "b", "c", "b"]
    assert found.inputs["image"].shape == (4, 2, 2, 3)
    assert found.extra == {}
