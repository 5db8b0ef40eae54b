"""Finished `.tflite` files as ai-edge-quantizer takes them, and back: what they are, and what must not be lost."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any

from mlbench.export.repacking import model_of, packed, trimmed


def prepared(content: bytes) -> bytes:
    """The same network as ai-edge-quantizer takes it, whatever wrote it and when.

    Operators are numbered in the field that files of today fill, tensors have names that differ, and there is an entry
    point with a name. `restored` undoes it.
    """
    model = model_of(content)
    for code in model.operatorCodes:
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
    known = set[bytes]()
    for number, graph in enumerate(model.subgraphs):
        for place, tensor in enumerate(graph.tensors):
            if not tensor.name or tensor.name in known:
                tensor.name = b"%d/%d/%s" % (number, place, tensor.name or b"")
            known.add(tensor.name)
    if not model.signatureDefs:
        model.signatureDefs = [_entry_point(model.subgraphs[0])]
    return packed(model, len(content))


_OWN = b"mlbench"  # the entry point of a file that had none


def _entry_point(graph: Any) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    def ends(places: Any) -> list[Any]:
        found = []
        for place in places:
            end = schema.TensorMapT()
            end.name, end.tensorIndex = graph.tensors[place].name, place
            found.append(end)
        return found

    entry = schema.SignatureDefT()
    entry.signatureKey, entry.subgraphIndex = _OWN, 0
    entry.inputs, entry.outputs = ends(graph.inputs), ends(graph.outputs)
    return entry


def restored(content: bytes, original: bytes) -> bytes:
    """A file that was made of `prepared(original)`, trimmed, with the names of its ends and what hangs at its end."""
    model, before = model_of(content), model_of(original).subgraphs[0]
    model.signatureDefs = [entry for entry in model.signatureDefs or [] if entry.signatureKey != _OWN] or None
    graph = model.subgraphs[0]
    for places, olds in ((graph.inputs, before.inputs), (graph.outputs, before.outputs)):
        for place, old in zip(places, olds, strict=True):
            graph.tensors[place].name = before.tensors[old].name
    return _with_attached(trimmed(packed(model, len(content))), original)


def _with_attached(content: bytes, original: bytes) -> bytes:
    """With the archive that TFLite Metadata hangs at the end of a file, written anew: its offsets are the file's."""
    whole = io.BytesIO(content)
    try:
        with zipfile.ZipFile(io.BytesIO(original)) as old, zipfile.ZipFile(whole, "a") as new:
            if sum(item.file_size for item in old.infolist()) > _MOST_ATTACHED:
                return content
            for item in old.infolist():
                new.writestr(item.filename, old.read(item))
    except (
        zipfile.BadZipFile,
        RuntimeError,
        OSError,
        zlib.error,
        struct.error,
    ):  # damaged, or of unknown methods
        return content
    return whole.getvalue()


_MOST_ATTACHED = 1 << 26  # bytes, inflated

Ends = tuple[str, list[str]]


def entrance(content: bytes) -> Ends:
    """Key of the first entry point of a prepared file, and its inputs' names in the order of the graph's."""
    model = model_of(content)
    entry = model.signatureDefs[0]
    names = {end.tensorIndex: end.name.decode(errors="replace") for end in entry.inputs}
    return entry.signatureKey.decode(errors="replace"), [
        names[place] for place in model.subgraphs[entry.subgraphIndex].inputs
    ]


def answering(content: bytes) -> list[str]:
    """Names of what the dense layers give that give the answers, but for what bends them (softmax, sigmoid)."""
    from ai_edge_litert import schema_py_generated as schema

    kinds, model = schema.BuiltinOperator, model_of(content)
    graph, found = model.subgraphs[0], []
    makers = {int(place): operator for operator in graph.operators for place in operator.outputs}
    for place in graph.outputs:
        operator = makers.get(int(place))
        while operator and model.operatorCodes[operator.opcodeIndex].builtinCode in (
            kinds.SOFTMAX,
            kinds.LOGISTIC,
            kinds.TANH,
            kinds.RESHAPE,
        ):
            operator = makers.get(int(operator.inputs[0]))
        if operator and model.operatorCodes[operator.opcodeIndex].builtinCode == kinds.FULLY_CONNECTED:
            found.append(graph.tensors[operator.outputs[0]].name.decode(errors="replace"))
    return found


def quantised(content: bytes) -> bool:
    """Whether a file holds codes with a scale, or half floats: what is quantised already."""
    from ai_edge_litert import schema_py_generated as schema

    tensors = [tensor for graph in model_of(content).subgraphs for tensor in graph.tensors]
    return any(
        tensor.type == schema.TensorType.FLOAT16
        or (
            tensor.quantization is not None
            and tensor.quantization.scale is not None
            and len(tensor.quantization.scale)
        )
        for tensor in tensors
    )
