"""The written file computes what the network computes, or it is not written."""

import json
import subprocess
import sys
from dataclasses import asdict

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from mlbench import plugins
from mlbench.compression.delivery import export
from mlbench.compression.stages import ChainSetup, start
from mlbench.contracts import ExportOptions
from mlbench.data.split import split
from mlbench.device_runners.android.op_versions import operators
from mlbench.errors import UsageError
from mlbench.export import convert, precisions, repacking, written
from mlbench.export.artifacts import artifact_of, require_fitting
from mlbench.faces.landmarks import ENCODING, IMAGE, POINTS, Landmarks
from mlbench.networks import storage
from mlbench.system.files import deflated_size, file_sha256
from mlbench.system.progress import Silent
from mlbench.testing import NETWORKS
from mlbench.training import baselines
from mlbench.training.baselines import Material
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.conftest import TINY
from tests.fitted import fitted, points_in

PRECISIONS = plugins.names("precisions")

_OPTIONS = TrainingOptions(epochs=1, batch=64, threads=1)


@pytest.fixture(scope="module")
def network(tmp_path_factory, sampled):
    folder = tmp_path_factory.mktemp("network")
    storage.save(fitted(TINY, sampled), folder)
    np.savez(folder / "samples.npz", **sampled.take(slice(0, 100)).inputs)
    return folder


def _job(network, out, precision="float32", **options):
    return {
        "network": str(network),
        "out": str(out),
        "samples": str(network / "samples.npz"),
        "encodings": {IMAGE: asdict(ENCODING)},
        "targets": [POINTS],
        "frozen_graph": None,
        "precision": precision,
    } | options


def _convert(*arguments, **options):
    return convert.convert(**_job(*arguments, **options))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_gives_a_file_that_answers_like_the_network(
    network, sampled, tmp_path, precision, capsys
):
    out = tmp_path / "net.tflite"
    _convert(network, out, precision)
    require_fitting(out, Landmarks(), sampled)
    assert capsys.readouterr().out == ""  # where --json prints records
    sizes = {"float32": 4, "float16": 2, "dynamic": 1, "int8": 1, "int4": 0.5, "dynamic4": 0.5}
    assert 0.9 < out.stat().st_size / (sizes[precision] * TINY.parameters) < 1.6
    # The last layer of dynamic4 takes 8 bits, as all convolutions of 1,024 weights and more do; TINY has none.
    kinds = {"float32": "FLOAT32", "float16": "FLOAT16", "dynamic": "INT8", "int8": "INT8"}
    largest, *_, last = kinds_of_kernels(out.read_bytes())
    assert largest == kinds.get(precision, "INT4")
    assert last == ("INT8" if precision == "dynamic4" else kinds.get(precision, "INT4"))


def kinds_of_kernels(content):
    """Types of the stored matrices with over 1,024 weights, the largest first."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    names = {number: name for name, number in vars(schema.TensorType).items()}
    stored = {
        int(np.prod(tensor.shape)): names[tensor.type]
        for tensor in model.subgraphs[0].tensors
        if tensor.shape is not None and model.buffers[tensor.buffer].data is not None
    }
    return [stored[size] for size in sorted(stored, reverse=True) if size > 1024]


def _without_kernels(write):
    """A precision's way to write that loses every kernel."""

    def lossy(self, model, *arguments):
        weights = model.get_weights()
        model.set_weights([np.zeros_like(w) if w.ndim > 1 else w for w in weights])
        try:
            return write(self, model, *arguments)
        finally:
            model.set_weights(weights)

    return lossy


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_file_whose_kernels_are_lost_is_refused(network, tmp_path, precision, monkeypatch):
    kind = plugins.load("precisions", precision)
    monkeypatch.setattr(kind, "write", _without_kernels(kind.write))
    with pytest.raises(UsageError, match="does not compute what the network does"):
        _convert(network, tmp_path / "net.tflite", precision)
    assert not list(tmp_path.iterdir())


def test_equal_networks_give_equal_bytes(network, tmp_path):
    for name in ("a", "b"):
        _convert(network, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_process_that_converts_imports_nothing_of_the_working_folder(
    network, sampled, tmp_path, monkeypatch
):
    (tmp_path / "numpy.py").write_text("raise RuntimeError('the one of the working folder')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(written, "_SMALL", -1)  # a process of its own
    out = tmp_path / "net.tflite"
    written._convert(network, ExportOptions("float32"), out, sampled, None)
    require_fitting(out, Landmarks(), sampled)


def test_a_file_without_weights_is_an_error_and_not_written(network, tmp_path, monkeypatch):
    monkeypatch.setattr(precisions.Float32, "write", lambda *_: b"\0\0\0\0TFL3")
    with pytest.raises(UsageError, match="weights are missing"):
        _convert(network, tmp_path / "net.tflite")
    assert not list(tmp_path.iterdir())


def test_a_file_that_answers_otherwise_is_an_error_and_not_written(network, tmp_path, monkeypatch):
    real = precisions.Float32.write

    def altered(self, model, *arguments):
        weights = model.get_weights()
        model.set_weights([*weights[:-1], weights[-1] + 0.5])
        try:
            return real(self, model, *arguments)
        finally:
            model.set_weights(weights)

    monkeypatch.setattr(precisions.Float32, "write", altered)
    with pytest.raises(UsageError, match=r"outputs points differ by 0\.5 on average"):
        _convert(network, tmp_path / "net.tflite")
    assert not list(tmp_path.iterdir())


def test_the_papers_frozen_graph_is_written_too(network, tmp_path):
    import tensorflow as tf

    _convert(network, tmp_path / "net.tflite", frozen_graph=str(tmp_path / "net.pb"))
    graph = tf.compat.v1.GraphDef.FromString((tmp_path / "net.pb").read_bytes())
    assert {node.op for node in graph.node} >= {"Conv2D", "MatMul", "Placeholder"}
    assert not any("Variable" in node.op for node in graph.node)


def _setup(sampled):
    return ChainSetup(
        Material(Landmarks(), sampled, split(sampled, "file-order", 7)), TuningOptions(), Silent()
    )


def _baseline(sampled):
    return baselines.train_baseline(TINY, _setup(sampled).material, _OPTIONS, Silent())


def test_the_exported_artifact_is_described_by_its_bytes(sampled, cache, tmp_path):
    baseline = _baseline(sampled)
    artifact = export(start(baseline, "mae"), "tiny", "none", _setup(sampled), tmp_path / "out")
    written = tmp_path / "out" / artifact.path
    assert artifact.file_bytes == written.stat().st_size
    assert artifact.sha256 == file_sha256(written)
    assert artifact.deflated_bytes == deflated_size(written) < artifact.file_bytes
    assert artifact.parameters == TINY.parameters
    assert artifact.macs == TINY.macs
    with written.open("r+b") as file:
        file.write(b"changed in place")
    again = export(start(baseline, "mae"), "tiny", "none", _setup(sampled), tmp_path / "again")
    assert file_sha256(tmp_path / "again" / again.path) == artifact.sha256


def test_a_failing_converter_is_one_sentence(sampled, cache, tmp_path):
    baseline = _baseline(sampled)
    (baseline.folder / "weights.npz").write_bytes(b"broken")
    compressed = start_without_network(baseline)
    with pytest.raises(UsageError, match="damaged"):
        export(compressed, "tiny", "none", _setup(sampled), tmp_path)


def start_without_network(baseline):
    from mlbench.compression.stages import Compressed
    from mlbench.contracts import ExportOptions

    return Compressed(baseline.key, baseline.folder, ExportOptions(), ())


def test_a_network_saved_as_one_function_gives_the_file_that_keras_gives():
    import tensorflow as tf

    network = convert.static(NETWORKS["two_inputs"](7))
    whole = tf.lite.TFLiteConverter.from_keras_model(network).convert()
    assert precisions.Float32().write(network, [], ExportOptions()) == whole


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not a .tflite"),
        (b"GIF89a..", "is not a .tflite"),
        (b"\x1c\0\0\0TFL3" + b"\xff" * 50, "cannot be run here"),
    ],
)
def test_a_file_that_is_no_network_is_refused(tmp_path, content, told):
    path = tmp_path / "net.tflite"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=told):
        artifact_of(path)


def test_the_converter_is_a_process_that_prints_json(network, tmp_path):
    job = tmp_path / "job.json"
    job.write_text(json.dumps(_job(network, tmp_path / "net.tflite") | {"network": str(network / "absent")}))
    done = subprocess.run(
        [sys.executable, "-m", "mlbench.export.convert", str(job)], capture_output=True, text=True
    )
    assert "does not hold a saved network" in json.loads(done.stdout.splitlines()[-1])["error"]


def _offsets(content):
    model = schema.Model.GetRootAs(content, 0)
    return [model.Buffers(number).Offset() for number in range(model.BuffersLength())]


def test_what_lies_behind_the_flatbuffer_is_taken_in_whoever_wrote_the_file(network, tmp_path, sampled):
    _convert(network, tmp_path / "net.tflite")
    whole = (tmp_path / "net.tflite").read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(whole, 0))
    behind, end = (
        {},
        -(-len(whole) // 16) * 16,
    )  # as other writers do: the content first, then what it points at
    for buffer in model.buffers:
        if buffer.data is not None and len(buffer.data) > 64:
            buffer.offset, buffer.size, behind[end] = end, len(buffer.data), bytes(buffer.data)
            buffer.data, end = None, end + -(-buffer.size // 16) * 16
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    apart = bytearray(builder.Output()) + bytes(end)
    for place, data in behind.items():
        apart[place : place + len(data)] = data
    some = sampled.take(slice(0, 5))
    np.testing.assert_array_equal(points_in(bytes(apart), some), points_in(whole, some))
    for repacked in (repacking.trimmed(bytes(apart)), repacking.self_contained(bytes(apart))):
        assert max(_offsets(bytes(apart))) > 0
        assert max(_offsets(repacked)) == 0
        np.testing.assert_array_equal(points_in(repacked, some), points_in(whole, some))


@pytest.mark.parametrize("precision", ["float32", "dynamic", "int8", "dynamic4"])
def test_a_trimmed_file_answers_the_same_in_fewer_bytes(network, tmp_path, precision, sampled, monkeypatch):
    monkeypatch.setattr(convert, "_TRIMMED_UP_TO", 0)
    _convert(network, tmp_path / "net.tflite", precision)
    whole = (tmp_path / "net.tflite").read_bytes()
    small = repacking.trimmed(whole)
    assert len(small) < len(whole) - 700
    assert repacking.trimmed(small) == small
    some = sampled.take(slice(0, 40))
    np.testing.assert_array_equal(points_in(small, some), points_in(whole, some))
    (tmp_path / "small.tflite").write_bytes(small)
    require_fitting(tmp_path / "small.tflite", Landmarks(), sampled)
    assert operators(tmp_path / "small.tflite") == operators(tmp_path / "net.tflite")
