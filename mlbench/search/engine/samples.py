"""Samples kept in the cache under their fingerprint, for machines where the file that they came from is not."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from mlbench.contracts import Progress, Samples
from mlbench.contracts.samples import Encoding
from mlbench.data.npz_arrays import NPZ_ERRORS
from mlbench.errors import UsageError
from mlbench.search.engine.forms import SamplesForm
from mlbench.search.engine.transport import place_of
from mlbench.system.files import write_atomically

_FACTS = "facts"
_TABLES = ("inputs", "targets", "extra")


class _Facts(BaseModel):
    """What of samples is no array."""

    model_config = ConfigDict(extra="forbid")

    encodings: dict[str, Encoding]
    unit: str
    classes: dict[str, tuple[str, ...]]


def keep(samples: Samples, form: SamplesForm) -> None:
    """Write samples where `kept` finds them.

    Raises:
        UsageError: the disk is full.
    """
    place = place_of(form.mark)
    if place.exists():
        return
    arrays: dict[str, Any] = {
        f"{table}.{name}": values for table in _TABLES for name, values in getattr(samples, table).items()
    }
    facts = {
        "encodings": {name: asdict(one) for name, one in samples.encodings.items()},
        "unit": samples.unit,
        "classes": {name: list(one) for name, one in samples.classes.items()},
    }
    with write_atomically(place) as part, part.open("wb") as file:
        arrays |= {"ids": samples.ids, "groups": samples.groups, _FACTS: np.array(json.dumps(facts))}
        np.savez(file, allow_pickle=False, **arrays)


def found(form: SamplesForm, progress: Progress) -> Samples | None:
    """The samples: those kept, or read or drawn here if they turn out the same; None where neither is.

    Raises:
        UsageError: what was kept is damaged.
    """
    if place_of(form.mark).exists():
        return _kept(form)
    source = form.source()
    if source.path is not None and not source.path.exists():
        return None
    try:
        samples = source.load(progress)
    except UsageError:  # another file of that name
        return None
    return samples if samples.fingerprint == form.fingerprint else None


def _kept(form: SamplesForm) -> Samples:
    place = place_of(form.mark)
    try:
        with np.load(place, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        facts = _Facts.model_validate_json(str(arrays[_FACTS]))
        tables = {table: _table(arrays, table) for table in _TABLES}
        samples = Samples(
            ids=arrays["ids"],
            groups=arrays["groups"],
            encodings=facts.encodings,
            unit=facts.unit,
            classes=facts.classes,
            **tables,
        )
        if samples.fingerprint == form.fingerprint:
            return samples
        why: object = "its fingerprint is another"
    except NPZ_ERRORS as error:
        why = error
    place.unlink(missing_ok=True)
    message = f"{place} is damaged ({why}) and was removed: run the command again."
    raise UsageError(message)


def _table(arrays: dict[str, Any], table: str) -> dict[str, Any]:
    start = f"{table}."
    return {name.removeprefix(start): values for name, values in arrays.items() if name.startswith(start)}
