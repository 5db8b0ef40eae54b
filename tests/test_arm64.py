"""Answers on ARM kernels in emulation: with a double in QEMU's place, and with the real one where it is installed."""

from __future__ import annotations

import io
import json
import lzma
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mlbench.device_runners.arm64 import emulator, fetching, installation, pinned, runner, unpacking
from mlbench.device_runners.arm64 import home as places
from mlbench.device_runners.arm64.runner import Arm64Runner
from mlbench.errors import UsageError
from mlbench.records import Record, read_record
from mlbench.reports.html import HtmlReport
from mlbench.reports.terminal import show
from mlbench.system.progress import Silent
from tests.conftest import CommandLine
from tests.small_files import classifying

#: Where QEMU may be installed: as the tests were started, whatever a test sets.
_REAL = os.environ.get("MLBENCH_CACHE")

#: Stands for QEMU and the emulated Python: the worker's answers come from this machine's, as its mode says.
_DOUBLE = """#!{python}
import os, signal, subprocess, sys, time
from pathlib import Path

mode = Path({folder!r}, "mode").read_text()
if "--version" in sys.argv:
    print("qemu-aarch64 version " + ("7.2.9" if mode == "old" else "10.0.13") + " (Debian)")
    sys.exit()
if "help" in sys.argv:
    print("Available CPUs:\\n  cortex-a53\\n  cortex-a76\\n  max")
    sys.exit(1)
paths = os.environ["PYTHONPATH"].split(os.pathsep)
environment = {{**os.environ, "PYTHONPATH": os.pathsep.join([*paths, *{paths!r}])}}
del environment["PYTHONPYCACHEPREFIX"]
worker = subprocess.Popen(
    [sys.executable, *sys.argv[sys.argv.index("-P"):]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    env=environment,
)
print(worker.stdout.readline(), end="", flush=True)
asked = 0
for line in sys.stdin:
    with open(os.path.join({folder!r}, "asked"), "a") as log:
        log.write(line)
    asked += 1
    if mode == "hangs":
        time.sleep(600)
    if mode == "crashes" or (mode == "dies later" and asked > 2):
        print("qemu: uncaught target signal 11 (Segmentation fault) - core dumped", file=sys.stderr, flush=True)
        worker.kill()
        os.kill(os.getpid(), signal.SIGSEGV)
    worker.stdin.write(line)
    worker.stdin.flush()
    print(worker.stdout.readline(), end="", flush=True)
"""


@pytest.fixture
def mode(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """An installation with a double in place of QEMU; sets how it behaves."""
    monkeypatch.setattr(pinned, "brings_qemu", lambda: True)
    emulator._output.cache_clear()
    home = places.home()
    home.python.parent.mkdir(parents=True)
    home.python.touch()
    home.site.mkdir()
    own = home.folder / "qemu-aarch64"
    own.write_text(_DOUBLE.format(python=sys.executable, folder=str(home.folder), paths=sys.path))
    own.chmod(0o755)

    def behave(how: str) -> None:
        emulator._output.cache_clear()
        (home.folder / "mode").write_text(how)

    behave("answers")
    return behave


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A network of 16 features and three classes."""
    path = tmp_path / "net.tflite"
    path.write_bytes(classifying())
    return path


@pytest.fixture
def data(tmp_path: Path, rng: np.random.Generator) -> Path:
    """25 samples for it."""
    path = tmp_path / "data.npz"
    np.savez(path, x=rng.random((25, 16), dtype=np.float32), y=rng.integers(0, 3, 25))
    return path


_QUICK = ["--min-count", "20", "--min-seconds", "0", "--no-pipeline"]


@pytest.fixture
def measured(command_line: CommandLine, net: Path, data: Path, tmp_path: Path) -> Callable[..., Record]:
    """Measures on the host and a CPU in emulation; answers the record."""

    def run(*options: str) -> Record:
        out = tmp_path / "out"
        code, shown, told = command_line(
            *("measure", net, "--data", data, "--task", "classification", *_QUICK, "--out", out),
            *("--device", "host", "--device", "arm64:cortex-a53", *options),
        )
        assert code == 0, shown + told
        return read_record(max(out.rglob("record.json"), key=lambda path: path.stat().st_mtime_ns))

    return run


def _asked() -> int:
    return len((places.home().folder / "asked").read_text().splitlines())


def test_answers_are_compared_with_the_hosts_sample_by_sample(mode, measured):
    record = measured("--arm-samples", "12", "--device", "arm64:max")
    assert [(device.id, device.answers_only) for device in record.devices] == [
        ("host", False),
        ("arm64:cortex-a53", True),
        ("arm64:max", True),
    ]
    assert [(one.device, one.reference, one.samples) for one in record.agreements] == [
        ("arm64:cortex-a53", "host", 12),
        ("arm64:max", "host", 12),
    ]
    for one in record.agreements:  # the double answers with this machine's kernels
        assert (one.largest, one.mean, one.per_sample, one.verdict) == (0, 0, (0.0,) * 12, "same")
        assert one.metrics == one.reference_metrics
        assert (one.change.low, one.change.value, one.change.high) == (0, 0, 0)
    assert {score.device for score in record.scores} == {"host"}


def test_nothing_tells_an_emulated_time_or_memory(mode, measured):
    record = measured()
    [emulated] = [row for row in record.measurements if row.device == "arm64:cortex-a53"]
    given = {name for name, value in emulated.model_dump().items() if value not in (None, {}, 0)}
    assert given == {"artifact", "device"}
    bare = record.model_copy(
        update={"measurements": (emulated,), "differences": (), "warnings": (), "budgets": ()}
    )
    out = io.StringIO()
    show(bare, Console(file=out, width=250))
    answers = out.getvalue().split("Answers on other kernels")[1]
    assert "arm64:cortex-a53" in answers
    assert not re.search(r"\bms\b|FPS|memory|p50", answers)
    assert out.getvalue().count("on cortex-a53 in emulation") == 0  # no table of latencies


def test_reports_show_answers_beside_the_hosts(mode, measured, tmp_path):
    record = measured()
    out = io.StringIO()
    show(record, Console(file=out, width=250))
    row = next(line for line in out.getvalue().splitlines() if "arm64:cortex-a53" in line)
    top1 = record.task.primary.told(record.agreements[0].metrics["top1"].value)
    assert row.count(top1) == 2
    assert "same" in row
    page = HtmlReport().write([record], tmp_path / "page.html").read_text()
    table = page.split('<table class="answers">')[1].split("</table>")[0]
    assert table.count(top1) == 2
    assert "in emulation" not in page.split('id="rows"')[1].split("</table>")[0]


def test_a_difference_is_told_with_how_large_it_is(mode, measured):
    record = measured()
    moved = record.agreements[0].model_copy(update={"largest": 0.1875, "unit": "px"})
    assert moved.verdict == "differs by up to 0.19 px"
    out = io.StringIO()
    show(record.model_copy(update={"agreements": (moved,)}), Console(file=out, width=250))
    assert "differs by up to 0.19 px" in out.getvalue()


def test_a_crash_of_the_emulator_is_a_verdict_and_the_hosts_figures_stay(mode, measured, tmp_path):
    mode("crashes")
    record = measured()
    host, emulated = record.measurements
    assert host.network is not None
    assert emulated.failure.reason.startswith(
        "the emulated process crashed by SIGSEGV: qemu: uncaught target signal"
    )
    assert record.agreements == ()
    out = io.StringIO()
    show(record, Console(file=out, width=300))
    assert "does not run, inference: the emulated process crashed" in out.getvalue()
    assert "does not run, inference" in HtmlReport().write([record], tmp_path / "page.html").read_text()


def test_an_emulator_that_does_not_answer_is_ended(mode, measured, monkeypatch):
    monkeypatch.setattr(runner, "_PATIENCE_S", 0.05)
    mode("hangs")
    record = measured()
    assert "did not answer within" in record.measurements[-1].failure.reason


def test_what_was_answered_before_a_kill_is_not_asked_again(mode, measured):
    mode("dies later")  # after two chunks of three
    assert measured().agreements == ()
    asked = _asked()
    mode("answers")
    assert measured().agreements[0].samples == 25
    assert _asked() == asked + 1
    measured()
    assert _asked() == asked + 1


def test_kept_answers_are_of_one_file_cpu_and_set_of_samples(mode, measured, net):
    measured()
    for options, chunks in ([], 0), (["--device", "arm64:cortex-a76"], 3), (["--arm-samples", "5"], 1):
        before = _asked()
        measured(*options)
        assert _asked() == before + chunks
    before = _asked()
    net.write_bytes(classifying(units=32))
    measured()
    assert _asked() == before + 3


def test_an_old_qemu_is_named(mode, command_line, net, data):
    mode("old")
    code, _, told = command_line("measure", net, "--data", data, "--device", "host", "--device", "arm64")
    assert code == 2
    assert "is QEMU 7.2.9, which crashes in LiteRT; 8.0 or newer is needed" in told
    rows = {name: (good, text) for name, good, text in Arm64Runner.requirements()}
    assert rows["emulated system"][0]
    assert not rows["QEMU"][0]
    assert "7.2.9" in rows["QEMU"][1]


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        (["host", "arm64:cortex-a67"], 'QEMU emulates no "cortex-a67"; did you mean "cortex-a76"?'),
        (["arm64"], "arm64 needs a device to compare its answers with: give --device host too."),
        (["host", "arm64", "arm64:cortex-a76"], "is given twice"),
    ],
)
def test_devices_that_cannot_be_used_are_named(devices, said, mode, command_line, net, data):
    options = [word for device in devices for word in ("--device", device)]
    code, _, told = command_line("measure", net, "--data", data, "--task", "classification", *options)
    assert (code, said in told) == (2, True), told


def test_without_samples_there_is_nothing_to_answer(mode, command_line, net):
    code, _, told = command_line("measure", net, *_QUICK, "--device", "host", "--device", "arm64")
    assert code == 2
    assert "arm64 needs samples: give --data and --task" in told


def test_before_it_is_installed_the_command_is_named(cache, command_line, net, data):
    code, _, told = command_line("measure", net, "--data", data, "--device", "host", "--device", "arm64")
    assert code == 2
    assert "The emulated ARM system is not installed: run `mlbench arm64 install`." in told
    assert Arm64Runner.requirements()[0] == ("emulated system", False, "run `mlbench arm64 install`")


def test_a_package_that_is_missing_is_named_and_the_others_are_kept(
    cache, command_line, tmp_path, monkeypatch
):
    given = tmp_path / "given"
    given.mkdir()
    packages = [_package_of(given, name) for name in ("first", "second")]
    monkeypatch.setattr(pinned, "packages", lambda: tuple(packages))
    (given / packages[1].file_name).unlink()
    code, _, told = command_line("arm64", "install", "--packages", given)
    assert (code, "second.deb cannot be read" in told) == (2, True)
    assert [path.name for path in (cache / "arm64" / "packages").iterdir()] == ["first.deb"]


def test_a_package_with_another_hash_is_not_used(cache, command_line, tmp_path, monkeypatch):
    given = tmp_path / "given"
    given.mkdir()
    package = _package_of(given, "first")
    monkeypatch.setattr(pinned, "packages", lambda: (package,))
    (given / package.file_name).write_bytes(b"another")
    code, _, told = command_line("arm64", "install", "--packages", given)
    assert (code, "first.deb does not have the pinned SHA-256" in told) == (2, True)
    assert list((cache / "arm64" / "packages").iterdir()) == []


def test_a_wheel_that_is_missing_is_named(cache, command_line, tmp_path, monkeypatch):
    monkeypatch.setattr(pinned, "packages", tuple)
    code, _, told = command_line("arm64", "install", "--packages", tmp_path)
    assert code == 2
    assert "There is no aarch64 wheel of numpy" in told


@pytest.mark.parametrize("lacking", ["apt", "pip"])
def test_without_a_client_the_folder_of_packages_is_named(lacking, cache, tmp_path, monkeypatch):
    if lacking == "apt":
        monkeypatch.setattr(fetching, "_HELPER", tmp_path / "absent")
    else:
        monkeypatch.setattr(pinned, "packages", tuple)
        monkeypatch.setattr(fetching.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="--packages"):
        installation.install("http://127.0.0.1:9/debian", None, Silent())


_HELPER = """#!{python}
import shutil, sys
_, _, address, part, _ = sys.argv
if "gone" in address:
    sys.exit("E: Failed to fetch " + address + "  404  Not Found")
shutil.copyfile({given!r} + "/" + address.rsplit("/", 1)[1], part)
"""


def test_a_mirror_that_lost_a_version_is_told_with_where_it_is_kept(cache, tmp_path, monkeypatch):
    given = tmp_path / "given"
    given.mkdir()
    package = _package_of(given, "first")
    helper = tmp_path / "apt-helper"
    helper.write_text(_HELPER.format(python=sys.executable, given=str(given)))
    helper.chmod(0o755)
    monkeypatch.setattr(fetching, "_HELPER", helper)
    monkeypatch.setattr(pinned, "packages", lambda: (package,))
    monkeypatch.setattr(pinned, "wheels", tuple)
    with pytest.raises(UsageError, match=rf"404  Not Found.*--mirror.* at {pinned.SNAPSHOT}"):
        fetching.fetch(cache, "http://mirror.test/gone", None, Silent())
    [file] = fetching.fetch(cache, "http://mirror.test/debian/", None, Silent())
    assert file == cache / "first.deb"
    helper.unlink()  # what is there is not fetched again
    assert fetching.fetch(cache, "http://mirror.test/debian/", None, Silent()) == [file]


def test_a_version_without_a_wheel_for_arm_is_named(cache, monkeypatch):
    monkeypatch.setattr(pinned, "packages", tuple)
    monkeypatch.setattr(pinned, "version", lambda name: "99.0")
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: No matching distribution found for numpy==99.0\n")
    monkeypatch.setattr(fetching, "_run", lambda command, late: failed)
    said = list[str]()
    progress = Silent()
    monkeypatch.setattr(progress, "say", said.append)
    with pytest.raises(UsageError, match=r"pip cannot fetch numpy 99\.0 for aarch64 \(ERROR: No matching"):
        fetching.fetch(cache, None, None, progress)
    assert said == ["No hash is pinned for numpy 99.0: pip chooses the wheel."]


def test_what_was_installed_is_removed(mode, command_line, cache):
    code, shown, _ = command_line("arm64", "remove")
    assert (code, shown.startswith("Removed ")) == (0, True)
    assert not places.installed()
    assert not (cache / "arm64").exists()


Member = tuple[str, bytes | None, str]


def _tar(members: list[Member]) -> bytes:
    """Members: a name, with a content, or with where it links to."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data, link in members:
            info = tarfile.TarInfo(name)
            info.size = len(data or b"")
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, link
            archive.addfile(info, io.BytesIO(data or b""))
    return lzma.compress(content.getvalue())


def _deb(file: Path, members: list[Member]) -> Path:
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": _tar(members)}
    content = b"!<arch>\n"
    for name, data in parts.items():
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n"
        content += header.encode() + data + b"\n" * (len(data) % 2)
    file.write_bytes(content)
    return file


def _package_of(folder: Path, name: str) -> pinned.Package:
    file = _deb(folder / f"{name}.deb", [("./usr/lib/x", b"x", "")])
    return pinned.Package(f"pool/{name}.deb", fetching.file_sha256(file))


def test_a_package_is_unpacked_without_what_leads_out(tmp_path):
    members: list[Member] = [
        ("./usr/lib/real.so.1", b"library", ""),
        ("./usr/lib/real.so", None, "real.so.1"),
        ("./usr/lib/out.py", None, "/etc/passwd"),
        ("./usr/lib/slashes", None, "//etc/passwd"),
        ("./usr/lib/deep/out", None, "../../../../x"),
        ("./usr/lib/top", None, "../.."),
        ("./usr/lib/top/usr/lib/out", None, "../../../../x"),  # fewer folders deep than its name
        ("./usr/lib/later", None, "way/../../../x"),
        ("./usr/lib/way", None, "deep"),
        ("./usr/share/doc", b"text", ""),
    ]
    unpacking.unpack_package(_deb(tmp_path / "a.deb", members), tmp_path / "root")
    found = {path.relative_to(tmp_path / "root").as_posix() for path in (tmp_path / "root").rglob("*")}
    assert found == {
        *("usr", "usr/lib", "usr/lib/real.so.1", "usr/lib/real.so"),
        *("usr/lib/deep", "usr/lib/top", "usr/lib/way"),
    }
    assert (tmp_path / "root/usr/lib/real.so").read_bytes() == b"library"


@pytest.mark.parametrize("name", ["../evil", "/evil", "usr/lib/../../../evil"])
@pytest.mark.parametrize("kind", ["package", "wheel"])
def test_a_name_that_leads_out_is_refused(kind, name, tmp_path):
    target = tmp_path / "deep" / "root"
    target.mkdir(parents=True)
    file = tmp_path / "a.whl"
    with pytest.raises(UsageError, match=r"a\.(deb|whl) cannot be unpacked"):
        if kind == "package":
            unpacking.unpack_package(_deb(tmp_path / "a.deb", [(name, b"x", "")]), target)
        else:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr(name, "x")
            unpacking.unpack_wheel(file, target)
    assert not list(tmp_path.rglob("evil"))


def test_a_link_to_a_folder_leads_no_file_out(tmp_path):
    (tmp_path / "root" / "usr" / "lib").mkdir(parents=True)
    (tmp_path / "root" / "usr" / "lib" / "way").symlink_to(tmp_path)
    package = _deb(tmp_path / "a.deb", [("usr/lib/way/evil", b"x", "")])
    with pytest.raises(UsageError, match="out of the folder"):
        unpacking.unpack_package(package, tmp_path / "root")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("content", [b"", b"!<arch>\n", b"no package at all", b"!<arch>\n" + b"x" * 60])
def test_a_damaged_package_is_named(content, tmp_path):
    (tmp_path / "a.deb").write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.deb cannot be unpacked"):
        unpacking.unpack_package(tmp_path / "a.deb", tmp_path / "root")


def test_the_pinned_versions_are_those_of_the_constraints():
    wanted = (Path(__file__).parents[1] / "constraints.txt").read_text().splitlines()
    for name, version in pinned._WHEELS:
        assert f"{name}=={version}" in wanted


@pytest.fixture
def real(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real QEMU, of the cache that the tests were started with; answers are kept elsewhere."""
    with monkeypatch.context() as patch:
        patch.delenv("MLBENCH_CACHE") if _REAL is None else patch.setenv("MLBENCH_CACHE", _REAL)
        there = places.home().folder
    if not there.is_dir():
        pytest.skip("the emulated ARM system is not installed: mlbench arm64 install")
    places.base().mkdir(parents=True)
    places.home().folder.symlink_to(there)


def test_real_arm_kernels_answer_as_the_host_does(real, measured):
    record = measured("--arm-samples", "4")
    [one] = record.agreements
    assert (one.samples, one.same) == (4, True)
    assert json.loads(record.model_dump_json())["devices"][1]["details"]["qemu"] >= "10"
