"""The emulator and what runs in it, installed whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from mlbench.contracts import Progress
from mlbench.device_runners.arm64 import fetching, pinned
from mlbench.device_runners.arm64.emulator import try_out
from mlbench.device_runners.arm64.home import Home, base, home
from mlbench.device_runners.arm64.unpacking import unpack_package, unpack_wheel
from mlbench.system.cache import one_at_a_time


def install(mirror: str | None, given: Path | None, progress: Progress) -> bool:
    """Fetch, unpack and try what is pinned; whether anything was to do.

    Args:
        mirror: see `fetching.fetch`.
        given: likewise.
        progress: shows how far it is.

    Raises:
        UsageError: a file cannot be had, unpacked or run; what was fetched is kept for the next time.
    """
    with one_at_a_time(base(), progress.say):
        target = home()
        if target.folder.is_dir():
            return False
        for left in base().glob(".part-*"):  # of an installation that was killed
            shutil.rmtree(left, ignore_errors=True)
        store = base() / "packages"
        files = fetching.fetch(store, mirror, given, progress)
        with tempfile.TemporaryDirectory(dir=base(), prefix=".part-") as scratch:
            part = Home(Path(scratch) / "home")
            _unpack(files, part, progress)
            progress.say("Testing: the emulated Python compiles its modules, which takes minutes …")
            try_out(part)
            part.folder.rename(target.folder)
        shutil.rmtree(store, ignore_errors=True)
        return True


def _unpack(files: list[Path], part: Home, progress: Progress) -> None:
    only = {package.file_name: package.only for package in pinned.packages()}
    for folder in (part.folder, part.root, part.site, part.bytecode):
        folder.mkdir()
    with progress.task("Unpacking", len(files), "files") as advance:
        for file in files:
            if file.suffix == ".whl":
                unpack_wheel(file, part.site)
            else:
                one = only[file.name]
                unpack_package(file, part.folder if one else part.root, one)
            advance(1, file.name)
    (part.root / "lib").symlink_to("usr/lib")  # where programs look for the loader
