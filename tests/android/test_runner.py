"""The runner against a double of a phone, over the real adb server, with the app's own classes behind it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from mlbench.contracts import Job, Outcome
from mlbench.device_runners.android import live
from mlbench.device_runners.android.build import Built
from mlbench.device_runners.android.inputs import Inputs
from mlbench.device_runners.android.lane import Lane
from mlbench.device_runners.android.phone import connect
from mlbench.device_runners.android.readiness import Readiness
from mlbench.device_runners.android.runner import AndroidRunner
from mlbench.device_runners.android.session import Session
from mlbench.errors import UsageError
from mlbench.export import ready_models
from mlbench.export.artifacts import answers
from mlbench.faces.tracking import Rules
from mlbench.system.progress import Silent

from .conftest import Connected, Plug, artifact, job
from .double.apps import killed, leaving, on_jvm
from .double.phone import App
from .faces_followed import telling_presence
from .jvm.jvm_host import JvmHost
from .test_any_network import ids_and_pictures
from .test_any_network import job as any_job
from .test_app_benchmark import on_the_host

Crops = npt.NDArray[np.uint8]

#: Measure at once, whatever the phone is like.
AT_ONCE = Readiness(wait_s=0, poll_s=0)


@pytest.fixture
def app(jvm: JvmHost, built: Built, monkeypatch: pytest.MonkeyPatch) -> App:
    """The real classes; and the runner installs the APK that was built."""
    monkeypatch.setenv("MLBENCH_ANDROID_APK", str(built.path))
    return on_jvm(jvm)


@pytest.fixture
def two(networks: Path, crops: Crops, tmp_path: Path) -> Job:
    """A job of two artifacts and two test sets."""
    folder = tmp_path / "run"
    folder.mkdir()
    return job(folder, networks, ("float32", "svd"), test_sets={"first": crops[:10], "second": crops[10:]})


def measured(job: Job, serial: str | None = None, rounds: int = 2) -> dict[str, Outcome]:
    outcomes = AndroidRunner(serial, rounds, AT_ONCE).measure(job, Silent())
    return {outcome.measurement.artifact: outcome for outcome in outcomes}


def failure_of(outcome: Outcome) -> tuple[str, str]:
    failure = outcome.measurement.failure
    assert failure is not None, "it was measured"
    assert outcome.measurement.network is None
    assert outcome.predictions == {}
    return failure.stage, failure.reason


def app_starts(phone: Connected) -> int:
    return sum(command.startswith("am instrument") for command in phone.phone.commands)


# --- What works -----------------------------------------------------------------------------------------


def test_a_job_on_a_phone(app: App, plug: Plug, built: Built, two: Job, crops: Crops) -> None:
    phone = plug(app)
    runner = AndroidRunner(rounds=3, readiness=AT_ONCE)
    outcomes = list(runner.measure(two, Silent()))
    assert [o.measurement.artifact for o in outcomes] == ["float32", "svd"]
    for outcome in outcomes:
        measurement = outcome.measurement
        assert measurement.failure is None, measurement.failure
        assert measurement.device == phone.serial
        assert measurement.network is not None
        assert len(measurement.network.bursts) == 3
        assert measurement.memory is not None
        assert "pss_kb" in measurement.details
        expected, _ = on_the_host(two.folder / f"{measurement.artifact}.tflite", crops)
        both = np.concatenate([outcome.predictions[name]["points"] for name in ("first", "second")])
        np.testing.assert_allclose(both, expected, rtol=0, atol=1e-4)
    device = runner.device(threads=1)
    assert (device.id, device.runner, device.name) == (phone.serial, "android", "Double One")
    assert device.details["tflite"] == "2.16.1"
    assert phone.phone.installed is not None
    assert phone.phone.installed.read_bytes() == built.path.read_bytes()
    left = [path for path in phone.phone.root.rglob("*") if path.suffix in {".tflite", ".raw", ".json"}]
    assert not left, "the run's folder was not cleaned up"


def test_the_same_app_is_not_installed_again(app: App, plug: Plug, built: Built, two: Job) -> None:
    phone = plug(app, apk=built.path)
    measured(two, rounds=1)
    assert not [command for command in phone.phone.commands if command.startswith("pm install")]


def test_a_finished_job_is_measured_anew(app: App, plug: Plug, built: Built, two: Job) -> None:
    phone = plug(app, apk=built.path)
    measured(two, rounds=1)
    assert not list(two.folder.rglob("result.json")), "results of a finished job were kept"
    measured(two, rounds=1)
    assert app_starts(phone) == 4


def test_runs_by_other_rules_are_not_taken_up(built: Built, two: Job) -> None:
    session = Session(None, two, {}, built.path, two.folder, 1, "")  # type: ignore[arg-type]
    names = set()
    for every in (15, 7):
        lane = Lane(two.artifacts[0], "", 1)
        lane.inputs = Inputs({"pipeline": {"tracking": {"every": every}}}, 1, [], {})
        names.add(session._name(lane, 0))
    assert len(names) == 2


def test_the_second_of_two_phones(app: App, plug: Plug, built: Built, two: Job) -> None:
    first, second = plug(app, apk=built.path), plug(app, apk=built.path)
    assert measured(two, second.serial, rounds=1)["svd"].measurement.device == second.serial
    assert app_starts(first) == 0


def test_artifacts_take_turns(app: App, plug: Plug, built: Built, two: Job) -> None:
    heard: list[str] = []

    def listening(arguments: dict[str, str], external: Path, say: Callable[[str], None]) -> None:
        heard.append(Path(arguments["config"]).read_text().split('"model": "')[1][:32])
        app(arguments, external, say)

    plug(listening, apk=built.path)
    measured(two, rounds=4)
    pairs = [heard[i : i + 2] for i in range(0, 8, 2)]
    assert all(len(set(pair)) == 2 for pair in pairs), "an artifact ran twice in one turn"
    assert len({tuple(pair) for pair in pairs}) == 2, "the order was never shuffled"


def test_frames_of_a_slow_link(
    app: App, plug: Plug, built: Built, networks: Path, crops: Crops, tmp_path: Path
) -> None:
    plug(app, apk=built.path, link_delay=0.01)
    frames = np.random.default_rng(5).integers(0, 256, (2, 480, 864), dtype=np.uint8)
    asked = job(
        tmp_path, networks, ("svd",), test_sets={"a": crops}, frames=frames, video=frames[:, ::4, ::4]
    )
    measurement = measured(asked, rounds=1)["svd"].measurement
    assert measurement.failure is None
    assert measurement.frames == 2
    assert set(measurement.parts) == {"detector", "both", "tracked"}
    assert measurement.parts["both"].n == measurement.parts["detector"].n >= 6


def test_networks_for_the_live_screen_come_with_how_they_find_faces(
    plug: Plug, app: App, built: Built, tmp_path: Path
) -> None:
    phone = plug(app, apk=built.path)
    basic = ready_models.file_named("basic")
    wide = tmp_path / "wide.tflite"
    wide.write_bytes(telling_presence(basic.read_bytes(), margin=1.2))
    live.check((basic, wide))
    live.push(connect(phone.serial), (basic, wide), Rules(smooth=True), Silent())
    folder = phone.phone.path(live.FOLDER)
    assert {path.name for path in folder.iterdir()} == {
        *("basic.json", "basic.tflite", "cascade.xml", "wide.json", "wide.tflite")
    }
    plain, told = (json.loads((folder / f"{name}.json").read_text()) for name in ("basic", "wide"))
    assert plain["network"] == {"margin": 1.0, "points": 0}
    assert told["network"]["margin"] == 1.2
    assert told["network"]["presence"] == {
        "output": 0,
        "presence_slope": 20.0,
        "presence_offset": -5.0,
        "presence_threshold": 0.6,
    }
    assert told["tracking"]["smoothing"] == {"cutoff": 1.0, "beta": 0.3, "speed_cutoff": 1.0}


def test_a_network_that_is_not_for_faces_is_refused_before_a_phone_is_touched(networks: Path) -> None:
    with pytest.raises(UsageError, match=r"mixed\.tflite does not fit"):
        live.check((networks / "mixed.tflite",))


def test_a_hot_phone_is_waited_for(app: App, plug: Plug, built: Built, two: Job) -> None:
    phone = plug(app, apk=built.path, battery=[(87, 425, True), (87, 401, True), (87, 300, True)])
    runner = AndroidRunner(rounds=1, readiness=Readiness(poll_s=0.01))
    list(runner.measure(two, Silent()))
    asked = [command.split()[0] for command in phone.phone.commands]
    assert "condition" not in runner.device(1).details
    assert phone.phone.commands.count("dumpsys battery") == 3
    assert "am" not in asked[: asked.index("dumpsys")], "it was measured before it was asked"


def test_a_phone_that_stays_hot_is_measured_and_said_to_be_hot(
    app: App, plug: Plug, built: Built, two: Job
) -> None:
    plug(app, apk=built.path, battery=[(87, 425, True)])
    runner = AndroidRunner(rounds=1, readiness=AT_ONCE)
    list(runner.measure(two, Silent()))
    assert "the battery had 42.5 °C" in runner.device(1).details["condition"]


def test_any_network_without_data_on_random_inputs(
    app: App, plug: Plug, built: Built, networks: Path, tmp_path: Path
) -> None:
    plug(app, apk=built.path)
    outcomes = measured(any_job(tmp_path, networks, ("mixed", "words"), samples=None))
    for outcome in outcomes.values():
        assert outcome.measurement.failure is None, outcome.measurement.failure
        assert outcome.measurement.network is not None
        assert outcome.predictions == {}


def test_answers_of_several_outputs_come_back_by_name(
    app: App, plug: Plug, built: Built, networks: Path, tmp_path: Path
) -> None:
    plug(app, apk=built.path)
    samples = ids_and_pictures("mixed")
    outcome = measured(any_job(tmp_path, networks, ("mixed",), samples), rounds=1)["mixed"]
    assert outcome.measurement.failure is None, outcome.measurement.failure
    expected = answers(networks / "mixed.tflite", samples)
    assert {name: set(found) for name, found in outcome.predictions.items()} == {
        "first": {"size", "scores"},
        "second": {"size", "scores"},
    }
    for target, wanted in expected.items():
        both = np.concatenate([outcome.predictions[name][target] for name in ("first", "second")])
        np.testing.assert_allclose(both, wanted, rtol=0, atol=1e-5)


# --- What does not fit ----------------------------------------------------------------------------------


def test_no_space_is_a_verdict_and_the_smaller_file_is_measured(
    app: App, plug: Plug, built: Built, two: Job
) -> None:
    spare = 64 * 1024
    plug(app, apk=built.path, free_kb=spare + 300)  # between the two files
    outcomes = measured(two)
    stage, reason = failure_of(outcomes["float32"])
    assert stage == "space"
    assert "do not fit" in reason
    assert outcomes["svd"].measurement.failure is None


def test_a_disk_that_fills_up_while_pushing_is_a_verdict(
    app: App, plug: Plug, built: Built, two: Job
) -> None:
    plug(app, apk=built.path, write_limit=300_000)
    outcomes = measured(two)
    assert failure_of(outcomes["float32"])[0] == "space"
    assert "No space left on device" in failure_of(outcomes["float32"])[1]
    assert outcomes["svd"].measurement.failure is None


def test_an_app_killed_for_memory_is_a_verdict_and_the_smaller_file_is_measured(
    app: App, plug: Plug, built: Built, two: Job
) -> None:
    log = (
        "I/ActivityManager( 1523): Start proc 12345:io.mlbench.harness/u0a234 for added application\n"
        "I/lowmemorykiller(  523): Kill 'io.mlbench.harness' (12345), uid 10234, oom_score_adj 0 to free 812344kB rss\n"
        "I/ActivityManager( 1523): Process io.mlbench.harness (pid 12345) has died: fg  TOP\n"
    )
    plug(killed("load", 300_000, app), apk=built.path, log=log)
    outcomes = measured(two)
    stage, reason = failure_of(outcomes["float32"])
    assert stage == "process"
    assert "memory ran out" in reason
    assert "812344kB" in reason
    assert reason.endswith("while loading the network")
    assert outcomes["svd"].measurement.failure is None


def test_an_app_that_crashes_natively_tells_how(app: App, plug: Plug, built: Built, two: Job) -> None:
    log = (
        "F/libc    (12345): Fatal signal 6 (SIGABRT), code -1 (SI_QUEUE) in tid 12399 (instrumentation),"
        " pid 12345 (mlbench.harness)\n"
        "F/DEBUG   (12500): Abort message: 'Check failed: buffer != nullptr'\n"
    )
    plug(killed("inference", 300_000, app), apk=built.path, log=log)
    _, reason = failure_of(measured(two)["float32"])
    assert "SIGABRT: Check failed: buffer != nullptr" in reason
    assert reason.endswith("while running the network")


def test_a_file_that_does_not_load_or_fit_is_a_verdict_and_others_are_measured(
    app: App, plug: Plug, built: Built, two: Job, networks: Path
) -> None:
    plug(app, apk=built.path)
    cut, words = two.folder / "cut.tflite", two.folder / "words.tflite"
    cut.write_bytes((networks / "svd.tflite").read_bytes()[:2000])
    words.write_bytes((networks / "words.tflite").read_bytes())
    asked = dataclasses.replace(
        two, artifacts=(artifact(cut, "cut"), *two.artifacts, artifact(words, "words"))
    )
    outcomes = measured(asked, rounds=1)
    assert failure_of(outcomes["cut"])[0] == "load"
    stage, reason = failure_of(outcomes["words"])
    assert stage == "load"
    assert "takes crop as 5, the samples hold it as 96×96×1" in reason
    assert outcomes["float32"].measurement.failure is None
    assert outcomes["svd"].measurement.failure is None


def test_an_app_of_another_mlbench_is_told_so(app: App, plug: Plug, built: Built, two: Job) -> None:
    def old(arguments: dict[str, str], external: Path, say: Callable[[str], None]) -> None:
        said = "java.io.IOException: configuration schema 2 is not 1: install the app of this mlbench"
        say(f"INSTRUMENTATION_RESULT: error={said}\nINSTRUMENTATION_CODE: 0\n")

    plug(old, apk=built.path)
    stage, reason = failure_of(measured(two)["svd"])
    assert stage == "start"
    assert "`mlbench android build`" in reason


def test_a_too_new_file_is_refused_before_it_is_pushed(
    app: App, plug: Plug, built: Built, networks: Path, crops: Crops, tmp_path: Path
) -> None:
    phone = plug(app, apk=built.path)
    asked = job(tmp_path, networks, ("too_new",), test_sets={"a": crops})
    stage, reason = failure_of(measured(asked)["too_new"])
    assert stage == "load"
    assert "FULLY_CONNECTED version 12" in reason
    assert phone.phone.bytes_received == 0
    assert app_starts(phone) == 0


# --- Faults: each ends in one sentence, and nothing that was measured is lost -----------------------------


def refusal(job: Job, serial: str | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        measured(job, serial)
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


def test_fault_no_phone(app: App, adb_server: None, two: Job) -> None:
    assert "No phone is connected" in refusal(two)


def test_fault_unknown_serial(app: App, plug: Plug, two: Job) -> None:
    phone = plug(app)
    assert f"No phone R58 is connected (there is {phone.serial})" in refusal(two, "R58")


def test_fault_several_phones(app: App, plug: Plug, two: Job) -> None:
    first, second = plug(app), plug(app)
    text = refusal(two)
    assert first.serial in text
    assert second.serial in text
    assert "--device android:SERIAL" in text


def test_fault_unauthorized(app: App, plug: Plug, two: Job) -> None:
    phone = plug(app, trusts=False)
    assert "accept `Allow USB debugging`" in refusal(two, phone.serial)


def test_fault_offline(app: App, plug: Plug, two: Job) -> None:
    phone = plug(app, answers=False)
    assert "is offline" in refusal(two, phone.serial)


def test_fault_no_apk(app: App, plug: Plug, two: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(app)
    monkeypatch.setenv("MLBENCH_ANDROID_APK", "/nowhere/harness.apk")
    assert "mlbench android build" in refusal(two)


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (
            "Failure [INSTALL_FAILED_UPDATE_INCOMPATIBLE: Existing package io.mlbench.harness signatures do not match]",
            "adb uninstall io.mlbench.harness",
        ),
        ("Failure [INSTALL_FAILED_USER_RESTRICTED: Install canceled by user]", "Install via USB"),
        ("Failure [INSTALL_FAILED_INSUFFICIENT_STORAGE]", "free space"),
        (
            "Failure [INSTALL_FAILED_VERSION_DOWNGRADE: Downgrade detected: Update version code 1 is older]",
            "uninstall the newer app",
        ),
    ],
)
def test_fault_install_refused(answer: str, remedy: str, app: App, plug: Plug, two: Job) -> None:
    plug(app, install_answer=answer)
    assert remedy in refusal(two)


def test_fault_wrong_processor(app: App, plug: Plug, two: Job) -> None:
    plug(app, properties={"ro.product.cpu.abilist": "x86"})
    assert "mlbench android build --abi" in refusal(two)


def test_fault_too_old_android(app: App, plug: Plug, two: Job) -> None:
    plug(app, properties={"ro.build.version.sdk": "23"})
    assert "the app needs 24 (Android 7)" in refusal(two)


def test_fault_cable_pulled_while_pushing_and_the_rerun_goes_on(
    app: App, plug: Plug, built: Built, two: Job
) -> None:
    phone = plug(app, apk=built.path, cut_after=400_000)
    stage, reason = failure_of(measured(two)["float32"])
    assert stage == "device"
    assert "disconnected" in reason
    assert "run again" in reason
    phone.connect()
    assert all(outcome.measurement.failure is None for outcome in measured(two).values())


def _pulled_at(start: int, app: App, plug: Plug, built: Built) -> Connected:
    """A phone whose cable is pulled while the app starts for that time."""
    starts = 0

    def pulling(arguments: dict[str, str], external: Path, say: Callable[[str], None]) -> None:
        nonlocal starts
        starts += 1
        if starts == start:
            phone.phone.cut_on = "am instrument"
        app(arguments, external, say)

    phone = plug(pulling, apk=built.path)
    return phone


def test_fault_cable_pulled_while_running_and_the_rerun_goes_on(
    app: App, plug: Plug, built: Built, two: Job
) -> None:
    phone = _pulled_at(2, app, plug, built)
    outcomes = measured(two, rounds=2)
    assert {failure_of(outcome)[0] for outcome in outcomes.values()} == {"device"}
    before = app_starts(phone)
    phone.connect()
    assert all(outcome.measurement.failure is None for outcome in measured(two, rounds=2).values())
    assert (before, app_starts(phone) - before) == (3, 2), "finished runs were run again, or not all were run"


@pytest.mark.parametrize("changed", ["files", "system"])
def test_only_the_same_job_on_the_same_system_goes_on(
    changed: str, app: App, plug: Plug, built: Built, two: Job
) -> None:
    phone = _pulled_at(1, app, plug, built)
    measured(two, rounds=1)
    before = app_starts(phone)
    phone.connect()
    if changed == "files":
        two = dataclasses.replace(two, artifacts=two.artifacts[::-1])
    else:
        phone.phone.properties["ro.build.fingerprint"] = "double/double/double:15/AP3A/1:user/release-keys"
    assert all(outcome.measurement.failure is None for outcome in measured(two, rounds=1).values())
    assert (before, app_starts(phone) - before) == (2, 2), "runs of another job were taken for this one's"


def test_fault_phone_falls_silent(
    app: App, plug: Plug, built: Built, two: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlbench.device_runners.android.session._SILENCE_LIMIT_S", 1.0)
    plug(app, apk=built.path, silent_on="am instrument")
    stage, reason = failure_of(measured(two)["svd"])
    assert stage == "device"
    assert "stopped answering" in reason


def test_fault_app_not_finding_its_instrumentation(app: App, plug: Plug, built: Built, two: Job) -> None:
    phone = plug(app, apk=built.path)

    class Forgetful(type(phone.phone)):  # type: ignore[misc]
        async def _do_am(self, words: list[str], stream: object) -> int:
            self.installed = None
            return int(await super()._do_am(words, stream))

    phone.phone.__class__ = Forgetful
    _, reason = failure_of(measured(two)["svd"])
    assert "Unable to find instrumentation info" in reason


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[: len(data) // 2], "damaged"),
        (lambda data: b"\x00\xff garbage \n", "damaged"),
        (lambda data: b"[" * 100_000, "damaged"),
        (lambda data: data.replace(b'"p50_ms"', b'"samples_ms"'), "damaged"),
        (lambda data: b'{"schema":4,"run":"ab","foreground":true,"file_bytes":1}', "another run"),
        (lambda data: data.replace(b'"schema":4', b'"schema":1'), "another mlbench's"),
        (lambda data: b" " * (17 * 2**20), "sent more than"),
    ],
    ids=["truncated", "garbage", "deep", "doubled key", "another run", "another schema", "huge"],
)
def test_fault_bad_result(
    change: Callable[[bytes], bytes], said: str, app: App, plug: Plug, built: Built, two: Job
) -> None:
    plug(leaving(change, app), apk=built.path)
    stage, reason = failure_of(measured(two)["svd"])
    assert stage == "process"
    assert said in reason


def test_fault_bad_outputs(app: App, plug: Plug, built: Built, two: Job) -> None:
    plug(leaving(lambda data: bytes(len(data)), app, "output-0.raw"), apk=built.path)
    assert "outputs are damaged" in failure_of(measured(two)["svd"])[1]


def test_what_a_device_says_is_text_only(app: App, plug: Plug, built: Built, two: Job) -> None:
    name = "\x1b[31m$(reboot); `rm -rf /`"
    phone = plug(app, apk=built.path, properties={"ro.product.model": name})
    runner = AndroidRunner(rounds=1, readiness=AT_ONCE)
    list(runner.measure(two, Silent()))
    assert "\x1b" not in runner.device(1).name
    assert not [command for command in phone.phone.commands if "reboot" in command]
