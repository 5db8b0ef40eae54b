"""What the benchmarks share: options, and networks made once from the cache."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlbench import plugins
from mlbench.compression.chain import parse_chain
from mlbench.compression.delivery import export
from mlbench.compression.stages import ChainSetup, Compressed, compress
from mlbench.contracts import Job, Outcome, Samples, Variant
from mlbench.data.sources import Source
from mlbench.evaluation.metrics import figures
from mlbench.export.artifacts import artifact_of
from mlbench.faces.frames import compose_frames
from mlbench.faces.landmarks import Landmarks
from mlbench.records import Artifact
from mlbench.system.progress import Silent
from mlbench.system.sizes import format_size
from mlbench.training.baselines import Material, train_baseline
from mlbench.training.options import TrainingOptions, TuningOptions

_SAMPLES, _EPOCHS = 600, 1


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mlbench")
    group.addoption("--variant", action="append", help="Variants to measure; may be repeated. [basic]")
    group.addoption("--compress", action="append", help="Chains to measure; may be repeated. [none, svd]")
    group.addoption("--samples", type=int, help=f"Sampled faces of the baselines. [{_SAMPLES}]")
    group.addoption("--epochs", type=int, help=f"Epochs of the baselines. [{_EPOCHS}]")


def _option(config: pytest.Config, name: str, default: Any) -> Any:
    return config.getoption(name, default=None) or default


def once(config: pytest.Config) -> bool:
    """Whether the benchmarks only show that they run (`--benchmark-disable`): then all is made small."""
    return bool(config.getoption("benchmark_disable", default=False))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    config = metafunc.config
    if "variant" in metafunc.fixturenames:
        default = ["tiny"] if once(config) else ["basic"]
        metafunc.parametrize("variant", _option(config, "--variant", default), scope="session")
    if "chain" in metafunc.fixturenames:
        metafunc.parametrize("chain", _option(config, "--compress", ["none", "svd"]), scope="session")


def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    """Say beside each name what was measured, since `pytest-benchmark compare` shows names, not `extra_info`."""
    for row in output_json["benchmarks"]:
        if words := _words(row["extra_info"]):
            row["name"] += f" ({words})"


def _words(info: dict[str, Any]) -> str:
    shown = [
        (info.get("file_bytes"), format_size),
        (info.get("peak_memory_bytes"), lambda value: f"peak {format_size(value)}"),
        (info.get("mae_px"), lambda value: f"{value:.3f} px"),
    ]
    return ", ".join(words(value) for value, words in shown if value is not None)


@dataclass(frozen=True)
class Made:
    """A network made and measured: its file, and what a device found about it."""

    compressed: Compressed
    variant: Variant
    setup: ChainSetup
    artifact: Artifact
    path: Path
    outcome: Outcome
    test: Samples

    def notes(self) -> dict[str, Any]:
        """What stands beside each time in the benchmark's JSON."""
        memory = self.outcome.measurement.memory
        answers = Landmarks().answers(self.outcome.predictions["test"])
        error = figures(Landmarks(), answers, self.test.targets)["mae"]
        return {
            "file_bytes": self.artifact.file_bytes,
            "peak_memory_bytes": memory.peak_above_baseline_bytes if memory else None,
            "mae_px": round(error, 4),
            "chain": self.artifact.chain,
            "threads": 1,
        }


@pytest.fixture(scope="session")
def workshop(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder for files; where the benchmarks only show that they run, the cache too is in it."""
    with (
        tempfile.TemporaryDirectory(prefix="mlbench-setup-") as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        if once(request.config):
            request.getfixturevalue("plugin")
            patch.setenv("MLBENCH_CACHE", str(Path(folder) / "cache"))
        yield Path(folder)


@pytest.fixture(scope="session")
def material(request: pytest.FixtureRequest) -> Material:
    """What the baselines learn from: faces as `mlbench run --samples N` draws them."""
    count = 120 if once(request.config) else _option(request.config, "--samples", _SAMPLES)
    return Material(Landmarks(), *Source(Landmarks(), None, count, "file-order", 7).divided(Silent()))


@pytest.fixture(scope="session")
def make(request: pytest.FixtureRequest, workshop: Path, material: Material) -> Any:
    """Function from variant and chain to what they give; each pair is made once."""
    done: dict[tuple[str, str], Made] = {}
    training = TrainingOptions(epochs=_option(request.config, "--epochs", _EPOCHS))

    def of(variant: str, chain: str) -> Made:
        if (variant, chain) not in done:
            definition: Variant = plugins.load("variants", variant)
            setup = ChainSetup(material, TuningOptions(epochs=1), Silent())
            baseline = train_baseline(definition, material, training, Silent())
            compressed = compress(baseline, parse_chain(chain), setup)
            artifact = export(compressed, definition.name, chain, setup, workshop)
            path = workshop / artifact.path
            test = material.samples.take(material.split.test)
            done[variant, chain] = Made(
                compressed, definition, setup, artifact, path, _measured(path, test), test
            )
        return done[variant, chain]

    return of


def _measured(path: Path, test: Samples) -> Outcome:
    """Memory and outputs in a measuring process; its latencies are too few to be quoted."""
    job = Job(
        artifacts=(artifact_of(path),),
        folder=path.parent,
        test_sets={"test": test},
        min_count=20,
        min_seconds=0.0,
    )
    return next(iter(plugins.load("device_runners", "host")().measure(job, Silent())))


@pytest.fixture(scope="session")
def frames(request: pytest.FixtureRequest) -> np.ndarray:
    """Camera frames [n,480,864]."""
    return compose_frames(4 if once(request.config) else 20, 7).images
