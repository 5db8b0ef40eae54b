"""A `.tflite` file of any origin, run in a process of its own: one that crashes the runtime ends that process alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import UsageError
from mlbench.export.interpreter import Network, Port
from mlbench.system import children

_PATIENCE = 900  # seconds for loading and all samples; a file may hold a loop that never ends

Arrays = Sequence[npt.NDArray[Any]]


@dataclass(frozen=True)
class Ends:
    """What a file takes and answers, in the file's order; shapes are those of a run."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @property
    def samples(self) -> int:
        """How many samples one inference takes: the first size of every input and output, where they agree."""
        batches = {port.shape[:1] for port in (*self.inputs, *self.outputs)}
        return batches.pop()[0] if len(batches) == 1 and all(batches) else 1

    @property
    def taken(self) -> str:
        """What it takes, for people: "1×32×32×3"."""
        return " and ".join("×".join(map(str, port.shape)) or "a number" for port in self.inputs) or "nothing"


def tried(path: Path) -> Ends:
    """Load a file and run it once on random inputs; a file that has not changed is not tried again.

    Raises:
        UsageError: it cannot be loaded or run here.
    """
    facts = path.stat()
    return _tried(path, facts.st_size, facts.st_mtime_ns, facts.st_ino)


@lru_cache(maxsize=64)
def _tried(path: Path, *version: int) -> Ends:
    return _ends(_run({"model": str(path)}, path))


def answered(path: Path, inputs: Arrays) -> list[npt.NDArray[np.float64]]:
    """What a file gives at each output [n, *shape], in real numbers.

    Args:
        path: of the file.
        inputs: [n, …] each, in real numbers and in the order of the file's.

    Raises:
        UsageError: it cannot be loaded or run here.
    """
    with tempfile.TemporaryDirectory(prefix="mlbench-") as folder:
        given, out = Path(folder, "inputs.npz"), Path(folder, "outputs.npz")
        np.savez(given, *inputs, allow_pickle=False)
        _run({"model": str(path), "inputs": str(given), "out": str(out)}, path)
        with np.load(out, allow_pickle=False) as found:
            return [found[name] for name in found.files]


def _run(job: dict[str, Any], path: Path) -> dict[str, Any]:
    command = children.command("-m", "mlbench.export.trial", json.dumps(job))
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=children.environment(),
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired as error:
        message = f"{path} cannot be run here: it gave no answer in {_PATIENCE} s; give a smaller network."
        raise UsageError(message) from error
    if done.returncode:
        why = _signal(done.returncode) or (done.stderr.strip().splitlines() or ["no message"])[-1]
        message = f"{path} cannot be run here (the process that tried it ended with {why}): it is damaged."
        raise UsageError(message)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        message = (
            f"{path} cannot be run here ({answer['error']}): it is damaged, or needs operators beyond "
            "TensorFlow Lite's own."
        )
        raise UsageError(message)
    return answer


def _signal(code: int) -> str:
    try:
        return f"{code}, {signal.Signals(-code).name}"
    except ValueError:
        return ""


def _ends(answer: dict[str, Any]) -> Ends:
    inputs, outputs = (tuple(map(Port.parse, answer[kind])) for kind in ("inputs", "outputs"))
    return Ends(inputs, outputs)


def _work(model: str, inputs: str = "", out: str = "") -> dict[str, Any]:
    network, rng = Network(1, model_path=model), np.random.default_rng(0)
    given = list(np.load(inputs, allow_pickle=False).values()) if inputs else []
    found: list[list[npt.NDArray[Any]]] = [[] for _ in network.outputs]
    for row in range(len(given[0]) if given else 1):
        for place, stored in enumerate([] if given else [port.drawn(rng) for port in network.inputs]):
            network.put(place, stored)
        for place, values in enumerate(given):
            network.set(place, values[row])
        network.invoke()
        for place, rows in enumerate(found):
            rows.append(network.given(place).astype(np.float64))
    if out:
        if any(len({values.shape for values in rows}) > 1 for rows in found):
            message = "the shape of its answers changes from sample to sample"
            raise ValueError(message)
        np.savez(out, *map(np.stack, found), allow_pickle=False)
    last = [rows[-1].shape for rows in found]
    outputs = [port.facts() | {"shape": shape} for port, shape in zip(network.outputs, last, strict=True)]
    return {"inputs": [port.facts() for port in network.inputs], "outputs": outputs}


def main() -> None:
    """Do the job that the command line holds as JSON, and answer in a line of JSON."""
    try:
        answer = _work(**json.loads(sys.argv[1]))
    except (RuntimeError, ValueError, MemoryError) as error:
        answer = {"error": " ".join(str(error).split()) or type(error).__name__}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
