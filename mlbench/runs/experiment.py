"""What a run is, as a file: keys like `training.rate` in a TOML file, or in the record of an earlier run."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

from mlbench.errors import UsageError


def read_experiment(path: Path) -> dict[str, Any]:
    """Values by dotted key, of those that are set.

    Args:
        path: of a `.toml` file, or of the `.json` record of a run, whose experiment is read.

    Raises:
        UsageError: the file is absent, too large, or not such a file.
    """
    kind, most = ("the record of a run", 1 << 30) if _is_record(path) else ("TOML", 1 << 20)
    try:
        with path.open("rb") as file:
            read = file.read(most + 1)
        if len(read) > most:
            message = f"{path} is not {kind}: it is larger than {most:,} bytes."
            raise UsageError(message)
        text = read.decode()
        found = json.loads(text)["configuration"]["experiment"] if _is_record(path) else tomllib.loads(text)
        return {key: value for key, value in flat(found).items() if value is not None}
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}; give the file of an experiment."
        raise UsageError(message) from error
    except (KeyError, TypeError, AttributeError) as error:
        message = f"{path} holds no experiment: records of `mlbench run` do, from schema 2 on."
        raise UsageError(message) from error
    except (ValueError, RecursionError) as error:  # of both formats, and text that is not UTF-8
        message = f"{path} is not {kind}: {error}."
        raise UsageError(message) from error


def folder_of(path: Path) -> Path:
    """What relative paths in the file of an experiment are relative to; those of a record, to the current folder."""
    return Path.cwd() if _is_record(path) else path.resolve().parent


def toml_of(values: Mapping[str, Any], told: Mapping[str, str]) -> str:
    """The text of a file that `read_experiment` reads.

    Args:
        values: by dotted key; None: not set, which leaves its line out.
        told: the comment of every key; sections stand as their first keys do, what is in none before them.

    Raises:
        UsageError: a name is not UTF-8.
    """
    import tomli_w

    lines, section = ["# What a run is; it is done by: mlbench run --config FILE"], ""
    sections = ["", *(key.rpartition(".")[0] for key in told)]
    for key in sorted(told, key=lambda key: sections.index(key.rpartition(".")[0])):
        place, _, name = key.rpartition(".")
        if place != section:
            lines.append(f"\n[{place}]")
            section = place
        lines += wrap(f"# {name}: {told[key]}", 110, subsequent_indent="#   ", break_on_hyphens=False)
        if values.get(key) is not None:
            lines.append(tomli_w.dumps({name: values[key]}).rstrip("\n"))
    text = "\n".join(lines) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        near = error.object[max(0, error.start - 20) : error.end + 20]
        message = f"{near!r} is not UTF-8, which a TOML file is: rename it."
        raise UsageError(message) from error
    return text


def flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Values of nested tables by dotted key."""
    return dict(_flat(nested))


def _flat(nested: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in nested.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value


def _is_record(path: Path) -> bool:
    return path.suffix == ".json"
