"""`mlbench run … --device host --device android`: one record, both devices, over the real adb server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlbench.device_runners.android.build import Built
from mlbench.records import Record, read_record
from tests.conftest import CommandLine

from .conftest import Plug
from .double.apps import on_jvm
from .jvm.jvm_host import JvmHost


@pytest.fixture
def mlbench(
    built: Built,
    plugin: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command_line: CommandLine,
) -> CommandLine:
    """The command line, with the APK that was built; gives exit code, output and errors."""
    monkeypatch.setenv("MLBENCH_ANDROID_APK", str(built.path))
    monkeypatch.chdir(tmp_path)
    return command_line


MEASURED = ["--min-count", 20, "--min-seconds", 0, "--no-pipeline"]
QUICK = ["--epochs", 1, "--tune-epochs", 1, *MEASURED]


def _alike_on_host_and_phone(record: Record, phone: str) -> None:
    """Each file was measured on both, and errs on the phone as on the host."""
    assert [device.id for device in record.devices] == ["host", phone]
    found = {(m.artifact, m.device): m for m in record.measurements}
    assert set(found) == {(a.id, device) for a in record.artifacts for device in ("host", phone)}
    assert all(m.failure is None and m.network is not None for m in found.values())
    errors = {
        (s.artifact, s.device): s.metrics["mae"].value
        for s in record.scores
        if s.test_set == record.scores[0].test_set
    }
    for artifact in record.artifacts:
        on_host, on_phone = errors[artifact.id, "host"], errors[artifact.id, phone]
        assert on_phone == pytest.approx(on_host, abs=1e-3), "the same file gives another error on the phone"


def test_baseline_and_compressed_file_on_host_and_phone(
    mlbench: CommandLine, plug: Plug, jvm: JvmHost, built: Built, faces_file: Path, tmp_path: Path
) -> None:
    phone = plug(on_jvm(jvm), apk=built.path)
    devices = ["--device", "host", "--device", f"android:{phone.serial}"]
    code, out, err = mlbench(
        "run", "--variant", "tiny", "--compress", "svd(rank=4)", "--data", faces_file, *QUICK, *devices
    )
    assert code == 0, err
    (path,) = (tmp_path / "runs").rglob("record.json")
    record = read_record(path)
    assert len(record.artifacts) == 2
    _alike_on_host_and_phone(record, phone.serial)
    assert "Double One" in out or phone.serial in out, "the table does not show the phone"


def test_a_ready_model_of_full_size_on_host_and_phone(
    mlbench: CommandLine, plug: Plug, jvm: JvmHost, built: Built, faces_file: Path, tmp_path: Path
) -> None:
    phone = plug(on_jvm(jvm), apk=built.path)
    file = Path(__file__).parents[2] / "models" / "two_pool.tflite"
    code, _, err = mlbench(
        *("measure", file, "--data", faces_file, *MEASURED),
        *("--device", "host", "--device", f"android:{phone.serial}"),
    )
    assert code == 0, err
    (path,) = (tmp_path / "runs").rglob("record.json")
    _alike_on_host_and_phone(read_record(path), phone.serial)


@pytest.mark.skipif("MLBENCH_LARGE" not in os.environ, reason="takes 8 GB and minutes: set MLBENCH_LARGE=1")
def test_one_pool_does_not_fit_while_its_compressed_file_is_measured(
    mlbench: CommandLine, plug: Plug, jvm: JvmHost, built: Built, faces_file: Path, tmp_path: Path
) -> None:
    phone = plug(on_jvm(jvm), apk=built.path, free_kb=400_000)
    code, out, err = mlbench(
        *("run", "--variant", "one_pool", "--compress", "svd", "--data", faces_file, *QUICK),
        *("--device", "host", "--device", f"android:{phone.serial}"),
    )
    assert code == 0, err
    (path,) = (tmp_path / "runs").rglob("record.json")
    on_phone = {m.artifact: m for m in read_record(path).measurements if m.device == phone.serial}
    baseline, compressed = on_phone["one_pool · none"], on_phone["one_pool · svd"]
    assert baseline.failure is not None
    assert baseline.failure.stage == "space"
    assert "do not fit" in baseline.failure.reason
    assert compressed.failure is None
    assert compressed.network is not None
    assert "does not fit" in out
