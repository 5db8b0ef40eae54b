"""The pinned files, each fetched once by the package clients of this machine, or taken from a folder."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from mlbench.contracts import Progress
from mlbench.device_runners.arm64 import pinned
from mlbench.device_runners.arm64.pinned import Package, Wheel
from mlbench.errors import UsageError
from mlbench.system.files import file_sha256

_HELPER = Path("/usr/lib/apt/apt-helper")  # apt's own downloader, which checks hashes
_TIMEOUT_S = 1800
_PLATFORMS = [f"manylinux_2_{minor}_aarch64" for minor in (17, 26, 27, 28, 31, 34)]
_ELSEWHERE = "give a folder of files fetched elsewhere by --packages"


def fetch(store: Path, mirror: str | None, given: Path | None, progress: Progress) -> list[Path]:
    """The files of `pinned.packages` and `pinned.wheels`; what the store lacks comes from a folder, a mirror or pip.

    A file appears in the store only with its pinned hash, so that a broken installation goes on where it was.

    Args:
        store: folder of what was fetched.
        mirror: address of a Debian mirror or snapshot; None: this machine's own.
        given: a folder that holds the files; None: none.
        progress: shows how far it is.

    Raises:
        UsageError: a file cannot be fetched, or has another hash.
    """
    store.mkdir(parents=True, exist_ok=True)
    packages, wheels = pinned.packages(), pinned.wheels()
    found = []
    with progress.task("Fetching", len(packages) + len(wheels), "files") as advance:
        for package in packages:
            advance(0, package.file_name)
            found.append(_package(package, store, mirror, given))
            advance(1, None)
        for wheel in wheels:
            advance(0, wheel.name)
            if wheel.sha256 is None:
                progress.say(f"No hash is pinned for {wheel.name} {wheel.version}: pip chooses the wheel.")
            found.append(_wheel(wheel, store, given))
            advance(1, None)
    return found


def _package(package: Package, store: Path, mirror: str | None, given: Path | None) -> Path:
    place = store / package.file_name
    if place.is_file() and file_sha256(place) == package.sha256:
        return place
    with tempfile.TemporaryDirectory(dir=store, prefix=".fetch-") as folder:
        part = Path(folder) / package.file_name
        if given is not None:
            _take(given, package.file_name, part)
        else:
            _download(f"{(mirror or _own_mirror()).rstrip('/')}/{quote(package.path)}", package, part)
        if file_sha256(part) != package.sha256:
            message = f"{package.file_name} does not have the pinned SHA-256 {package.sha256}: do not use it."
            raise UsageError(message)
        part.replace(place)
    return place


def _take(given: Path, name: str, part: Path) -> None:
    try:
        shutil.copyfile(given / name, part)
    except OSError as error:
        message = f"{given / name} cannot be read ({error.strerror or error}): put the file there."
        raise UsageError(message) from error


def _download(address: str, package: Package, part: Path) -> None:
    if not _HELPER.exists():
        message = f"There is no apt on this machine to fetch Debian packages: {_ELSEWHERE}."
        raise UsageError(message)
    command = [str(_HELPER), "download-file", address, str(part), f"SHA256:{package.sha256}"]
    done = _run(command, f"apt fetched nothing for {_TIMEOUT_S} s: check the network and install again.")
    if done.returncode or not part.is_file():
        message = (
            f"apt cannot fetch {package.file_name} ({_last_line(done)}): give the address of a Debian mirror by "
            f"--mirror, or of Debian's snapshot archive at {pinned.SNAPSHOT}, which keeps this version, or "
            f"{_ELSEWHERE}."
        )
        raise UsageError(message)


def _own_mirror() -> str:
    """Where this machine's own packages come from."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"]
    try:
        done = _run(command, "apt does not answer: give the address of a Debian mirror by --mirror.")
    except FileNotFoundError as error:
        message = f"There is no apt on this machine to fetch Debian packages: {_ELSEWHERE}."
        raise UsageError(message) from error
    for line in done.stdout.splitlines():
        address, _, suite = line.partition(" ")
        if "security" not in suite and address.startswith(("http:", "https:")):
            return address
    message = (
        "apt has no source of packages on this machine: give the address of a Debian mirror by --mirror."
    )
    raise UsageError(message)


def _wheel(wheel: Wheel, store: Path, given: Path | None) -> Path:
    if found := _kept(wheel, store):
        return found
    with tempfile.TemporaryDirectory(dir=store, prefix=".fetch-") as scratch:
        folder = Path(scratch)
        if given is not None:
            for file in _named(wheel, given):
                _take(given, file.name, folder / file.name)
        else:
            _by_pip(wheel, folder)
        if not (fetched := _kept(wheel, folder)):
            message = (
                f"There is no aarch64 wheel of {wheel.name} {wheel.version} for Python {pinned.PYTHON} with the pinned "
                f"SHA-256: install a version of {wheel.name} that has one, or {_ELSEWHERE}."
            )
            raise UsageError(message)
        return fetched.replace(store / fetched.name)


def _named(wheel: Wheel, folder: Path) -> list[Path]:
    distribution = f"{wheel.name.replace('-', '_')}-{wheel.version}"
    return sorted(folder.glob(f"{distribution}-*{pinned.PYTHON.replace('.', '')}*aarch64.whl"))


def _kept(wheel: Wheel, folder: Path) -> Path | None:
    right = (f for f in _named(wheel, folder) if wheel.sha256 in (None, file_sha256(f)))
    return next(right, None)


def _by_pip(wheel: Wheel, folder: Path) -> None:
    if importlib.util.find_spec("pip") is None:
        message = f"pip is missing, and {wheel.name} for aarch64 needs it: run `python -m ensurepip`, or {_ELSEWHERE}."
        raise UsageError(message)
    wanted = f"{wheel.name}=={wheel.version}" + (f" --hash=sha256:{wheel.sha256}" if wheel.sha256 else "")
    requirements = folder / "requirements.txt"
    requirements.write_text(wanted + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--python-version", pinned.PYTHON, "--implementation", "cp"]
    command += [word for name in _PLATFORMS for word in ("--platform", name)]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    done = _run(command, f"pip fetched nothing for {_TIMEOUT_S} s: check the network and install again.")
    if done.returncode:
        message = (
            f"pip cannot fetch {wheel.name} {wheel.version} for aarch64 ({_last_line(done)}): {_ELSEWHERE}."
        )
        raise UsageError(message)


def _run(command: list[str], late: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise UsageError(late) from error


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("W:")]
    return lines[-1].strip()[:300] if lines else f"it ended with {done.returncode}"
