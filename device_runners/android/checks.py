"""What must hold of a finished APK before anybody installs it, read back from the file."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mlbench.device_runners.android import apk, dex, elf
from mlbench.device_runners.android.tools import Tools, call
from mlbench.errors import UsageError

_SCHEME = re.compile(r"^Verified using (v[\d.]+) scheme.*: true$", re.MULTILINE)
_NEEDED_CLASSES = {
    "Lio/mlbench/harness/BenchInstrumentation;",
    "Lio/mlbench/harness/BenchActivity;",
    "Lio/mlbench/harness/LiveActivity;",
    "Lorg/tensorflow/lite/Interpreter;",
    "Lorg/opencv/objdetect/CascadeClassifier;",
}
_LARGE_PAGE = 16 * 1024


@dataclass(frozen=True)
class Report:
    """What was read from the APK."""

    bytes: int
    signature_schemes: tuple[str, ...]
    package: str
    minimum_sdk: int
    target_sdk: int
    abis: tuple[str, ...]
    classes: int
    page_alignment: dict[str, int]  # by library: 4096 or 16384

    @property
    def warnings(self) -> list[str]:
        """Plain words about what works on some phones only."""
        small = sorted(name for name, alignment in self.page_alignment.items() if alignment < _LARGE_PAGE)
        if not small:
            return []
        return [
            f"{', '.join(small)}: built by its makers for 4 KB memory pages; on a phone with 16 KB pages it does not"
            " load (or only in Android's compatibility mode)."
        ]


def check(path: Path, abis: tuple[str, ...], tools: Tools) -> Report:
    """Check signature, badging, alignment, dex and libraries of an APK.

    Raises:
        UsageError: the first check that does not hold.
    """
    schemes = _signature_schemes(path, tools)
    package, minimum, target, native = _badging(path, tools)
    _alignment(path, tools)
    classes = _classes(path)
    if set(native) != set(abis):
        message = f"{path} has libraries for {', '.join(native)}, not for {', '.join(abis)}."
        raise UsageError(message)
    pages = _page_alignment(path)
    return Report(path.stat().st_size, schemes, package, minimum, target, native, classes, pages)


def _signature_schemes(path: Path, tools: Tools) -> tuple[str, ...]:
    output = call([tools.path("apksigner"), "verify", "--verbose", path], f"{path} is not signed properly")
    schemes = tuple(_SCHEME.findall(output))
    if not {"v2", "v3"} <= set(schemes):
        message = f"{path} is signed by {', '.join(schemes) or 'no scheme'}, not by v2 and v3."
        raise UsageError(message)
    return schemes


def _badging(path: Path, tools: Tools) -> tuple[str, int, int, tuple[str, ...]]:
    output = call([tools.path("aapt"), "dump", "badging", path], f"{path} has an unreadable manifest")
    patterns = (r"^package: name='([\w.]+)'", r"^sdkVersion:'(\d+)'", r"^targetSdkVersion:'(\d+)'")
    found = [re.search(pattern, output, re.MULTILINE) for pattern in patterns]
    native = re.search(r"^native-code: (.*)$", output, re.MULTILINE)
    package, minimum, target = found
    if not (package and minimum and target and native):
        message = f"{path}: `aapt dump badging` does not tell package, SDK levels and native code."
        raise UsageError(message)
    return package[1], int(minimum[1]), int(target[1]), tuple(re.findall(r"'([\w-]+)'", native[1]))


def _alignment(path: Path, tools: Tools) -> None:
    wrong = apk.misaligned(path)
    if wrong:
        message = f"{path}: {', '.join(wrong)} not aligned for mapping from the APK."
        raise UsageError(message)
    call([tools.path("zipalign"), "-c", "-p", str(apk.ENTRY_ALIGNMENT), path], f"{path} is not aligned")


def _classes(path: Path) -> int:
    classes: set[str] = set()
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".dex"):
                classes |= dex.class_names(archive.read(name), name)
    missing = _NEEDED_CLASSES - classes
    if missing:
        message = f"{path} lacks the class {min(missing)}."
        raise UsageError(message)
    return len(classes)


def _page_alignment(path: Path) -> dict[str, int]:
    alignment = {}
    with zipfile.ZipFile(path) as archive:
        for name in (n for n in archive.namelist() if n.endswith(".so")):
            library = archive.read(name)
            if elf.machine(library, name) != name.split("/")[1]:
                message = f"{name} in {path} is for {elf.machine(library, name)}."
                raise UsageError(message)
            alignment[name] = elf.page_alignment(library, name)
    return alignment
