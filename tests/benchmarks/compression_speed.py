"""Time and memory of compressors, and what their files win: ratios within one run.

    python -m tests.benchmarks.compression_speed decomposition   one_pool: seconds, memory above its weights
    python -m tests.benchmarks.compression_speed hashing         one_pool's first dense layer at 1/64, dense beside it
    python -m tests.benchmarks.compression_speed pruning         two_pool, 90 % of 4×1 blocks zero, and dense
    python -m tests.benchmarks.compression_speed chains          two_pool by tucker and svd: partitions and latency
    python -m tests.benchmarks.compression_speed tuning          images/s of tuning beside a bare loop and the teacher

Networks have random weights: nothing here is an accuracy.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from mlbench import plugins
from mlbench.compression.chain import parse_chain
from mlbench.compressors import multilinear
from mlbench.compressors.prune import magnitude_mask
from mlbench.contracts import Context, ExportOptions, Form, Samples
from mlbench.export.written import file_of, written
from mlbench.faces.landmarks import IMAGE, POINTS, Landmarks
from mlbench.networks import building, graph, storage
from mlbench.networks.ports import Ports
from mlbench.system import quiet
from mlbench.system.progress import Silent
from mlbench.training.options import TrainingOptions
from tests.benchmarks.file_latency import resident

_FACES = 1000


def decomposition(variant: str = "one_pool") -> None:
    """Ranks and factors of a whole network, tuning apart."""
    samples = Landmarks().sample(_FACES, seed=7)
    network, context = _untrained(variant, samples), Context(samples, 7, Silent())
    _plant(network.get_layer("dense1"), plugins.load("variants", variant).feature_map)
    network(np.zeros((64, 96, 96, 1), np.float32))
    for text in ("svd(rank=vbmf)", "svd(target=8MB)", "tucker", "tucker(rank=vbmf)", "tucker(target=4MB)"):
        # Resetting the high-water mark makes each technique's peak its own.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before, started = resident("VmRSS"), time.perf_counter()
        [step] = parse_chain(text).compressors
        form = step.compress(Form(network), context)
        seconds, above = time.perf_counter() - started, (resident("VmHWM") - before) / 1e9
        ranks = " ".join("×".join(map(str, change.rank)) or "-" for change in form.changes)
        print(
            f"{variant} {text}: {seconds:.1f} s, {above:.2f} GB above the weights, ranks {ranks}", flush=True
        )
        del form


def _plant(layer: Any, feature_map: tuple[int, ...]) -> None:
    """Give the layer behind the map weights of some rank in each mode, and noise: what ranks are chosen from."""
    rng = np.random.default_rng(7)
    ranks, shape = (20, 20, 32, 150), (*feature_map, int(layer.kernel.shape[1]))
    tensor = rng.standard_normal(tuple(map(min, ranks, shape)), np.float32)
    for mode, size in enumerate(shape):
        factor = rng.standard_normal((tensor.shape[mode], size), np.float32) / np.sqrt(tensor.shape[mode])
        tensor = multilinear.times(tensor, factor, mode)
    kernel, bias = layer.get_weights()
    signal = tensor.reshape(kernel.shape) * (kernel.std() / tensor.std())
    layer.set_weights([signal + kernel, bias])


def hashing() -> None:
    """The layer alone, 135,424 to 1000."""
    import tf_keras

    layers = tf_keras.layers
    dense = tf_keras.Sequential([layers.InputLayer((135_424,)), layers.Dense(1000, name="dense1")])
    nothing = Landmarks().sample(1, seed=7).take(slice(0, 0))
    for text in ("none", "hashing(64)", "hashing(64,form=entry)"):
        network = dense
        for step in parse_chain(text).compressors:
            network = step.compress(Form(dense), Context(nothing, 7, Silent())).network
        print(text, _of_file(_converted(network)), flush=True)


def pruning(variant: str = "two_pool") -> None:
    """Every dense layer at 90 % zeros, as prune leaves it."""
    network = _untrained(variant, Landmarks().sample(1, seed=7))

    def pruned(layer: Any) -> list[graph.NewLayer] | None:
        if layer not in graph.dense_layers(network):
            return None
        [(copy, _)] = graph.kept(layer)
        kernel, bias = layer.get_weights()
        return [(copy, [kernel * magnitude_mask(kernel, 0.9, (4, 1)), bias])]

    _beside(network, graph.rebuild(network, pruned), ExportOptions(sparse=True))


def chains(variant: str = "two_pool") -> None:
    """Partitions and latency of factorised networks, the baseline first."""
    samples = Landmarks().sample(200, seed=7)
    network, context = _untrained(variant, samples), Context(samples, 7, Silent())
    for text in ("svd", "tucker", "tucker+svd(energy=0.98)"):
        form = Form(network)
        for step in parse_chain(text).compressors:
            form = step.compress(form, context)
        print(text)
        _beside(network, form.network, form.export)


def tuning(variant: str = "basic", batches: int = 10, rounds: int = 4) -> None:
    """One process, in turns: Trainer with a teacher, and a bare loop with the teacher's forward pass."""
    import tf_keras

    from mlbench.training.step import Trainer

    task, options = Landmarks(), TrainingOptions(epochs=100)
    samples = task.sample(batches * options.batch, seed=7)
    teacher = _untrained(variant, samples)
    [step] = parse_chain("tucker").compressors
    student = step.compress(Form(teacher), Context(samples.take(slice(0, 200)), 7, Silent())).network
    trained = graph.copy(student)
    trainer = Trainer(trained, teacher, Ports.of(trained, samples), task, options, batches)
    bare = graph.copy(student)
    bare.compile(optimizer=tf_keras.optimizers.Adam(1e-3), loss="mse")
    inputs, targets = samples.encoded()[IMAGE], samples.targets[POINTS].reshape(len(samples), -1)
    parts = [slice(start, start + options.batch) for start in range(0, len(samples), options.batch)]

    def ours() -> None:
        for part in parts:
            batch = samples.take(part)
            loss = trainer.step(batch.inputs, batch.targets)
        float(loss)

    def theirs() -> None:
        for part in parts:
            bare.train_on_batch(
                inputs[part], 0.5 * targets[part] + 0.5 * teacher.predict_on_batch(inputs[part])
            )

    for turn in range(rounds + 1):
        seconds = []
        for loop in (ours, theirs):
            started = time.perf_counter()
            loop()
            seconds.append(time.perf_counter() - started)
        if turn:  # the first traces the graphs
            rates = [len(samples) / each for each in seconds]
            print(
                f"mlbench {rates[0]:.0f} images/s, bare {rates[1]:.0f}, ratio {rates[0] / rates[1]:.2f}",
                flush=True,
            )


def _untrained(variant: str, samples: Samples) -> Any:
    return building.build(plugins.load("variants", variant), Landmarks(), samples, 7)


def _beside(dense: Any, small: Any, export: ExportOptions) -> None:
    samples = Landmarks().sample(64, seed=7)
    with tempfile.TemporaryDirectory() as folder:
        for name, network, options in (("baseline", dense, ExportOptions()), ("compressed", small, export)):
            place = Path(folder, name)
            storage.save(network, place)
            written(place, options, samples)
            print(name, _of_file(file_of(place, options)), flush=True)


def _converted(network: Any) -> Path:
    import tensorflow as tf
    import tf_keras

    entry = tf_keras.Input(batch_shape=(1, *network.input_shape[1:]))
    converter = tf.lite.TFLiteConverter.from_keras_model(tf_keras.Model(entry, network(entry)))
    path = Path(tempfile.mkdtemp(), "layer.tflite")
    path.write_bytes(converter.convert())
    return path


def _of_file(path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.file_latency", str(path)]
    return json.loads(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    )


if __name__ == "__main__":
    quiet.quiet_tensorflow()
    parts = {f.__name__: f for f in (decomposition, hashing, pruning, chains, tuning)}
    chosen, *rest = sys.argv[1:] or ["help"]
    if chosen in parts:
        parts[chosen](*rest)
    else:
        print(__doc__)
