"""Debian packages and wheels, unpacked below a folder: no name in an archive leads out of it."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import IO

from mlbench.errors import UsageError

_ARCHIVE = b"!<arch>\n"

#: What an interpreter needs of a system.
_NEEDED = (("usr", "bin"), ("usr", "lib"))


class UnsafeNameError(Exception):
    """An archive names a place outside the folder that it is unpacked to."""


def unpack_package(file: Path, target: Path, only: str = "") -> None:
    """Unpack a Debian package: programs and libraries, or one file of it to the folder itself.

    Links that lead out of the folder are left out: the emulated program would follow them on this machine.

    Raises:
        UsageError: the file is damaged, or names a place outside the folder.
    """
    try:
        with file.open("rb") as source, tarfile.open(fileobj=_data_of(source), mode="r|*") as archive:
            for member in archive:
                path = _relative(member.name)
                if only and path == PurePosixPath(only):
                    _copy(archive.extractfile(member), target / path.name, program=True)
                    return
                if not only and path.parts[:2] in _NEEDED:
                    _extract(archive, member, path, target)
    except (tarfile.TarError, EOFError, ValueError, OSError, UnsafeNameError) as error:
        message = f"{file.name} cannot be unpacked ({error}): remove it and install again."
        raise UsageError(message) from error
    if only:
        message = f"{file.name} has no {only}: remove it and install again."
        raise UsageError(message)


def unpack_wheel(file: Path, target: Path) -> None:
    """Unpack a wheel.

    Raises:
        UsageError: the file is damaged, or names a place outside the folder.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            for item in archive.infolist():
                if not item.is_dir():
                    with archive.open(item) as content:
                        _copy(content, _place(target, _relative(item.filename)), program=False)
    except (zipfile.BadZipFile, ValueError, OSError, RuntimeError, UnsafeNameError) as error:
        message = f"{file.name} cannot be unpacked ({error}): remove it and install again."
        raise UsageError(message) from error


def _data_of(source: IO[bytes]) -> IO[bytes]:
    """The compressed files of a package, which is an `ar` archive: 60 bytes of header before each member."""
    if source.read(len(_ARCHIVE)) != _ARCHIVE:
        message = "it is not a Debian package"
        raise ValueError(message)
    for name, size in _headers(source):
        if name.startswith("data.tar"):
            return io.BytesIO(source.read(size))
        source.seek(size + size % 2, io.SEEK_CUR)
    message = "it holds no files"
    raise ValueError(message)


def _headers(source: IO[bytes]) -> Iterator[tuple[str, int]]:
    while len(header := source.read(60)) == 60:
        yield header[:16].decode("ascii", "replace").strip().rstrip("/"), int(header[48:58])


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, path: PurePosixPath, target: Path) -> None:
    if member.isfile():
        _copy(archive.extractfile(member), _place(target, path), program=bool(member.mode & 0o100))
    elif member.issym():
        place = _place(target, path)
        if _stays(place.parent.resolve().relative_to(target.resolve()), PurePosixPath(member.linkname)):
            place.unlink(missing_ok=True)
            place.symlink_to(member.linkname)
    elif member.islnk():
        _copy(_place(target, _relative(member.linkname)).open("rb"), _place(target, path), program=True)


def _relative(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise UnsafeNameError(f"it names {name!r:.80}")  # noqa: EM102 (short)
    return path


def _stays(folder: Path, link: PurePosixPath) -> bool:
    """Whether a link leads to a place below the target, from a folder of it that is no link itself.

    One that goes up after it went down may change its way with links that come later.
    """
    up = len(list(takewhile("..".__eq__, link.parts)))
    return not link.is_absolute() and up <= len(folder.parts) and ".." not in link.parts[up:]


def _place(target: Path, path: PurePosixPath) -> Path:
    """Where a file of the archive goes; its folder is made, and no link leads it out."""
    place = target / path
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.parent.resolve().is_relative_to(target.resolve()):
        raise UnsafeNameError(f"it has a link out of the folder: {path!s:.80}")  # noqa: EM102 (short)
    return place


def _copy(source: IO[bytes] | None, place: Path, *, program: bool) -> None:
    if source is None:
        message = f"{place.name} is not a file"
        raise ValueError(message)
    place.unlink(missing_ok=True)  # never through a link
    with source, place.open("xb") as file:
        shutil.copyfileobj(source, file)
    place.chmod(0o755 if program else 0o644)
