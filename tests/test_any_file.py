"""Files of any origin are measured on random inputs, with what they say of themselves; bad ones are one sentence."""

import json
import sys
import zipfile
from io import StringIO
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from rich.console import Console

from mlbench.data.sources import TestSet
from mlbench.errors import UsageError
from mlbench.export import random_inputs, trial
from mlbench.export.artifacts import described, runnable
from mlbench.export.contents import DAMAGED, facts_of
from mlbench.export.interpreter import Network
from mlbench.records import read_record
from mlbench.reports.html import HtmlReport
from mlbench.reports.terminal import show
from mlbench.runs.measuring import Measuring
from mlbench.runs.steps import measure_files
from mlbench.system import children
from mlbench.system.progress import Silent
from mlbench.tasks.classification import Classification
from mlbench.tasks.regression import Regression
from tests.small_files import TYPES, Graph, looking_up, passing

MODELS = Path(__file__).parents[2] / "shared" / "models" / "mlperf_tiny"
QUICK = Measuring(min_count=10, min_seconds=0, pipeline=False, gallery=False)

KINDS = {
    "two_ends": looking_up(),
    "half": passing([1, 4], TYPES.FLOAT16),
    "bool": passing([1, 4], TYPES.BOOL),
    "int64": passing([1, 4], TYPES.INT64),
    "uint8": passing([1, 4], TYPES.UINT8),
    "number": passing([]),
    "batch": passing([8, 4]),
    "open": passing([-1, -1, 3]),
    "open_too": passing([-1, -1, 3]),
}


def _files(folder, contents):
    for name, content in contents.items():
        (folder / f"{name}.tflite").write_bytes(content)
    return [folder / f"{name}.tflite" for name in contents]


def _measured(files, folder, task=None, tests=()):
    return measure_files(files, task, tests, QUICK, folder, (), Silent()).record


def test_files_of_any_inputs_are_measured_side_by_side_on_inputs_of_their_own(tmp_path):
    record = _measured(_files(tmp_path, KINDS), tmp_path)
    assert [(m.artifact, m.failure) for m in record.measurements] == [(name, None) for name in KINDS]
    assert all(m.network is not None and m.delegation is not None for m in record.measurements)
    assert list(record.files) == list(KINDS)
    assert [port.name for port in record.files["two_ends"].inputs] == ["numbers", "more"]
    assert record.files["open"].inputs[0].shape == (-1, -1, 3)
    assert {one.name for one in record.files["two_ends"].operators} == {"GATHER", "ADD"}
    told = "\n".join(record.warnings)
    assert "random inputs" in told
    assert "open and open_too leave sizes of x open" in told
    assert "batch takes 8 samples at a time: its times" in told
    assert "half, bool, int64 and uint8 take 1×4, two_ends takes 1×3 and 1×3×4" in told
    out = StringIO()
    show(record, Console(file=out, width=200))
    assert "numbers 1×3 int32" in out.getvalue()
    assert read_record(tmp_path / next(tmp_path.glob("measure-*")).name / "record.json") == record


def test_measuring_says_what_inputs_become(tmp_path):
    x, y = np.random.default_rng(7).integers(0, 256, (30, 4, 4)).astype(np.uint8), np.arange(30) % 3
    x[0, 0] = 0, 255, 0, 0
    np.savez(tmp_path / "images.npz", x=x, y=y)
    said = []

    class Told(Silent):
        def say(self, text):
            said.append(text)

    tests = [TestSet(tmp_path / "images.npz")]
    with pytest.raises(UsageError, match="4×4×1"):  # before it fails
        measure_files(
            _files(tmp_path, {"half": passing([1, 4])}), Classification(), tests, QUICK, tmp_path, (), Told()
        )
    assert "Input x [4×4×1]: uint8 0…255 → x / 255 = 0…1." in said


def test_what_a_delegate_took_over_is_what_lies_between_the_ends_of_its_parts(tmp_path):
    [path] = _files(tmp_path, {"two_ends": looking_up()})
    assert Network(1, model_path=str(path)).delegation() == (2, [1])  # XNNPACK adds, and looks nothing up


@pytest.mark.parametrize("rows", [1, 1000])
def test_random_rows_are_of_a_table_of_two_or_more(tmp_path, rows):
    [path] = _files(tmp_path, {"table": looking_up(rows)})
    network = Network(1, model_path=str(path))
    drawn = random_inputs.drawn(network.inputs, 7)[0]
    assert set(drawn[0].flat) <= {0, 1}
    assert [values.dtype for values in drawn] == [np.int32, np.float32]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<!doctype html><html>", "is not a .tflite"),
        (looking_up()[:200], "cannot be run here"),
        (looking_up()[:8] + np.random.default_rng(7).bytes(500), "cannot be run here"),
        (passing([1, 4], TYPES.COMPLEX64, TYPES.COMPLEX64), "is complex64"),
        (passing([1, 4], TYPES.STRING, TYPES.STRING), "is text"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(tmp_path, content, told):
    [bad, good] = _files(tmp_path, {"bad": content, "good": KINDS["half"]})
    with pytest.raises(UsageError, match=told) as refused:
        _measured([bad], tmp_path)
    assert len(str(refused.value).splitlines()) == 1
    record = _measured([good, bad], tmp_path)
    assert record.measurements[0].failure is None
    assert record.measurements[1].failure.reason == str(refused.value)


def test_a_network_of_keras_is_told_where_it_is_taken(tmp_path):
    path = tmp_path / "net.keras"
    path.write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(UsageError, match="`mlbench run` and `compress` take it by --model"):
        runnable(path)


def test_folders_and_files_that_are_empty_or_too_large_are_one_sentence(tmp_path):
    for ask in (described, runnable):
        with pytest.raises(UsageError, match="cannot be read"):
            ask(tmp_path)
        with pytest.raises(UsageError, match=r"is not a \.tflite"):
            ask(*_files(tmp_path, {"empty": b""}))
    [path] = _files(tmp_path, {"large": KINDS["half"]})
    with path.open("r+b") as file:
        file.truncate(2**31 + 8)  # sparse: takes no disk
    with pytest.raises(UsageError, match="less than 2 GiB"):
        runnable(path)
    with pytest.raises(UsageError, match="less than 2 GiB"):
        described(path)


def test_a_file_that_crashes_the_runtime_ends_another_process_than_this(tmp_path, monkeypatch):
    [path] = _files(tmp_path, {"crash": KINDS["half"]})
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(children, "command", lambda *arguments: [sys.executable, "-c", kill])
    with pytest.raises(UsageError, match="SIGSEGV"):
        trial.tried(path)


def test_files_with_a_fixed_batch_are_not_tested_on_data(tmp_path):
    [path] = _files(tmp_path, {"batch": KINDS["batch"]})
    np.savez(tmp_path / "data.npz", x=np.ones((40, 4), np.float32), y=np.ones((40, 4), np.float32))
    with pytest.raises(UsageError, match="8×4 at x, which is not of one sample"):
        _measured([path], tmp_path, Regression(), [TestSet.parse(str(tmp_path / "data.npz"))])


def test_damaged_files_are_read_or_refused_whatever_bytes_are_wrong(tmp_path, rng):
    content = looking_up()
    read = 0
    for _ in range(300):
        changed = bytearray(content)
        for place in rng.integers(8, len(content), 3):
            changed[place] = rng.integers(256)
        [path] = _files(tmp_path, {"changed": bytes(changed)})
        try:
            facts_of(path)
            read += 1
        except DAMAGED:
            pass
    assert 0 < read < 300


def _described(**notes):
    """TFLite Metadata with some texts, as `metadata_schema.fbs` lays them out."""
    builder = flatbuffers.Builder(0)
    texts = {number: builder.CreateString(text) for number, text in notes.items()}
    builder.StartObject(8)
    for number, text in texts.items():
        builder.PrependUOffsetTRelativeSlot(int(number[1:]), text, 0)
    builder.Finish(builder.EndObject(), b"M001")
    return bytes(builder.Output())


def test_what_a_file_says_of_itself_is_shown_and_not_trusted(tmp_path):
    graph = Graph()
    x = graph.tensor("<script>alert(1)</script>|[red]", [1, 4])
    y = graph.tensor("y", [1, 4])
    graph.operator(0, [x, x], [y])
    graph.note("TFLITE_METADATA", _described(_0="a \x1b[31mname", _4="Ada", _1="[/] " * 500))
    graph.note("min_runtime_version", b"2.4.0\0\0")
    [path] = _files(tmp_path, {"told": graph.written([x], [y])})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "cat\ndog\n")
    record = _measured([path], tmp_path)
    facts = record.files["told"]
    assert (facts.runtime, facts.notes["author"], facts.attached) == ("2.4.0", "Ada", ("labels.txt",))
    assert "\x1b" not in facts.notes["name"]
    assert len(facts.notes["description"]) <= 500
    out = StringIO()
    show(record, Console(file=out, width=200))
    assert "author: Ada" in out.getvalue()
    HtmlReport().write([record], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "author: Ada" in page
    assert "<script>alert(1)" not in page


def test_the_table_as_json_holds_the_files(tmp_path, command_line, cache):
    [path] = _files(tmp_path, {"half": KINDS["half"]})
    out = tmp_path / "runs"
    code, told, said = command_line(
        "measure", path, "--min-count", 20, "--min-seconds", 0, "--json", "--out", out
    )
    assert code == 0, said
    [record] = json.loads(told)
    assert record["files"]["half"]["inputs"] == [
        {"name": "x", "shape": [1, 4], "dtype": "float16", "scale": None, "zero": None}
    ]


@pytest.mark.parametrize(
    "name", ["resnet8_int8", "dscnn_float", "autoencoder_float", "mobilenet_v1_025_96_float"]
)
def test_public_networks_are_measured(tmp_path, name):
    path = MODELS / f"{name}.tflite"
    if not path.is_file():
        pytest.skip(f"no public networks: {MODELS} is absent")
    record = _measured([path], tmp_path)
    [measured] = record.measurements
    assert measured.failure is None
    assert 0 < measured.delegation.taken <= measured.delegation.operators
    assert record.files[name].runtime
