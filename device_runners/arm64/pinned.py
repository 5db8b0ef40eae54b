"""What is installed: packages of Debian 13 and wheels for its Python, each with the SHA-256 that it must have."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import PurePosixPath

#: Debian's archive at this time has all packages, as its snapshots keep it.
SNAPSHOT = "20261126T000000Z"

#: Debian 13's, which finds its modules in the unpacked root.
PYTHON = "3.13"


@dataclass(frozen=True)
class Package:
    """One file of a Debian mirror.

    Attributes:
        path: below the mirror's address.
        sha256: of the file.
        only: the one file in it that is unpacked; "": all below usr/bin and usr/lib.
    """

    path: str
    sha256: str
    only: str = ""

    @property
    def file_name(self) -> str:
        """As the mirror names it."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class Wheel:
    """A Python package for the emulated interpreter, of the version that this one uses."""

    name: str
    version: str
    sha256: str | None  # None: not pinned, taken as the index gives it


#: Static, so it needs nothing else; for x86-64. On other machines the program on the PATH is used.
QEMU = Package(
    "pool/main/q/qemu/qemu-user_10.0.13+ds-0+deb13u1_amd64.deb",
    "ca6ede739327a20ae5a3498230c8a3a9a072c586e131bc6bcc1201eb1725e336",
    "usr/bin/qemu-aarch64",
)

ROOT = (
    Package(
        "pool/main/g/glibc/libc6_2.41-12+deb13u5_arm64.deb",
        "0966fc3da1a26cc57647c68b5736f791b6e7eb498173a7993f63b6c89b4ed4f5",
    ),
    Package(
        "pool/main/g/gcc-14/libgcc-s1_14.2.0-19_arm64.deb",
        "1108bc87879833d6d9a145f22a4a15cddb34e065b4b5f4b97bee586adbac2851",
    ),
    Package(
        "pool/main/g/gcc-14/libstdc++6_14.2.0-19_arm64.deb",
        "6669b0c52a2e7c6af9adfdabce3ff6e286065cdfbc7b85280862b5f799daebee",
    ),
    Package(
        "pool/main/z/zlib/zlib1g_1.3.dfsg+really1.3.1-1+deb13u1_arm64.deb",
        "0e41b3d7ad8ad7fcd36dd4d61ca91a70018478fc4af652e044f4be770784ddff",
    ),
    Package(
        "pool/main/e/expat/libexpat1_2.9.0-1~deb13u1_arm64.deb",
        "d9e1c50fcdad079fe16d77f1578adcc763be1bf7f2da7fa8adca7010b0c84c83",
    ),
    Package(
        "pool/main/libf/libffi/libffi8_3.4.8-2_arm64.deb",
        "d84a783b818f2386627604e64b793eb4ac5bb9ea1ba321a194a1c9c82fe09a01",
    ),
    Package(
        "pool/main/p/python3.13/libpython3.13-minimal_3.13.5-2+deb13u5_arm64.deb",
        "3655ef258b19142cf6fe38ef89731d5c630b2cf3309632494a720b28c1cfcd85",
    ),
    Package(
        "pool/main/p/python3.13/libpython3.13-stdlib_3.13.5-2+deb13u5_arm64.deb",
        "d1178d24e4d143cc6c577d9dc0f26dd982efccc2e600d25ce86361f168a22be0",
    ),
    Package(
        "pool/main/p/python3.13/python3.13-minimal_3.13.5-2+deb13u5_arm64.deb",
        "95237a3ad99bf9366308e16f7c79449c9371c4cff9c883772fb7c254652467eb",
    ),
)

_WHEELS = {
    ("numpy", "2.4.6"): "72fbe16c6fac95aedf5937fa873445cec2110be35d8a4e9433d7501fd98dae6b",
    ("ai-edge-litert", "2.3.0"): "2ab71e4f5dfa65b3882634b42755f455f3e7415630d720200bd792733e15e257",
}


def packages() -> tuple[Package, ...]:
    """What this machine needs of Debian."""
    return (QEMU, *ROOT) if brings_qemu() else ROOT


def brings_qemu() -> bool:
    """Whether the pinned emulator runs on this machine."""
    return platform.machine() == "x86_64"


def wheels() -> tuple[Wheel, ...]:
    """Of the very versions that this Python uses."""
    used = {name: version(name) for name in ("numpy", "ai-edge-litert")}
    return tuple(Wheel(name, of, _WHEELS.get((name, of))) for name, of in used.items())
