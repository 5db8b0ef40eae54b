"""Files of any origin: integer inputs and outputs are read as the file says, what cannot be run is one sentence."""

import json
import sys
from dataclasses import asdict, replace

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from mlbench.cli import main
from mlbench.contracts import Job
from mlbench.device_runners import host_worker
from mlbench.device_runners.android.op_versions import unsupported
from mlbench.device_runners.host import HostRunner
from mlbench.errors import UsageError
from mlbench.export import interpreter
from mlbench.export.artifacts import artifact_of, require_fitting
from mlbench.faces.landmarks import IMAGE, POINTS, Landmarks
from mlbench.faces.prediction import predict_photograph
from mlbench.system.progress import Silent
from tests.conftest import TINY
from tests.fitted import fitted, points_in, points_of


@pytest.fixture(scope="module")
def network(sampled):
    return fitted(TINY, sampled)


@pytest.fixture(scope="module")
def files(network, sampled, tmp_path_factory):
    """The same network with inputs and outputs of each type."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("files")
    sixteen = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    for name in ("float32", "int8", "uint8", "int16"):
        converter = tf.lite.TFLiteConverter.from_keras_model(network)
        if name != "float32":
            images = sampled.take(slice(0, 100)).encoded()[IMAGE][:, None]
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda images=images: ([image] for image in images)
            builtin = sixteen if name == "int16" else tf.lite.OpsSet.TFLITE_BUILTINS_INT8
            converter.target_spec.supported_ops = [builtin]
            converter.inference_input_type = converter.inference_output_type = tf.as_dtype(name)
        (folder / f"{name}.tflite").write_bytes(converter.convert())
    return folder


@pytest.mark.parametrize("kind", ["float32", "int8", "uint8", "int16"])
def test_a_file_answers_in_pixels_whatever_types_it_has(files, kind, network, sampled, photograph):
    path, some = files / f"{kind}.tflite", sampled.take(slice(0, 20))
    loaded = interpreter.Network(1, model_path=str(path))
    assert {str(port.dtype) for port in (*loaded.inputs, *loaded.outputs)} == {kind}
    expected = points_of(network, some)
    found = points_in(path, some)
    assert np.abs(found - expected).mean() < 0.2 * expected.std(axis=0).mean()
    artifact = artifact_of(path)
    job = Job((artifact,), files, {"test": some}, min_count=10, min_seconds=0)
    [outcome] = HostRunner().measure(job, Silent())
    assert outcome.measurement.failure is None
    np.testing.assert_array_equal(outcome.predictions["test"][POINTS], found)
    picture, _ = photograph
    box = predict_photograph(picture, path).box
    points = predict_photograph(picture, path).points
    assert box.left < points[:, 0].mean() < box.left + box.width


def test_setting_the_input_is_not_timed(files, sampled, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(host_worker.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(host_worker, "_resident", lambda: {"now": 0, "peak": 0})

    def taking(seconds, work):
        def slow(*arguments):
            now[0] += seconds
            return work(*arguments)

        return slow

    for name, seconds in (("set", 100.0), ("invoke", 1.0), ("get", 100.0)):
        monkeypatch.setattr(host_worker.Network, name, taking(seconds, getattr(host_worker.Network, name)))
    np.save(tmp_path / "crops.npy", sampled.inputs[IMAGE][:4])
    encoding = asdict(sampled.encodings[IMAGE])
    given = {"name": IMAGE, "file": str(tmp_path / "crops.npy"), "encoding": encoding}
    worker = host_worker.Worker(str(files / "int8.tflite"), 1, [given], [POINTS], None, 7)
    assert worker.load()["first_ms"] == 1000
    assert set(worker.network(0, 3)["samples_ms"]) == {1000}


def _changed(files, tmp_path, change):
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs((files / "int8.tflite").read_bytes(), 0))
    change(model)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "changed.tflite").write_bytes(builder.Output())
    return tmp_path / "changed.tflite"


def _cast(network, given, answered):
    """The network as a file that takes and answers numbers of other types, with no scale."""
    import tensorflow as tf
    import tf_keras

    image = tf_keras.Input(network.input_shape[1:], dtype=given)
    model = tf_keras.Model(image, tf.cast(network(tf.cast(image, tf.float32)), answered))
    return tf.lite.TFLiteConverter.from_keras_model(model).convert()


@pytest.mark.parametrize(
    ("given", "answered", "told"),
    [
        ("int8", "float32", "takes crop as int8, without a scale"),
        ("int32", "float32", "takes crop as int32, without a scale"),
        ("float32", "int8", "answers .* as int8, without a scale"),
        ("complex64", "float32", "is complex64"),
    ],
)
def test_numbers_without_a_meaning_are_refused(network, sampled, tmp_path, given, answered, told):
    path = tmp_path / "cast.tflite"
    path.write_bytes(_cast(network, given, answered))
    with pytest.raises(UsageError, match=told):
        require_fitting(path, Landmarks(), sampled)
    with pytest.raises(UsageError, match=told):
        points_in(path, sampled)


def test_whole_numbers_are_taken_and_answered_as_they_are(network, sampled):
    some = sampled.take(slice(0, 5))
    whole = replace(some, encodings={IMAGE: replace(some.encodings[IMAGE], scale=1.0, dtype="uint8")})
    found = points_in(_cast(network, "uint8", "int64"), whole)
    given = whole.inputs[IMAGE][..., None].astype(np.float32)
    np.testing.assert_array_equal(found, np.trunc(network(given).numpy()))


@pytest.mark.parametrize("operator", ["FlexErf", "OfMyOwn"])
def test_operators_that_this_runtime_lacks_are_one_sentence(
    files, tmp_path, operator, photograph, monkeypatch, capfd, cache
):
    def change(model):
        [code] = [c for c in model.operatorCodes if c.builtinCode == schema.BuiltinOperator.CONV_2D]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = operator

    path = _changed(files, tmp_path, change)
    quick = ["--no-detector", "--min-count", "20", "--min-seconds", "0", "--out", str(tmp_path / "runs")]

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mlbench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capfd.readouterr()

    assert operator in str(unsupported(path))
    code, told = run("predict", str(photograph[0]), "--model", str(path))
    assert code == 2
    assert [line[:6] for line in told.err.strip().splitlines()] == ["Error:"]
    assert operator in told.err
    code, told = run("measure", str(files / "float32.tflite"), str(path), *quick, "--json")
    good, bad = json.loads(told.out)[0]["measurements"]
    assert (code, good["failure"], bad["failure"]["stage"]) == (0, None, "load")
    assert len(bad["failure"]["reason"].splitlines()) == 1
    assert operator in bad["failure"]["reason"]
    code, told = run("compare", str(files / "float32.tflite"), str(path), "--measure", *quick)
    assert code == 0
    reason = bad["failure"]["reason"].rstrip(".")
    assert "".join(f"changed did not run on host: {reason}.".split()) in "".join(told.out.split())
    assert ".." not in told.out
