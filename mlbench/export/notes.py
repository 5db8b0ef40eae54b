"""What a `.tflite` file says of its own use: settings that were chosen for it, and how its inputs are cut.

One entry of the file's metadata, JSON, that other readers of the format pass over. A file that has nothing to say has
none, and is what the converter wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from mlbench.errors import UsageError
from mlbench.export.contents import DAMAGED, own_entry
from mlbench.export.repacking import model_of, packed

#: Name of the entry.
ENTRY = "mlbench"


@dataclass(frozen=True)
class Notes:
    """What a file says.

    Attributes:
        settings: see `mlbench.contracts.Task.settings`.
        margins: of inputs, by name, where they are not 1; see `mlbench.contracts.Encoding`.
    """

    settings: Mapping[str, float] = field(default_factory=dict)
    margins: Mapping[str, float] = field(default_factory=dict)

    def text(self) -> str:
        """As the entry holds it; "" where there is nothing to say."""
        told = {"settings": dict(self.settings), "margins": dict(self.margins)}
        told = {key: value for key, value in told.items() if value}
        return json.dumps(told) if told else ""


_LONGEST = 1 << 16  # characters

_Numbers = dict[
    Annotated[str, Field(max_length=100)], Annotated[float, Field(strict=True, allow_inf_nan=False)]
]
_READ = TypeAdapter(dict[str, _Numbers])


def with_notes(content: bytes, notes: Notes) -> bytes:
    """A file with notes; those that it had go. Unchanged where it has and is given none."""
    from ai_edge_litert import schema_py_generated as schema

    text, model = notes.text(), model_of(content)
    given = model.metadata or []
    others = [one for one in given if one.name != ENTRY.encode()]
    if not text and len(others) == len(given):
        return content
    for old in (one for one in given if one not in others):
        model.buffers[old.buffer].data = None
    if text:
        entry, buffer = schema.MetadataT(), schema.BufferT()
        entry.name, entry.buffer = ENTRY.encode(), len(model.buffers)
        buffer.data = list(text.encode())
        model.buffers.append(buffer)
        others.append(entry)
    model.metadata = others
    return packed(model, len(content))


def notes_of(path: Path) -> Notes:
    """What a file says; nothing where it has no such entry, or is no file of a network.

    Raises:
        UsageError: it has an entry that cannot be read.
    """
    try:
        text = own_entry(path, ENTRY)
    except (OSError, *DAMAGED):
        return Notes()
    try:
        found = _READ.validate_json(text[:_LONGEST]) if text else {}
    except ValidationError as error:
        message = f"{path} has notes of mlbench that cannot be read: it is damaged; write it anew."
        raise UsageError(message) from error
    return Notes(found.get("settings", {}), found.get("margins", {}))
