"""The Android runner: the very files of a job, measured on a phone by the harness app.

Every run is a process of its own, so that memory and load time are the artifact's; artifacts take turns over
several rounds, in an order that the seed shuffles anew, so that heat and charge fall on all alike. A finished
run is kept on the host at once: after a lost connection the same job goes on from there, on the same phone.
Once the job is complete nothing is kept, and the next one measures anew.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

import numpy as np

from mlbench.contracts import DeviceRunner, Job, Outcome, Progress
from mlbench.device_runners.android import build, facts, installation, tools
from mlbench.device_runners.android import phone as phones
from mlbench.device_runners.android.inputs import Writer
from mlbench.device_runners.android.lane import Lane
from mlbench.device_runners.android.op_versions import unsupported
from mlbench.device_runners.android.phone import Phone, PhoneError, RefusedError
from mlbench.device_runners.android.readiness import Readiness
from mlbench.device_runners.android.session import Session
from mlbench.errors import UsageError
from mlbench.records import Device

#: Space that a phone needs beside what is pushed, to stay usable.
_SPARE_BYTES = 64 * 2**20

#: Names the APK to install, in place of the one that `mlbench android build` made.
APK_VARIABLE = "MLBENCH_ANDROID_APK"

#: Set to anything: leave the run's folder on the phone.
KEEP_VARIABLE = "MLBENCH_ANDROID_KEEP"


class AndroidRunner(DeviceRunner):
    """A phone over adb: the only one, or one by its serial number."""

    name: ClassVar[str] = "android"
    summary: ClassVar[str] = "a phone over adb, by the harness app; android:SERIAL chooses among several"

    def __init__(
        self, serial: str | None = None, rounds: int = 10, readiness: Readiness | None = None
    ) -> None:
        """Measure in `rounds` turns once the phone is ready; `serial` may come from `ANDROID_SERIAL`."""
        self._serial = serial or os.environ.get("ANDROID_SERIAL")
        self._rounds = rounds
        self._readiness = readiness or Readiness()
        self._details: dict[str, str] = {}
        self._id: str | None = None
        self._phone_name = ""

    def device(self, threads: int) -> Device:
        """The phone: asked once, so that it may be gone after measuring.

        Raises:
            UsageError: no phone, or one that cannot be used.
        """
        if self._id is None:
            self._introduce(phones.connect(self._serial))
        return Device(
            id=self._id or "", runner=self.name, name=self._phone_name, threads=threads, details=self._details
        )

    @classmethod
    def requirements(cls) -> list[tuple[str, bool, str]]:
        """The tools of the build and of the connection."""
        return tools.checks()

    def measure(self, job: Job, progress: Progress) -> Iterator[Outcome]:
        """See `DeviceRunner.measure`. A phone lost on the way is a failure of what it had not finished."""
        phone = phones.connect(self._serial)
        self._introduce(phone)
        apk = apk_to_install()
        if installation.install(phone, apk, progress):
            progress.say(f"{phone.serial}: the harness app is installed")
        home = job.folder / "devices" / f"android-{phone.serial.encode().hex()[:60]}"
        lanes = [Lane(artifact, phone.serial, self._rounds) for artifact in job.artifacts]
        with tempfile.TemporaryDirectory(prefix="mlbench-") as scratch:
            inputs = _prepare(lanes, job, Path(scratch))
            session = Session(phone, job, inputs, apk, home, self._rounds, self._details["fingerprint"])
            with _losses(lanes):
                self._measure(session, lanes, progress)
        self._details |= session.device_facts
        outcomes = [lane.outcome(job) for lane in lanes]
        yield from outcomes
        if not any(_lost(outcome) for outcome in outcomes):
            for lane in lanes:
                session.forget(lane)

    def _measure(self, session: Session, lanes: list[Lane], progress: Progress) -> None:
        for lane in lanes:
            if lane.waiting:
                session.recall(lane)
        try:
            waiting = [lane for lane in lanes if lane.waiting]
            if waiting:
                _push_inputs(session, progress)
            for lane in waiting:
                _push_model(session, lane, progress)
            self._take_turns(session, lanes, progress)
        finally:
            if not os.environ.get(KEEP_VARIABLE):
                with suppress(PhoneError):
                    session.clean()

    def _take_turns(self, session: Session, lanes: list[Lane], progress: Progress) -> None:
        rng = np.random.default_rng(session.job.seed)
        title = f"Measuring on {self._phone_name}"
        with progress.task(title, self._rounds * len(lanes), "runs") as advance:
            for turn in range(self._rounds):
                order = rng.permutation(len(lanes))
                if any(lane.needs(turn) for lane in lanes):
                    note = self._readiness.wait(session.phone, progress)
                    self._details |= {"condition": note} if note else {}
                for lane in (lanes[index] for index in order):
                    if lane.needs(turn):
                        session.run(lane, turn, _teller(advance, lane.artifact.id))
                    advance(1, lane.artifact.id)

    def _introduce(self, phone: Phone) -> None:
        known = facts.properties(phone)
        self._id, self._phone_name = phone.serial, facts.name_of(known) or phone.serial
        self._details = {
            "android": known.get("ro.build.version.release", ""),
            "api_level": known.get("ro.build.version.sdk", ""),
            "processor": known.get("ro.soc.model") or known.get("ro.board.platform", ""),
            "abi": known.get("ro.product.cpu.abi", ""),
            "fingerprint": known.get("ro.build.fingerprint", ""),
        }


@contextmanager
def _losses(lanes: list[Lane]) -> Iterator[None]:
    """What a lost phone did not finish has failed for that reason; what it finished stands."""
    try:
        yield
    except PhoneError as error:
        for lane in lanes:
            if lane.waiting:
                lane.fail("device", str(error))


def _lost(outcome: Outcome) -> bool:
    """Whether the phone went before it had finished."""
    failure = outcome.measurement.failure
    return failure is not None and failure.stage == "device"


def apk_to_install() -> Path:
    """The APK that `mlbench android build` made, or the one that the environment names.

    Raises:
        UsageError: there is none.
    """
    apk = Path(os.environ.get(APK_VARIABLE) or build.default_apk())
    if not apk.is_file():
        message = f"{apk} does not exist: make the harness app with `mlbench android build`."
        raise UsageError(message)
    return apk


def _prepare(lanes: list[Lane], job: Job, folder: Path) -> dict[str, Path]:
    """Write the inputs of each file, and return them; one that the app's runtime or this one refuses has failed."""
    writer = Writer(job, folder)
    for lane in lanes:
        reason = unsupported(job.folder / lane.artifact.path)
        try:
            lane.inputs = None if reason else writer.inputs(lane.artifact)
        except UsageError as error:
            reason = str(error)
        if reason:
            lane.fail("load", reason)
    return writer.files


def _push_inputs(session: Session, progress: Progress) -> None:
    total = sum(path.stat().st_size for path in session.inputs.values())
    with _bar(session, total, progress) as advance:
        for name, path in session.inputs.items():
            session.push(path, name, advance)


def _push_model(session: Session, lane: Lane, progress: Progress) -> None:
    size = lane.artifact.file_bytes
    if not session.has_model(lane):
        free = facts.free_bytes(session.phone, installation.FOLDER)
        if free is not None and free < size + _SPARE_BYTES:
            lane.fail(
                "space",
                f"{_mb(size)} do not fit: the phone has {_mb(free)} free, {_mb(_SPARE_BYTES)} stay spare",
            )
            return
    with _bar(session, size, progress) as advance:
        try:
            session.push_model(lane, advance)
        except RefusedError as error:
            lane.fail("space", str(error))


@contextmanager
def _bar(session: Session, total: int, progress: Progress) -> Iterator[Session.OnBytes]:
    with progress.task(f"{session.phone.serial}: pushing", total, "bytes") as advance:
        yield lambda count: advance(count, "")


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _teller(advance: Callable[[int, str], None], artifact: str) -> Callable[[str], None]:
    return lambda text: advance(0, f"{artifact}: {facts.clean(text)}")
