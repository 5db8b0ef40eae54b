"""Android's own x86_64 libraries made loadable by the desktop's linker, in copies and for tests only."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

_SOURCE = Path(__file__).with_name("bionic")
_UNUSED_TAG = 0x70000001
# DT_VERSYM, DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM: symbol versions that only bionic has.
_VERSION_TAGS = {0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF}
_DYNAMIC = 2


def without_symbol_versions(library: bytes) -> bytes:
    """A 64-bit ELF library whose dynamic section no longer speaks of symbol versions."""
    changed = bytearray(library)
    (table,) = struct.unpack_from("<Q", changed, 32)
    (count,) = struct.unpack_from("<H", changed, 56)
    for header in range(table, table + 56 * count, 56):
        kind, _, offset, _, _, size = struct.unpack_from("<IIQQQQ", changed, header)
        if kind == _DYNAMIC:
            for entry in range(offset, offset + size, 16):
                if struct.unpack_from("<q", changed, entry)[0] in _VERSION_TAGS:
                    struct.pack_into("<q", changed, entry, _UNUSED_TAG)
    return bytes(changed)


def make(folder: Path, parts: dict[str, Path]) -> None:
    """Fill `folder` with TFLite's and OpenCV's libraries and stand-ins for the system libraries they need."""
    folder.mkdir(parents=True)
    for name in ("org.tensorflow:tensorflow-lite", "org.opencv:opencv"):
        with zipfile.ZipFile(parts[name]) as archive:
            for entry in (n for n in archive.namelist() if n.startswith("jni/x86_64/")):
                if entry.endswith(".so"):
                    target = folder / entry.rsplit("/", 1)[1]
                    target.write_bytes(without_symbol_versions(archive.read(entry)))
    shared = ["-shared", "-fPIC", "-O1"]
    _gcc(folder, "libbionic.so", [*shared, "-fno-builtin", str(_SOURCE / "bionic.c"), "-ldl"])
    for name in ("libmediandk.so", "libjnigraphics.so"):
        _gcc(folder, name, [*shared, str(_SOURCE / "media.c"), f"-Wl,-soname,{name}"])
    for name, real in (
        ("libc.so", "c"),
        ("libm.so", "m"),
        ("libdl.so", "dl"),
        ("liblog.so", "c"),
        ("libz.so", "c"),
    ):
        empty = [*shared, f"-Wl,-soname,{name}", "-Wl,--no-as-needed", "-L.", "-lbionic"]
        system = (
            ["-l:libz.so.1"]
            if name == "libz.so"
            else [f"-l:lib{real}.so.6" if real != "dl" else "-l:libdl.so.2"]
        )
        _gcc(folder, name, [*empty, *system])


def _gcc(folder: Path, target: str, arguments: list[str]) -> None:
    compiler = shutil.which("gcc") or "gcc"
    subprocess.run(
        [compiler, "-o", target, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )


def environment(folder: Path) -> dict[str, str]:
    """What a process needs to load them."""
    return {"LD_PRELOAD": str(folder / "libbionic.so"), "LD_LIBRARY_PATH": str(folder)}
