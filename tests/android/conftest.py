"""What the Android tests share: built once a session, skipped with the reason where a tool is missing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mlbench.contracts import Job, Pipeline, Samples
from mlbench.device_runners.android import build
from mlbench.device_runners.android.build import Built
from mlbench.device_runners.android.tools import BUILD_TOOLS, Tools
from mlbench.faces.dataset import Faces
from mlbench.faces.detection import cascade_path
from mlbench.faces.landmarks import samples_of
from mlbench.records import Artifact
from mlbench.system.files import file_sha256
from mlbench.system.progress import Silent

from .double.phone import PACKAGE, App, FakePhone, Plugged
from .jvm.jvm_host import JvmHost

FORMS = ("float32", "float16", "dynamic", "int8", "uint8", "int16", "svd", "svd_dynamic", "dynamic4")


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
    """The app, built from source."""
    return build.build(("arm64-v8a",), tmp_path_factory.mktemp("apk") / "harness.apk", Silent())


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
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real adb server of this session's own: its own port, its own keys."""
    adbutils = pytest.importorskip("adbutils", reason="needs adbutils: pip install -e '.[android]'")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDROID_ADB_SERVER_PORT", port)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("adb")))
        patch.delenv("ANDROID_SERIAL", raising=False)
        adb = [adbutils.adb_path(), "-P", port]
        subprocess.run([*adb, "start-server"], check=True, capture_output=True, timeout=60)
        yield
        subprocess.run([*adb, "kill-server"], check=False, capture_output=True, timeout=60)


@dataclass(frozen=True)
class Connected:
    """A double behind the real adb server."""

    phone: FakePhone
    serial: str

    def connect(self) -> str:
        """As `adb connect`; also after a cut."""
        import adbutils

        adbutils.AdbClient().disconnect(self.serial)
        said = adbutils.AdbClient().connect(self.serial, timeout=20)
        assert isinstance(said, str)
        return said


Plug = Callable[..., Connected]


@pytest.fixture
def plug(adb_server: None, tmp_path: Path) -> Iterator[Plug]:
    """Plugs doubles in: `plug(app, switch=value, …)`; with `apk` the app is installed already."""
    import adbutils

    plugged = []

    def plug_in(app: App, apk: Path | None = None, **switches: Any) -> Connected:
        phone = FakePhone(tmp_path / f"phone-{len(plugged)}", app, **switches)
        if apk is not None:
            phone.installed = phone.path(f"/data/app/~~Qz0_9aB==/{PACKAGE}-x1Y-2==/base.apk")
            phone.installed.parent.mkdir(parents=True)
            shutil.copy(apk, phone.installed)
        line = Plugged(phone)
        plugged.append(line)
        connected = Connected(phone, line.serial)
        connected.connect()
        return connected

    yield plug_in
    for line in plugged:
        adbutils.AdbClient().disconnect(line.serial)
        line.unplug()


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


def samples(crops: npt.NDArray[np.uint8]) -> Samples:
    """Crops as samples of landmarks; where the points are does not matter here."""
    names = np.array([f"{row:06}" for row in range(len(crops))])
    return samples_of(Faces(crops, np.zeros((len(crops), 68, 2), np.float32), names))


def job(
    folder: Path,
    networks: Path,
    names: tuple[str, ...],
    test_sets: Mapping[str, npt.NDArray[np.uint8]],
    frames: npt.NDArray[np.uint8] | None = None,
    min_count: int = 6,
    video: npt.NDArray[np.uint8] | None = None,
) -> Job:
    """A short job in `folder` on copies of some networks; test sets are crops by name, frames make a pipeline.

    In a video beside the frames, what is found is followed.
    """
    for name in names:
        shutil.copy(networks / f"{name}.tflite", folder)
    artifacts = tuple(artifact(folder / f"{name}.tflite", name) for name in names)
    sets = {name: samples(crops) for name, crops in test_sets.items()}
    pipeline = None if frames is None else Pipeline(frames, cascade_path(), (96, 96), video=video)
    return Job(artifacts, folder, sets, pipeline, min_count=min_count, min_seconds=0.0)
