"""Networks of any inputs and outputs: what is written for the app, and what its own classes answer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mlbench.contracts import Encoding, Job, Samples
from mlbench.device_runners.android.inputs import Writer
from mlbench.export.artifacts import answers, loaded

from .app_runs import instrument, lay_out
from .conftest import artifact
from .jvm.jvm_host import JvmHost

COUNT = 12
MODELS = Path(__file__).parents[3] / "shared" / "models" / "mlperf_tiny"

#: By name: how far answers may be from those of the host's runtime, in steps of the output or absolutely.
FILES = {"mixed": 1e-5, "mixed_int8": 1.01, "words": 0.0}


def ids_and_pictures(file: str, stored: str = "uint8") -> Samples:
    """Samples of a file's inputs, named in another order than the file's; targets do not matter here."""
    random = np.random.default_rng(4)
    inputs: dict[str, npt.NDArray[Any]] = {"ids": random.integers(0, 50, (COUNT, 5), dtype=np.int32)}
    encodings = {"ids": Encoding((5,), dtype="int32")}
    targets = ["class", "low"]
    if file != "words":
        inputs["picture"] = random.integers(0, 256, (COUNT, 8, 8, 3), dtype=np.uint8).astype(stored)
        encodings["picture"] = Encoding((8, 8, 3), (90.0, 80.0, 70.0), (128.0, 120.0, 110.0), "HWC")
        targets = ["size", "scores"]
    names = np.array([f"{row}" for row in range(COUNT)])
    return Samples(inputs, dict.fromkeys(targets, np.zeros(COUNT)), names, names, encodings)


def job(
    folder: Path, networks: Path, files: tuple[str, ...], samples: Samples | None, min_count: int = 6
) -> Job:
    """A short job on copies of some files."""
    for name in files:
        shutil.copy(networks / f"{name}.tflite", folder)
    artifacts = tuple(artifact(folder / f"{name}.tflite", name) for name in files)
    sets = (
        {} if samples is None else {"first": samples.take(slice(5)), "second": samples.take(slice(5, None))}
    )
    return Job(artifacts, folder, sets, min_count=min_count, min_seconds=0.0)


@pytest.mark.parametrize(
    ("file", "stored"),
    [
        ("mixed", "uint8"),
        ("mixed", "float32"),
        ("mixed_int8", "uint8"),
        ("mixed_int8", "int16"),
        ("words", ""),
    ],
)
def test_answers_are_the_hosts(file: str, stored: str, jvm: JvmHost, networks: Path, tmp_path: Path) -> None:
    samples, path = ids_and_pictures(file, stored), networks / f"{file}.tflite"
    run = instrument(jvm, lay_out(job(tmp_path, networks, (file,), samples), tmp_path), tmp_path / "x")
    expected, ports = answers(path, samples), loaded(path).outputs
    names = {port.name: place for place, port in enumerate(ports)}
    given = run.outputs(path, COUNT)
    for target, wanted in expected.items():
        place = names.get(target, list(expected).index(target))
        steps = ports[place].steps
        tolerance = FILES[file] * (float(steps.scale) if steps else 1)
        assert len(np.unique(wanted)) > 1, "the network gives the same for all samples"
        np.testing.assert_allclose(given[place], wanted, rtol=0, atol=tolerance)


# Kernels round 8-bit weights and activations each in its way: on one host these answers, probabilities, differ by
# 0.008, 0.043 and 0.070 with XNNPACK and without.
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("autoencoder_float", 1e-5),
        ("mobilenet_v1_025_96_float", 1e-5),
        ("dscnn_float", 0.02),
        ("dscnn_int8", 0.1),
        ("resnet8_int8", 0.15),
    ],
)
def test_answers_of_other_peoples_networks_are_the_hosts(
    name: str, tolerance: float, jvm: JvmHost, tmp_path: Path
) -> None:
    if not (MODELS / f"{name}.tflite").is_file():
        pytest.skip(f"no networks of MLPerf Tiny: {MODELS} is absent")
    (taken,) = loaded(MODELS / f"{name}.tflite").inputs
    values = np.random.default_rng(4).random((COUNT, *taken.shape[1:]), np.float32)
    ids = np.array([f"{row}" for row in range(COUNT)])
    encodings = {"x": Encoding(taken.shape[1:])}
    samples = Samples({"x": values}, {"y": np.zeros(COUNT)}, ids, ids, encodings)
    run = instrument(jvm, lay_out(job(tmp_path, MODELS, (name,), samples), tmp_path), tmp_path / "x")
    expected = answers(MODELS / f"{name}.tflite", samples)["y"]
    (given,) = run.outputs(MODELS / f"{name}.tflite", COUNT)
    assert np.ptp(expected) > 3 * tolerance, "the network gives nearly the same for all: nothing was compared"
    np.testing.assert_allclose(given, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()))


def test_stored_bytes_are_written_once_for_all_files(networks: Path, tmp_path: Path) -> None:
    asked = job(tmp_path, networks, ("mixed", "mixed_int8"), ids_and_pictures("mixed"))
    writer = Writer(asked, tmp_path)
    for one in asked.artifacts:
        writer.inputs(one)
    sizes = [path.stat().st_size for path in writer.files.values()]
    # Ids, pictures, and a table [256, 3] for each: of float32, and of 8 bits.
    assert sorted(sizes) == sorted([4 * 5 * COUNT, 8 * 8 * 3 * COUNT, 256 * 3 * 4, 256 * 3])


def test_without_data_the_app_takes_what_the_host_takes(jvm: JvmHost, networks: Path, tmp_path: Path) -> None:
    config = lay_out(job(tmp_path, networks, ("mixed",), samples=None), tmp_path)
    network = loaded(networks / "mixed.tflite")
    for port, told in zip(network.inputs, json.loads(config.read_text())["inputs"], strict=True):
        values = np.frombuffer((tmp_path / told["file"]).read_bytes(), port.dtype)
        assert values.size % np.prod(port.shape) == 0
        assert port.dtype.kind == "i" or len(np.unique(values)) > 100, "the inputs are not random"
    run = instrument(jvm, config, tmp_path / "x")
    assert run.result.failure is None
    assert run.result.network is not None
    assert len(run.result.network.samples_ms) >= 6
    assert run.result.outputs == ()


def _without(key: str) -> Any:
    def change(told: dict[str, Any]) -> None:
        del told["inputs"][0][key]

    return change


def _with(place: int, **values: object) -> Any:
    def change(told: dict[str, Any]) -> None:
        told["inputs"][place] |= values

    return change


@pytest.mark.parametrize(
    ("change", "stage", "said"),
    [
        (lambda told: told["inputs"].pop(), "load", "the network has 2 inputs, there are samples for 1"),
        (_with(1, type="uint32"), "load", "as int32 from 20 bytes per sample, not as uint32 from 20"),
        (_with(1, type="float32"), "load", "not as float32"),
        (_without("table"), "load", "as float32 from 768 bytes per sample, not as float32 from 192"),
        (_with(0, channels=4), "load", "the table of"),
        (_with(0, channels=0), "load", "the table of"),
        (_with(1, bytes=16), "inputs", "has 240 bytes, not the 192 of 12 samples of 16: it is cut off"),
        (_with(1, bytes=-20), "inputs", "it is cut off"),
        (_with(0, shape=[1, 8, 8, 5]), "load", ""),
        (_with(0, shape=[2**30, 2**30, 8, 3]), "load", ""),
        (_with(0, shape="x"), "inputs", "shape"),
        (_with(0, file="../x"), "inputs", "not a plain file name"),
    ],
)
def test_inputs_that_do_not_fit_are_a_verdict(
    change: Any, stage: str, said: str, jvm: JvmHost, networks: Path, tmp_path: Path
) -> None:
    config = lay_out(job(tmp_path, networks, ("mixed",), ids_and_pictures("mixed")), tmp_path)
    told = json.loads(config.read_text())
    change(told)
    config.write_text(json.dumps(told))
    run = instrument(jvm, config, tmp_path / "x")
    assert run.said == {"outcome": "failure"}, "a verdict is a result, not a crash"
    failure = run.result.failure
    assert failure is not None
    assert failure.stage == stage
    assert said in failure.reason


@pytest.mark.parametrize("what", ["file", "table"])
def test_a_file_that_is_cut_off_is_a_verdict(what: str, jvm: JvmHost, networks: Path, tmp_path: Path) -> None:
    config = lay_out(job(tmp_path, networks, ("mixed",), ids_and_pictures("mixed")), tmp_path)
    path = tmp_path / json.loads(config.read_text())["inputs"][0][what]
    path.write_bytes(path.read_bytes()[:-1])
    failure = instrument(jvm, config, tmp_path / "x").result.failure
    assert failure is not None
    assert "bytes, not the" in failure.reason


def test_a_configuration_of_an_older_mlbench_is_refused(jvm: JvmHost, networks: Path, tmp_path: Path) -> None:
    config = lay_out(job(tmp_path, networks, ("words",), ids_and_pictures("words")), tmp_path)
    config.write_text(json.dumps(json.loads(config.read_text()) | {"schema": 1}))
    run = instrument(jvm, config, tmp_path / "x")
    assert run.code == 0
    assert "this app reads configurations of schema 4, not 1: build and install" in run.said["error"]
