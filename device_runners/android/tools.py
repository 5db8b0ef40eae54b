"""The programs that the build calls: where each is found, and what to install where it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mlbench.errors import UsageError


@dataclass(frozen=True)
class Tool:
    """A program, what it is for, and the Debian package that has it."""

    name: str
    purpose: str
    package: str


BUILD_TOOLS = (
    Tool("java", "runs D8 and the API check", "openjdk-17-jdk-headless"),
    Tool("javac", "compiles the app", "openjdk-17-jdk-headless"),
    Tool("keytool", "makes the debug key", "openjdk-17-jdk-headless"),
    Tool("mvn", "fetches TensorFlow Lite, OpenCV and D8", "maven"),
    Tool("aapt", "reads the finished APK back", "aapt"),
    Tool("aapt2", "links the manifest", "aapt"),
    Tool("zipalign", "checks the alignment", "zipalign"),
    Tool("apksigner", "signs and verifies", "apksigner"),
)

#: `d8` of an installed SDK is used where there is one; else D8 comes by Maven.
_FROM_SDK = ("aapt", "aapt2", "zipalign", "apksigner", "d8")


#: For programs that run for seconds: the best compiler of the virtual machine costs more than it gives.
SHORT_JAVA = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")

#: A program with its arguments.
Command = list[str | Path]


class Tools:
    """Programs by name, from `ANDROID_HOME`'s newest build-tools first, then from the search path."""

    def __init__(self, android_home: Path | None, search_path: str | None = None) -> None:
        """Look below `android_home` (None: no SDK) and on `search_path` (None: the environment's)."""
        self._build_tools = _newest(android_home / "build-tools") if android_home else None
        self._search_path = search_path

    @classmethod
    def from_environment(cls) -> Tools:
        """As `ANDROID_HOME` (or the older `ANDROID_SDK_ROOT`) and `PATH` say."""
        home = os.environ.get("ANDROID_HOME") or os.environ.get("ANDROID_SDK_ROOT")
        return cls(Path(home) if home else None)

    def find(self, name: str) -> Path | None:
        """Where the program is, or None."""
        if self._build_tools and name in _FROM_SDK:
            inside = self._build_tools / name
            if os.access(inside, os.X_OK):
                return inside
        found = shutil.which(name, path=self._search_path)
        return Path(found) if found else None

    def path(self, name: str) -> Path:
        """Where the program is.

        Raises:
            UsageError: nowhere.
        """
        found = self.find(name)
        if found is None:
            package = next((tool.package for tool in BUILD_TOOLS if tool.name == name), name)
            message = f"`{name}` is not installed: `apt install {package}`, or set ANDROID_HOME to an SDK."
            raise UsageError(message)
        return found

    def require(self) -> None:
        """Check everything that a build needs before anything is done.

        Raises:
            UsageError: names the missing programs and the packages that have them.
        """
        missing = [tool for tool in BUILD_TOOLS if self.find(tool.name) is None]
        if missing:
            names = ", ".join(f"`{tool.name}`" for tool in missing)
            packages = " ".join(dict.fromkeys(tool.package for tool in missing))
            message = f"The APK cannot be built without {names}: `apt install {packages}`."
            raise UsageError(message)


def _newest(build_tools: Path) -> Path | None:
    versions = [entry for entry in build_tools.glob("*") if (entry / "aapt2").exists()]
    return max(
        versions, key=lambda entry: [int(n) for n in entry.name.split(".") if n.isdigit()], default=None
    )


def call(command: Command, failure: str, environment: dict[str, str] | None = None) -> str:
    """Run a program to its end and return its standard output; `failure` starts the sentence if it fails.

    Raises:
        UsageError: it cannot be started, ends with an error, or runs for ten minutes.
    """
    arguments = [str(part) for part in command]
    try:
        done = subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env={**os.environ, **(environment or {})},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"{failure}: {error}."
        raise UsageError(message) from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"{arguments[0]} ended with {done.returncode}")[
            :2000
        ]
        message = f"{failure}: {said}"
        raise UsageError(message)
    return done.stdout


def checks() -> list[tuple[str, bool, str]]:
    """For `mlbench doctor`: each program, whether it is there, and where it is or what to install."""
    tools, rows = Tools.from_environment(), []
    for tool in (*BUILD_TOOLS, Tool("adb", "talks to phones", "adb")):
        found = tools.find(tool.name)
        rows.append(
            (
                tool.name,
                found is not None,
                str(found) if found else f"{tool.purpose}: apt install {tool.package}",
            )
        )
    return rows
