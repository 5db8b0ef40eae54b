"""What a `.tflite` file says of itself, read from the flatbuffer; nothing is run, and nothing said is trusted.

Texts of a file are cut, and characters that would steer a terminal replaced.
"""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlbench.records import FileFacts, OperatorFacts, PortFacts, SignatureFacts

if TYPE_CHECKING:
    from ai_edge_litert import schema_py_generated as schema

#: What reading a file raises that is none, or is damaged.
DAMAGED = (ValueError, struct.error, IndexError, TypeError, AttributeError, OverflowError)

_LONGEST = 500  # characters of one text
_MOST = 500  # of a kind: inputs, operators, signatures

_ARCHIVE = 1 << 26  # bytes at the end of a file that are looked through for one

#: Fields of TFLite Metadata's `ModelMetadata` that are texts (metadata_schema.fbs), by their number.
_NOTES = {"name": 0, "description": 1, "version": 2, "author": 4, "license": 5}


def facts_of(path: Path) -> FileFacts:
    """Inputs and outputs, operators, signatures, metadata.

    Raises:
        ValueError, struct.error, IndexError, TypeError, AttributeError, OverflowError: it is damaged.
    """
    model, data = _opened(path)
    main = model.Subgraphs(0)
    metadata = {_text(one.Name()): one.Buffer() for one in _each(model, "Metadata")}
    return FileFacts(
        inputs=_ports(main, "Inputs"),
        outputs=_ports(main, "Outputs"),
        operators=_operators(model),
        graphs=model.SubgraphsLength(),
        signatures=tuple(
            SignatureFacts(
                key=_text(one.SignatureKey()),
                inputs=tuple(_text(end.Name()) for end in _each(one, "Inputs")),
                outputs=tuple(_text(end.Name()) for end in _each(one, "Outputs")),
            )
            for one in _each(model, "SignatureDefs")
        ),
        description=_text(model.Description()),
        runtime=_text(_content(model, data, metadata.get("min_runtime_version"))),
        metadata=tuple(metadata),
        notes=_notes(_content(model, data, metadata.get("TFLITE_METADATA"))),
        attached=_attached(data),
    )


def own_entry(path: Path, name: str) -> bytes:
    """The bytes of an entry of a file's metadata; none where it has no such entry.

    Raises:
        ValueError, struct.error, IndexError, TypeError, AttributeError, OverflowError: it is damaged.
    """
    model, data = _opened(path)
    places = {_text(one.Name()): one.Buffer() for one in _each(model, "Metadata")}
    return _content(model, data, places.get(name))


def operators(path: Path) -> list[tuple[str, int]]:
    """Names and versions of the operators that a `.tflite` file lists.

    Raises:
        ValueError, struct.error, IndexError, TypeError, AttributeError, OverflowError: not such a file.
    """
    return _codes(_opened(path)[0])


def _opened(path: Path) -> tuple[schema.Model, mmap.mmap]:
    from ai_edge_litert import schema_py_generated as schema

    with path.open("rb") as file:
        data = mmap.mmap(
            file.fileno(), 0, access=mmap.ACCESS_READ
        )  # closed when nothing looks at it any more
    if data[4:8] != b"TFL3":
        message = "no TFL3 mark"
        raise ValueError(message)
    return schema.Model.GetRootAs(data, 0), data


def _each(table: Any, field: str) -> Iterator[Any]:
    count = getattr(table, f"{field}Length")()
    return (getattr(table, field)(i) for i in range(min(count, _MOST)))


def _text(raw: bytes | None) -> str:
    """A file's bytes as text that may be shown."""
    return printable((raw or b"")[: 4 * _LONGEST].rstrip(b"\0").decode("utf-8", "replace"))


def printable(text: str) -> str:
    """A file's text as it may be shown: cut, without characters that steer a terminal."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:_LONGEST]
    )


def _codes(model: schema.Model) -> list[tuple[str, int]]:
    from ai_edge_litert import schema_py_generated as schema

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}

    def name(code: schema.OperatorCode) -> str:
        # Codes up to 127 once lived in a byte of their own; files of either age fill the larger of the two.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        own = code.CustomCode() if number == schema.BuiltinOperator.CUSTOM else None
        return _text(own) if own else names.get(number, "unknown")

    return [
        (name(code), code.Version())
        for code in (model.OperatorCodes(i) for i in range(model.OperatorCodesLength()))
    ]


def _operators(model: schema.Model) -> tuple[OperatorFacts, ...]:
    """Of all graphs, the most frequent first."""
    codes, graphs = _codes(model), map(model.Subgraphs, range(model.SubgraphsLength()))
    counted = Counter(
        codes[graph.Operators(i).OpcodeIndex()] for graph in graphs for i in range(graph.OperatorsLength())
    )
    return tuple(
        OperatorFacts(name=name, version=max(0, version), count=count)
        for (name, version), count in counted.most_common(_MOST)
    )


def _ports(graph: schema.SubGraph, kind: str) -> tuple[PortFacts, ...]:
    return tuple(_port(graph.Tensors(place)) for place in _each(graph, kind))


def _port(tensor: schema.Tensor) -> PortFacts:
    from ai_edge_litert import schema_py_generated as schema

    types = {code: name.lower() for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
    shape = tensor.ShapeSignature if tensor.ShapeSignatureLength() else tensor.Shape
    count = tensor.ShapeSignatureLength() or tensor.ShapeLength()
    steps = tensor.Quantization()
    scaled = steps is not None and steps.ScaleLength() == 1 and np.isfinite(steps.Scale(0))
    return PortFacts(
        name=_text(tensor.Name()),
        shape=tuple(int(shape(i)) for i in range(min(count, _MOST))),
        dtype=types.get(tensor.Type(), "unknown"),
        scale=float(steps.Scale(0)) if scaled else None,
        zero=int(steps.ZeroPoint(0)) if scaled and steps.ZeroPointLength() == 1 else None,
    )


def _content(model: schema.Model, data: mmap.mmap, place: int | None) -> bytes:
    """A buffer's bytes; none where there is none."""
    if place is None:
        return b""
    buffer = model.Buffers(place)
    if buffer.Offset() > 1:
        return data[buffer.Offset() : buffer.Offset() + buffer.Size()]
    return bytes(buffer.DataAsNumpy()) if buffer.DataLength() else b""


def _notes(content: bytes) -> dict[str, str]:
    """Texts of TFLite Metadata, by what they are; none where it cannot be read."""
    from flatbuffers import encode, number_types, table

    if content[4:8] != b"M001":
        return {}
    with suppress(*DAMAGED):
        whole = table.Table(content, encode.Get(number_types.UOffsetTFlags.packer_type, content, 0))
        places = {note: int(whole.Offset(4 + 2 * number)) for note, number in _NOTES.items()}
        return {note: _text(whole.String(place + whole.Pos)) for note, place in places.items() if place}
    return {}


def _attached(data: mmap.mmap) -> tuple[str, ...]:
    """Names of the files in the archive that TFLite Metadata hangs at the end of a file."""
    with (
        suppress(zipfile.BadZipFile, RuntimeError, *DAMAGED),  # a method that zipfile does not know
        zipfile.ZipFile(io.BytesIO(data[-_ARCHIVE:])) as archive,
    ):
        return tuple(_text(name.encode("utf-8", "replace")) for name in archive.namelist()[:_MOST])
    return ()
