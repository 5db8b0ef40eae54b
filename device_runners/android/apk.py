"""The APK as a zip: packed so that the same inputs give the same bytes, and its alignment read back."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mlbench.system.files import write_atomically

#: Stored libraries are mapped straight from the APK; 16 KB serves every page size.
LIBRARY_ALIGNMENT = 16 * 1024
ENTRY_ALIGNMENT = 4

_EPOCH = (1980, 1, 1, 0, 0, 0)
_ALIGNMENT_FIELD = 0xD935  # Android's own extra field for padding
_LOCAL_HEADER_BYTES = 30


@dataclass(frozen=True)
class Entry:
    """One file of the APK; `stored` means not deflated."""

    name: str
    data: bytes
    stored: bool

    @property
    def alignment(self) -> int:
        """What the offset of the data must be a multiple of, where stored."""
        return LIBRARY_ALIGNMENT if self.name.endswith(".so") else ENTRY_ALIGNMENT


def pack(entries: Iterable[Entry], target: Path) -> None:
    """Write entries in the given order, stored ones aligned, without a time or anything of this machine."""
    with write_atomically(target) as part, part.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        for entry in entries:
            info = zipfile.ZipInfo(entry.name, _EPOCH)
            info.compress_type = zipfile.ZIP_STORED if entry.stored else zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            info.create_system = 3
            if entry.stored:
                info.extra = _padding(
                    file.tell() + _LOCAL_HEADER_BYTES + len(entry.name.encode()), entry.alignment
                )
            archive.writestr(info, entry.data)


def _padding(offset: int, alignment: int) -> bytes:
    head = 6  # field id, length, alignment: two bytes each
    zeros = -(offset + head) % alignment
    return struct.pack("<HHH", _ALIGNMENT_FIELD, 2 + zeros, alignment) + bytes(zeros)


def misaligned(path: Path) -> list[str]:
    """Names of stored entries whose data does not start at a multiple of their alignment."""
    wrong = []
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for info in archive.infolist():
            if info.compress_type == zipfile.ZIP_STORED:
                file.seek(info.header_offset + 26)
                name, extra = struct.unpack("<HH", file.read(4))
                start = info.header_offset + _LOCAL_HEADER_BYTES + name + extra
                alignment = LIBRARY_ALIGNMENT if info.filename.endswith(".so") else ENTRY_ALIGNMENT
                if start % alignment:
                    wrong.append(info.filename)
    return wrong
