"""What the Android tests share: built once a session, skipped with the reason where a tool is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from device_runners.android import build
from device_runners.android.build import Built
from device_runners.android.tools import BUILD_TOOLS, Tools
from mlbench.contracts import Job
from mlbench.files import file_sha256
from mlbench.progress import Silent
from mlbench.records import Artifact

from .jvm.jvm_host import JvmHost

FORMS = ("float32", "float16", "dynamic", "int8", "svd", "svd_dynamic")


@pytest.fixture(scope="session")
def build_tools() -> Tools:
    """The tools of the build; skips where one is missing."""
    tools = Tools.from_environment()
    missing = [tool for tool in BUILD_TOOLS if tools.find(tool.name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(tool.name for tool in missing)}: apt install {missing[0].package}")
    return tools


@pytest.fixture(scope="session")
def built(build_tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The app for every processor, built from source."""
    return build.build(build.ABIS, tmp_path_factory.mktemp("apk") / "harness.apk", Silent())


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small networks, a `.tflite` a form."""
    folder = tmp_path_factory.mktemp("networks")
    script = Path(__file__).with_name("small_networks.py")
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def jvm(build_tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JvmHost]:
    """The app's classes on a desktop JVM, started once."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc for the stand-in of Android's C library: apt install gcc")
    if os.uname().machine != "x86_64" or sys.platform != "linux":
        pytest.skip("needs Linux on x86_64: it loads Android's x86_64 libraries")
    host = JvmHost(tmp_path_factory.mktemp("jvm"))
    yield host
    host.close()


@pytest.fixture(scope="session")
def crops() -> npt.NDArray[np.uint8]:
    """Crops to compare outputs on: smooth, so that they look like something, and two edge cases."""
    random = np.random.default_rng(11)
    coarse = random.integers(0, 256, (14, 12, 12), dtype=np.uint8)
    smooth = np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2)
    return np.concatenate([smooth, np.zeros((1, 96, 96), np.uint8), np.full((1, 96, 96), 255, np.uint8)])


def artifact(path: Path, name: str) -> Artifact:
    """An artifact of a file; what it was made from does not matter here."""
    return Artifact(
        id=name,
        variant="small",
        chain=name,
        path=path.name,
        sha256=file_sha256(path),
        file_bytes=path.stat().st_size,
        deflated_bytes=0,
        parameters=0,
        macs=0,
        precision="float32",
        export_error=0.0,
    )


def job(folder: Path, networks: Path, names: tuple[str, ...], **changes: object) -> Job:
    """A short job in `folder` on copies of some networks."""
    for name in names:
        shutil.copy(networks / f"{name}.tflite", folder)
    artifacts = tuple(artifact(folder / f"{name}.tflite", name) for name in names)
    values: dict[str, object] = {
        "artifacts": artifacts,
        "folder": folder,
        "test_sets": {},
        "frames": np.zeros((0, 480, 864), np.uint8),
        "min_count": 6,
        "min_seconds": 0.0,
    }
    return Job(**(values | changes))  # type: ignore[arg-type]
