"""A model layer by layer: sizes, arithmetic, time, who can compress it, and what that costs."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench import __version__, plugins
from mlbench.contracts import (
    Compressor,
    Context,
    ExportOptions,
    Form,
    NetworkSource,
    Precision,
    Progress,
    Samples,
)
from mlbench.errors import RefusedCompressionError, UsageError
from mlbench.evaluation.statistics import RESAMPLES, interval
from mlbench.export.artifacts import loaded, runnable
from mlbench.export.contents import printable
from mlbench.export.convert import static
from mlbench.export.layer_names import carriers, layers_of
from mlbench.export.operators import Operator, int8_bytes, operators_of
from mlbench.export.profiler import ProfilerError, Times, times_of
from mlbench.networks import building, counting, graph
from mlbench.networks.importing.source import ImportedNetwork
from mlbench.records import Device, InspectedLayer, Inspection, Interval, Layer, Sensitivities
from mlbench.runs.measuring import now
from mlbench.runs.notes import few_groups
from mlbench.runs.plan import Making
from mlbench.runs.sensitivity import sensitivities_of
from mlbench.system import environment
from mlbench.system.progress import Silent
from mlbench.system.quiet import muted_standard_error, quiet_tensorflow
from mlbench.training.baselines import Material, train_baseline

if TYPE_CHECKING:
    import tf_keras

Floats = npt.NDArray[np.float64]

#: How the converter names what the network answers.
_OUTPUT = re.compile(r"^StatefulPartitionedCall:(\d+)$")

#: A sum of parts further than this from the whole is told.
_APART = 0.15

#: A share of the time that belongs to no row and is told from here on.
_REST = 0.02


@dataclass(frozen=True)
class Inspecting:
    """How a model is inspected.

    Attributes:
        threads: of an inference.
        processes: that time the parts, and as many the whole.
        techniques: whose cost in accuracy is measured, with data.
        ratios: how many times smaller a layer shall get by them.
        max_samples: of the validation split.
        seed: of random inputs, techniques and the bootstrap.
    """

    threads: int = 1
    processes: int = 7
    techniques: tuple[str, ...] = ("svd", "tucker", "slim", "int8")
    ratios: tuple[float, ...] = (2.0, 4.0, 8.0)
    max_samples: int = 500
    seed: int = 7


def inspect(
    model: Path | str | tf_keras.Model,
    material: Material | None = None,
    how: Inspecting | None = None,
    progress: Progress | None = None,
    name: str = "",
) -> Inspection:
    """Look at a model layer by layer.

    Args:
        model: a `.tflite` file, or a functional Keras network; of that its float32 file is timed.
        material: samples with their task, for what each layer's compression costs; None: that is not measured.
        how: see `Inspecting`; None: its defaults.
        progress: shows how far it is; None: nothing is shown.
        name: of the model, for people; "": its own.

    Raises:
        UsageError: the file cannot be run here, the network cannot be written, or sensitivity is asked of a file.
    """
    how, progress = how or Inspecting(), progress or Silent()
    if isinstance(model, Path | str):
        if material is not None:
            raise _without_network(model)
        return _of_file(Path(model), how, progress)
    found = _of_network(model, material, how, progress)
    return found.model_copy(update={"model": name}) if name else found


def _without_network(model: object) -> UsageError:
    return UsageError(
        f"What each layer costs in accuracy needs the Keras network, not {model}: leave out --data."
    )


def inspect_named(
    model: Path | NetworkSource,
    making: Making | None,
    *,
    tested: bool,
    how: Inspecting,
    progress: Progress,
) -> Inspection:
    """Inspect a file, or the network of a source: with samples the trained one, from the cache where it is there.

    Args:
        model: a `.tflite` file, or where the network comes from.
        making: of a source: how it is trained, and from what.
        tested: whether samples are given, so that sensitivity is measured.
        how: see `Inspecting`.
        progress: shows how far it is.

    Raises:
        UsageError: see `inspect`; or the samples do not fit.
    """
    if isinstance(model, Path) or making is None:
        if tested:
            raise _without_network(model)
        return inspect(str(model), None, how, progress)
    if not tested:
        return inspect(_untrained(model, making), None, how, progress, model.name)
    used = making.used()
    material = making.material(used, progress, networks=(model,))
    trained = train_baseline(model, material, making.training, progress, used[0])
    return inspect(trained.network(), material, how, progress, model.name)


def _untrained(source: NetworkSource, making: Making) -> tf_keras.Model:
    """A network as its source gives it: of a user's own it has its shapes, others get those of the task's samples."""
    quiet_tensorflow()
    if isinstance(source, ImportedNetwork):
        return source.build({}, {}, making.training.seed)
    task = making.source.task
    return building.build(source, task, task.sample(1, 0), making.training.seed)


def _of_file(path: Path, how: Inspecting, progress: Progress) -> Inspection:
    runnable(path)
    content = path.read_bytes()
    operators = operators_of(content)
    times, doubts = _timed(path, operators, how, progress)
    names = _short_names(operators)
    rows = [_row_of(o, names[o.number]) | _timing([o.number], times, how.seed) for o in operators]
    return _inspection(path.stem, "tflite", len(content), rows, times, None, doubts, how)


def _of_network(
    network: tf_keras.Model, material: Material | None, how: Inspecting, progress: Progress
) -> Inspection:
    quiet_tensorflow()
    network = graph.flattened(network)
    with tempfile.TemporaryDirectory(prefix="mlbench-") as folder:
        path = Path(folder, "network.tflite")
        path.write_bytes(_float32_file(network))
        loaded(path)
        content = path.read_bytes()
        operators = operators_of(content)
        times, doubts = _timed(path, operators, how, progress)
    rows = list(_rows_of(network, operators, times, how))
    found: Sensitivities | None = None
    if material is not None:
        given = (how.techniques, how.ratios, how.max_samples, how.seed, progress)
        found = sensitivities_of(network, material, *given)
        doubts += few_groups({"validation": found.groups}, found.unit)
    return _inspection(network.name, "keras", len(content), rows, times, found, doubts, how)


def _float32_file(network: tf_keras.Model) -> bytes:
    """The network as the float32 file that would ship, with the names that are left out of it then."""
    precision: Precision = plugins.load("precisions", "float32")()
    try:
        with muted_standard_error():
            return precision.write(static(network), [], ExportOptions())
    except (RuntimeError, ValueError) as error:
        why = next(reversed(str(error).strip().splitlines()), "no message")
        message = f"{network.name} cannot be written as a .tflite file ({why}), so that it cannot be timed."
        raise UsageError(message) from error


def _timed(
    path: Path, operators: Sequence[Operator], how: Inspecting, progress: Progress
) -> tuple[Times | None, list[str]]:
    doubts = environment.doubts(how.threads)
    try:
        return times_of(path, operators, how.threads, how.processes, how.seed, progress), doubts
    except ProfilerError as error:
        return None, [f"Operators are not timed: LiteRT's profiler cannot be used here, {error}."]


def _inspection(
    name: str,
    source: Any,
    size: int,
    rows: Sequence[Mapping[str, Any]],
    times: Times | None,
    found: Sensitivities | None,
    doubts: Sequence[str],
    how: Inspecting,
) -> Inspection:
    facts = environment.machine()
    warnings = [*doubts]
    whole = parts = None
    if times is not None:
        whole = _median(times.whole, how.seed)
        parts = _median(times.operators.sum(axis=1) + times.rest, how.seed)
        warnings += _doubts(times, whole, parts)
    return Inspection(
        mlbench_version=__version__,
        created=now(),
        model=name,
        source=source,
        file_bytes=size,
        device=Device(id="host", runner="host", name=str(facts["cpu"]), threads=how.threads, details=facts),
        processes=0 if times is None else len(times.whole),
        layers=tuple(InspectedLayer(**row) for row in rows),
        whole_ms=whole,
        parts_ms=parts,
        sensitivities=found,
        warnings=tuple(warnings),
    )


def _doubts(times: Times, whole: Interval, parts: Interval) -> Iterator[str]:
    ratio = parts.value / whole.value if whole.value else 1.0
    if abs(ratio - 1) > _APART:
        yield (
            f"The parts take {ratio:.2f} of the whole's time: other programs ran, or the operators are so short "
            "that whole microseconds are too coarse; shares are approximate."
        )
    rest = float(np.median(times.rest)) / max(parts.value, 1e-12)
    if rest > _REST:
        yield f"{rest:.0%} of the time was spent by the delegate on what belongs to no operator of the file."


def _median(values: Floats, seed: int) -> Interval:
    """The median over processes, with the bootstrap's 95 % interval."""
    drawn = np.random.default_rng(seed).choice(values, (RESAMPLES, len(values)))
    return interval(float(np.median(values)), np.median(drawn, axis=1))


def _timing(numbers: Sequence[int], times: Times | None, seed: int) -> dict[str, Any]:
    """What a row says of the time that operators took."""
    if times is None or not numbers:
        return {}
    taken = times.operators[:, list(numbers)].sum(axis=1)
    sums = np.maximum(times.operators.sum(axis=1) + times.rest, 1e-12)
    runs = {
        "builtin" if number in times.builtin else "merged" if number in times.merged else "XNNPACK"
        for number in numbers
    }
    runs = runs - {"merged"} or runs
    return {
        "ms": _median(taken, seed),
        "share": float(np.median(taken / sums)),
        "runs": ", ".join(sorted(runs, reverse=True)),
    }


def _row_of(operator: Operator, name: str) -> dict[str, Any]:
    return {
        "name": printable(name),
        "kind": printable(operator.kind),
        "output": operator.output,
        "parameters": operator.parameters,
        "macs": operator.macs,
        "operators": (operator.number,),
        **_bytes([operator]),
    }


def _bytes(operators: Sequence[Operator]) -> dict[str, int]:
    shapes = [tensor.shape for operator in operators for tensor in operator.weights]
    return {
        "file_bytes": sum(operator.file_bytes for operator in operators),
        "float32_bytes": 4 * sum(operator.parameters for operator in operators),
        "int8_bytes": int8_bytes(shapes),
    }


def _short_names(operators: Sequence[Operator]) -> dict[int, str]:
    """Names without what all have in common and without the converter's own parts.

    Where it joined several, the last is what began it: `net/relu/Relu;net/conv/Conv2D` is conv.
    """
    paths = {operator.number: operator.name.rpartition(";")[2].split("/") for operator in operators}
    nested = [path for path in paths.values() if len(path) > 1]
    common = 0
    while nested and all(len(path) > common + 2 and path[common] == nested[0][common] for path in nested):
        common += 1
    return {
        number: path[common] if len(path) > common + 1 else _OUTPUT.sub(r"output \1", "/".join(path))
        for number, path in paths.items()
    }


def _rows_of(
    network: tf_keras.Model, operators: Sequence[Operator], times: Times | None, how: Inspecting
) -> Iterator[dict[str, Any]]:
    """A row per layer, in order; behind them operators that no layer stands for."""
    table = counting.layer_table(network)
    mapped = layers_of(operators, network)
    homes = carriers(mapped, {x.name: x.macs for x in table}, {x.name: x.parameters for x in table})
    reasons = _reasons(network, how.seed)
    kernels = {layer.name for layer in graph.layers_with_kernel(network)}
    for layer in table:
        own = [operator for operator in operators if homes.get(operator.number) == layer.name]
        within = [homes[number] for number, names in mapped.items() if layer.name in names]
        yield {
            **_layer(layer),
            **_bytes(own),
            "operators": tuple(operator.number for operator in own),
            "part_of": "" if own or not within else within[-1],
            "techniques": {name: left.get(layer.name, "") for name, left in reasons.items()}
            if layer.name in kernels
            else {},
            **_timing([operator.number for operator in own], times, how.seed),
        }
    names = _short_names(operators)
    for operator in operators:
        if operator.number not in homes:
            yield _row_of(operator, names[operator.number]) | _timing([operator.number], times, how.seed)


def _layer(layer: Layer) -> dict[str, Any]:
    return layer.model_dump()


def _reasons(network: tf_keras.Model, seed: int) -> dict[str, Mapping[str, str]]:
    """Why layers are left, by technique; of those that say."""
    nothing = Samples({}, {}, np.array([], str), np.array([], str), {})
    found = dict[str, Mapping[str, str]]()
    techniques: Mapping[str, type[Compressor]] = plugins.usable("compressors")[0]
    for name, technique in techniques.items():
        try:
            told = technique().reasons(Form(network), Context(nothing, seed, Silent()))
        except RefusedCompressionError as refused:
            told = dict.fromkeys((layer.name for layer in network.layers), str(refused))
        if told is not None:
            found[name] = told
    return found
