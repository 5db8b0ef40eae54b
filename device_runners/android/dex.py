"""Sanity of a dex file: its own checksum and signature, and the classes that it says it has."""

from __future__ import annotations

import hashlib
import struct
import zlib

from mlbench.errors import UsageError

_HEADER_BYTES = 0x70


def class_names(dex: bytes, name: str) -> set[str]:
    """Descriptors of the classes that a dex file defines, after checking the file against its header.

    Raises:
        UsageError: not a dex file, truncated, or changed since it was written.
    """
    if dex[:4] != b"dex\n" or len(dex) < _HEADER_BYTES:
        message = f"{name} is not a dex file."
        raise UsageError(message)
    checksum, signature, size = struct.unpack_from("<I20sI", dex, 8)
    if (
        size != len(dex)
        or checksum != zlib.adler32(dex[12:])
        or signature != hashlib.sha1(dex[32:], usedforsecurity=False).digest()
    ):
        message = f"{name} does not match its own checksum: build again."
        raise UsageError(message)
    strings, types, classes = (struct.unpack_from("<I", dex, at)[0] for at in (0x3C, 0x44, 0x64))
    (count,) = struct.unpack_from("<I", dex, 0x60)
    return {
        _descriptor(dex, strings, types, struct.unpack_from("<I", dex, classes + 32 * i)[0])
        for i in range(count)
    }


def _descriptor(dex: bytes, strings: int, types: int, type_index: int) -> str:
    (string_index,) = struct.unpack_from("<I", dex, types + 4 * type_index)
    (at,) = struct.unpack_from("<I", dex, strings + 4 * string_index)
    while dex[at] & 0x80:  # ULEB128 length
        at += 1
    return dex[at + 1 : dex.index(b"\0", at + 1)].decode("utf-8", "replace")
