"""What a job needs on the phone, as files named by their content: the same bytes are written and pushed once.

Everything is encoded and quantised here, by the code that feeds the host's runtime: the app copies bytes. Samples
that are stored as bytes (pictures) stay so, whatever a file takes, and go with a table of what each byte is to
it: a fourth of the size of float32, and one copy for all files of the job.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench.contracts import Encoding, Job, Pipeline
from mlbench.device_runners.android import face_finding
from mlbench.device_runners.android.results import SCHEMA, size_of
from mlbench.export import artifacts, random_inputs
from mlbench.faces.face_network import FaceNetwork
from mlbench.faces.tracking import Rules
from mlbench.records import Artifact
from mlbench.system.files import file_sha256, write_atomically

if TYPE_CHECKING:
    from mlbench.export.interpreter import Port

_MAX_SECONDS = 120.0  # of each timed part in one run: a bound, not an aim
_MAX_FRAMES = 100  # the detector takes tens of milliseconds a frame
_SEARCHES = 10  # of the whole frame, while a face is followed
_MAX_TABLE = 2**20  # bytes: the app's limit of what it reads whole
_CHUNK = 256  # samples that are encoded together


@dataclass(frozen=True)
class Inputs:
    """What one artifact reads on the phone, and what it answers.

    Attributes:
        facts: what the configuration says.
        count: of samples.
        outputs: of the file, in its order.
        answers: position of the output of each target; none without data.
    """

    facts: dict[str, Any]
    count: int
    outputs: Sequence[Port]
    answers: dict[str, int]


class Writer:
    """Writes a job's inputs below a folder, artifact by artifact; what is there is not written again.

    Attributes:
        files: all that was written or is needed besides, by name on the phone.
    """

    def __init__(self, job: Job, folder: Path) -> None:
        """Nothing is written yet."""
        self.files: dict[str, Path] = {}
        self._job, self._folder = job, folder
        self._sets = list(job.test_sets.values())
        self._names: dict[object, str] = {}

    def inputs(self, artifact: Artifact) -> Inputs:
        """The inputs of one artifact: of all test sets one after another, or random ones.

        Raises:
            UsageError: the file cannot be loaded, or does not fit the samples.
        """
        network = artifacts.runnable(self._job.folder / artifact.path)
        answers = dict[str, int]()
        if self._sets:
            entries = artifacts.entries_of(network, self._sets[0], "it")
            places = artifacts.places_of(network, self._sets[0], "it")
            answers = dict(zip(self._sets[0].targets, places, strict=True))
            names = [name for _, name in sorted(zip(entries, self._sets[0].inputs, strict=True))]
            told = [self._samples(port, name) for port, name in zip(network.inputs, names, strict=True)]
            count = sum(map(len, self._sets))
        else:
            told, count = self._random(network.inputs), random_inputs.COUNT
        facts: dict[str, Any] = {"count": count, "inputs": told}
        if self._job.pipeline is not None:
            facts["pipeline"] = self._pipeline(self._job.pipeline, artifact)
        return Inputs(facts, count, network.outputs, answers)

    def _samples(self, port: Port, name: str) -> dict[str, Any]:
        """One input's samples: stored bytes with a table, or as the file takes them."""
        encoding, stored = self._sets[0].encodings[name], [samples.inputs[name] for samples in self._sets]
        if all(values.dtype == np.uint8 for values in stored):
            table = table_of(port, encoding)
            if table.nbytes <= _MAX_TABLE:
                file = self._file(name, (data for values in stored for data in _bytes_of(values)))
                size = int(np.prod(encoding.shape, dtype=int))
                tabled = {"table": self._file(table.tobytes(), [table.tobytes()]), "channels": table.shape[1]}
                return _told(port, file, size) | tabled
        encoded = (data for values in stored for data in encoded_bytes(port, encoding, values))
        return _told(port, self._file((name, port), encoded), size_of(port))

    def _random(self, ports: Sequence[Port]) -> list[dict[str, Any]]:
        samples = random_inputs.drawn(ports, self._job.seed)
        files = [
            self._file((port, "random"), [stored[place].tobytes() for stored in samples])
            for place, port in enumerate(ports)
        ]
        return [_told(port, file, size_of(port)) for port, file in zip(ports, files, strict=True)]

    def _pipeline(self, pipeline: Pipeline, artifact: Artifact) -> dict[str, Any]:
        face_finding.require_known(pipeline.detector)
        cascade = f"{file_sha256(pipeline.cascade)[:32]}.xml"
        self.files[cascade] = pipeline.cascade
        told: dict[str, Any] = {
            "detector": face_finding.of_detector(cascade, pipeline.smallest),
            "frames": self._frames("the pipeline's frames", pipeline.frames),
            "frame_count": max(len(pipeline.frames), min(self._job.min_count, _MAX_FRAMES)),
            "network": {"margin": pipeline.margin, "points": 0},
        }
        if pipeline.video is None:
            return told
        network, rules = FaceNetwork.of(self._job.folder / artifact.path), Rules()
        return told | {
            "network": face_finding.of_network(network, rules),
            "tracking": face_finding.of_tracking(rules),
            "video": self._frames("the pipeline's video", pipeline.video),
            "video_count": _SEARCHES * rules.every,
        }

    def _frames(self, key: str, frames: npt.NDArray[np.uint8]) -> dict[str, Any]:
        count, height, width = frames.shape
        return {"file": self._file(key, _bytes_of(frames)), "count": count, "height": height, "width": width}

    def _file(self, key: object, parts: Iterable[bytes]) -> str:
        """Name of a file of these bytes; written unless it was for the same key."""
        if key not in self._names:
            digest, scratch = hashlib.sha256(), self._folder / "part"
            with write_atomically(scratch) as place, place.open("wb") as file:
                for data in parts:
                    digest.update(data)
                    file.write(data)
            name = f"{digest.hexdigest()[:32]}.raw"
            self.files[name] = scratch.rename(self._folder / name)
            self._names[key] = name
        return self._names[key]


def _told(port: Port, file: str, size: int) -> dict[str, Any]:
    """An input in the configuration; `size` is what a sample takes in the file, in bytes."""
    return {"file": file, "shape": port.shape, "type": port.dtype.name, "bytes": size}


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
    config = {
        "schema": SCHEMA,
        "run": run,
        "model": model,
        "threads": job.threads,
        "xnnpack": True,
        "min_count": -(-job.min_count // rounds),
        "min_seconds": job.min_seconds / rounds,
        "max_seconds": _MAX_SECONDS,
        **inputs.facts,
    }
    if not first:
        config.pop("pipeline", None)
    elif inputs.answers:
        config["outputs"] = True
    return json.dumps(config, indent=1).encode()
