"""An encoding gives the same numbers wherever it is followed: here, in training, and in the measuring process."""

from dataclasses import asdict

import numpy as np
import pytest

from mlbench.contracts import Encoding
from mlbench.device_runners.host_worker import Input
from mlbench.networks.ports import Ports


@pytest.mark.parametrize(
    ("dtype", "scale", "offset", "first"),
    [
        ("float32", 255.0, 0.0, 200 / 255),
        ("float32", (2.0, 4.0), (100.0, 0.0), 50.0),
        ("float32", 1.0, 0.0, 200.0),
        ("float16", 100.0, 0.0, 2.0),
        ("int32", 1.0, 0.0, 200),
        ("int8", 1.0, 128.0, 72),
        ("int64", 2.0, 0.0, 100),
    ],
)
def test_stored_values_become_the_same_everywhere(tmp_path, dtype, scale, offset, first):
    import tensorflow as tf

    stored = np.array([[200, 0], [7, 255]], np.uint8)
    encoding = Encoding((2,), scale, offset, dtype=dtype)
    expected = encoding.encode(stored)
    assert expected.dtype == dtype
    assert expected[0, 0] == pytest.approx(first)
    [trained] = Ports(("x",), ("y",), {"x": encoding}).encoded({"x": tf.constant(stored)})
    np.save(tmp_path / "x.npy", stored)
    measured = Input("x", str(tmp_path / "x.npy"), asdict(encoding))
    for found in (trained.numpy(), np.stack([measured.encoded(row) for row in stored])):
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)
