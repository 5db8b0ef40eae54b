"""Networks of a user's own: a file of Keras 2 or 3, a function that makes one, or one in memory."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench.contracts import NetworkSource
from mlbench.contracts.network import OpenShapes, Shapes
from mlbench.errors import UsageError
from mlbench.networks import storage
from mlbench.networks.importing import formats, functions, keras2, keras3_config, trials
from mlbench.networks.importing.formats import NetworkFile
from mlbench.networks.importing.plans import excerpt
from mlbench.system import children
from mlbench.system.cache import cache_folder, one_at_a_time
from mlbench.system.environment import versions
from mlbench.system.files import file_sha256, key_of, write_atomically

if TYPE_CHECKING:
    import tf_keras

#: Raised when a change of the code changes what equal files give.
IMPORT_VERSION = 1

_LIBRARIES = ("keras", "tensorflow", "tf_keras")

#: How far answers may lie apart where sums of float32 come in another order: shares of the largest answer, and of how
#: far answers spread over samples.
_OF_LARGEST, _OF_SPREAD = 1e-5, 1e-3

#: The same of what a layer gives, as a share of the largest value.
_OF_ACTIVATION = 1e-4

_LONGEST_NAME = 60

Answers = list[npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class ImportedNetwork(NetworkSource):
    """A network of a user's own, kept in the cache as data.

    Attributes:
        name: the file's stem, or the function's name, in letters that files may be called by.
        summary: in one line.
        folder: of the cache, where the network is saved.
        digest: of the file's bytes, or of what the function gave.
        origin: the file or function, as it was named; none for a network in memory.
        trained: whether it is the baseline as it is.
        inputs: shapes of one sample's inputs, by name; None for sizes that the samples decide.
        outputs: shapes of one sample's outputs, by name.
        difference: the largest distance of its answers from those of the original, on random inputs.
    """

    name: str
    summary: str
    folder: Path
    digest: str
    origin: str
    trained: bool
    inputs: Mapping[str, tuple[int | None, ...]]
    outputs: Mapping[str, tuple[int | None, ...]]
    difference: float

    def build(self, inputs: Shapes, outputs: Shapes, seed: int) -> tf_keras.Model:
        """The network with its weights, whatever the seed; see `NetworkSource.build`."""
        network = storage.load(self.folder)
        if not any(None in shape for shape in self.inputs.values()):
            return network
        given = {name: inputs.get(name, next(iter(inputs.values()))) for name in self.inputs}
        return keras2.sized(network, given)

    def ends(self, inputs: Shapes, outputs: Shapes) -> tuple[OpenShapes, OpenShapes]:
        """See `NetworkSource.ends`."""
        return self.inputs, self.outputs

    def key(self) -> Any:
        """See `NetworkSource.key`."""
        return {"digest": self.digest, "trained": self.trained, "version": IMPORT_VERSION}

    def warnings(self) -> list[str]:
        """See `NetworkSource.warnings`: whether it has seen the test samples is not known."""
        if not self.trained:
            return []
        return [
            f"What {self.name} was trained on is not known: if test samples are among it, errors on new samples are "
            "larger; test on samples that it has not seen."
        ]


def source_of(
    model: Path | str | object,
    *,
    trained: bool | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> ImportedNetwork:
    """A network of a user's own.

    Args:
        model: a `.keras` or `.h5` file; `package.module:function`, which gives a network and may lie in the current
            folder; or a network of tf_keras or Keras 3.
        trained: whether it is the baseline as it is; by default a file or a network in memory is, and what a function
            gives is trained as a variant is.
        say: called with a sentence where it takes a while.

    Raises:
        UsageError: it cannot be imported, or would not answer as the original does; the sentence says what to do.
    """
    if isinstance(model, str) and functions.is_function(model):
        name = model.partition(":")[2].rpartition(".")[2]
        return _of_object(functions.called(model), name, model, bool(trained))
    trained = True if trained is None else trained
    if isinstance(model, str | Path):
        return _of_file(Path(model), trained, say)
    return _of_object(model, str(getattr(model, "name", "network")), "", trained)


def _of_file(path: Path, trained: bool, say: Callable[[str], None]) -> ImportedNetwork:
    file = formats.read(path)
    digest = file_sha256(path)
    folder = cache_folder() / "imports" / key_of(IMPORT_VERSION, digest, versions(*_LIBRARIES))
    with one_at_a_time(folder, say):
        if not (folder / _FACTS).exists():
            say(f"Importing {path.name} …")
            _import(file, folder)
    return _source(folder, path.stem, path.name, digest, str(path), trained)


def _of_object(model: Any, name: str, origin: str, trained: bool) -> ImportedNetwork:
    """Of a network in memory, which is kept under what it is."""
    told = origin or name
    with tempfile.TemporaryDirectory(prefix="mlbench-") as scratch:
        made = Path(scratch, "made")
        made.mkdir()
        if functions.is_of_keras3(model):
            file = Path(scratch, "network.keras")
            functions.saved(model, file, told)
            _import(formats.read(file), made, told)
        else:
            _keep(*keras2.of_memory(model, told), made, told)
        digest = _content(made)
        folder = cache_folder() / "imports" / key_of(IMPORT_VERSION, digest, versions(*_LIBRARIES))
        with one_at_a_time(folder, lambda sentence: None):
            if not (folder / _FACTS).exists():
                for name_of_file in (
                    storage.WEIGHTS,
                    storage.LAYERS,
                    _FACTS,
                ):  # the facts last: they mark it done
                    with write_atomically(folder / name_of_file) as part:
                        shutil.copyfile(made / name_of_file, part)
    return _source(folder, name, told, digest, origin, trained)


_FACTS = "facts.json"


def _content(folder: Path) -> str:
    """The hash of a saved network: its layers, whatever Keras counted them as, and its weights by value."""
    config = json.loads((folder / storage.LAYERS).read_text(encoding="utf-8"))
    numbers = {layer["config"]["name"]: number for number, layer in enumerate(config["config"]["layers"])}
    config["config"]["name"] = ""
    digest = hashlib.sha256(json.dumps(_renamed(config, numbers), sort_keys=True).encode())
    for name, values in sorted(storage.load_arrays(folder / storage.WEIGHTS).items()):
        digest.update(f"{name} {values.dtype.str} {values.shape};".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _renamed(value: Any, names: Mapping[str, int]) -> Any:
    """A configuration with other names of layers: "dense_4" tells only how many were made before it."""
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if isinstance(value, dict):
        return {key: _renamed(item, names) for key, item in value.items()}
    return names.get(value, value) if isinstance(value, str) else value


def _source(folder: Path, name: str, told: str, digest: str, origin: str, trained: bool) -> ImportedNetwork:
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    shapes = {end: {k: tuple(v) for k, v in facts[end].items()} for end in ("inputs", "outputs")}
    safe = re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.")[:_LONGEST_NAME] or "network"
    return ImportedNetwork(
        name=safe,
        summary=f"imported from {told}",
        folder=folder,
        digest=digest,
        origin=origin,
        trained=trained,
        difference=facts["difference"],
        **shapes,
    )


def _import(file: NetworkFile, folder: Path, told: str = "") -> None:
    told = told or str(file.path)
    try:
        network, answers = _read_by_keras3(file) if file.keras == 3 else keras2.of_file(file)
    except UsageError as error:
        text = str(error)
        message = text if text.startswith(str(file.path)) else f"{told} {text.rstrip('.')}."
        raise UsageError(message) from error
    except RecursionError as error:
        message = f"{told} is nested too deeply to be a network: save the network again by model.save."
        raise UsageError(message) from error
    _keep(network, answers, folder, told)


def _read_by_keras3(file: NetworkFile) -> tuple[tf_keras.Model, Answers]:
    """The network rebuilt, and what Keras 3 says that it answers."""
    from mlbench.networks.importing.rebuilding import rebuilt

    config = keras3_config.cleaned(file.config)
    with tempfile.TemporaryDirectory(prefix="mlbench-") as scratch:
        folder = Path(scratch)
        job = {"config": config, "weights": str(file.place_weights(folder)), "out": scratch}
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        _in_process(folder / "job.json")
        plan = json.loads((folder / "calls.json").read_text(encoding="utf-8"))
        answers = storage.load_arrays(folder / "answers.npz")
        network, probe = rebuilt(plan, storage.load_arrays(folder / "weights.npz"))
        _require_equal_calls(plan, storage.in_order("", storage.load_arrays(folder / "given.npz")), probe)
    return network, storage.in_order("", answers)


def _require_equal_calls(plan: Mapping[str, Any], expected: Answers, probe: tf_keras.Model) -> None:
    """Check what each layer gives: answers of an untrained network may hardly depend on it.

    Raises:
        UsageError: which layer does not compute what it does in Keras 3.
    """
    for call, wanted, found in zip(plan["calls"], expected, trials.answers_of(probe), strict=True):
        given = excerpt(found)
        if wanted.shape != given.shape or not np.allclose(
            given, wanted, rtol=0, atol=_OF_ACTIVATION * float(np.abs(wanted).max(initial=0)), equal_nan=True
        ):
            message = (
                f'cannot be imported: "{plan["layers"][call["layer"]]["name"]}" computes otherwise in Keras 2'
            )
            raise UsageError(message)


def _in_process(job: Path) -> None:
    command = children.command("-m", "mlbench.networks.importing.keras3_reading", str(job))
    environment = children.environment() | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment |= {"CUDA_VISIBLE_DEVICES": "-1"}
    environment.pop("TF_USE_LEGACY_KERAS", None)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        why = next(reversed(done.stderr.strip().splitlines()), f"it ended with code {done.returncode}")
        message = f"cannot be read by Keras 3 ({why})"
        raise UsageError(message)
    if error := json.loads(lines[-1]).get("error"):
        message = f"cannot be read by Keras 3 ({error})"
        raise UsageError(message)


def _keep(network: tf_keras.Model, answers: Answers, folder: Path, told: str) -> None:
    """Save a network, and check that what was saved answers as the original does.

    Raises:
        UsageError: it does not.
    """
    storage.save(network, folder)
    saved = storage.load(folder)
    for kept, weight in zip(saved.get_weights(), network.get_weights(), strict=True):
        if not np.array_equal(kept, weight, equal_nan=True):
            message = f"{told} cannot be imported: its weights differ when they are read again."
            raise UsageError(message)
    difference = _difference(answers, trials.answers_of(saved), told)
    facts = {
        "inputs": {k: list(t.shape[1:]) for k, t in zip(saved.input_names, saved.inputs, strict=True)},
        "outputs": {k: list(t.shape[1:]) for k, t in zip(saved.output_names, saved.outputs, strict=True)},
        "difference": difference,
    }
    with write_atomically(folder / _FACTS) as part:
        part.write_text(json.dumps(facts), encoding="utf-8")


def _difference(expected: Answers, found: Answers, told: str) -> float:
    """The largest distance of answers; 0: equal to the last bit.

    Raises:
        UsageError: they lie further apart than float32 explains.
    """
    largest = 0.0
    for number, (wanted, given) in enumerate(zip(expected, found, strict=True)):
        known = np.isfinite(wanted)
        distance = float(np.abs(wanted - given)[known].max(initial=0))
        allowed = _OF_LARGEST * float(np.abs(wanted[known]).max(initial=0))
        allowed += (
            _OF_SPREAD * float(np.abs(wanted - np.median(wanted, axis=0))[known].mean()) if known.any() else 0
        )
        if (
            wanted.shape != given.shape
            or not np.array_equal(known, np.isfinite(given))
            or not distance <= allowed
        ):
            message = (
                f"{told} cannot be imported: rebuilt, its output {number} differs from the original's by "
                f"{distance:.3g} on random inputs, where {allowed:.3g} is allowed; please report its layers."
            )
            raise UsageError(message)
        largest = max(largest, distance)
    return largest
