"""Samples against a network: one sentence for each way in which they do not fit, and for each doubt."""

import re
from dataclasses import replace

import numpy as np
import pytest

from mlbench.contracts import Encoding, NetworkSource, Samples
from mlbench.data.fitting import (
    Facts,
    doubts_of,
    doubts_of_samples,
    faults_of,
    require_fit,
    scaling_faults,
)
from mlbench.data.split import Split
from mlbench.errors import UsageError
from mlbench.networks.building import build
from mlbench.networks.facts import divisors_of
from mlbench.tasks.classification import Classification
from mlbench.tasks.regression import Regression

_CLASSES, _NUMBERS = Classification(), Regression()


def _samples(shape=(8, 8, 3), scale=255.0, y=None, dtype=np.uint8, names=("x",), count=60):
    rng = np.random.default_rng(7)
    stored = rng.integers(0, 256, (count, *shape)).astype(dtype)
    ids = np.arange(count).astype(np.str_)
    targets = np.arange(count) % 3 if y is None else y
    encodings = dict.fromkeys(names, Encoding(shape, scale))
    return Samples(dict.fromkeys(names, stored), {"y": targets}, ids, ids, encodings)


def _stored():
    """Images that were divided by 255 before they were stored."""
    samples = _samples(scale=1.0, dtype=np.float32)
    return replace(samples, inputs={"x": samples.inputs["x"] / 255})


def _faults(samples, inputs, outputs, task=_CLASSES):
    return list(faults_of(samples, inputs, outputs, task))


def test_samples_that_fit_have_no_fault_and_no_doubt():
    samples = _samples()
    for shape in ((8, 8, 3), (None, None, 3)):
        assert _faults(samples, {"input_1": shape}, {"dense": (3,)}) == []
        assert doubts_of(samples, {"input_1": shape}, {"dense": (3,)}, _CLASSES) == []
    assert doubts_of_samples(samples, None, _CLASSES) == []
    require_fit(samples, {"x": (8, 8, 3)}, {"y": (3,)}, _CLASSES)


@pytest.mark.parametrize(
    ("given", "wanted", "sentence"),
    [
        (
            (8, 8, 3),
            (3, 8, 8),
            r"x as 3×8×8, the samples hold it as 8×8×3: its channels come first; transpose x",
        ),
        ((3, 8, 8), (8, 8, 3), "the samples' channels come first; transpose x with numpy.moveaxis"),
        ((8, 8, 1), (8, 8, 3), "it is for RGB, they are grey: .*--channels rgb"),
        ((8, 8, 3), (8, 8, 1), "it is for grey images, they are RGB: .*--channels grey"),
        ((8, 8, 3), (8, 8, 4), "give images of 4 channels"),
        ((8, 8, 3), (16, 16, 3), r"give images of that size \(of a folder by --image-size HxW\)"),
        ((8, 8), (8, 8, 1), r"add the axis of the one channel, as x\[..., None\]"),
        ((8, 8, 1), (64,), "reshape x"),
        ((8,), (8, 8, 3), "give samples of 3 axes"),
        ((8, 8), (None, 9), "×9, the samples hold it as 8×8: give samples of that shape"),
    ],
)
def test_inputs_of_another_shape_are_one_sentence_with_what_to_do(given, wanted, sentence):
    [fault] = _faults(_samples(given), {"input": wanted}, {"y": (3,)})
    assert "\n" not in fault
    with pytest.raises(UsageError, match=sentence):
        require_fit(_samples(given), {"input": wanted}, {"y": (3,)}, _CLASSES)


@pytest.mark.parametrize(
    ("inputs", "outputs", "samples", "sentence"),
    [
        (
            {"a": (8, 8, 3), "b": (4,)},
            {"y": (3,)},
            _samples(),
            r"inputs a, b, the samples have x: name .* x.a and x.b",
        ),
        (
            {"a": (8, 8, 3)},
            {"y": (3,)},
            _samples(names=("left", "right")),
            "one input, a, the samples have left, right",
        ),
        (
            {"x": (8, 8, 3)},
            {"age": (1,), "kind": (3,)},
            _samples(),
            "outputs age, kind, .*: name .* y.age and y.kind",
        ),
        (
            {"x": (8, 8, 3)},
            {"y": (2,)},
            _samples(),
            "class 2 has no output: the network answers classes 0 to 1",
        ),
    ],
)
def test_other_inputs_outputs_and_classes_are_one_sentence(inputs, outputs, samples, sentence):
    with pytest.raises(UsageError, match=sentence):
        require_fit(samples, inputs, outputs, _CLASSES)


def test_targets_of_another_shape_than_the_output_are_one_sentence():
    samples = _samples(y=np.zeros((60, 4)))
    [fault] = _faults(samples, {"x": (8, 8, 3)}, {"out": (2,)}, _NUMBERS)
    assert "The targets y have 4 numbers per sample, the network 2" in fault


def test_all_faults_are_told_not_the_first_alone():
    assert len(_faults(_samples((8, 8, 1)), {"x": (8, 8, 3)}, {"y": (2,)})) == 2


@pytest.mark.parametrize(
    ("samples", "facts", "sentence"),
    [
        (
            _samples(scale=1.0, dtype=np.float32),
            Facts(),
            "Input x is 0…255 .*: networks for images mostly expect 0…1",
        ),
        (_stored(), Facts({"x": 255.0}), "0…1 .*divide it by about 255: .* give --scale 0.003922"),
        (_stored(), Facts({"x": 0.5}), None),  # to -1…1
        (_samples(scale=1.0), Facts({"x": 127.5}), None),
        (_samples(scale=1.0), Facts({"x": 0.5}), "Input x is 0…255 .*: networks for images mostly expect"),
        (_samples(), Facts({"x": 1.0}), None),
    ],
)
def test_a_range_that_the_network_probably_does_not_expect_is_told(samples, facts, sentence):
    found = doubts_of(samples, {"x": (8, 8, 3)}, {"y": (3,)}, _CLASSES, facts)
    assert [bool(re.search(sentence or "nothing", doubt)) for doubt in found] == [True] * (
        sentence is not None
    )


@pytest.mark.parametrize(
    ("samples", "divisor", "mend"),
    [
        (_samples(), 255.0, "give --scale 1, so that"),
        (_samples(), 127.5, "give --scale 1, so that"),
        (_samples(names=("x", "z")), 255.0, "give --scale x=1, so that"),
        (_samples(scale=60.0), 60.0, None),  # it gets 0…4.25: whoever wrote it may have meant it
        (_samples(), 0.5, None),  # 0…1 to -1…1
        (_samples(scale=1.0), 255.0, None),
        (_stored(), 255.0, None),  # a doubt: the option of mlbench is not at fault
        (_samples(dtype=np.uint16, scale=257 / 255), 255.0, None),  # 16 bits to 0…255
        (
            replace(_samples(), encodings={"x": Encoding((8, 8, 3), 58.4, 123.7)}),
            255.0,
            "give --scale 1, without --mean and --std, so that",
        ),
    ],
)
def test_inputs_that_would_be_scaled_twice_are_a_fault(samples, divisor, mend):
    found = list(scaling_faults(samples, {"x": divisor}, "The network net"))
    assert len(found) == (mend is not None)
    if mend:
        assert f"The network net divides the input x by about {divisor:.3g} in its first layers" in found[0]
        assert mend in found[0]


def test_outputs_without_a_class_and_sigmoids_are_told():
    likely = {"y": np.full((5, 4), 0.9, np.float32)}
    other, sigmoid = doubts_of(_samples(), {"x": (8, 8, 3)}, {"y": (4,)}, _CLASSES, Facts(outputs=likely))
    assert "tells 4 classes apart, the samples have 3" in other
    assert "add up to 3.6…3.6, as of a sigmoid" in sigmoid


def test_softmax_and_logits_are_told_apart():
    assert "probabilities" in _CLASSES.outputs_told({"y": np.full((5, 4), 0.25)})
    assert "logits (-2…5): softmax is applied" in _CLASSES.outputs_told({"y": np.array([[-2.0, 5.0, 1.0]])})
    assert _NUMBERS.outputs_told({"y": np.zeros((5, 4))}) == ""


def test_constant_inputs_and_a_mean_beyond_the_values_are_told():
    usual = _samples()
    constant = replace(usual, inputs={"x": np.zeros((60, 8, 8, 3), np.uint8)})
    assert "Input x is 0 in all samples" in doubts_of_samples(constant, None, _CLASSES)[0]
    black = usual.inputs["x"].copy()
    black[7] = 0
    [one] = doubts_of_samples(replace(usual, inputs={"x": black}), None, _CLASSES)
    assert "1 of 60 samples that were looked at have one value throughout, as 7" in one
    shifted = Encoding((8, 8, 3), 255.0, 123.7 * 255)
    [mean] = doubts_of_samples(replace(usual, encodings={"x": shifted}), None, _CLASSES)
    assert "lies outside the values that it has, 0…255" in mean


def test_rare_classes_and_those_of_one_part_are_told():
    classes = np.arange(60) // 25
    samples = replace(_samples(y=classes), classes={"y": ("cat", "dog", "owl", "emu")})
    part = Split(np.arange(40), np.arange(40, 50), np.arange(50, 60), "for tests")
    assert doubts_of_samples(replace(samples, targets={"y": classes % 2}), None, _CLASSES) == []
    found = doubts_of_samples(samples, part, _CLASSES)
    assert "The class owl (10) of y is in no training sample: use --split stratified." in found
    few = doubts_of_samples(_samples(y=np.array([0] * 30 + [1] * 27 + [2] * 3)), None, _CLASSES)
    assert few == [
        "The class 2 (3) of y has fewer than 10 samples: it is hardly learnt, and its errors are not told apart from "
        "guessing."
    ]


def _network(*first, outputs=3):
    import tf_keras

    layers = [tf_keras.layers.InputLayer((8, 8, 3), name="x"), *first, tf_keras.layers.Flatten()]
    return tf_keras.Sequential([*layers, tf_keras.layers.Dense(outputs, name="y")])


def test_a_network_shows_what_it_divides_its_input_by():
    import tf_keras

    layers, samples = tf_keras.layers, _samples(scale=1.0)

    def divisor(network):
        [found] = divisors_of(network, samples).values()
        return found

    assert divisor(_network(layers.Rescaling(1 / 255))) == pytest.approx(255)
    assert divisor(_network(layers.ZeroPadding2D(), layers.Rescaling(2.0, -1.0))) == pytest.approx(0.5)
    known = layers.Normalization(mean=[120.0] * 3, variance=[3600.0] * 3)
    assert divisor(_network(known)) == pytest.approx(60)
    each = layers.Normalization(mean=[120.0] * 192, variance=[3600.0] * 192)
    assert divisor(_network(layers.Reshape((192,)), each)) == pytest.approx(60)
    assert divisor(_network(layers.Conv2D(2, 3))) == 1
    assert divisor(_network(layers.Conv2D(3, 3), layers.Rescaling(1 / 6))) == 1, "not of the input"
    entry = layers.Input((8, 8, 3))
    written = layers.Flatten()(layers.ReLU()(entry / 127.5 - 1))
    assert divisor(tf_keras.Model(entry, written)) == pytest.approx(127.5)
    gated = layers.Flatten()(layers.Multiply()([entry, layers.ReLU()(entry)]))
    assert divisor(tf_keras.Model(entry, gated)) == 1
    inner = tf_keras.Sequential([layers.Resizing(8, 8, input_shape=(8, 8, 3)), layers.Rescaling(1 / 255)])
    assert divisor(_network(inner, layers.Rescaling(1 / 2))) == pytest.approx(510)
    twice = layers.ReLU()
    again = layers.Rescaling(1 / 255)(twice(twice(entry)))
    assert divisor(tf_keras.Model(entry, layers.Flatten()(again))) == pytest.approx(255), "called twice"
    branches = [layers.Conv2D(2, 3)(one) for one in (layers.Rescaling(1 / 255)(entry), entry)]
    for order in (branches, branches[::-1]):
        assert divisor(tf_keras.Model(entry, layers.Flatten()(layers.Add()(order)))) == 1, "raw as well"
    once = divisors_of(_network(layers.Rescaling(1 / 255)), _samples())
    assert once == {"x": pytest.approx(255)}, "whatever the encoding"


class _Fixed(NetworkSource):
    """A network of somebody's own: it is what it is, whatever is asked for."""

    name, summary = "fixed", "for tests"

    def build(self, inputs, outputs, seed):
        return _network(outputs=2)

    def key(self):
        return self.name


def test_a_network_of_ones_own_is_refused_before_it_is_trained():
    with pytest.raises(UsageError, match="does not fit the targets: The class 2 has no output"):
        build(_Fixed(), _CLASSES, _samples(), 7)
    with pytest.raises(UsageError, match="8×8×3, the samples hold it as 3×8×8"):
        build(_Fixed(), _CLASSES, _samples((3, 8, 8)), 7)
