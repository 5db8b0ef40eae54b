"""Files of any origin: integer inputs and outputs are read as the file says, what cannot be run is one sentence."""

import json
import sys

import cv2
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
from mlbench.export.artifacts import answers, artifact_of, require_landmark_model
from mlbench.faces.frames import compose_frames
from mlbench.faces.prediction import predict_photograph
from mlbench.system.progress import Silent
from mlbench.training.loop import predict
from tests.conftest import TINY
from tests.fitted import fitted


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
            images = sampled.images[:100, None, ..., None].astype(np.float32) / 255
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda images=images: ([image] for image in images)
            builtin = sixteen if name == "int16" else tf.lite.OpsSet.TFLITE_BUILTINS_INT8
            converter.target_spec.supported_ops = [builtin]
            converter.inference_input_type = converter.inference_output_type = tf.as_dtype(name)
        (folder / f"{name}.tflite").write_bytes(converter.convert())
    return folder


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    frames = compose_frames(4, 7)
    row = next(i for i, box in enumerate(frames.boxes) if box is not None)
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    cv2.imwrite(str(path), frames.images[row])
    return path


@pytest.mark.parametrize("kind", ["float32", "int8", "uint8", "int16"])
def test_a_file_answers_in_pixels_whatever_types_it_has(files, kind, network, sampled, photograph):
    path, crops = files / f"{kind}.tflite", sampled.images[:20]
    assert host_worker.Network(1, model_path=str(path)).takes == kind
    expected = predict(network, crops)
    found = answers(path, crops)
    assert np.abs(found - expected).mean() < 0.2 * expected.std(axis=0).mean()
    artifact = artifact_of(path)
    job = Job(
        (artifact,), files, {"test": crops}, np.zeros((0, 480, 864), np.uint8), min_count=10, min_seconds=0
    )
    [outcome] = HostRunner().measure(job, Silent())
    assert outcome.measurement.failure is None
    np.testing.assert_array_equal(outcome.predictions["test"], found)
    box = predict_photograph(photograph, path).box
    points = predict_photograph(photograph, path).points
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

    for name, seconds in (("set", 100.0), ("invoke", 1.0), ("points", 100.0)):
        monkeypatch.setattr(host_worker.Network, name, taking(seconds, getattr(host_worker.Network, name)))
    np.save(tmp_path / "crops.npy", sampled.images[:4])
    worker = host_worker.Worker(str(files / "int8.tflite"), str(tmp_path / "crops.npy"), "", 1, "")
    assert worker.load()["first_ms"] == 1000
    assert set(worker.network(0, 3)["samples_ms"]) == {1000}


def _changed(files, tmp_path, change):
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs((files / "int8.tflite").read_bytes(), 0))
    change(model)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "changed.tflite").write_bytes(builder.Output())
    return tmp_path / "changed.tflite"


@pytest.mark.parametrize(
    ("end", "kind", "told"),
    [
        ("inputs", schema.TensorType.INT8, "int8, without a scale"),
        ("outputs", schema.TensorType.INT8, "int8, without a scale"),
        ("outputs", schema.TensorType.INT64, "int64"),
        ("inputs", schema.TensorType.FLOAT16, "float16"),
    ],
)
def test_numbers_without_a_meaning_are_refused(files, tmp_path, end, kind, told):
    def change(model):
        graph = model.subgraphs[0]
        tensor = graph.tensors[int(getattr(graph, end)[0])]
        tensor.type, tensor.quantization = kind, None

    with pytest.raises(UsageError, match=told):
        require_landmark_model(_changed(files, tmp_path, change))


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
    code, told = run("predict", str(photograph), "--model", str(path))
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
    assert (
        f"changed did not run on host: RuntimeError: {bad['failure']['reason'].split(': ')[1][:20]}"
        in told.out
    )
