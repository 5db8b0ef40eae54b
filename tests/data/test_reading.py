"""What options say of a file: which array is what, and how stored values become inputs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench.contracts import Reading
from mlbench.data.array_files import read_samples
from mlbench.data.reading import encoding_of, parse_size, reading_of, told
from mlbench.errors import UsageError

_DTYPES = ["uint8", "int8", "uint16", "int16", "int32", "int64", "float16", "float32", "float64", "bool"]
_NUMBERS = st.floats(0.01, 300)


def _of(numbers):
    return {} if numbers is None else {"": numbers}


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(_DTYPES),
    scale=st.none() | st.tuples(_NUMBERS) | st.tuples(_NUMBERS, _NUMBERS, _NUMBERS),
    mean=st.none() | st.tuples(*[st.floats(-5, 5)] * 3),
    std=st.none() | st.tuples(_NUMBERS) | st.tuples(_NUMBERS, _NUMBERS, _NUMBERS),
    seed=st.integers(0, 99),
)
def test_an_encoding_is_scale_then_mean_then_std(dtype, scale, mean, std, seed):
    stored = np.random.default_rng(seed).integers(0, 120, (4, 3, 2, 3)).astype(dtype)
    encoding = encoding_of("x", stored, Reading(scale=_of(scale), mean=_of(mean), std=_of(std)), {})
    usual = 255.0 if dtype == "uint8" else 1.0
    by = np.array(scale or usual, np.float64)
    wanted = (stored.astype(np.float64) / by - np.array(mean or 0.0)) / np.array(std or 1.0)
    # float32 subtracts numbers as large as the stored ones, before it divides.
    largest = (np.abs(stored.astype(np.float64)) + np.abs(by * np.array(mean or 0.0))) / (
        by * np.array(std or 1.0)
    )
    assert np.all(np.abs(encoding.encode(stored) - wanted) <= 1e-6 * largest + 1e-12)


def _written(folder, **arrays):
    path = folder / "samples.npz"
    np.savez(path, **arrays)
    return path


_IMAGES = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)


def test_options_go_before_the_file_and_the_file_before_the_usual_rule(tmp_path):
    plain = _written(tmp_path, x=_IMAGES, y=np.zeros(2)).read_bytes()
    path = _written(tmp_path, x=_IMAGES, y=np.zeros(2), scale=100.0, mean=np.array([0.1, 0.2, 0.3]))
    file, both = read_samples(path), read_samples(path, how=reading_of(scale=["50"], std=["2"]))
    assert (file.encodings["x"].scale, file.encodings["x"].offset) == (100, pytest.approx((10, 20, 30)))
    assert (both.encodings["x"].scale, both.encodings["x"].offset) == (100, pytest.approx((5, 10, 15)))
    assert dict(file.extra) == {}
    path.write_bytes(plain)
    assert read_samples(path).encodings["x"].scale == 255
    assert told(read_samples(path)) == ["Input x [4×4×3]: uint8 0…95 → x / 255 = 0…0.3725."]


def test_an_input_of_several_has_numbers_of_its_own(tmp_path):
    arrays = {"x.image": _IMAGES, "x.age": np.arange(2.0), "y": np.zeros(2), "scale.age": np.array(7.0)}
    found = read_samples(_written(tmp_path, **arrays), how=reading_of(mean=["image=0.5"]))
    assert (found.encodings["image"].offset, found.encodings["age"].scale) == (127.5, 7)
    with pytest.raises(UsageError, match='has no input "imgae"; did you mean "image"'):
        read_samples(tmp_path / "samples.npz", how=reading_of(mean=["imgae=0.5"]))


def test_columns_say_which_array_is_what(tmp_path):
    path = _written(
        tmp_path,
        images=_IMAGES,
        labels=np.arange(2),
        who=np.array(["a", "b"]),
        y=np.full(2, 9),
        x=np.zeros(2),
    )
    found = read_samples(path, how=reading_of(columns=["x=images", "y=labels", "group=who"]))
    assert (found.inputs["x"] == _IMAGES).all()
    assert found.targets["y"].tolist() == [0, 1]
    assert (found.groups.tolist(), dict(found.extra)) == (["a", "b"], {})
    named = read_samples(path, how=reading_of(columns=["x.left=images", "x.right=images", "y.kind=labels"]))
    assert (list(named.inputs), list(named.targets)) == (["left", "right"], ["kind"])
    with pytest.raises(UsageError, match=r'no array "image" \(--column x=image\); did you mean "images"'):
        read_samples(path, how=reading_of(columns=["x=image"]))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"columns": ["images"]}, "--column images: write what an array is"),
        ({"columns": ["gruop=a"]}, "cannot be 'gruop'; did you mean \"group\""),
        ({"columns": ["x=a", "x=b"]}, "x is a already"),
        ({"scale": ["0"]}, "--scale 0: nothing is divided by numbers that are not above 0"),
        ({"std": ["1,-1,1"]}, "--std 1,-1,1: nothing is divided"),
        ({"mean": ["nan"]}, "--mean nan: it is not finite"),
        ({"mean": ["half"]}, "--mean half: write a number, or one per channel"),
        ({"size": "96"}, "--image-size 96: write height and width"),
        ({"size": "0x8"}, "--image-size 0x8: write height and width"),
    ],
)
def test_options_that_say_nothing_are_one_sentence(options, sentence):
    with pytest.raises(UsageError, match=sentence) as raised:
        reading_of(**options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arrays", "options", "sentence"),
    [
        ({}, {"mean": ["1,2"]}, "--mean has 2 numbers, the input x has 3 channels"),
        ({"std": np.ones(4)}, {}, "the array std has 4 numbers, the input x has 3 channels"),
        ({"std": np.zeros(3)}, {}, "the array std: nothing is divided by"),
        (
            {"x": np.moveaxis(_IMAGES, -1, 1)},
            {"mean": ["1,2,3"]},
            r"transpose them with numpy.moveaxis\(x, 1, -1\)",
        ),
    ],
)
def test_numbers_that_fit_no_channels_are_one_sentence(tmp_path, arrays, options, sentence):
    path = _written(tmp_path, **{"x": _IMAGES, "y": np.zeros(2), **arrays})
    with pytest.raises(UsageError, match=sentence):
        read_samples(path, how=reading_of(**options))


def test_a_size_is_height_and_width():
    assert (parse_size("96x128"), parse_size("96×128"), parse_size(None)) == ((96, 128), (96, 128), None)
