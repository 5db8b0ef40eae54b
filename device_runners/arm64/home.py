"""Where the emulator and what runs in it lie: below the cache folder, by the versions in use."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from mlbench.device_runners.arm64 import pinned
from mlbench.errors import UsageError
from mlbench.system.cache import cache_folder
from mlbench.system.files import key_of

INSTALL = "run `mlbench arm64 install`"

#: Raised when what is unpacked changes though the pinned files do not.
_VERSION = 1


@dataclass(frozen=True)
class Home:
    """An installation.

    Attributes:
        folder: holds the emulator, the root of the emulated system and the packages of its Python.
    """

    folder: Path

    @property
    def python(self) -> Path:
        """The emulated interpreter."""
        return self.root / "usr" / "bin" / f"python{pinned.PYTHON}"

    @property
    def root(self) -> Path:
        """Where the emulated programs find their libraries."""
        return self.folder / "root"

    @property
    def site(self) -> Path:
        """Numpy and LiteRT for ARM."""
        return self.folder / "site"

    @property
    def bytecode(self) -> Path:
        """What the emulated interpreter compiled, which takes it longer than to run it."""
        return self.folder / "bytecode"

    @property
    def qemu(self) -> Path | None:
        """The emulator: the one that was installed, else, on machines for which none is pinned, the PATH's."""
        own = self.folder / "qemu-aarch64"
        if own.exists() or pinned.brings_qemu():
            return own if own.exists() else None
        found = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
        return Path(found) if found else None


def base() -> Path:
    """All that this runner keeps."""
    return cache_folder() / "arm64"


def home() -> Home:
    """Where the pinned files with the versions in use are installed, or would be."""
    return Home(base() / key_of(_VERSION, pinned.packages(), pinned.wheels()))


def installed() -> bool:
    """Whether they are."""
    return home().folder.is_dir()


def remove() -> int:
    """Remove the installation, what was fetched for it, and kept answers; returns the bytes freed."""
    files = [path for path in base().rglob("*") if path.is_file() and not path.is_symlink()]
    size = sum(path.stat().st_size for path in files)
    shutil.rmtree(base(), ignore_errors=True)
    return size


def require_installed() -> Home:
    """The installation.

    Raises:
        UsageError: there is none.
    """
    if not installed():
        message = f"The emulated ARM system is not installed: {INSTALL}."
        raise UsageError(message)
    return home()
