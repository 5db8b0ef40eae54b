"""One job on one phone: its folder there, the runs of the app, and what is kept of them here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mlbench.contracts import Job
from mlbench.device_runners.android import death, facts, installation
from mlbench.device_runners.android.build import PACKAGE
from mlbench.device_runners.android.inputs import configuration, model_name
from mlbench.device_runners.android.instrumentation import Listener
from mlbench.device_runners.android.lane import Lane
from mlbench.device_runners.android.phone import OverdueError, Phone, RefusedError
from mlbench.device_runners.android.results import (
    MAX_RESULT_BYTES,
    OTHER_APP,
    BadResultError,
    Result,
    parse_output,
    parse_result,
    size_of,
)
from mlbench.system.files import file_sha256, key_of, write_atomically

#: Where the app writes: its own folder on shared storage, which adb may read.
RESULTS = f"/sdcard/Android/data/{PACKAGE}/files"

_RUN_LIMIT_S = 3600.0
_SILENCE_LIMIT_S = 300.0  # the app tells of its progress; loading half a gigabyte is the longest silence


class Session:
    """The dealings of one job with one phone."""

    OnBytes = Callable[[int], None]

    def __init__(
        self, phone: Phone, job: Job, inputs: dict[str, Path], apk: Path, home: Path, turns: int, system: str
    ) -> None:
        """Run a job with input files, by their name on the phone.

        Results are kept below `home` on the host; `system` is the fingerprint of what runs on the phone.
        """
        self.phone, self.job, self.inputs = phone, job, inputs
        self.device_facts: dict[str, str] = {}
        self._home, self._turns = home, turns
        files = [artifact.sha256 for artifact in job.artifacts]
        self._folder = f"{installation.FOLDER}/{key_of(sorted(inputs), files)}"
        settings = (job.threads, job.min_count, job.min_seconds, job.seed, turns)
        self._key = key_of(files, sorted(inputs), file_sha256(apk), system, settings)
        self._runs: list[str] = []

    def push(self, source: Path, name: str, on_bytes: OnBytes) -> None:
        """Copy a file into the job's folder, unless the phone has these very bytes."""
        target = f"{self._folder}/{name}"
        if installation.digest(self.phone, target) == file_sha256(source):
            on_bytes(source.stat().st_size)
            return
        self._make_folder()
        self.phone.push(source, target, on_bytes)

    def has_model(self, lane: Lane) -> bool:
        """Whether an artifact's file is on the phone, whole."""
        path = f"{self._folder}/{model_name(lane.artifact.sha256)}"
        return installation.digest(self.phone, path) == lane.artifact.sha256

    def push_model(self, lane: Lane, on_bytes: OnBytes) -> None:
        """Copy an artifact's file.

        Raises:
            RefusedError: no space.
        """
        self.push(self.job.folder / lane.artifact.path, model_name(lane.artifact.sha256), on_bytes)

    def recall(self, lane: Lane) -> None:
        """Give a lane the runs of this very job, where it was interrupted."""
        for turn in range(self._turns):
            folder = self._home / self._name(lane, turn)
            with suppress(OSError, BadResultError):
                self._accept(lane, turn, (folder / "result.json").read_bytes(), _reader(folder))

    def run(self, lane: Lane, turn: int, on_progress: Callable[[str], None]) -> None:
        """Run the app once and give the lane its result, or its failure."""
        name = self._name(lane, turn)
        self._runs.append(name)
        config = self._push_configuration(lane, turn, name)
        self.phone.run(["rm", "-rf", f"{RESULTS}/{name}"])
        listener, started = Listener(on_progress), death.now(self.phone)
        command = ["am", "instrument", "-w", "-r", "-e", "config", config, f"{PACKAGE}/.BenchInstrumentation"]
        try:
            self.phone.run(command, _RUN_LIMIT_S, _SILENCE_LIMIT_S, listener.hear)
        except OverdueError:
            self.phone.run(["am", "force-stop", PACKAGE])
            lane.fail("process", f"it was not done after {_RUN_LIMIT_S:.0f} s")
            return
        if "schema" in listener.how_it_ended:
            lane.fail("start", OTHER_APP)
            return
        if not listener.finished:
            reason = death.reason(self.phone, started, listener.how_it_ended)
            lane.fail("process", f"{reason}{self._where(name)}")
            return
        self._collect(lane, turn, name)

    def forget(self, lane: Lane) -> None:
        """Remove what is kept of a lane here, so that the next job measures it anew."""
        for turn in range(self._turns):
            shutil.rmtree(self._home / self._name(lane, turn), ignore_errors=True)

    def clean(self) -> None:
        """Remove the job's folder and the app's results from the phone."""
        self.phone.run(["rm", "-rf", self._folder, *(f"{RESULTS}/{name}" for name in self._runs)])

    def _collect(self, lane: Lane, turn: int, name: str) -> None:
        def pull(file: str, limit: int) -> bytes:
            return self.phone.pull(f"{RESULTS}/{name}/{file}", limit) or b""

        try:
            data = self.phone.pull(f"{RESULTS}/{name}/result.json", MAX_RESULT_BYTES)
            if data is None:
                lane.fail("process", "the app ended well but left no result")
                return
            self._accept(lane, turn, data, pull)
        except (BadResultError, RefusedError) as error:
            lane.fail("process", str(error))

    def _accept(self, lane: Lane, turn: int, data: bytes, read: Callable[[str, int], bytes]) -> None:
        name = self._name(lane, turn)
        result = parse_result(data, name)
        if result.failure is not None:
            lane.fail(result.failure.stage, facts.clean(result.failure.reason))
            return
        if turn == 0:
            lane.outputs = self._outputs_of(lane, result, read)
        self._keep(name, "result.json", data)
        lane.results[turn] = result
        self._note(result)

    def _outputs_of(
        self, lane: Lane, result: Result, read: Callable[[str, int], bytes]
    ) -> dict[str, npt.NDArray[np.float32]]:
        assert lane.inputs is not None  # noqa: S101 (a lane that runs has them)
        found, ports = {}, lane.inputs.outputs
        if lane.inputs.answers and len(result.outputs) != len(ports):
            message = f"the app's result has {len(result.outputs)} outputs, the file {len(ports)}"
            raise BadResultError(message)
        for target, place in lane.inputs.answers.items():
            file, count = f"output-{place}.raw", lane.inputs.count
            data = read(file, count * size_of(ports[place]))
            found[target] = parse_output(data, result.outputs[place], ports[place], count)
            self._keep(self._name(lane, 0), file, data)
        return found

    def _keep(self, name: str, file: str, data: bytes) -> None:
        with write_atomically(self._home / name / file) as part:
            part.write_bytes(data)

    def _push_configuration(self, lane: Lane, turn: int, name: str) -> str:
        model = model_name(lane.artifact.sha256)
        assert lane.inputs is not None  # noqa: S101 (a lane that runs has them)
        data = configuration(name, model, self.job, lane.inputs, turn == 0, self._turns)
        self._keep(name, "config.json", data)
        self._make_folder()
        target = f"{self._folder}/{name}.json"
        self.phone.push(self._home / name / "config.json", target, lambda count: None)
        return target

    def _make_folder(self) -> None:
        self.phone.run(["mkdir", "-p", self._folder])
        self.phone.run(["chmod", "755", installation.FOLDER, self._folder])

    def _name(self, lane: Lane, turn: int) -> str:
        return key_of(self._key, lane.artifact.id, turn, lane.inputs and lane.inputs.facts)

    def _where(self, name: str) -> str:
        noted = self.phone.pull(f"{RESULTS}/{name}/stage.txt", 100)
        stage = death.STAGES.get((noted or b"").decode("ascii", "replace"))
        return f", while {stage}" if stage else ""

    def _note(self, result: Result) -> None:
        device = result.device
        cores = [core.max_khz for core in device.cores if core.max_khz.isdecimal()]
        told = {
            "soc": device.soc,
            "tflite": device.tflite,
            "opencv": device.opencv,
            "page_bytes": str(device.page_bytes or ""),
            "cores_mhz": " ".join(str(int(khz) // 1000) for khz in cores),
            "governor": " ".join(sorted({core.governor for core in device.cores if core.governor})),
        }
        self.device_facts = {key: facts.clean(text) for key, text in told.items() if text}


def _reader(folder: Path) -> Callable[[str, int], bytes]:
    return lambda file, limit: (folder / file).read_bytes()
