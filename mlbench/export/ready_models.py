"""Networks that are ready to use: files and records in folders that packages offer (entry points `mlbench.models`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlbench import plugins
from mlbench.errors import UsageError
from mlbench.records import Artifact, Record, Scores, read_record
from mlbench.system.files import file_sha256


@dataclass(frozen=True)
class Model:
    """A `.tflite` file, what its record says of it, and the record."""

    path: Path
    artifact: Artifact
    record: Record

    @property
    def name(self) -> str:
        """The file's stem, by which `mlbench predict --model` knows it."""
        return self.path.stem

    @property
    def scores(self) -> tuple[Scores, ...]:
        """Its metrics on the record's test sets, on the first device."""
        return tuple(e for e in self.record.scores if e.artifact == self.artifact.id)


def paths() -> dict[str, Path]:
    """The files of all folders by name."""
    folders: dict[str, Path] = plugins.usable("models")[0]
    return {path.stem: path for folder in folders.values() for path in sorted(folder.glob("*.tflite"))}


def models() -> list[Model]:
    """All models with their records.

    Raises:
        UsageError: a file has no record, or another one's.
    """
    return [_with_record(path) for path in paths().values()]


def file_named(text: str) -> Path:
    """The file that a name of a model, or else a path, means.

    Raises:
        UsageError: neither.
    """
    known = paths()
    if text in known:
        return known[text]
    if "/" not in text and "." not in text and not Path(text).exists():
        message = f'There is no model "{text}"{plugins.did_you_mean(text, known)}'
        raise UsageError(message)
    return Path(text)


def _with_record(path: Path) -> Model:
    record, sha256 = read_record(path.with_suffix(".json")), file_sha256(path)
    for artifact in record.artifacts:
        if artifact.sha256 == sha256:
            return Model(path, artifact, record)
    message = (
        f"{path} is not one of the files that {path.with_suffix('.json')} speaks of: reinstall its package."
    )
    raise UsageError(message)
