"""What matters about a shared library in an APK: its machine, its page alignment, the libraries it needs."""

from __future__ import annotations

import struct

from mlbench.errors import UsageError

_MACHINES = {40: "armeabi-v7a", 183: "arm64-v8a", 3: "x86", 62: "x86_64"}
_LOAD = 1


def machine(library: bytes, name: str) -> str:
    """The ABI of an ELF file, as Android names it.

    Raises:
        UsageError: not an ELF file, or another machine.
    """
    if library[:4] != b"\x7fELF" or len(library) < 64:
        message = f"{name} is not an ELF library."
        raise UsageError(message)
    (number,) = struct.unpack_from("<H", library, 18)
    if number not in _MACHINES:
        message = f"{name} is for ELF machine {number}, which no Android phone has."
        raise UsageError(message)
    return _MACHINES[number]


def page_alignment(library: bytes, name: str) -> int:
    """The smallest alignment of the loadable segments: 4096 loads on 4 KB pages only, 16384 on both.

    Raises:
        UsageError: not an ELF library, or it ends within its headers.
    """
    machine(library, name)
    wide = library[4] == 2  # EI_CLASS
    table, size, count = (
        struct.unpack_from("<Q", library, 32)[0] if wide else struct.unpack_from("<I", library, 28)[0],
        *struct.unpack_from("<HH", library, 54 if wide else 42),
    )
    try:
        segments = [
            struct.unpack_from("<I", library, table + i * size)[0:1]
            + struct.unpack_from("<Q" if wide else "<I", library, table + i * size + (48 if wide else 28))
            for i in range(count)
        ]
    except struct.error as error:
        message = f"{name} ends within its ELF headers."
        raise UsageError(message) from error
    return min((alignment for kind, alignment in segments if kind == _LOAD), default=0)
