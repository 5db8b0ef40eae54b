"""Finished files are quantised, compared with the original, and kept as they are where that makes no sense."""

import json
import zipfile

import numpy as np
import pytest

from mlbench.contracts import Precision
from mlbench.data.sources import TestSet
from mlbench.errors import UsageError
from mlbench.export import precisions
from mlbench.export.contents import facts_of
from mlbench.export.finished import prepared
from mlbench.export.interpreter import Network
from mlbench.runs.requantising import requantise
from mlbench.system.progress import Silent
from mlbench.tasks.classification import Classification
from tests.small_files import classifying, looking_up
from tests.test_any_file import MODELS


@pytest.fixture
def path(tmp_path):
    (tmp_path / "net.tflite").write_bytes(classifying())
    return tmp_path / "net.tflite"


def _data(folder, count=120, features=16, **more):
    rng = np.random.default_rng(3)
    x = rng.random((count, features)).astype(np.float32)
    np.savez(folder / "data.npz", x=x, y=rng.integers(0, 3, count), **more)
    return TestSet.parse(str(folder / "data.npz"))


def _made(path, chain, data=None, task=None):
    out = path.with_name("small.tflite")
    return requantise(path, chain, out, data, task, 7, Silent()), out


@pytest.mark.parametrize("chain", ["float16", "dynamic", "dynamic4", "int8", "int4"])
def test_a_float_file_is_written_smaller_and_answers_nearly_the_same(path, tmp_path, chain):
    done, out = _made(path, chain, _data(tmp_path), Classification())
    assert out.stat().st_size == done.bytes_after < done.bytes_before
    [difference] = done.differences
    assert 0 < difference.mean <= difference.largest
    assert difference.share == pytest.approx(difference.mean / difference.spread)
    assert difference.share < {"int4": 0.5, "dynamic4": 0.5}.get(chain, 0.1)
    assert [change.facts.name for change in done.metrics] == ["top1", "cross_entropy"]
    x = np.random.default_rng(5).random((50, 16)).astype(np.float32)
    answers = []
    for file in (path, out):
        network = Network(1, model_path=str(file))
        assert [(port.name, port.dtype) for port in (*network.inputs, *network.outputs)] == [
            ("x", np.float32),
            ("inner2", np.float32),
        ]
        for row in x:
            network.set(0, row)
            network.invoke()
            answers.append(network.get(0))
    assert np.abs(np.subtract(answers[:50], answers[50:])).mean() < 3 * difference.mean


def test_without_data_both_files_are_compared_on_random_inputs(path):
    done, _ = _made(path, "dynamic")
    assert "random inputs" in done.compared_on
    assert any("give --data" in warning for warning in done.warnings)
    assert "times smaller than" in done.told()


def test_ranges_are_measured_on_other_samples_than_are_compared(path, tmp_path, monkeypatch):
    seen = []
    own = precisions.Int8.requantise

    def remembered(self, content, inputs):
        seen.extend(inputs[0][:, 0])
        return own(self, content, inputs)

    monkeypatch.setattr(precisions.Int8, "requantise", remembered)
    split = np.array(["train"] * 60 + ["validation"] * 30 + ["test"] * 30)
    done, _ = _made(path, "int8", _data(tmp_path, split=split))
    np.testing.assert_array_equal(seen, np.load(tmp_path / "data.npz")["x"][:60])
    assert done.compared_on.startswith("60 samples")


def test_a_file_of_early_numbering_and_inner_names_of_none_is_quantised(path):
    from ai_edge_litert import schema_py_generated as schema

    from mlbench.export.repacking import model_of, packed

    model = model_of(path.read_bytes())
    for code in model.operatorCodes:
        code.builtinCode = 0
    for tensor in model.subgraphs[0].tensors[1:-1]:
        tensor.name = None
    path.write_bytes(packed(model, 1000))
    done, _ = _made(path, "dynamic")
    assert done.bytes_after < 0.5 * done.bytes_before
    assert prepared(path.read_bytes()) != path.read_bytes()
    assert schema.BuiltinOperator.FULLY_CONNECTED == 9


def test_what_hangs_at_the_end_of_a_file_comes_along(path):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "cat\ndog\n")
    _, out = _made(path, "dynamic")
    assert facts_of(out).attached == ("labels.txt",)
    assert zipfile.ZipFile(out).read("labels.txt") == b"cat\ndog\n"


@pytest.mark.parametrize(
    ("content", "chain", "told"),
    [
        (
            classifying(),
            "svd+int8",
            r"svd\+int8 needs the network itself.*\(dynamic, .*give the Keras network",
        ),
        (classifying(), "dynamc", "did you mean"),
        (classifying(), "int8", "int8 needs samples"),
        (classifying(), "float32", "cannot be made of a finished file"),
        (looking_up(), "dynamic", "would not be smaller"),
        (
            classifying(kernel=np.full((64, 16), np.nan)),
            "dynamic",
            "was not written: in dynamic it cannot be run",
        ),
        (b"<html>", "dynamic", "is not a .tflite"),
    ],
)
def test_what_cannot_be_quantised_is_one_sentence_and_writes_nothing(tmp_path, content, chain, told):
    (tmp_path / "net.tflite").write_bytes(content)
    with pytest.raises(UsageError, match=told) as refused:
        _made(tmp_path / "net.tflite", chain)
    assert len(str(refused.value).splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["net.tflite"]


def test_the_original_is_not_written_over(path):
    before = path.read_bytes()
    with pytest.raises(UsageError, match="give another name by --out"):
        requantise(path, "dynamic", path, None, None, 7, Silent())
    assert path.read_bytes() == before


def test_a_quantised_file_is_not_quantised_again(path):
    _, out = _made(path, "dynamic")
    with pytest.raises(UsageError, match="quantised already"):
        _made(out.rename(path.with_name("first.tflite")), "float16")


class _Constant(precisions.Dynamic):
    """Writes a network whose first layer is lost, or whose weights are not numbers."""

    value = 0.0

    def requantise(self, content, inputs):
        return prepared(classifying(units=32, kernel=np.full((32, 16), self.value)))


@pytest.mark.parametrize(("value", "told"), [(0.0, "the same whatever"), (np.nan, "not finite")])
def test_answers_without_sense_are_not_kept(path, monkeypatch, value, told):
    monkeypatch.setattr(_Constant, "value", value)
    monkeypatch.setattr("mlbench.runs.requantising._precision", lambda chain: _Constant())
    with pytest.raises(UsageError, match=told):
        _made(path, "dynamic")
    assert [file.name for file in path.parent.iterdir()] == ["net.tflite"]


def test_a_precision_of_a_plug_in_says_by_default_that_it_needs_the_network():
    class Mine(Precision):
        name = "mine"
        write = None

    with pytest.raises(UsageError, match="mine cannot be made of a finished file"):
        Mine().requantise(b"", [])


def test_the_command_prints_numbers_or_words(path, command_line, cache):
    out = path.with_name("small.tflite")
    code, told, _ = command_line("compress", path, "--chain", "dynamic", "--out", out, "--json")
    assert code == 0
    assert json.loads(told)["bytes_after"] == out.stat().st_size
    code, told, _ = command_line("compress", path, "--chain", "dynamic", "--out", out)
    assert (code, "off by" in told) == (0, True)


@pytest.mark.parametrize("task", [[], ["--task", "classification"]])
def test_ranges_are_measured_on_inputs_as_options_say(path, tmp_path, monkeypatch, command_line, cache, task):
    seen = []
    own = precisions.Int8.requantise

    def remembered(self, content, inputs):
        seen.extend(inputs[0])
        return own(self, content, inputs)

    monkeypatch.setattr(precisions.Int8, "requantise", remembered)
    x = np.random.default_rng(3).integers(0, 256, (120, 16), np.uint8)
    np.savez(tmp_path / "data.npz", images=x, y=np.arange(120) % 3)
    reading = ["--column", "x=images", "--scale", "127.5", "--mean", "1"]
    given = ["--chain", "int8", "--data", tmp_path / "data.npz", *task, *reading]
    code, _, said = command_line("compress", path, *given, "--out", tmp_path / "small.tflite")
    assert (code, "has no effect" in said) == (0, False)
    assert -1 <= np.min(seen) < -0.9 and 0.9 < np.max(seen) <= 1


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--chain", "dynamic", "--variant", "basic"], "--variant has no effect"),
        (["--chain", "dynamic", "--epochs", "3"], "--epochs has no effect"),
        (["--chain", "dynamic", "--task", "classification"], "--task needs --data"),
        ([], "say to what by --chain"),
    ],
)
def test_what_means_nothing_for_a_finished_file_is_refused(path, command_line, more, told):
    code, _, said = command_line("compress", path, *more, "--out", path.with_name("small.tflite"))
    assert (code, told in said) == (2, True)


@pytest.mark.parametrize("name", ["resnet8_float", "autoencoder_float", "mobilenet_v1_025_96_float"])
def test_public_networks_are_quantised(tmp_path, name):
    path = MODELS / f"{name}.tflite"
    if not path.is_file():
        pytest.skip(f"no public networks: {MODELS} is absent")
    done = requantise(path, "dynamic", tmp_path / "small.tflite", None, None, 7, Silent())
    assert done.bytes_after < 0.35 * done.bytes_before
