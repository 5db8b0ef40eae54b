"""What many tests share: a tiny variant that joins as a user's plug-in would, and a few sampled faces."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mlbench import plugins
from mlbench.cli import main
from mlbench.contracts import Block, Samples, Variant
from mlbench.faces.dataset import Faces, write_npz
from mlbench.faces.frames import Box, compose_frames
from mlbench.faces.landmarks import samples_of

TINY = Variant(
    "tiny",
    "for tests: milliseconds per epoch",
    blocks=(Block(4, 3, True), Block(4, 2, True), Block(8, 2, True)),
    dense=(32, 24),
    shape=(96, 96, 1),
    outputs=136,
)

#: Files and folders that take longest: they go first, else one core waits for the other at the end.
_LONGEST = (
    "tests/test_documented_commands.py",
    "tests/android",
    "tests/compressors/test_contract.py",
    "tests/networks/test_importing.py",
    "tests/test_tutorials.py",
    "tests/engine/test_local.py",
    "tests/test_cli.py",
    "tests/test_battery.py",
    "tests/search/test_command.py",
    "tests/test_run_killed.py",
    "tests/faces/test_preparation_kill.py",
)

_PLUGIN = """
from mlbench.contracts import Block, Variant

TINY = Variant(
    "tiny",
    "for tests: milliseconds per epoch",
    blocks=(Block(4, 3, True), Block(4, 2, True), Block(8, 2, True)),
    dense=(32, 24),
    shape=(96, 96, 1),
    outputs=136,
    limits={"flash": 1e5},
)
"""


def _place(nodeid: str) -> str:
    """What one worker runs as a whole: a file, or all of `tests/android`, which share a build and a virtual machine."""
    return "tests/android" if nodeid.startswith("tests/android/") else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile`, whole places to the workers, the longest first."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Places(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _place(nodeid)

    config.option.loadscopereorder = False  # by the number of tests: a single one can take a minute
    return Places(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a worker, the longest places first."""
    ranks = {place: rank for rank, place in enumerate(_LONGEST)}
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: ranks.get(_place(item.nodeid), len(ranks)))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real faces, where there is one."""
    chosen = os.environ.get("MLBENCH_SHARED")
    folder = Path(chosen) if chosen else Path(__file__).parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"no real faces: {folder} is absent (MLBENCH_SHARED names another place)")
    return folder


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with an installed package that brings the variant `tiny`; on the path of this and child processes."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "tiny_variant.py").write_text(_PLUGIN)
    info = folder / "tiny_variant-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-variant\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mlbench.variants]\ntiny = tiny_variant:TINY\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv(
            "PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
        )
        plugins.forget()
        yield folder
    plugins.forget()
    sys.modules.pop("tiny_variant", None)


@pytest.fixture(scope="session")
def sampled_faces() -> Faces:
    """300 faces of the bundled appearance model."""
    from mlbench.faces.appearance import AppearanceModel

    return AppearanceModel.load().sample(300, seed=3)


@pytest.fixture(scope="session")
def sampled(sampled_faces: Faces) -> Samples:
    """The sampled faces as samples of the task `landmarks`."""
    return samples_of(sampled_faces)


@pytest.fixture(scope="session")
def faces_file(sampled_faces: Faces, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sampled faces as a file."""
    path = tmp_path_factory.mktemp("faces") / "faces.npz"
    write_npz(sampled_faces, path)
    return path


@pytest.fixture(scope="session")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Box]:
    """A composed frame with a face, and the face's true box."""
    frames = compose_frames(4, 7)
    row, box = next((row, box) for row, box in enumerate(frames.boxes or ()) if box is not None)
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    cv2.imwrite(str(path), frames.images[row])
    return path, box


CommandLine = Callable[..., tuple[object, str, str]]


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Runs `mlbench` with the given arguments; answers exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["mlbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return ended.value.code, shown.out, shown.err

    return run


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MLBENCH_CACHE", str(folder))
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """Chance with a fixed seed."""
    return np.random.default_rng(7)
