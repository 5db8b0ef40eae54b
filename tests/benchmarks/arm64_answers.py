"""How far answers move on ARM kernels: each precision of the ready models and of the small networks, on CPU models.

python -m tests.benchmarks.arm64_answers FOLDER ready|small|kernels|layers [--samples 32] [--cpu max] [--network basic]

Writes the files into FOLDER, where it finds them again, and prints a table of docs/how-to/arm64.md.
Answers are kept in the cache, so that a run that was stopped goes on.
`kernels` tells which instructions multiply, by what QEMU translates;
`layers` where the answers of basic in dynamic precision part, in the sample that moves most. Both need `ready` before.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from mlbench import plugins
from mlbench.contracts import ExportOptions, Job, Precision, Samples
from mlbench.device_runners.arm64 import emulator, home
from mlbench.device_runners.arm64.runner import Arm64Runner
from mlbench.export.artifacts import answers, described
from mlbench.export.convert import allowed_error, spread_of, static
from mlbench.export.finished import prepared, restored
from mlbench.export.precisions import Float32
from mlbench.export.repacking import model_of, packed
from mlbench.faces.landmarks import Landmarks
from mlbench.models import FOLDER as READY
from mlbench.networks.ports import Ports
from mlbench.system.progress import Bars
from mlbench.testing.networks import NETWORKS, samples_for

_CPUS = ["cortex-a53", "cortex-a76", "max"]
_CALIBRATION = 100
_SEED = 7
_SHIPPED = "as shipped"
_NUDGED = "inputs · (1 + 10⁻⁶)"

_RUN_ONCE = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
for file in sys.argv[1:]:
    network = Interpreter(model_path=file, num_threads=1)
    network.allocate_tensors()
    entry = network.get_input_details()[0]
    network.set_tensor(entry["index"], np.full(entry["shape"], 0.5, entry["dtype"]))
    network.invoke()
"""

#: Instructions that multiply and add, and the width of what they give: "sdot", "4s".
_INSTRUCTION = re.compile(
    r"\s((?:[su]|us|f|bf)?(?:ml[as]l?2?|mmla|dot|mopa|madd)|fmul)\s+[vz]?\w*?(?:\.(\w+))?[,\s]"
)

Answers = dict[str, np.ndarray]


def main() -> None:
    """Write, answer, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("which", choices=["ready", "small", "kernels", "layers"])
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--cpu", action="append", dest="cpus")
    parser.add_argument("--network", action="append", dest="networks")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    cpus = given.cpus or _CPUS
    if given.which in ("kernels", "layers"):
        (_print_kernels if given.which == "kernels" else _print_layers)(given.folder, cpus, given.samples)
        return
    print(
        f"| network | precision | {' | '.join(cpus)} | here, {_NUDGED} |\n" + "|---" * (3 + len(cpus)) + "|"
    )
    subjects = _ready if given.which == "ready" else _small
    for name, samples, files in subjects(given.folder, given.samples, given.networks):
        here = {path.stem: answers(path, samples) for path in files.values()}
        columns = [_moved(files, samples, here, cpu) for cpu in cpus] + [_nudged(files, samples, here)]
        for precision, file in files.items():
            cells = " | ".join(column[file.stem] for column in columns)
            print(f"| {name} | {precision} | {cells} |", flush=True)


Subject = tuple[str, Samples, dict[str, Path]]


def _ready(folder: Path, count: int, only: list[str] | None = None) -> Iterator[Subject]:
    """The files that ship, and their networks in each precision: their weights as the shipped codes say."""
    task = Landmarks()
    samples, learnt = task.sample(count, _SEED, "test"), task.sample(_CALIBRATION, _SEED)
    inputs = [values[:, None] for values in learnt.encoded().values()]  # each with a batch of 1
    for shipped in sorted(path for path in READY.glob("*.tflite") if path.stem in (only or [path.stem])):
        content = _in_float(shipped.read_bytes())
        files = {
            _SHIPPED: folder / f"{shipped.stem}.tflite",
            "float32": folder / f"{shipped.stem}-float32.tflite",
        }
        files[_SHIPPED].write_bytes(shipped.read_bytes())
        files["float32"].write_bytes(content)
        for precision in _precisions():
            if precision.name != "float32":
                files[precision.name] = folder / f"{shipped.stem}-{precision.name}.tflite"
                if not files[precision.name].exists():
                    made = precision.requantise(prepared(content), inputs)
                    files[precision.name].write_bytes(restored(made, content))
        yield shipped.stem, samples, files


def _small(folder: Path, count: int, only: list[str] | None = None) -> Iterator[Subject]:
    """The networks that the contract's checks use."""
    for name, build in ((name, NETWORKS[name]) for name in only or NETWORKS):
        network = build(_SEED)
        samples, learnt = samples_for(network, count, 4), samples_for(network, _CALIBRATION, 3)
        encoded = learnt.encoded()
        inputs = [encoded[entry] for entry in Ports.of(network, learnt).inputs]
        files = {}
        for precision in _precisions():
            files[precision.name] = folder / f"{name}-{precision.name}.tflite"
            if not files[precision.name].exists():
                files[precision.name].write_bytes(precision.write(static(network), inputs, ExportOptions()))
        yield name, samples, files


def _precisions() -> list[Precision]:
    return [made() for made in plugins.usable("precisions")[0].values()]


def _in_float(content: bytes) -> bytes:
    """A dynamic file's network with its weights in float32: scale × code."""
    from ai_edge_litert import schema_py_generated as schema

    model = model_of(content)
    for tensor in model.subgraphs[0].tensors:
        if tensor.type == schema.TensorType.INT8:
            steps, shape = tensor.quantization, [1] * len(tensor.shape)
            shape[steps.quantizedDimension if len(steps.scale) > 1 else 0] = len(steps.scale)
            codes = (
                np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(np.int8).reshape(tensor.shape)
            )
            weights = codes.astype(np.float32) * np.asarray(steps.scale, np.float32).reshape(shape)
            model.buffers[tensor.buffer].data = np.frombuffer(weights.tobytes(), np.uint8)
            tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None
    return packed(model, 4 * len(content))


def _moved(files: dict[str, Path], samples: Samples, here: dict[str, Answers], cpu: str) -> dict[str, str]:
    """How far the answers of each file, by its name, are on a CPU from those here."""
    known = {path.stem: precision for precision, path in files.items()}
    artifacts = tuple(described(path) for path in files.values())
    job = Job(artifacts, next(iter(files.values())).parent, {"samples": samples})
    found = {}
    for outcome in Arm64Runner(cpu).measure(job, Bars(Console(stderr=True))):
        name, failure = outcome.measurement.artifact, outcome.measurement.failure
        found[name] = (
            failure.reason if failure else _cell(here[name], outcome.predictions["samples"], known[name])
        )
    return found


def _nudged(files: dict[str, Path], samples: Samples, here: dict[str, Answers]) -> dict[str, str]:
    """The same for this machine's kernels, with inputs that are hardly different: what rounding alone does."""
    encodings = {
        name: replace(one, scale=tuple(np.atleast_1d(one.scale) / (1 + 1e-6)))
        for name, one in samples.encodings.items()
    }
    nudged = replace(samples, encodings=encodings)
    return {
        path.stem: _cell(here[path.stem], answers(path, nudged), precision)
        for precision, path in files.items()
    }


def _cell(here: Answers, there: Answers, precision: str) -> str:
    """Largest and mean difference in % of the spread.

    Bold where a number differs by more than float32 may from its network, marked where the mean is more than the
    precision's own tolerance.
    """
    largest, mean, bold, mark = 0.0, 0.0, "", ""
    own = plugins.load("precisions", "dynamic" if precision == _SHIPPED else precision)()
    for name, expected in here.items():
        off, spread = np.abs(there[name].reshape(expected.shape) - expected), spread_of(expected)
        largest, mean = max(largest, off.max() / spread), max(mean, off.mean() / spread)
        bold = "**" if off.max() > allowed_error(Float32(), expected) else bold
        mark = " over its tolerance" if off.mean() > allowed_error(own, expected) else mark
    return f"{bold}{_percent(largest)}{bold} ({_percent(mean)}){mark}" if largest else "0"


def _percent(share: float) -> str:
    if share < 1e-6:
        return "<0.0001 %" if share else "0"
    return f"{100 * share:.{2 if share >= 0.01 else 1}g} %"


def _print_kernels(folder: Path, cpus: list[str], _: int) -> None:
    """Which instructions multiply, on each CPU, in the files that `ready` wrote of basic: beyond those of imports."""
    print("| precision | on | instructions |\n|---|---|---|")
    idle = {cpu: _instructions(cpu) for cpu in cpus}
    for file in sorted(folder.glob("basic-*.tflite")):
        found = (sorted(_instructions(cpu, file) - idle[cpu]) for cpu in cpus)
        for cpu, names in zip(cpus, found, strict=True):
            print(f"| {file.stem.removeprefix('basic-')} | {cpu} | {', '.join(names)} |", flush=True)


def _print_layers(folder: Path, cpus: list[str], count: int) -> None:
    """Operator by operator, how many numbers differ from this machine's, and how far, in the sample that moves most."""
    print(
        "| after operator | on | numbers that differ | at most, of the largest number |\n" + "|---" * 4 + "|"
    )
    samples, whole = Landmarks().sample(count, _SEED, "test"), folder / "basic-dynamic.tflite"
    for cpu in cpus:
        off = _off(cpu, samples, [whole])[whole.stem][0]
        worst = samples.take(np.argmax(off.max(axis=1, keepdims=True), axis=0))
        for name, (off, expected) in _off(cpu, worst, list(_cut(whole))).items():
            share = off.max() / np.abs(expected).max()
            print(f"| {name} | {cpu} | {np.count_nonzero(off):,} of {off.size:,} | {share:.1g} |", flush=True)


def _off(cpu: str, samples: Samples, files: list[Path]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By file: how far numbers [n, …] on a CPU are from those here, and those here."""
    job, found = Job(tuple(map(described, files)), files[0].parent, {"samples": samples}), {}
    for outcome, file in zip(Arm64Runner(cpu).measure(job, Bars(Console(stderr=True))), files, strict=True):
        [expected] = answers(file, samples).values()
        [given] = outcome.predictions["samples"].values()
        found[file.stem] = (
            np.abs(given - expected).reshape(len(samples), -1),
            expected.reshape(len(samples), -1),
        )
    return found


def _cut(file: Path) -> Iterator[Path]:
    """The network up to each of its operators, as files that answer what that operator gives."""
    from ai_edge_litert import schema_py_generated as schema

    kinds = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    content = file.read_bytes()
    folder = file.parent / "cut"
    folder.mkdir(exist_ok=True)
    for last in range(len(model_of(content).subgraphs[0].operators)):
        model = model_of(content)
        graph, model.signatureDefs = model.subgraphs[0], None
        graph.operators = graph.operators[: last + 1]
        graph.outputs = [int(graph.operators[-1].outputs[0])]
        kind = kinds[model.operatorCodes[graph.operators[-1].opcodeIndex].builtinCode]
        path = folder / f"{last + 1} {kind}.tflite"
        path.write_bytes(packed(model, len(content)))
        yield path


def _instructions(cpu: str, *model: Path) -> set[str]:
    """Multiplying instructions, with the width of vectors, that QEMU translates on a CPU while a model runs once."""
    place = home.require_installed()
    with tempfile.NamedTemporaryFile(prefix="mlbench-", suffix=".log") as log:
        command = [
            str(emulator.require_qemu(place)),
            "-cpu",
            cpu,
            "-L",
            str(place.root),
            "-d",
            "in_asm",
            "-D",
            log.name,
        ]
        command += [str(place.python), "-c", _RUN_ONCE, *map(str, model)]
        environment = {"PYTHONPATH": str(place.site), "PYTHONPYCACHEPREFIX": str(place.bytecode)}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        with Path(log.name).open(encoding="utf-8", errors="replace") as lines:
            return {name for line in lines if (name := _multiplying(line))}


def _multiplying(line: str) -> str:
    """`sdot v1.4s` of a line of QEMU's log; "" where it multiplies nothing."""
    match = _INSTRUCTION.search(line)
    return " ".join(filter(None, match.groups())) if match else ""


if __name__ == "__main__":
    main()
