"""The APK: built from source, and everything that must hold of it before anybody installs it."""

from __future__ import annotations

import hashlib
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlbench.device_runners.android import apk, build, checks, elf, maven, signing
from mlbench.device_runners.android.build import Built
from mlbench.device_runners.android.commands import android
from mlbench.device_runners.android.tools import Tools
from mlbench.errors import UsageError
from mlbench.system.progress import Silent


def said(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    return done.stdout


def test_apksigner_and_aapt_accept_it(built: Built, build_tools: Tools) -> None:
    verified = said(build_tools.path("apksigner"), "verify", "--verbose", built.path)
    assert "Verified using v2 scheme (APK Signature Scheme v2): true" in verified
    assert "Verified using v3 scheme (APK Signature Scheme v3): true" in verified
    badging = said(build_tools.path("aapt"), "dump", "badging", built.path)
    for line in (
        "package: name='io.mlbench.harness' versionCode='2' versionName='2.0'",
        "sdkVersion:'24'",
        "targetSdkVersion:'34'",
        "launchable-activity: name='io.mlbench.harness.LiveActivity'",
        "native-code: 'arm64-v8a'",
        "uses-feature-not-required: name='android.hardware.camera'",
    ):
        assert line in badging
    assert re.findall(r"uses-permission: name='([\w.]+)'", badging) == ["android.permission.CAMERA"]
    assert "application-debuggable" not in badging


def test_the_report_says_what_was_checked(built: Built) -> None:
    report = built.report
    assert report.signature_schemes == ("v2", "v3")
    assert (report.minimum_sdk, report.target_sdk, report.abis) == (24, 34, ("arm64-v8a",))
    assert report.classes > 200
    assert set(report.page_alignment.values()) == {4096, 16384}
    assert any("libtensorflowlite_jni.so" in warning and "16 KB" in warning for warning in report.warnings)


def test_zipalign_accepts_it_and_libraries_lie_on_16_kb(built: Built, build_tools: Tools) -> None:
    said(build_tools.path("zipalign"), "-c", "-p", "4", built.path)
    assert apk.misaligned(built.path) == []
    with zipfile.ZipFile(built.path) as archive:
        libraries = [entry for entry in archive.infolist() if entry.filename.endswith(".so")]
    assert len(libraries) == 3
    assert all(entry.compress_type == zipfile.ZIP_STORED for entry in libraries)


def test_two_builds_give_the_same_unsigned_bytes(built: Built, tmp_path: Path) -> None:
    target = tmp_path / "again.apk"
    result = CliRunner().invoke(android, ["build", "--out", str(target)], catch_exceptions=False)
    assert result.exit_code == 0
    assert built.unsigned_sha256 in result.output
    assert target.is_file()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("abi", build.ABIS)
def test_libraries_of_every_processor_are_its_own(abi: str, build_tools: Tools) -> None:
    parts = maven.fetch(
        maven.read_lock(build.HARNESS / "dependencies.lock"), build.maven_cache(), build_tools
    )
    entries = [entry for name in build.ARCHIVES for entry in build.libraries(parts[name], abi)]
    assert {entry.name.rsplit("/", 1)[1] for entry in entries} == {
        "libtensorflowlite_jni.so",
        "libopencv_java4.so",
        "libc++_shared.so",
    }
    for entry in entries:
        assert elf.machine(entry.data, entry.name) == abi
        assert elf.page_alignment(entry.data, entry.name) in (4096, 16384)


def test_calls_above_the_lowest_level_are_refused(build_tools: Tools, tmp_path: Path) -> None:
    parts = maven.fetch(
        maven.read_lock(build.HARNESS / "dependencies.lock"), build.maven_cache(), build_tools
    )
    source = tmp_path / "Newer.java"
    source.write_text(
        "class Newer { int status(android.os.PowerManager m) { return m.getCurrentThermalStatus(); } }"
    )
    classes = tmp_path / "classes"
    said(build_tools.path("javac"), "--release", "8", "-cp", parts[build.ANDROID], "-d", classes, source)
    with pytest.raises(UsageError, match="getCurrentThermalStatus"):
        build.check_public_api(parts, classes, build_tools)


def test_a_changed_apk_is_found_out(built: Built, build_tools: Tools, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.apk"
    data = bytearray(built.path.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    with pytest.raises(UsageError, match="not signed properly"):
        checks.check(damaged, ("arm64-v8a",), build_tools)


def test_an_apk_for_other_processors_is_found_out(built: Built, build_tools: Tools) -> None:
    with pytest.raises(UsageError, match="has libraries for arm64-v8a, not for x86_64"):
        checks.check(built.path, ("x86_64",), build_tools)


def test_the_lock_pins_every_file(build_tools: Tools, tmp_path: Path) -> None:
    dependencies = maven.read_lock(build.HARNESS / "dependencies.lock")
    fetched = maven.fetch(dependencies, build.maven_cache(), build_tools)
    assert len(fetched) == len(dependencies)
    asm = next(d for d in dependencies if d.artifact == "asm")
    assert hashlib.sha256(fetched["org.ow2.asm:asm"].read_bytes()).hexdigest() == asm.sha256


def test_a_file_with_another_hash_is_refused(build_tools: Tools, tmp_path: Path) -> None:
    wrong = maven.Dependency("javax.inject", "javax.inject", "1", "jar", "0" * 64)
    with pytest.raises(UsageError, match=r"javax\.inject-1\.jar from Maven does not have the pinned SHA-256"):
        maven.fetch((wrong,), tmp_path / "cache", build_tools)
    assert not list((tmp_path / "cache").iterdir())


def test_a_bad_line_of_the_lock_is_told(tmp_path: Path) -> None:
    lock = tmp_path / "dependencies.lock"
    lock.write_text("# comment\n\nnot a line\n")
    with pytest.raises(UsageError, match="line 3"):
        maven.read_lock(lock)


def test_missing_tools_are_named_with_their_packages(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        Tools(None, search_path=str(tmp_path)).require()
    for word in (
        "`javac`",
        "`aapt2`",
        "`apksigner`",
        "apt install openjdk-17-jdk-headless maven aapt zipalign apksigner",
    ):
        assert word in str(caught.value)


def test_an_installed_sdk_comes_first(tmp_path: Path) -> None:
    for version in ("9.0.0", "34.0.0"):
        folder = tmp_path / "build-tools" / version
        folder.mkdir(parents=True)
        for name in ("aapt2", "d8"):
            (folder / name).write_text("#!/bin/sh\n")
            (folder / name).chmod(0o755)
    tools = Tools(tmp_path)
    assert tools.path("d8") == tmp_path / "build-tools" / "34.0.0" / "d8"


@pytest.mark.parametrize("abis", [(), ("mips",), ("arm64-v8a", "riscv64")])
def test_unknown_processors_are_refused(abis: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the app can be built for arm64-v8a, armeabi-v7a, x86_64"):
        build.build(abis, tmp_path / "x.apk", Silent())


def test_a_keystore_without_its_password_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(signing.PASSWORD_VARIABLE, raising=False)
    keystore = tmp_path / "mine.keystore"
    keystore.write_bytes(b"x")
    with pytest.raises(UsageError, match=signing.PASSWORD_VARIABLE):
        signing.users_keystore(keystore, "mine")
    with pytest.raises(UsageError, match="is not a keystore"):
        signing.users_keystore(tmp_path / "none", "mine")
