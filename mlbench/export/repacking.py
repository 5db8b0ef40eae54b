"""`.tflite` files read and packed anew: without what no runtime needs, with all weights inside."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def trimmed(content: bytes) -> bytes:
    """The same file without what no runtime needs: names of tensors within the network, notes of the converter."""
    model = model_of(content)
    model.metadata = [note for note in model.metadata or [] if note.name != b"CONVERSION_METADATA"]
    read = {0} | {note.buffer for note in model.metadata}
    for graph in model.subgraphs:
        ends = {*graph.inputs, *graph.outputs}
        for number, tensor in enumerate(graph.tensors):
            read.add(tensor.buffer)
            if number not in ends:
                tensor.name = None
    for number, buffer in enumerate(model.buffers):
        if number not in read:
            buffer.data = None
    return packed(model, len(content))


def self_contained(content: bytes) -> bytes:
    """The same file with every buffer inside the flatbuffer, where each reader of the format looks for it."""
    return packed(model_of(content), len(content))


def model_of(content: bytes) -> Any:
    """A file as the schema's `ModelT`, with what the writer laid behind the flatbuffer taken in.

    ai-edge-quantizer does so from 256 KiB of weights on, the TFLite converter near 2 GiB; offsets of 0 and 1 are
    none (schema.fbs, `Buffer.offset`).
    """
    from ai_edge_litert import schema_py_generated as schema

    def behind(offset: int, size: int) -> npt.NDArray[np.uint8]:
        return np.frombuffer(content, np.uint8, size, offset)

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for buffer in model.buffers:
        if buffer.offset > 1:
            buffer.data = behind(buffer.offset, buffer.size)
        buffer.offset = buffer.size = 0
    for operator in (operator for graph in model.subgraphs for operator in graph.operators):
        if operator.largeCustomOptionsOffset > 1:
            operator.customOptions = behind(
                operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize
            )
        operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0
    return model


def packed(model: Any, size: int) -> bytes:
    """A `ModelT` as a file."""
    import flatbuffers

    builder = flatbuffers.Builder(size)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
