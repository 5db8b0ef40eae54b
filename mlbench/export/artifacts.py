"""`.tflite` files, wherever they came from: whether they run here, what they answer and what they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlbench.contracts import Samples, Task
from mlbench.data.fitting import shape_fault, shape_told
from mlbench.errors import UsageError
from mlbench.export.notes import Notes, notes_of
from mlbench.records import Artifact
from mlbench.system.files import deflated_size, file_sha256
from mlbench.system.quiet import muted_standard_error

if TYPE_CHECKING:
    from mlbench.export.interpreter import Network, Port
    from mlbench.export.trial import Ends

_MAGIC = b"TFL3"
_OF_KERAS = (".keras", ".h5")
_LARGEST = 2**31 - 1  # bytes: the format's own limit


def loaded(model: Path | bytes) -> Network:
    """A file, or its content, ready to run here.

    Raises:
        UsageError: it cannot be read, is no `.tflite`, or needs what this runtime lacks.
    """
    from mlbench.export.interpreter import Network

    if isinstance(model, Path):
        _require_tflite(model)
    source: dict[str, str | bytes] = (
        {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
    )
    with muted_standard_error():
        try:
            return Network(1, **source)
        except (ValueError, RuntimeError) as error:
            what = "The network just written" if isinstance(model, bytes) else f"{model}"
            why = " ".join(str(error).split())
            reason = "it is damaged, or needs operators beyond TensorFlow Lite's own"
            message = f"{what} cannot be run here ({why}): {reason}."
            raise UsageError(message) from error


def _require_tflite(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(8)
        _require_size(path)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}; give a .tflite file."
        raise UsageError(message) from error
    if path.suffix.lower() in _OF_KERAS:
        message = f"{path} is a network of Keras, not a .tflite file: `mlbench run` and `compress` take it by --model."
        raise UsageError(message)
    if head[4:] != _MAGIC:
        message = (
            f"{path} is not a .tflite file: give a network that was converted to TensorFlow Lite (LiteRT)."
        )
        raise UsageError(message)


def _require_size(path: Path) -> None:
    if not path.stat().st_size:
        message = f"{path} is empty, which is not a .tflite file: give a network that was converted to one."
        raise UsageError(message)
    if (size := path.stat().st_size) > _LARGEST:
        message = (
            f"{path} has {size:,} bytes: a .tflite file has less than 2 GiB; compress the network before."
        )
        raise UsageError(message)


def require_fitting(path: Path, task: Task, samples: Samples) -> None:
    """Check that a file runs here, takes what samples of a task hold, and answers what the task asks.

    Raises:
        UsageError: it does not.
    """
    ends = runnable(path)
    entries_of(ends, samples, f"{path}")
    _require_margins(path, samples)
    shapes = [ends.outputs[place].shape[1:] for place in places_of(ends, samples, f"{path}")]
    try:
        task.wanted(samples.targets, dict(zip(samples.targets, shapes, strict=True)))
    except UsageError as error:
        message = f"{path} does not fit the task {task.name}: {error}"
        raise UsageError(message) from error


def _require_margins(path: Path, samples: Samples) -> None:
    """Refuse samples that are cut with another margin than those that a file learnt from."""
    known = notes_of(path).margins
    for name, encoding in samples.encodings.items():
        if (own := known.get(name, 1.0)) != encoding.margin:
            message = (
                f"{path} is for a margin of {own:g} around what {name} shows, the samples have {encoding.margin:g}: "
                "give samples that were cut as it asks."
            )
            raise UsageError(message)


def runnable(path: Path) -> Ends:
    """What a file that runs here takes and answers; it is tried in a process of its own.

    Raises:
        UsageError: it cannot be read, is no `.tflite`, needs what this runtime lacks, or crashes it.
    """
    from mlbench.export.trial import tried

    _require_tflite(path)
    return tried(path)


def _matched(kind: str, ports: Sequence[Port], names: Iterable[str], what: str) -> list[int]:
    from mlbench.export.interpreter import matched

    try:
        return matched(kind, ports, list(names))
    except ValueError as error:
        message = f"{what} does not fit the samples: {error}."
        raise UsageError(message) from error


def entries_of(network: Network | Ends, samples: Samples, what: str) -> list[int]:
    """Positions of the samples' inputs among the network's.

    Raises:
        UsageError: they do not fit.
    """
    entries = _matched("inputs", network.inputs, samples.inputs, what)
    for port, name in zip((network.inputs[entry] for entry in entries), samples.inputs, strict=True):
        encoding = samples.encodings[name]
        if fault := shape_fault(what, name, _of_one_sample(port, what), encoding.shape):
            raise UsageError(fault)
        if port.whole and np.dtype(encoding.dtype).kind == "f":
            message = (
                f"{what} takes {name} as {port.dtype}, without a scale, the samples give {encoding.dtype}: "
                "write float32 or quantised inputs."
            )
            raise UsageError(message)
    return entries


def places_of(network: Network | Ends, samples: Samples, what: str) -> list[int]:
    """Positions of the samples' targets among the network's outputs.

    Raises:
        UsageError: they do not fit.
    """
    places = _matched("outputs", network.outputs, samples.targets, what)
    for port in network.outputs:
        _of_one_sample(port, what)
        if port.whole and port.dtype.itemsize < 4:
            message = f"{what} answers {port.name} as {port.dtype}, without a scale: write float32 outputs."
            raise UsageError(message)
    return places


def _of_one_sample(port: Port, what: str) -> tuple[int, ...]:
    if port.sample_shape is None:
        message = (
            f"{what} holds {shape_told(port.shape)} at {port.name}, which is not of one sample: convert the network "
            "with a batch of 1, or measure it without --data."
        )
        raise UsageError(message)
    return port.sample_shape


def answers(model: Path | bytes, samples: Samples) -> dict[str, npt.NDArray[np.float32]]:
    """Outputs [n, …] by target that a file, or its content, gives for samples.

    Raises:
        UsageError: it cannot be run here, or does not fit the samples.
    """
    network = loaded(model)
    what = "The network" if isinstance(model, bytes) else f"{model}"
    entries, places = entries_of(network, samples, what), places_of(network, samples, what)
    found: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in samples.targets}
    for row in range(len(samples)):
        for entry, (name, values) in zip(entries, samples.inputs.items(), strict=True):
            network.set(entry, samples.encodings[name].encode(values[row : row + 1])[0])
        network.invoke()
        for place, name in zip(places, samples.targets, strict=True):
            found[name].append(network.get(place).astype(np.float32))
    return {name: np.stack(values) for name, values in found.items()}


def artifact_of(path: Path) -> Artifact:
    """What can be said of a file that runs here.

    Raises:
        UsageError: it cannot be run here.
    """
    runnable(path)
    return described(path)


def described(path: Path) -> Artifact:
    """What can be said of any file, whether it runs or not, and whatever its notes are worth.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        _require_size(path)
        digest = file_sha256(path)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}; give a .tflite file."
        raise UsageError(message) from error
    notes = Notes()
    with suppress(UsageError):
        notes = notes_of(path)
    return Artifact(
        id=path.stem,
        variant=path.stem,
        chain=path.name,
        path=str(path.resolve()),
        sha256=digest,
        file_bytes=path.stat().st_size,
        deflated_bytes=deflated_size(path),
        parameters=None,
        macs=None,
        precision="as written",
        export_error=None,
        settings=dict(notes.settings),
    )
