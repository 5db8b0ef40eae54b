"""Records on disk: written by atomic rename, validated when read."""

from __future__ import annotations

import datetime
import json
import shutil
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlbench.errors import UsageError
from mlbench.records.schema import SCHEMA_VERSION, Record
from mlbench.system.files import write_atomically

#: A record holds raw samples and a few small pictures; anything larger is not a record.
MAX_RECORD_BYTES = 64 * 2**20


def write_record(record: Record, path: Path) -> None:
    """Write a record as JSON, by atomic rename; one that is there already is kept as `record-<time>.json`."""
    _keep_earlier(path)
    with write_atomically(path) as part:
        part.write_text(record.model_dump_json() + "\n", encoding="utf-8")


def _keep_earlier(path: Path) -> None:
    """Copy a record that is about to be replaced, under the time it was written at (UTC)."""
    if not path.exists():
        return
    written = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
    stem = f"{path.stem}-{written:%Y%m%dT%H%M%S.%f}Z"
    with write_atomically(path.with_name(f"{stem}{path.suffix}")) as part:
        shutil.copyfile(path, part)


def read_record(path: Path) -> Record:
    """Read and validate a record.

    Args:
        path: a `record.json`, or the folder of a run that holds one.

    Raises:
        UsageError: no such file, too large, not JSON, from a newer version of mlbench, or not a record.
    """
    if path.is_dir():
        path = path / "record.json"
    try:
        size = path.stat().st_size
        text = path.read_text(encoding="utf-8") if size <= MAX_RECORD_BYTES else ""
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read as a record: {error}; give a record.json or the folder of a run."
        raise UsageError(message) from error
    if not text:
        message = f"{path} is empty or larger than {MAX_RECORD_BYTES >> 20} MB: not a record of mlbench."
        raise UsageError(message)
    return parse_record(text, str(path))


def parse_record(text: str, where: str) -> Record:
    """Validate the JSON text of a record; `where` names it in errors.

    Raises:
        UsageError: see `read_record`.
    """
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        older = _upgraded(text, where)
        if older is None:
            raise UsageError(_not_a_record(text, where, error)) from error
    try:
        return Record.model_validate(older)
    except ValidationError as error:
        raise UsageError(_not_a_record(text, where, error)) from error


def _upgraded(text: str, where: str) -> dict[str, Any] | None:
    """The JSON of an older schema in the present one; None where it is not such a record.

    Raises:
        UsageError: it does not hold what its schema version holds.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return None
    migrations = entry_points(group="mlbench.migrations")
    upgraded = False
    while isinstance(raw, dict) and f"{raw.get('schema_version')}" in migrations.names:
        version = raw["schema_version"]
        try:
            raw, upgraded = migrations[f"{version}"].load()(raw), True
        except (AttributeError, KeyError, TypeError, ValueError) as fault:
            message = (
                f"{where} is not a record of mlbench: it does not hold what schema version {version} does."
            )
            raise UsageError(message) from fault
    return raw if upgraded else None


def _not_a_record(text: str, where: str, error: ValidationError) -> str:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as fault:
        return f"{where} is not valid JSON ({fault}): the file is truncated or not a record; run again."
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        return f"{where} has schema version {version}, this mlbench reads up to {SCHEMA_VERSION}: update mlbench."
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "the top level"
    return f"{where} is not a record of mlbench: {place}: {first['msg']} ({error.error_count()} faults)."
