"""The arrays of an `.npz`, looked at before they are loaded.

`numpy.load` allocates whatever a header claims and never maps a zipped array. Here headers are read first (so
that a file is refused before it costs memory), stored arrays are memory-mapped, and deflated ones can be
streamed by rows. Only data is read: an array of Python objects (a pickle) is refused.
"""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: Name of the array by which a file says itself what each sample is for.
GIVEN = "split"

#: What reading a damaged or hostile `.npz` raises, in numpy, zipfile and zlib (RuntimeError: encrypted members, and
#: compression that zipfile does not know).
NPZ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    SyntaxError,
    RuntimeError,
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)

# Deflated photographs shrink to 60-90 %: what inflates beyond this, and to so many times its size, is no data.
_BOMB_BYTES = 2**30
_BOMB_RATIO = 50

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, …, length of the name, length of the extra field


@dataclass(frozen=True)
class Entry:
    """One array of an `.npz`, known by its header.

    Attributes:
        path: the `.npz`.
        member: its entry in the zip directory.
        shape: of the array.
        dtype: of the array, never of Python objects.
        fortran: stored column by column.
        header: bytes of the member before the first value.
    """

    path: Path
    member: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    header: int

    @property
    def stored(self) -> bool:
        """Not deflated, so that it can be mapped."""
        return self.member.compress_type == zipfile.ZIP_STORED and not self.member.flag_bits & 0x1

    def load(self) -> Array:
        """The whole array: mapped read-only where stored, in memory where deflated.

        Raises:
            One of NPZ_ERRORS: the file is damaged.
        """
        if self.stored and _count(self.shape):
            return self._mapped()
        with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))

    def batches(self, rows: int) -> Iterator[Array]:
        """The array, `rows` rows at a time, holding no more than one batch where it is mapped or streamed.

        Raises:
            One of NPZ_ERRORS: the file is damaged.
        """
        if self.stored or self.fortran:
            whole = self.load()
            yield from (whole[start : start + rows] for start in range(0, len(whole), rows))
            return
        with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
            _read_exactly(file, self.header)
            for start in range(0, self.shape[0], rows):
                shape = (min(rows, self.shape[0] - start), *self.shape[1:])
                data = _read_exactly(file, _count(shape) * self.dtype.itemsize)
                yield np.frombuffer(data, self.dtype).reshape(shape)

    def _mapped(self) -> Array:
        with self.path.open("rb") as file:
            file.seek(self.member.header_offset)
            signature, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        if signature != b"PK\x03\x04":
            message = "its zip directory points nowhere"
            raise zipfile.BadZipFile(message)
        offset = self.member.header_offset + _LOCAL_HEADER.size + name + extra + self.header
        order: Any = "F" if self.fortran else "C"
        return np.asarray(
            np.memmap(self.path, self.dtype, mode="r", offset=offset, shape=self.shape, order=order)
        )


def entries(path: Path) -> dict[str, Entry]:
    """The arrays of an `.npz` by key, from their headers alone.

    Raises:
        One of NPZ_ERRORS: not an `.npz`, damaged, holding pickles, or inflating beyond measure.
    """
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        total, size = sum(member.file_size for member in members), path.stat().st_size
        if total > _BOMB_BYTES and total > _BOMB_RATIO * size:
            message = f"its {size:,} bytes would inflate to {total:,}"
            raise ValueError(message)
        return {member.filename.removesuffix(".npy"): _entry(path, archive, member) for member in members}


def _entry(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Entry:
    key = member.filename.removesuffix(".npy")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(
            version
        )
        if read is None:
            message = f"array {key!r} has the unknown format version {version}"
            raise ValueError(message)
        shape, fortran, dtype = read(file)
        header = file.tell()
    if dtype.hasobject:
        message = f"array {key!r} holds Python objects (a pickle), which are never loaded"
        raise ValueError(message)
    claimed = header + _count(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or claimed != member.file_size:
        message = f"array {key!r} claims {shape} values but has {member.file_size:,} bytes"
        raise ValueError(message)
    return Entry(path, member, shape, dtype, fortran, header)


def _count(shape: Iterable[int]) -> int:
    return math.prod(int(side) for side in shape)


def _read_exactly(file: Any, size: int) -> bytes:
    data: bytes = file.read(size)
    if len(data) != size:
        message = "it ends too early"
        raise EOFError(message)
    return data
