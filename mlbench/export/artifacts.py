"""`.tflite` files, wherever they came from: whether they are landmark networks, what they answer and what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mlbench.errors import UsageError
from mlbench.faces.dataset import CROP, LANDMARKS
from mlbench.records import Artifact
from mlbench.system.files import deflated_size, file_sha256
from mlbench.system.quiet import muted_standard_error

_MAGIC = b"TFL3"


def require_landmark_model(path: Path) -> None:
    """Check that a file is a `.tflite` that takes one grey crop and gives 136 numbers, of types that have a meaning.

    Raises:
        UsageError: it is not.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}; give a .tflite file."
        raise UsageError(message) from error
    if head[4:] != _MAGIC:
        message = f"{path} is not a .tflite file: give one that `mlbench run` or `mlbench compress` wrote."
        raise UsageError(message)
    from ai_edge_litert.interpreter import Interpreter

    from mlbench.device_runners.host_worker import steps_of

    try:
        interpreter = Interpreter(model_path=str(path))
        ends = (*interpreter.get_input_details(), *interpreter.get_output_details())
    except (ValueError, RuntimeError) as error:
        message = f"{path} cannot be loaded ({error}): the file is damaged or needs a newer runtime."
        raise UsageError(message) from error
    shapes = [tuple(int(n) for n in detail["shape"]) for detail in ends]
    if shapes != [(1, CROP, CROP, 1), (1, 2 * LANDMARKS)]:
        message = (
            f"{path} maps {shapes[0]} to {shapes[-1]}: a landmark network maps (1, 96, 96, 1) to (1, 136)."
        )
        raise UsageError(message)
    try:
        for detail in ends:
            steps_of(detail)
    except ValueError as error:
        message = f"{path} cannot be used: {error}."
        raise UsageError(message) from error


def answers(model: Path | bytes, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Landmarks [n,68,2] in pixels that a `.tflite` file, or its content, gives for crops uint8 [n,96,96].

    Raises:
        UsageError: this runtime cannot run it, as with operators of TensorFlow's own (Select TF) or custom ones.
    """
    from mlbench.device_runners.host_worker import Network

    source = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
    with muted_standard_error():
        try:
            network = Network(1, **source)
        except (ValueError, RuntimeError) as error:
            what = "The network just written" if isinstance(model, bytes) else model
            message = f"{what} cannot be run here ({error}): write it with TensorFlow Lite's built-in operators alone."
            raise UsageError(message) from error
    outputs = np.empty((len(images), LANDMARKS, 2), np.float32)
    for i, image in enumerate(images):
        outputs[i] = network.run(image)
    return outputs


def artifact_of(path: Path) -> Artifact:
    """What can be said of a file of unknown origin.

    Raises:
        UsageError: see `require_landmark_model`.
    """
    require_landmark_model(path)
    return described(path)


def described(path: Path) -> Artifact:
    """What can be said of any file, a landmark network or not.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        digest = file_sha256(path)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}; give a .tflite file."
        raise UsageError(message) from error
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
    )
