"""Small `.tflite` files of any kind, put together by the schema, in no time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TYPES = schema.TensorType


class Graph:
    """One graph; tensors are known by the numbers that the methods give."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version, self.model.description = 3, "made by hand"
        self.model.buffers, self.model.operatorCodes, self.model.metadata = [schema.BufferT()], [], []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

    def tensor(
        self, name: str, shape: Sequence[int], kind: int = TYPES.FLOAT32, values: Any = None, scale: float = 0
    ) -> int:
        """A tensor; sizes of -1 are left open, values make it a constant."""
        tensor = schema.TensorT()
        tensor.name, tensor.type = name, kind
        tensor.shape = [abs(size) for size in shape]
        tensor.shapeSignature = list(shape) if min(shape, default=0) < 0 else None
        tensor.buffer = 0
        if values is not None:
            tensor.buffer = self.buffer(np.ascontiguousarray(values).tobytes())
        if scale:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [0]
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def buffer(self, content: bytes) -> int:
        """A buffer with a content."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def operator(self, code: int, inputs: list[int], outputs: list[int], options: Any = None) -> None:
        """An operator; its options with the number of their kind: (AddOptionsT(), BuiltinOptions.AddOptions)."""
        kind = schema.OperatorCodeT()
        kind.builtinCode, kind.deprecatedBuiltinCode, kind.version = code, min(code, 127), 1
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = (
            len(self.model.operatorCodes),
            inputs,
            outputs,
        )
        if options:
            operator.builtinOptions, operator.builtinOptionsType = options
        self.model.operatorCodes.append(kind)
        self.graph.operators.append(operator)

    def note(self, name: str, content: bytes) -> None:
        """An entry of the file's metadata."""
        note = schema.MetadataT()
        note.name, note.buffer = name, self.buffer(content)
        self.model.metadata.append(note)

    def written(self, inputs: list[int], outputs: list[int]) -> bytes:
        """The file."""
        self.graph.inputs, self.graph.outputs = inputs, outputs
        builder = flatbuffers.Builder(0)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def passing(
    shape: Sequence[int], kind: int = TYPES.FLOAT32, answered: int = TYPES.FLOAT32, name: str = "x"
) -> bytes:
    """A file that answers what it takes, as numbers of another type."""
    graph = Graph()
    x, y = graph.tensor(name, shape, kind), graph.tensor("y", shape, answered)
    options = schema.CastOptionsT()
    options.inDataType, options.outDataType = kind, answered
    graph.operator(schema.BuiltinOperator.CAST, [x], [y], (options, schema.BuiltinOptions.CastOptions))
    return graph.written([x], [y])


def looking_up(rows: int = 2) -> bytes:
    """A file that takes rows of a table by their numbers, adds what else it is given, and answers two things."""
    graph = Graph()
    numbers, more = graph.tensor("numbers", [1, 3], TYPES.INT32), graph.tensor("more", [1, 3, 4])
    table = graph.tensor("table", [rows, 4], values=np.arange(4 * rows, dtype=np.float32))
    found, total = graph.tensor("found", [1, 3, 4]), graph.tensor("total", [1, 3, 4])
    gather = (schema.GatherOptionsT(), schema.BuiltinOptions.GatherOptions)
    graph.operator(schema.BuiltinOperator.GATHER, [table, numbers], [found], gather)
    graph.operator(
        schema.BuiltinOperator.ADD,
        [found, more],
        [total],
        (schema.AddOptionsT(), schema.BuiltinOptions.AddOptions),
    )
    return graph.written([numbers, more], [found, total])


def classifying(
    shape: Sequence[int] = (16,), units: int = 64, classes: int = 3, kernel: Any = None, name: str = "x"
) -> bytes:
    """A float network of two dense layers and a softmax, some 4 KiB of weights; `kernel` in place of the first's."""
    rng, graph, kinds = np.random.default_rng(7), Graph(), schema.BuiltinOperator
    dense = (schema.FullyConnectedOptionsT(), schema.BuiltinOptions.FullyConnectedOptions)
    bent = schema.FullyConnectedOptionsT()
    bent.fusedActivationFunction = schema.ActivationFunctionType.RELU
    first = rng.normal(size=(units, int(np.prod(shape)))) if kernel is None else kernel
    last = rng.normal(size=(classes, units)) / units**0.5
    x = graph.tensor(name, [1, *shape])
    weights = [
        graph.tensor(f"weights{i}", values.shape, values=values.astype(np.float32))
        for i, values in enumerate((first, last))
    ]
    hidden, sums, y = (graph.tensor(f"inner{i}", [1, n]) for i, n in enumerate((units, classes, classes)))
    graph.operator(kinds.FULLY_CONNECTED, [x, weights[0], -1], [hidden], (bent, dense[1]))
    graph.operator(kinds.FULLY_CONNECTED, [hidden, weights[1], -1], [sums], dense)
    softmax = schema.SoftmaxOptionsT()
    softmax.beta = 1.0
    graph.operator(kinds.SOFTMAX, [sums], [y], (softmax, schema.BuiltinOptions.SoftmaxOptions))
    return graph.written([x], [y])
