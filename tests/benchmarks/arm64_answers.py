"""How far answers move on ARM kernels: each precision of the ready models and of the small networks, on CPU models.

python -m tests.benchmarks.arm64_answers FOLDER ready|small [--samples 32] [--cpu cortex-a53]…

Writes the files into FOLDER, where it finds them again, and prints the table of docs/arm64.md. Answers are kept in the
cache, so that a run that was stopped goes on. What is timed, and what takes memory, is not asked.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console

from mlbench import plugins
from mlbench.contracts import ExportOptions, Job, Precision, Samples
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


def main() -> None:
    """Write, answer, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("which", choices=["ready", "small"])
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--cpu", action="append", dest="cpus")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    cpus = given.cpus or _CPUS
    print(f"| network | precision | {' | '.join(cpus)} |\n" + "|---" * (2 + len(cpus)) + "|")
    subjects = _ready if given.which == "ready" else _small
    for name, samples, files in subjects(given.folder, given.samples):
        moved = [_moved(files, samples, cpu) for cpu in cpus]
        for precision, file in files.items():
            print(f"| {name} | {precision} | {' | '.join(found[file.stem] for found in moved)} |", flush=True)


Subject = tuple[str, Samples, dict[str, Path]]


def _ready(folder: Path, count: int) -> Iterator[Subject]:
    """The files that ship, and their networks in each precision: their weights as the shipped codes say."""
    task = Landmarks()
    samples, learnt = task.sample(count, _SEED, "test"), task.sample(_CALIBRATION, _SEED)
    inputs = [values[:, None] for values in learnt.encoded().values()]  # each with a batch of 1
    for shipped in sorted(READY.glob("*.tflite")):
        content = _in_float(shipped.read_bytes())
        files = {
            "as shipped": folder / f"{shipped.stem}.tflite",
            "float32": folder / f"{shipped.stem}-float32.tflite",
        }
        files["as shipped"].write_bytes(shipped.read_bytes())
        files["float32"].write_bytes(content)
        for precision in _precisions():
            if precision.name != "float32":
                files[precision.name] = folder / f"{shipped.stem}-{precision.name}.tflite"
                if not files[precision.name].exists():
                    made = precision.requantise(prepared(content), inputs)
                    files[precision.name].write_bytes(restored(made, content))
        yield shipped.stem, samples, files


def _small(folder: Path, count: int) -> Iterator[Subject]:
    """The networks that the contract's checks use."""
    for name, build in NETWORKS.items():
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


def _moved(files: dict[str, Path], samples: Samples, cpu: str) -> dict[str, str]:
    """How far the answers of each file move on a CPU: at most and in the mean, in hundredths of their spread."""
    known = {path.stem: precision for precision, path in files.items()}
    artifacts = tuple(described(path) for path in files.values())
    job = Job(artifacts, next(iter(files.values())).parent, {"samples": samples})
    found = {}
    for outcome in Arm64Runner(cpu).measure(job, Bars(Console(stderr=True))):
        name, failure = outcome.measurement.artifact, outcome.measurement.failure
        path = next(path for path in files.values() if path.stem == name)
        found[name] = (
            failure.reason
            if failure
            else _cell(answers(path, samples), outcome.predictions["samples"], known[name])
        )
    return found


def _cell(here: dict[str, np.ndarray], there: dict[str, np.ndarray], precision: str) -> str:
    """Largest and mean difference in % of the spread; bold where it is more than float32 may differ."""
    worst, mean, bold = 0.0, 0.0, ""
    for name, expected in here.items():
        off, spread = np.abs(there[name].reshape(expected.shape) - expected), spread_of(expected)
        worst, mean = max(worst, off.max() / spread), max(mean, off.mean() / spread)
        bold = "**" if off.max() > allowed_error(Float32(), expected) else bold
        own = plugins.load("precisions", "dynamic" if precision == "as shipped" else precision)()
        if off.mean() > allowed_error(own, expected):
            bold = "!! "
    return f"{bold}{100 * worst:.2g} % ({100 * mean:.1g} %){bold.strip() if bold == '**' else ''}"


if __name__ == "__main__":
    main()
