"""A saved network as a `.tflite` file beside it, written once, and what that file answers."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from mlbench import plugins
from mlbench.contracts import ExportOptions, Samples
from mlbench.errors import UsageError
from mlbench.system import children
from mlbench.system.files import deflated_size, file_sha256, key_of, write_atomically

#: Raised when a change of the code changes the files that equal networks give.
EXPORT_VERSION = 3

#: Networks of up to so many bytes of weights are converted in this process: another takes longer to start.
_SMALL = 4 << 20

_CHECKED = 500


class Written(BaseModel):
    """A file that was written from a network, and checked against it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sha256: str
    file_bytes: int
    deflated_bytes: int
    export_error: float  # largest |file - network| over the check inputs


def file_of(folder: Path, options: ExportOptions) -> Path:
    """Where the file of a saved network lies."""
    identity = plugins.identity(plugins.load("precisions", options.precision))
    return folder / f"{options.precision}-{key_of(EXPORT_VERSION, identity)[:8]}.tflite"


def written(folder: Path, options: ExportOptions, calibration: Samples, graph: Path | None = None) -> Written:
    """Write the file of a saved network where it is missing; `graph`: the paper's `.pb` too.

    Raises:
        UsageError: the converter failed, ran out of memory, or its file does not compute what the network does.
    """
    kept = file_of(folder, options)
    notes = kept.with_suffix(".json")
    if not notes.exists() or (graph and not graph.exists()):
        result = _convert(folder, options, kept, calibration, graph)
        facts = Written(
            sha256=file_sha256(kept),
            file_bytes=kept.stat().st_size,
            deflated_bytes=deflated_size(kept),
            export_error=float(result["export_error"]),
        )
        with write_atomically(notes) as part:
            part.write_text(facts.model_dump_json(), encoding="utf-8")
    return Written.model_validate(
        {"file_bytes": kept.stat().st_size} | json.loads(notes.read_text(encoding="utf-8"))
    )


def _convert(
    folder: Path, options: ExportOptions, out: Path, calibration: Samples, graph: Path | None
) -> dict[str, float | str]:
    with tempfile.TemporaryDirectory(prefix="mlbench-") as scratch:
        samples = Path(scratch, "samples.npz")
        checked = calibration.spread(_CHECKED)
        np.savez(samples, allow_pickle=False, **checked.inputs)
        job = {
            "network": str(folder),
            "out": str(out),
            "samples": str(samples),
            "encodings": {name: asdict(one) for name, one in checked.encodings.items()},
            "targets": list(checked.targets),
            "frozen_graph": str(graph) if graph else None,
            **asdict(options),
        }
        weights = folder / "weights.npz"
        if weights.exists() and weights.stat().st_size <= _SMALL:
            from mlbench.export import convert

            try:
                return convert.convert(**job)
            except (RuntimeError, ValueError) as error:
                why = _last_line(str(error))
                message = f"{out.name} cannot be written ({why}): leave out or change the last compressor."
                raise UsageError(message) from error
        return _in_process(job, Path(scratch, "job.json"), out)


def _in_process(job: dict[str, object], file: Path, out: Path) -> dict[str, float | str]:
    file.write_text(json.dumps(job), encoding="utf-8")
    command = children.command("-m", "mlbench.export.convert", str(file))
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=children.environment())
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        if done.returncode in (-signal.SIGKILL, -signal.SIGABRT):
            message = (
                f"The conversion to {out.name} was killed, probably out of memory: free memory and run again."
            )
        else:
            why = _last_line(done.stderr) or f"it ended with code {done.returncode}"
            message = f"The conversion to {out.name} failed ({why}): leave out or change the last compressor."
        raise UsageError(message)
    result: dict[str, float | str] = json.loads(lines[-1])
    if "error" in result:
        raise UsageError(str(result["error"]))
    return result


def _last_line(text: str) -> str:
    return next(reversed(text.strip().splitlines()), "")
