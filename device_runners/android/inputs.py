"""What a job needs on the phone, as files named by their content: the same bytes are written and pushed once.

Everything is encoded and quantised here, by the code that feeds the host's runtime: the app copies bytes. Samples
that are stored as bytes (pictures) stay so, whatever a file takes, and go with a table of what each byte is to
it: a fourth of the size of float32, and one copy for all files of the job.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench.contracts import Encoding, Job
from mlbench.device_runners.android.results import SCHEMA, size_of
from mlbench.export import artifacts, random_inputs
from mlbench.records import Artifact
from mlbench.system.files import file_sha256, write_atomically

if TYPE_CHECKING:
    from mlbench.export.interpreter import Network, Port

_MAX_SECONDS = 120.0  # of each timed part in one run: a bound, not an aim
_MAX_FRAMES = 100  # the detector takes tens of milliseconds a frame
_MAX_TABLE = 2**20  # bytes: the app's limit of what it reads whole
_CHUNK = 256  # samples that are encoded together


@dataclass(frozen=True)
class Inputs:
    """What one artifact reads on the phone, and what it answers.

    Attributes:
        files: by their name on the phone.
        facts: what the configuration says of them.
        count: of samples.
        outputs: of the file, in its order.
        answers: position of the output of each target; none without data.
    """

    files: dict[str, Path]
    facts: dict[str, Any]
    count: int
    outputs: list[Port]
    answers: dict[str, int]


class Writer:
    """Writes a job's inputs below a folder, artifact by artifact; what is there is not written again."""

    def __init__(self, job: Job, folder: Path) -> None:
        """Nothing is written yet."""
        self._job, self._folder = job, folder
        self._sets = list(job.test_sets.values())
        self._written: dict[object, Path] = {}

    def inputs(self, artifact: Artifact) -> Inputs:
        """The inputs of one artifact: of all test sets one after another, or random ones.

        Raises:
            UsageError: the file cannot be loaded, or does not fit the samples.
        """
        network = artifacts.loaded(self._job.folder / artifact.path)
        files, answers = dict[str, Path](), dict[str, int]()
        if self._sets:
            entries, places = artifacts.ends(network, self._sets[0], "it")
            answers = dict(zip(self._sets[0].targets, places, strict=True))
            names = [name for _, name in sorted(zip(entries, self._sets[0].inputs, strict=True))]
            ends = zip(network.inputs, names, strict=True)
            told = [self._samples(port, name, files) for port, name in ends]
            count = sum(map(len, self._sets))
        else:
            told, count = self._random(network, files), random_inputs.COUNT
        facts: dict[str, Any] = {"count": count, "inputs": told}
        if self._job.pipeline is not None:
            facts["frames"] = self._frames(self._job.pipeline.frames, self._job.pipeline.cascade, files)
        return Inputs(files, facts, count, network.outputs, answers)

    def _samples(self, port: Port, name: str, files: dict[str, Path]) -> dict[str, Any]:
        """One input's samples: stored bytes with a table, or as the file takes them."""
        encoding = self._sets[0].encodings[name]
        told = {"shape": port.shape, "type": port.dtype.name}
        if all(samples.inputs[name].dtype == np.uint8 for samples in self._sets):
            table = table_of(port, encoding)
            if table.nbytes <= _MAX_TABLE:
                stored = self._file(name, (_bytes_of(s.inputs[name]) for s in self._sets), files)
                tabled = self._file((name, table.tobytes()), [[table.tobytes()]], files)
                size = int(np.prod(encoding.shape, dtype=int))
                return {**told, **stored, "bytes": size, "table": tabled["file"], "channels": table.shape[1]}
        encoded = ((encoded_bytes(port, encoding, s.inputs[name])) for s in self._sets)
        key = (name, port.shape, port.dtype, port.steps)
        return {**told, **self._file(key, encoded, files), "bytes": size_of(port)}

    def _random(self, network: Network, files: dict[str, Path]) -> list[dict[str, Any]]:
        samples = random_inputs.drawn(network.inputs, self._job.seed)
        told = []
        for port, values in zip(network.inputs, zip(*samples, strict=True), strict=True):
            data = [port.stored(one).tobytes() for one in values]
            facts = {"shape": port.shape, "type": port.dtype.name, "bytes": size_of(port)}
            told.append({**facts, **self._file(b"".join(data), [data], files)})
        return told

    def _frames(self, frames: npt.NDArray[np.uint8], cascade: Path, files: dict[str, Path]) -> dict[str, Any]:
        count, height, width = frames.shape
        name = f"{file_sha256(cascade)[:32]}.xml"
        files[name] = cascade
        told = {"cascade": name, "count": count, "height": height, "width": width}
        return {**told, **self._file("frames of the pipeline", [_bytes_of(frames)], files)}

    def _file(self, key: object, parts: Iterable[Iterable[bytes]], files: dict[str, Path]) -> dict[str, Any]:
        """Write bytes to a file named by them, unless it was done for this key."""
        if key not in self._written:
            digest, scratch = hashlib.sha256(), self._folder / "part"
            with write_atomically(scratch) as place, place.open("wb") as file:
                for part in parts:
                    for data in part:
                        digest.update(data)
                        file.write(data)
            self._written[key] = scratch.rename(self._folder / f"{digest.hexdigest()[:32]}.raw")
        path = self._written[key]
        files[path.name] = path
        return {"file": path.name}


def table_of(port: Port, encoding: Encoding) -> npt.NDArray[Any]:
    """What each stored byte is to an input [256, channels], where all channels are alike [256, 1]."""
    alike = np.ndim(encoding.scale) == np.ndim(encoding.offset) == 0
    channels = 1 if alike else encoding.shape[-1]
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], channels, axis=1)
    values = replace(encoding, shape=(channels,)).encode(levels)
    return replace(port, shape=(256, channels)).stored(values)


def encoded_bytes(port: Port, encoding: Encoding, stored: npt.NDArray[Any]) -> Iterable[bytes]:
    """Samples as an input takes them, one after another."""
    for start in range(0, len(stored), _CHUNK):
        for values in encoding.encode(stored[start : start + _CHUNK]):
            yield port.stored(values).tobytes()


def _bytes_of(stored: npt.NDArray[np.uint8]) -> Iterable[bytes]:
    return (stored[start : start + _CHUNK].tobytes() for start in range(0, len(stored), _CHUNK))


def model_name(sha256: str) -> str:
    """Name of an artifact's file on the phone."""
    return f"{sha256[:32]}.tflite"


def configuration(run: str, model: str, job: Job, inputs: Inputs, first: bool, rounds: int) -> bytes:
    """The configuration of one run: the first of an artifact also gives outputs and runs the frames."""
    frames = 0 if job.pipeline is None else len(job.pipeline.frames)
    config = {
        "schema": SCHEMA,
        "run": run,
        "model": model,
        "threads": job.threads,
        "xnnpack": True,
        "min_count": -(-job.min_count // rounds),
        "min_seconds": job.min_seconds / rounds,
        "max_seconds": _MAX_SECONDS,
        "frame_count": max(frames, min(job.min_count, _MAX_FRAMES)),
        **inputs.facts,
    }
    if not first:
        config.pop("frames", None)
    elif inputs.answers:
        config["outputs"] = True
    return json.dumps(config, indent=1).encode()
