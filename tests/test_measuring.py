"""Measuring on several devices: what one of them refuses does not cost the others' figures."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from mlbench.contracts import DeviceRunner, Outcome
from mlbench.data.sources import TestSet
from mlbench.errors import UsageError
from mlbench.evaluation.budgets import parse_budget
from mlbench.faces.landmarks import Landmarks, samples_of
from mlbench.records import Artifact, Device, Failure, Groups, Measurement, Memory, Timing
from mlbench.runs import notes, steps
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
    settings = Measuring(pipeline=False, budgets=())
    return measure([ARTIFACT], Path(), None, {}, settings, list(runners), Silent()).fields


def _tested(names):
    """The record's fields of one device that answers each face of these names a little beside the truth."""
    faces = replace(some_faces(), names=np.array(names), extra={"frontal": np.arange(len(names)) < 6})

    class Answers(_Device):
        def measure(self, job, progress):
            found = faces.points + np.arange(len(names), dtype=np.float32)[:, None, None] / 10
            outputs = {"points": found.reshape(len(found), -1)}
            yield Outcome(Measurement(artifact=ARTIFACT.id, device=self._id), {"set": outputs})

    settings = Measuring(pipeline=False, budgets=(), gallery=False)
    tests = {"set": samples_of(faces)}
    runners = [Answers("host", [])]
    return measure([ARTIFACT], Path(), Landmarks(), tests, settings, runners, Silent()).fields


def test_a_record_tells_whose_faces_were_tested_and_intervals_resample_them():
    fields = _tested([f"Given_Family_{i:04d}.jpg" for i in range(10)] + ["Other_Name_0001.jpg", "x.jpg"])
    assert fields["groups"] == {
        "set": Groups(of_sample=(*(0,) * 10, 1, 2), unit="person"),
        "set (frontal)": Groups(of_sample=(0,) * 6, unit="person"),
    }
    whole, frontal = (scores.metrics["mae"] for scores in fields["scores"])
    alone = [s.metrics["mae"] for s in _tested([f"{i}.jpg" for i in range(12)])["scores"]]
    assert whole.high - whole.low > 1.5 * (alone[0].high - alone[0].low)
    assert frontal == alone[1], "the faces of a single person are resampled by themselves"


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


def _without_reading(monkeypatch, artifact_of):
    """Files and test sets are not there: what is known of them is made up."""
    monkeypatch.setattr(steps, "artifact_of", artifact_of)
    monkeypatch.setattr(steps, "described", artifact_of)
    monkeypatch.setattr(steps, "require_fitting", lambda path, task, samples: None)
    monkeypatch.setattr(TestSet, "load", lambda self, task, progress: samples_of(some_faces()))


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
    _without_reading(monkeypatch, stand_in)
    settings = Measuring(pipeline=False, gallery=False, budgets=())
    done = steps.measure_files(
        [Path(file) for file in files],
        Landmarks(),
        [TestSet.parse("faces.npz")],
        settings,
        tmp_path,
        (),
        Silent(),
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
    _without_reading(monkeypatch, lambda path: ARTIFACT)
    settings = Measuring(pipeline=False, gallery=False, budgets=())
    tests = [TestSet.parse("faces.npz")]
    done = steps.measure_files([Path("tiny.tflite")], Landmarks(), tests, settings, tmp_path, (), Silent())
    assert phone.folder == done.folder
    assert done.folder.parent == tmp_path


def _found(device, kilobytes):
    """A device's measurement with this peak of memory; None: it does not load."""
    row = example("basic", devices=(HOST,)).measurements[0]
    if kilobytes is None:
        failure = Failure(stage="load", reason="out of memory")
        return Measurement(artifact=row.artifact, device=device, failure=failure)
    memory = Memory(baseline_bytes=0, loaded_bytes=0, peak_bytes=1000 * kilobytes)
    return row.model_copy(update={"device": device, "memory": memory})


@pytest.mark.parametrize(("rounds", "judged"), [(5, False), (7, False), (8, True)])
def test_a_latency_without_a_verdict_has_a_reason(rounds, judged):
    class Timed(_Device):
        def measure(self, job, progress):
            for artifact in job.artifacts:
                timing = Timing.from_samples([1.0, 1.1] * rounds, [2] * rounds, 1.0)
                yield Outcome(Measurement(artifact=artifact.id, device=self._id, network=timing), {})

    other = ARTIFACT.model_copy(update={"id": "other"})
    settings = Measuring(pipeline=False, budgets=())
    fields = measure([ARTIFACT, other], Path(), None, {}, settings, [Timed("host", [])], Silent()).fields
    told = [text for text in fields["warnings"] if "verdict" in text]
    assert [row.quantity for row in fields["differences"]] == ["p50_ratio"] * judged
    assert len(told) == (not judged)
    assert judged or f"{rounds} rounds are too few for an interval (8 are needed)" in told[0]


_UNSTEADY = "waited for the CPU: stop other programs and measure again."


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ({"a": 0.5, "b": 1.0}, "Latency of a on host "),
        ({"a": 0.5, "b": 0.5, "c": 1.0}, "Latency of a and b on host "),
        ({"a": 0.5, "b": 0.5, "c": 0.5}, "Latency of a, b and c on host "),
        (dict.fromkeys("abcd", 0.5), "Latency of all 4 files on host "),
        (dict.fromkeys("abcd", 0.5) | {"e": 1.0}, "Latency of a, b, c and d on host "),
    ],
)
def test_one_note_of_a_kind_names_all_files_that_it_is_about(shares, told):
    class Waiting(_Device):
        def measure(self, job, progress):
            for artifact in job.artifacts:
                timing = Timing.from_samples([1.0] * 16, [2] * 8, shares[artifact.id])
                yield Outcome(Measurement(artifact=artifact.id, device=self._id, network=timing), {})

    files = [ARTIFACT.model_copy(update={"id": name}) for name in shares]
    settings = Measuring(pipeline=False, budgets=())
    fields = measure(files, Path(), None, {}, settings, [Waiting("host", [])], Silent()).fields
    assert [text for text in fields["warnings"] if "Latency" in text] == [told + _UNSTEADY]
    assert [row.network.cpu_per_wall for row in fields["measurements"]] == list(shares.values())


def test_test_sets_of_few_groups_are_told_in_one_note():
    few = {name: Groups.of([str(one) for one in range(count)], "person") for name, count in _COUNTS.items()}
    assert notes.of_groups(few) == [
        "The samples of one are of one person: its intervals say nothing of others; test on more.",
        "The samples of some and more are of 4 and 19 persons: their intervals are too narrow; test on more.",
    ]


_COUNTS = {"some": 4, "one": 1, "more": 19, "enough": 20}


def test_budgets_of_a_record_are_those_of_all_devices():
    class Found(_Device):
        def measure(self, job, progress):
            row = _found(self._id, None if self._id == "phone" else 1)
            yield Outcome(row.model_copy(update={"artifact": ARTIFACT.id}), {})

    settings = Measuring(pipeline=False, budgets=(parse_budget("memory=5KB"),))
    devices = [Found("host", []), Found("phone", [])]
    (verdict,) = measure([ARTIFACT], Path(), None, {}, settings, devices, Silent()).fields["budgets"]
    assert (verdict.fits, verdict.value, verdict.reason) == (False, None, "on phone: out of memory")
