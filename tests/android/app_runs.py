"""One run of the app's benchmark mode on the desktop JVM, with the files that the runner would push."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.contracts import Job
from mlbench.device_runners.android.inputs import Writer, configuration
from mlbench.device_runners.android.results import Result, parse_output, parse_result
from mlbench.export.artifacts import loaded

from .jvm.jvm_host import JvmHost

RUN = "0123456789abcdef"


@dataclass(frozen=True)
class AppRun:
    """What one run said and left."""

    code: int
    said: dict[str, str]
    progress: list[str]
    folder: Path

    @property
    def result(self) -> Result:
        """The result, checked as the runner checks it."""
        return parse_result((self.folder / "result.json").read_bytes(), RUN)

    def outputs(self, network: Path, count: int) -> list[npt.NDArray[np.float32]]:
        """What each output of the file gave, read as the runner reads it."""
        pairs = zip(self.result.outputs, loaded(network).outputs, strict=True)
        return [
            parse_output((self.folder / f"output-{i}.raw").read_bytes(), report, port, count)
            for i, (report, port) in enumerate(pairs)
        ]


def lay_out(job: Job, folder: Path) -> Path:
    """Everything that a run reads, in one folder; returns the configuration."""
    writer = Writer(job, folder)
    inputs = writer.inputs(job.artifacts[0])
    for name, path in writer.files.items():
        if path.parent != folder:
            shutil.copy(path, folder / name)
    shutil.copy(job.folder / job.artifacts[0].path, folder / "model.tflite")
    config = folder / "config.json"
    config.write_bytes(configuration(RUN, "model.tflite", job, inputs, first=True, rounds=1))
    return config


def instrument(jvm: JvmHost, config: Path, external: Path, **arguments: str) -> AppRun:
    """As `am instrument -e config …`."""
    external.mkdir(exist_ok=True)
    lines = jvm.request(
        "instrument",
        external=str(external),
        arguments={"config": str(config), "foreground_ms": "20000", **arguments},
    )
    return _run_of(list(lines), external / RUN)


def _run_of(lines: list[dict[str, Any]], folder: Path) -> AppRun:
    finish = lines[-1]
    assert finish["event"] == "finish"
    progress = [line["values"]["progress"] for line in lines[:-1]]
    return AppRun(finish["code"], finish["values"], progress, folder)
