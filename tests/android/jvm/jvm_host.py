"""A desktop JVM that runs the app's own classes with Android's own x86_64 libraries; one for all tests.

Times and memory that come out of it are a desktop's, never a phone's.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlbench.device_runners.android import build, maven
from mlbench.device_runners.android.tools import SHORT_JAVA, Tools

from . import bionic_libraries

_HERE = Path(__file__).parent
_PATIENCE_S = 120


class JvmHost:
    """The running virtual machine: requests in, what the app did out."""

    def __init__(self, work: Path) -> None:
        """Compile everything into `work` and start."""
        tools = Tools.from_environment()
        cache = build.maven_cache()
        parts = maven.fetch(maven.read_lock(build.HARNESS / "dependencies.lock"), cache, tools)
        robolectric = maven.fetch(maven.read_lock(_HERE / "dependencies.lock"), cache, tools)
        self.libraries = work / "lib"
        bionic_libraries.make(self.libraries, parts)
        libraries = build.classes_of_archives(parts, work)
        classes = build.compile_app(parts, libraries, work / "app", tools)
        jars = [_jar(path, work) for name, path in robolectric.items() if "android-all" not in name]
        # Android's own classes come last: Robolectric's must win.
        path = [work / "tests", classes, *libraries, *jars, parts[build.ANDROID]]
        self._compile(path, work / "tests", tools)
        offline = ["-Drobolectric.offline=true", f"-Drobolectric.dependency.dir={cache}"]
        command = [
            str(tools.path("java")),
            "-Xmx512m",
            *SHORT_JAVA,
            *offline,
            f"-Djava.library.path={work / 'lib'}",
        ]
        self._log = (work / "jvm.log").open("wb")
        self._process = subprocess.Popen(
            [*command, "-cp", _join(path), "org.junit.runner.JUnitCore", "io.mlbench.harness.HarnessServer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **bionic_libraries.environment(work / "lib")},
        )
        self._buffer = b""
        self._log_path = work / "jvm.log"
        next(self._lines())

    @staticmethod
    def _compile(path: list[Path], target: Path, tools: Tools) -> None:
        target.mkdir()
        sources = [str(source) for source in sorted(_HERE.glob("*.java"))]
        subprocess.run(
            [
                str(tools.path("javac")),
                "-nowarn",
                "-proc:none",
                "-cp",
                _join(path),
                "-d",
                str(target),
                *sources,
            ],
            check=True,
        )

    def request(self, what: str, **values: Any) -> Iterator[dict[str, Any]]:
        """Ask for something; gives each line said, and raises where it did not end well."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": what, **values}).encode() + b"\n")
        self._process.stdin.flush()
        for line in self._lines():
            if "done" in line:
                assert line["done"] == "ok", line["done"]
                return
            yield line

    def _lines(self) -> Iterator[dict[str, Any]]:
        assert self._process.stdout
        descriptor = self._process.stdout.fileno()
        while True:
            head, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                _, mark, said = head.partition(b"@@ ")  # JUnit prints dots of its own
                if mark:
                    yield json.loads(said)
                continue
            ready, _, _ = select.select([descriptor], [], [], _PATIENCE_S)
            more = os.read(descriptor, 1 << 16) if ready else b""
            if not more:
                log = (
                    self._buffer.decode(errors="replace") + self._log_path.read_text(errors="replace")[-4000:]
                )
                message = f"the JVM stopped answering ({self._process.poll()}): {log}"
                raise RuntimeError(message)
            self._buffer += more

    def close(self) -> None:
        """End the JVM."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def _jar(path: Path, work: Path) -> Path:
    if path.suffix != ".aar":
        return path
    jar = work / f"{path.stem}.jar"
    with zipfile.ZipFile(path) as archive:
        jar.write_bytes(archive.read("classes.jar"))
    return jar


def _join(path: list[Path]) -> str:
    return ":".join(str(part) for part in path)
