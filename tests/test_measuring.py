"""Measuring on several devices: what one of them refuses does not cost the others' figures."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from mlbench.contracts import DeviceRunner, Outcome
from mlbench.errors import UsageError
from mlbench.evaluation.budgets import PAPER_BUDGETS, Budget, judge, judge_worst
from mlbench.faces.sources import TestSet
from mlbench.records import Artifact, Device, Failure, Measurement, Memory, Persons, Timing
from mlbench.runs import pipeline
from mlbench.runs.measuring import Measuring, measure
from mlbench.system.progress import Silent
from tests.reports.example_records import HOST, example, some_faces


class _Device(DeviceRunner):
    name: ClassVar[str] = "stand-in"
    summary: ClassVar[str] = "a device that measures nothing"

    def __init__(self, name: str, log: list[str], refuses: str = "") -> None:
        self._id, self._log, self._refuses = name, log, refuses

    def device(self, threads):
        if self._refuses == "device":
            message = "No phone is connected: plug one in."
            raise UsageError(message)
        return Device(id=self._id, runner=self.name, name=self._id, threads=threads)

    def measure(self, job, progress):
        if self._refuses == "measure":
            message = "The phone has no space: remove something."
            raise UsageError(message)
        self._log.append(self._id)
        self.folder = job.folder
        for artifact in job.artifacts:
            yield Outcome(Measurement(artifact=artifact.id, device=self._id, load_ms=1.0), {})


ARTIFACT = Artifact(
    id="tiny · none",
    variant="tiny",
    chain="none",
    path="tiny.tflite",
    sha256="0" * 64,
    file_bytes=1,
    deflated_bytes=1,
    parameters=None,
    macs=None,
    precision="float32",
    export_error=None,
)


def _measure(*runners):
    settings = Measuring(detector=False, budgets=())
    return measure([ARTIFACT], Path(), {}, settings, list(runners), Silent()).fields


def _tested(names):
    """The record's fields of one device that answers each face of these names a little beside the truth."""
    faces = replace(some_faces(), names=np.array(names), extra={"frontal": np.arange(len(names)) < 6})

    class Answers(_Device):
        def measure(self, job, progress):
            found = faces.points + np.arange(len(names), dtype=np.float32)[:, None, None] / 10
            yield Outcome(Measurement(artifact=ARTIFACT.id, device=self._id), {"set": found})

    settings = Measuring(detector=False, budgets=(), gallery=False)
    return measure([ARTIFACT], Path(), {"set": faces}, settings, [Answers("host", [])], Silent()).fields


def test_a_record_tells_whose_faces_were_tested_and_intervals_resample_them():
    fields = _tested([f"Given_Family_{i:04d}.jpg" for i in range(10)] + ["Other_Name_0001.jpg", "x.jpg"])
    assert fields["persons"] == {
        "set": Persons(of_face=(*(0,) * 10, 1, 2)),
        "set (frontal)": Persons(of_face=(0,) * 6),
    }
    whole, frontal = fields["errors"]
    alone = _tested([f"{i}.jpg" for i in range(12)])["errors"]
    assert whole.mae_px.high - whole.mae_px.low > 1.5 * (alone[0].mae_px.high - alone[0].mae_px.low)
    assert frontal.mae_px == alone[1].mae_px, "the faces of a single person are resampled by themselves"


def test_too_few_persons_are_named():
    told = " ".join(
        _tested([f"Given_Family_{i:04d}.jpg" for i in range(6)] + ["a", "b", "c", "d", "e", "f"])["warnings"]
    )
    assert "set are of 7 persons" in told
    assert "set (frontal) are of one person" in told


def test_a_refusal_beside_another_device_is_a_failure_and_the_figures_stay():
    fields = _measure(_Device("host", []), _Device("phone", [], "measure"))
    host, phone = fields["measurements"]
    assert (host.device, host.load_ms, host.failure) == ("host", 1.0, None)
    assert phone.device == "phone"
    assert "no space" in phone.failure.reason
    assert [device.id for device in fields["devices"]] == ["host", "phone"]


def test_the_only_device_refuses_in_one_sentence():
    with pytest.raises(UsageError, match="no space"):
        _measure(_Device("phone", [], "measure"))


def test_a_device_that_is_not_there_is_named_before_anything_is_measured():
    log: list[str] = []
    with pytest.raises(UsageError, match="No phone"):
        _measure(_Device("host", log), _Device("phone", [], "device"))
    assert log == []


def test_a_device_that_is_given_twice_is_refused_before_anything_is_measured():
    log: list[str] = []
    with pytest.raises(UsageError, match="given twice"):
        _measure(_Device("phone", log), _Device("phone", log))
    assert log == []


@pytest.mark.parametrize(
    ("files", "ids"),
    [
        (["/a/net", "/a/net"], ["net", "net (2)"]),
        (["/a/net", "/b/net", "/a/net"], ["/a/net", "/b/net", "/a/net (2)"]),
        (["/a/net", "/a/net", "/a/net", "/a/other"], ["net", "net (2)", "net (3)", "other"]),
        (["/a/net", "/a/net (2)", "/a/net"], ["net", "net (2)", "net (3)"]),
        (["/a/net", "/a/net", "/a/net (2)"], ["net", "net (2)", "net (2) (2)"]),
    ],
)
def test_files_are_told_apart_by_name_or_path_or_turn(files, ids, tmp_path, monkeypatch):
    def stand_in(path):
        names = {"id": path.name, "variant": path.name, "chain": f"{path.name}.tflite", "path": str(path)}
        return ARTIFACT.model_copy(update=names)

    log = []
    monkeypatch.setattr(Measuring, "runners", lambda self: [_Device("phone", log)])
    monkeypatch.setattr(pipeline.files_of, "artifact_of", stand_in)
    monkeypatch.setattr(TestSet, "load", lambda self, progress: some_faces())
    settings = Measuring(detector=False, gallery=False, budgets=())
    done = pipeline.measure_files(
        [Path(file) for file in files], [TestSet.parse("faces.npz")], settings, tmp_path, (), Silent()
    ).record
    assert [artifact.id for artifact in done.artifacts] == ids
    assert [artifact.path for artifact in done.artifacts] == files
    assert (
        len({artifact.chain for artifact in done.artifacts})
        == len({a.variant for a in done.artifacts})
        == len(files)
    )
    assert [measurement.artifact for measurement in done.measurements] == ids


def test_what_a_device_keeps_of_measured_files_lies_below_out(tmp_path, monkeypatch):
    phone = _Device("phone", [])
    monkeypatch.setattr(Measuring, "runners", lambda self: [phone])
    monkeypatch.setattr(pipeline.files_of, "artifact_of", lambda path: ARTIFACT)
    monkeypatch.setattr(TestSet, "load", lambda self, progress: some_faces())
    settings = Measuring(detector=False, gallery=False, budgets=())
    tests = [TestSet.parse("faces.npz")]
    done = pipeline.measure_files([Path("tiny.tflite")], tests, settings, tmp_path, (), Silent())
    assert phone.folder == done.folder
    assert done.folder.parent == tmp_path


def _found(device, kilobytes):
    """A device's measurement with this peak of memory; None: it does not load."""
    row = example("basic", devices=(HOST,)).measurements[0]
    if kilobytes is None:
        failure = Failure(stage="load", reason="out of memory")
        return Measurement(artifact=row.artifact, device=device, failure=failure), None
    memory = Memory(baseline_bytes=0, loaded_bytes=0, peak_bytes=1000 * kilobytes)
    return row.model_copy(update={"device": device, "memory": memory}), None


@pytest.mark.parametrize(
    ("host", "phone", "value", "fits", "reason"),
    [
        (1, 2, 2000, True, "on phone"),
        (1, 9, 9000, False, "on phone"),
        (9, 1, 9000, False, "on host"),
        (1, None, None, False, "on phone: out of memory"),
    ],
)
def test_a_budget_is_judged_by_the_worst_device_and_names_it(host, phone, value, fits, reason):
    budgets = (Budget("asset file", "size", 10), Budget("memory", "memory", 5000))
    size, memory = judge_worst(budgets, ARTIFACT, [_found("host", host), _found("phone", phone)])
    assert (size.value, size.fits, size.reason) == (1, True, "")
    assert (memory.value, memory.fits, memory.reason) == (value, fits, reason)


@pytest.mark.parametrize(
    ("missing", "p50", "memory"), [("memory", 2.0, None), ("network", None, 5000.0), ("", 2.0, 5000.0)]
)
def test_a_budget_is_judged_by_its_own_figure_whatever_else_is_missing(missing, p50, memory):
    row, _ = _found("host", 5)
    row = row.model_copy(update={"network": Timing.from_samples([2.0], [1], 1.0)})
    row = row.model_copy(update={missing: None} if missing else {})
    found = judge((Budget("p50", "p50", 2.0), Budget("memory", "memory", 5000)), ARTIFACT, row, None)
    assert [verdict.value for verdict in found] == [p50, memory]
    assert [verdict.fits for verdict in found] == [p50 is not None, memory is not None]
    assert [verdict.reason for verdict in found] == [
        "" if value is not None else "not measured" for value in (p50, memory)
    ]


@pytest.mark.parametrize(("rounds", "judged"), [(5, False), (7, False), (8, True)])
def test_a_latency_without_a_verdict_has_a_reason(rounds, judged):
    class Timed(_Device):
        def measure(self, job, progress):
            for artifact in job.artifacts:
                timing = Timing.from_samples([1.0, 1.1] * rounds, [2] * rounds, 1.0)
                yield Outcome(Measurement(artifact=artifact.id, device=self._id, network=timing), {})

    other = ARTIFACT.model_copy(update={"id": "other"})
    settings = Measuring(detector=False, budgets=())
    fields = measure([ARTIFACT, other], Path(), {}, settings, [Timed("host", [])], Silent()).fields
    told = [text for text in fields["warnings"] if "verdict" in text]
    assert [row.quantity for row in fields["differences"]] == ["p50_ratio"] * judged
    assert len(told) == (not judged)
    assert judged or f"{rounds} rounds are too few for an interval (8 are needed)" in told[0]


def test_budgets_on_errors_are_judged_by_their_own_figure():
    errors = example("basic").errors[0]
    budgets = (Budget("mae", "mae", errors.mae_px.value), Budget("nme", "nme", errors.nme.value / 2))
    mae, nme = judge(budgets, ARTIFACT, None, errors)
    assert (mae.value, mae.fits) == (errors.mae_px.value, True)
    assert (nme.value, nme.fits) == (errors.nme.value, False)


def test_the_papers_budgets_are_its_two_limits():
    told = [(budget.name, budget.quantity, budget.limit) for budget in PAPER_BUDGETS]
    assert told == [("asset file", "size", 68e6), ("store package", "size", 100e6)]


def test_a_budget_on_the_only_device_does_not_name_it():
    (verdict,) = judge_worst((Budget("memory", "memory", 5000),), ARTIFACT, [_found("host", 1)])
    assert (verdict.fits, verdict.reason) == (True, "")


def test_budgets_of_a_record_are_those_of_all_devices():
    class Found(_Device):
        def measure(self, job, progress):
            row, _ = _found(self._id, None if self._id == "phone" else 1)
            yield Outcome(row.model_copy(update={"artifact": ARTIFACT.id}), {})

    settings = Measuring(detector=False, budgets=(Budget("memory", "memory", 5000),))
    devices = [Found("host", []), Found("phone", [])]
    (verdict,) = measure([ARTIFACT], Path(), {}, settings, devices, Silent()).fields["budgets"]
    assert (verdict.fits, verdict.value, verdict.reason) == (False, None, "on phone: out of memory")
