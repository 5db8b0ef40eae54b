"""What a job needs on the phone, as files named by their content: the same bytes are pushed once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.contracts import Job, Samples
from mlbench.errors import UsageError
from mlbench.system.files import file_sha256, write_atomically

_CONFIG_SCHEMA = 1
_MAX_SECONDS = 120.0  # of each timed part in one run: a bound, not an aim
_MAX_FRAMES = 100  # the detector takes tens of milliseconds a frame


@dataclass(frozen=True)
class Inputs:
    """Files by their name on the phone, and what the configuration says of them."""

    files: dict[str, Path]
    facts: dict[str, Any]

    @property
    def digest(self) -> str:
        """Of all of them: names hold the hashes."""
        return hashlib.sha256(" ".join(sorted(self.files)).encode()).hexdigest()


def write_inputs(job: Job, folder: Path) -> Inputs:
    """Write images of all test sets one after another, frames, and the cascade, below `folder`.

    Raises:
        UsageError: there are no samples, or they are not what the app takes.
    """
    if not job.test_sets:
        message = (
            "The app measures networks on samples: give --task and --data, or leave out --device android."
        )
        raise UsageError(message)
    crops = np.concatenate([_images(samples) for samples in job.test_sets.values()])
    files, facts = dict[str, Path](), dict[str, Any]()
    _add(files, facts, "crops", crops, folder)
    encoding = next(iter(next(iter(job.test_sets.values())).encodings.values()))
    facts["encoding"] = {"scale": encoding.scale, "offset": encoding.offset}
    if job.pipeline is not None:
        _add(files, facts, "frames", job.pipeline.frames, folder)
        cascade = job.pipeline.cascade
        name = f"{file_sha256(cascade)[:32]}.xml"
        files[name], facts["cascade_file"] = cascade, name
    return Inputs(files, facts)


def _images(samples: Samples) -> npt.NDArray[np.uint8]:
    """The only input as images uint8 [n, height, width, channels]."""
    (values, *others), (encoding, *_) = samples.inputs.values(), samples.encodings.values()
    if others or len(samples.targets) > 1 or values.dtype != np.uint8 or len(encoding.shape) != 3:
        message = (
            "The app measures networks of one image of 8 bits and one output: leave out --device android."
        )
        raise UsageError(message)
    return values.reshape(len(values), *encoding.shape)


def _add(
    files: dict[str, Path], facts: dict[str, Any], key: str, images: npt.NDArray[np.uint8], folder: Path
) -> None:
    pixels = np.ascontiguousarray(images)
    name = f"{hashlib.sha256(pixels.data).hexdigest()[:32]}.grey"
    with write_atomically(folder / name) as part:
        pixels.tofile(part)
    count, height, width, *channels = images.shape
    files[name] = folder / name
    facts |= {f"{key}_file": name, key: {"count": count, "height": height, "width": width}}
    facts[key] |= {"channels": channels[0]} if channels else {}


def model_name(sha256: str) -> str:
    """Name of an artifact's file on the phone."""
    return f"{sha256[:32]}.tflite"


def _frame_count(job: Job) -> int:
    return 0 if job.pipeline is None else len(job.pipeline.frames)


def configuration(run: str, model: str, job: Job, inputs: Inputs, first: bool, rounds: int) -> bytes:
    """The configuration of one run: the first of an artifact also gives outputs and runs the frames."""
    facts = {k: v for k, v in inputs.facts.items() if first or k.startswith("crops") or k == "encoding"}
    config = {
        "schema": _CONFIG_SCHEMA,
        "run": run,
        "model": model,
        "threads": job.threads,
        "xnnpack": True,
        "min_count": -(-job.min_count // rounds),
        "min_seconds": job.min_seconds / rounds,
        "max_seconds": _MAX_SECONDS,
        "frame_count": max(_frame_count(job), min(job.min_count, _MAX_FRAMES)),
        **facts,
    }
    return json.dumps(config | ({"outputs": True} if first else {}), indent=1).encode()
