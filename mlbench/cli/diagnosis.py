"""What is installed and what is missing, each with the way to get it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, get_args

import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlbench import plugins
from mlbench.contracts import Variant
from mlbench.errors import UsageError
from mlbench.system.cache import cache_folder
from mlbench.system.installing import install, install_extra
from mlbench.system.sizes import format_size


@dataclass(frozen=True)
class Check:
    """One thing looked at: whether it is good, whether the main job needs it, and what to do."""

    name: str
    good: bool
    needed: bool
    found: str
    remedy: str = ""
    figures: dict[str, int] = field(default_factory=dict)  # in base units, for machines

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "name": self.name,
            "good": self.good,
            "needed": self.needed,
            "found": self.found,
            "remedy": "" if self.good else self.remedy,
            **self.figures,
        }


def checks() -> list[Check]:
    """Everything that a run, preparation or a device may need."""
    return [
        _python(),
        *(
            _package(name, needed=True, remedy=install(name))
            for name in ("tensorflow", "tf_keras", "numpy", "ai-edge-litert", "opencv-python-headless")
        ),
        _guarded("face detector", _cascade, needed=True, remedy=install("opencv-python-headless")),
        _guarded("appearance model", _appearance, needed=True, remedy="reinstall mlbench"),
        _guarded("measuring process", _worker, needed=True, remedy="reinstall mlbench, or free memory"),
        _package("dlib-bin", needed=False, remedy=f"{install_extra('prepare')} (for mlbench prepare)"),
        _room(
            "memory",
            psutil.virtual_memory().available,
            2 * 2**30,
            "close other programs (one_pool needs 8 GB)",
        ),
        _training_memory(),
        _disk(),
        *_requirements("detectors"),
        *_requirements("device_runners"),
        *_plugins(),
    ]


def show(found: list[Check]) -> None:
    """Print the checks as a table."""
    table = Table(title="mlbench doctor", title_justify="left")
    for heading in ("what", "", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for check in found:
        table.add_row(check.name, _mark(check), check.found, "" if check.good else check.remedy)
    Console(markup=False).print(table)


def _mark(check: Check) -> Text:
    if check.good:
        return Text("good", "green")
    return Text("missing", "red") if check.needed else Text("absent", "yellow")


def _python() -> Check:
    running = sys.version_info
    good = (3, 11) <= running < (3, 14)
    return Check("python", good, True, ".".join(map(str, running[:3])), "use Python 3.11, 3.12 or 3.13")


def _package(name: str, needed: bool, remedy: str) -> Check:
    try:
        return Check(name, True, needed, version(name))
    except PackageNotFoundError:
        return Check(name, False, needed, "not installed", remedy)


def _guarded(name: str, look: Callable[[], str], needed: bool, remedy: str) -> Check:
    try:
        return Check(name, True, needed, look())
    except (UsageError, ImportError, OSError) as error:
        return Check(name, False, needed, str(error), remedy)


def _cascade() -> str:
    from mlbench.faces.detection import cascade_path

    return cascade_path().name


def _appearance() -> str:
    from mlbench.faces.appearance import AppearanceModel

    return f"sha256 {AppearanceModel.load().fingerprint[:12]}"


def _worker() -> str:
    plugins.load("device_runners", "host")().require_ready()
    return "runs"


def _room(name: str, free: int, wanted: int, remedy: str) -> Check:
    figures = {"free_bytes": free, "wanted_bytes": wanted}
    return Check(name, free >= wanted, False, f"{format_size(free)} free", remedy, figures)


def _training_memory() -> Check:
    """What training each variant takes, beside what is free."""
    from mlbench.training.memory import training_bytes

    variants = [one for one in plugins.usable("variants")[0].values() if isinstance(one, Variant)]
    taken = {one.name: training_bytes(one) for one in variants if one.shape and one.outputs}
    free = psutil.virtual_memory().available
    told = ", ".join(f"{name} {format_size(size)}" for name, size in taken.items())
    return Check(
        "memory of training",
        free >= max(taken.values(), default=0),
        False,
        f"about {told}, with batches of 120",
        "give a smaller --batch or variant",
        {f"{name}_bytes": size for name, size in taken.items()},
    )


def _requirements(kind: plugins.Kind) -> list[Check]:
    """What the plug-ins of a kind need besides mlbench."""
    found = [(name, *row) for name, one in plugins.usable(kind)[0].items() for row in one.requirements()]
    return [
        Check(f"{name} ({plugin})", good, False, text if good else "not found", text)
        for plugin, name, good, text in found
    ]


def _plugins() -> list[Check]:
    """Plug-ins that cannot be used."""
    faults = [fault for kind in get_args(plugins.Kind) for fault in plugins.usable(kind)[1]]
    return [Check("plug-in", False, False, fault, "reinstall or remove its package") for fault in faults]


def _disk() -> Check:
    folder = cache_folder()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return _room(
        "disk for the cache", shutil.disk_usage(existing).free, 5 * 10**9, f"free space in {existing}"
    )
