"""Classification: figures against hand values, labels of all kinds, and a whole run on small images."""

import re

import numpy as np
import pytest

from mlbench.compression.chain import parse_chain
from mlbench.contracts import Block, Encoding, Samples, Variant
from mlbench.data.sources import Source, TestSet
from mlbench.data.split import Split
from mlbench.errors import UsageError
from mlbench.evaluation.budgets import parse_budget
from mlbench.evaluation.metrics import figures, scores_of
from mlbench.records import read_record
from mlbench.reports.html import HtmlReport
from mlbench.reports.terminal import MarkdownReport
from mlbench.runs import pipeline
from mlbench.runs.measuring import Measuring
from mlbench.runs.plan import Making, Plan
from mlbench.system.progress import Silent
from mlbench.tasks.classification import Classification
from mlbench.training.baselines import Material, train_baseline
from mlbench.training.options import TrainingOptions, TuningOptions

_TASK = Classification()

# Four samples of three classes: three right, one of class 2 taken for 0.
_LIKELY = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.1, 0.4], [0.0, 0.1, 0.9]], np.float32)
_TRUE = np.array([0, 1, 2, 2])


def _read(folder, y, **more):
    np.savez(folder / "samples.npz", x=np.zeros((len(y), 2)), y=y, **more)
    return _TASK.read(folder / "samples.npz", "", lambda _: None)


def test_figures_are_those_counted_by_hand():
    scores = scores_of(_TASK, ("a", "host", "test"), {"y": _LIKELY}, {"y": _TRUE}, 7)
    found = {name: figure.value for name, figure in scores.metrics.items()}
    assert found["top1"] == 0.75
    assert found["cross_entropy"] == pytest.approx(-np.log([0.7, 0.8, 0.4, 0.9]).mean(), rel=1e-5)
    # Class 0: precision 1/2, recall 1; class 1: all right; class 2: precision 1, recall 1/2.
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert scores.per_sample == (1, 1, 0, 1)
    assert all(figure.low <= figure.value <= figure.high for figure in scores.metrics.values())


def test_logits_and_probabilities_are_told_apart():
    logits = np.log(np.maximum(_LIKELY, 1e-6)) + 3
    for outputs in (_LIKELY, logits):
        np.testing.assert_allclose(_TASK.answers({"y": outputs})["y"], _LIKELY, atol=1e-4)
    extreme = _TASK.answers({"y": np.array([[1000.0, -1000.0]], np.float32)})["y"]
    np.testing.assert_allclose(extreme, [[1, 0]])


def test_a_softmax_is_found_behind_layers_that_only_reshape_and_in_networks_within():
    import tensorflow as tf
    from tf_keras import Input, Model, Sequential, layers

    inner = Sequential([Input((4,)), layers.Dense(3), layers.Softmax(), layers.Reshape((3, 1))])
    given = Input((4,))
    behind = layers.Dropout(0.1)(layers.Activation("linear")(layers.Flatten()(inner(given))))
    values = {"y": tf.constant([[2.0, 1.0, 0.0]])}
    assert _TASK.taught(values, Model(given, behind))["y"] is values["y"]
    dense = Sequential([Input((4,)), layers.Softmax(), layers.Dense(3)])
    np.testing.assert_allclose(_TASK.taught(values, dense)["y"], tf.nn.softmax(values["y"]))


def _samples_of(classes):
    y, names = np.array(classes), np.array(list("abc"))
    return Samples({"x": np.zeros((3, 4))}, {"y": y}, names, names, {"x": Encoding((4,))})


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_the_loss_is_the_cross_entropy_of_logits_and_of_softmax(activation):
    import tensorflow as tf
    import tf_keras

    given = tf_keras.Input((3,))
    network = tf_keras.Model(given, tf_keras.layers.Dense(3, activation=activation)(given))
    outputs = _LIKELY if activation else np.log(np.maximum(_LIKELY, 1e-6))
    wanted = _TASK.wanted({"y": _TRUE}, {"y": (3,)})
    assert wanted["y"].tolist() == np.eye(3)[_TRUE].tolist()
    loss = _TASK.loss("cross-entropy", network)({"y": tf.constant(outputs)}, {"y": tf.constant(wanted["y"])})
    expected = -np.log([0.7, 0.8, 0.4, 0.9]).mean()
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    taught = _TASK.taught({"y": tf.constant(outputs)}, network)["y"].numpy()
    np.testing.assert_allclose(taught, _LIKELY, atol=1e-4)


@pytest.mark.parametrize(
    "y",
    [
        np.array(["dog", "ant", "cat", "cat"]),
        np.array([b"dog", b"ant", b"cat", b"cat"]),
        np.array([["dog"], ["ant"], ["cat"], ["cat"]]),
        np.array([2, 0, 1, 1], np.uint8),
        np.array([2.0, 0.0, 1.0, 1.0]),
        np.array([[2], [0], [1], [1]]),
    ],
)
def test_classes_are_numbers_from_0_or_names_in_alphabetical_order(tmp_path, y):
    samples = _read(tmp_path, y)
    assert samples.targets["y"].tolist() == [2, 0, 1, 1]
    assert samples.targets["y"].dtype == np.int64
    assert _TASK.outputs(samples) == {"y": (3,)}


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        (np.array([0.5, 1.0]), "not one class number or name per sample"),
        (np.array([np.nan, 1.0]), "holds values that are not finite"),
        (np.array([np.inf, 1.0]), "holds values that are not finite"),
        (np.array([[0, 1], [1, 0]]), r"is one-hot: give class numbers, as y.argmax"),
        (np.array([[0.0, 1.0], [1.0, 0.0]]), r"is one-hot: give class numbers, as y.argmax"),
        (np.array([[0, 2], [1, 0]]), "not one class number or name per sample"),
        (np.array([["a", "b"], ["c", "d"]]), "not one class number or name per sample"),
        (np.array([1j, 1]), "not one class number or name per sample"),
        (np.array([-1, 1]), "holds the class -1: number classes from 0"),
        (np.array([3, 3]), "all samples are of one class"),
        (np.array(["a", "a"]), "all samples are of one class"),
    ],
)
def test_labels_that_are_no_classes_are_one_sentence(tmp_path, y, sentence):
    with pytest.raises(UsageError, match=sentence) as told:
        _read(tmp_path, y)
    assert "\n" not in str(told.value)


def test_a_class_that_the_network_cannot_answer_is_wrong_and_cannot_be_learnt():
    found = figures(_TASK, {"y": _LIKELY}, {"y": np.array([0, 1, 2, 3])})
    assert found["top1"] == 0.5
    assert found["cross_entropy"] > 4
    with pytest.raises(UsageError, match="class 3 has no output: the network answers classes 0 to 2"):
        _TASK.wanted({"y": np.array([3])}, {"y": (3,)})


_SMALL = Variant("small", "for tests", blocks=(Block(4, 3, True), Block(6, 3, True)), dense=(32, 24))


def _images(count=160):
    """A bright disc on the left or the right, or none, in noise."""
    rng, classes = np.random.default_rng(7), np.arange(count) % 3
    rows, columns = np.mgrid[:12, :12]
    images = rng.integers(0, 60, (count, 12, 12))
    for image, kind in zip(images, classes, strict=True):
        image[(rows - rng.integers(3, 9)) ** 2 + (columns - 3 - 6 * kind) ** 2 < 8] = 220
    return images.astype(np.uint8), np.array(["left", "right", "without"])[classes]


def test_every_class_has_an_output_though_training_lacks_it(cache):
    images, ids = _images(12)[0], np.arange(12).astype(np.str_)
    samples = Samples({"x": images}, {"y": np.arange(12) // 4}, ids, ids, {"x": Encoding((12, 12, 1), 255.0)})
    part = Split(np.arange(8), np.arange(8, 10), np.arange(10, 12), "for tests")
    options = TrainingOptions(epochs=1, batch=4, threads=1)
    trained = train_baseline(_SMALL, Material(_TASK, samples, part), options, Silent())
    assert trained.network().output_shape == (None, 3)


def test_a_file_of_several_targets_is_one_sentence(tmp_path):
    np.savez(tmp_path / "samples.npz", **{"x": np.zeros((2, 2)), "y.a": np.arange(2), "y.b": np.arange(2)})
    with pytest.raises(UsageError, match="has the targets a, b: a classifier has one"):
        _TASK.read(tmp_path / "samples.npz", "", lambda _: None)


def test_a_whole_run_on_images_of_another_size(tmp_path, cache):
    """Trained, compressed, written as int8, measured and reported, in no word of the paper's task."""
    images, classes = _images()
    np.savez(tmp_path / "discs.npz", x=images, y=classes)
    rest = classes != "left"  # whose classes, numbered by themselves, would be others
    np.savez(tmp_path / "rest.npz", x=images[rest][:30], y=classes[rest][:30])
    training = TrainingOptions(epochs=12, batch=16, rate=0.01, threads=1)
    making = Making(
        Source(_TASK, tmp_path / "discs.npz", 0, "stratified", 7),
        training,
        TuningOptions(**training.model_dump() | {"epochs": 2, "rate": 1e-3}),
    )
    budgets = (parse_budget("top1=60%", _TASK.metrics), parse_budget("top1=-50pp", _TASK.metrics))
    plan = Plan(
        networks=(_SMALL,),
        chains=(parse_chain("svd(rank=2)+int8"),),
        making=making,
        tests=(TestSet(tmp_path / "rest.npz"),),
        measuring=Measuring(min_count=20, min_seconds=0.01, budgets=budgets),
        out=tmp_path / "runs",
    )
    [finished] = pipeline.run(plan, Silent())
    record = read_record(finished.folder / "record.json")
    assert record.task.name == "classification"
    assert record.encodings["x"].shape == (12, 12, 1)
    assert [artifact.precision for artifact in record.artifacts] == ["float32", "int8"]
    assert all(measured.failure is None for measured in record.measurements)
    assert [scores.test_set for scores in record.scores] == ["test", "rest"] * 2
    for scores in record.scores:
        assert set(scores.metrics) == {"top1", "cross_entropy", "macro_f1"}
        assert scores.metrics["top1"].value > 0.8
    assert {difference.quantity for difference in record.differences} >= {"top1"}
    assert all(verdict.fits for verdict in record.budgets)
    assert record.gallery.chosen[0].png_base64
    answered = {row.answers[record.artifacts[0].id].partition(" (")[0] for row in record.gallery.chosen}
    assert answered <= {"left", "right", "without"}
    HtmlReport().write([record], tmp_path / "page.html")
    MarkdownReport().write([record], tmp_path / "tables.md")
    page, tables = ((tmp_path / name).read_text(encoding="utf-8") for name in ("page.html", "tables.md"))
    shown = re.sub(r"<(style|script)\b.*?</\1>", "", page, flags=re.DOTALL)
    for text in (shown, tables):
        assert "top-1" in text
        assert not re.search(r"\b(faces?|landmarks?|eyes?|px)\b", text, re.IGNORECASE)


@pytest.mark.parametrize("last", ["sigmoid", "linear"])
def test_one_output_tells_class_one_from_class_zero(last):
    import tensorflow as tf
    from tf_keras import Input, Sequential, layers

    logits = np.array([[-3.0], [-0.5], [0.5], [4.0]], np.float32)
    likely = 1 / (1 + np.exp(-logits))
    network = Sequential([Input((1,)), layers.Activation(last)])
    values, classes = network(logits).numpy(), np.array([0, 1, 0, 1])
    answers = _TASK.answers({"y": values})
    np.testing.assert_allclose(answers["y"], np.hstack([1 - likely, likely]), rtol=1e-5)
    wanted = _TASK.wanted({"y": classes}, {"y": (1,)})
    np.testing.assert_array_equal(wanted["y"], classes[:, None])
    loss = _TASK.loss("cross-entropy", network)({"y": tf.constant(values)}, wanted)
    np.testing.assert_allclose(loss, _TASK.metrics[1].per_sample(answers, {"y": classes}).mean(), rtol=1e-5)
    taught = _TASK.taught({"y": tf.constant(values)}, network)["y"]
    np.testing.assert_allclose(taught, likely, rtol=1e-6)
    assert ("probability" in _TASK.outputs_told({"y": values})) == (last == "sigmoid")
    assert _TASK.doubts({"y": values}) == []
    with pytest.raises(UsageError, match="class 2 has no output"):
        _TASK.wanted({"y": np.array([0, 2])}, {"y": (1,)})
