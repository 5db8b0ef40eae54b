"""Dependencies by Maven coordinate with a pinned SHA-256, fetched once into a cache folder."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from mlbench.device_runners.android.tools import Tools
from mlbench.errors import UsageError
from mlbench.system.files import file_sha256

_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
_TIMEOUT_S = 1800


@dataclass(frozen=True)
class Dependency:
    """One file of a Maven repository and the hash that it must have."""

    group: str
    artifact: str
    version: str
    type: str
    sha256: str

    @property
    def file_name(self) -> str:
        """Name in the cache: Maven's own."""
        return f"{self.artifact}-{self.version}.{self.type}"


def read_lock(path: Path) -> tuple[Dependency, ...]:
    """Read a lock file: a line a dependency, `sha256  group:artifact:version:type`; `#` starts a comment.

    Raises:
        UsageError: a line is neither.
    """
    dependencies = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.replace(":", " ").split()
        if len(fields) != 5 or len(fields[0]) != 64:
            message = f"{path}, line {number}: {line!r} is not `sha256  group:artifact:version:type`."
            raise UsageError(message)
        sha256, group, artifact, version, kind = fields
        dependencies.append(Dependency(group, artifact, version, kind, sha256))
    return tuple(dependencies)


def fetch(dependencies: tuple[Dependency, ...], cache: Path, tools: Tools) -> dict[str, Path]:
    """The files of `dependencies` by `group:artifact`; what the cache lacks is fetched by one call of Maven.

    A file appears in the cache only with its pinned hash, and is checked again at every use.

    Raises:
        UsageError: Maven is missing or fails, or a file has another hash.
    """
    cache.mkdir(parents=True, exist_ok=True)
    missing = tuple(d for d in dependencies if not _pinned(cache / d.file_name, d.sha256))
    if missing:
        with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as folder:
            _copy(missing, Path(folder), tools.path("mvn"))
            for dependency in missing:
                fetched = Path(folder) / dependency.file_name
                if not _pinned(fetched, dependency.sha256):
                    message = (
                        f"{dependency.file_name} from Maven does not have the pinned SHA-256 {dependency.sha256}:"
                        " do not use it; check where your Maven fetches from."
                    )
                    raise UsageError(message)
                fetched.replace(cache / dependency.file_name)
    return {f"{d.group}:{d.artifact}": cache / d.file_name for d in dependencies}


def _pinned(path: Path, sha256: str) -> bool:
    return path.is_file() and file_sha256(path) == sha256


def _copy(dependencies: tuple[Dependency, ...], target: Path, maven: Path) -> None:
    pom = target / "pom.xml"
    pom.write_text(_pom(dependencies, target), encoding="utf-8")
    command = [str(maven), "-q", "-B", "-f", str(pom), _COPY]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        message = f"Maven fetched nothing for {_TIMEOUT_S} s: check the network and build again."
        raise UsageError(message) from error
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line] or ["no reason given"]
        message = f"Maven cannot fetch {len(dependencies)} files that the build needs: {errors[0][:300]}."
        raise UsageError(message)


def _pom(dependencies: tuple[Dependency, ...], target: Path) -> str:
    # artifactItems, not dependencies: copied as listed, nothing resolved, so nothing unpinned comes along.
    items = "".join(
        f"<artifactItem><groupId>{escape(d.group)}</groupId><artifactId>{escape(d.artifact)}</artifactId>"
        f"<version>{escape(d.version)}</version><type>{escape(d.type)}</type></artifactItem>"
        for d in dependencies
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>mlbench</groupId><artifactId>dependencies</artifactId><version>1</version>"
        "<packaging>pom</packaging><build><plugins><plugin>"
        "<groupId>org.apache.maven.plugins</groupId><artifactId>maven-dependency-plugin</artifactId>"
        f"<configuration><outputDirectory>{escape(str(target))}</outputDirectory>"
        f"<artifactItems>{items}</artifactItems></configuration></plugin></plugins></build></project>"
    )
