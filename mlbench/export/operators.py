"""The operators of a `.tflite` file: what each computes, what its weights take, how much arithmetic it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mlbench.export import repacking

Shape = tuple[int, ...]

#: What only stores constants otherwise: who reads what these give reads the constants.
_STORED_OTHERWISE = ("DEQUANTIZE", "DENSIFY")


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file.

    Attributes:
        name: as the file has it; "" where it was left out.
        shape: with the batch; sizes that are not known are 1.
        bytes: that a constant takes in the file; None: it is computed.
        weights: whether a constant is weights or a bias: shapes and axes are neither.
    """

    name: str
    shape: Shape
    bytes: int | None = None
    weights: bool = False

    @property
    def count(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Operator:
    """One operator of the file's main graph.

    Attributes:
        number: its place in the file.
        kind: as in TensorFlow Lite's schema: CONV_2D.
        given: numbers of the tensors that it is given; -1: an optional one that is left out.
        made: numbers of those that it gives.
        inputs: the tensors that it is given; None: left out.
        outputs: the tensors that it gives.
        weights: weights and biases that it is the first to read.
    """

    number: int
    kind: str
    given: tuple[int, ...]
    made: tuple[int, ...]
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]

    @property
    def made_name(self) -> str:
        """Of the first tensor that it gives; "" where there is none (ASSIGN_VARIABLE), or its name was left out."""
        return self.outputs[0].name if self.outputs else ""

    @property
    def name(self) -> str:
        """Of the first tensor that it gives, or its kind and number where names were left out."""
        return self.made_name or f"{self.kind.lower()}_{self.number}"

    @property
    def output(self) -> Shape:
        """Shape of what it gives, without the batch."""
        return self.outputs[0].shape[1:] if self.outputs else ()

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum(tensor.count for tensor in self.weights)

    @property
    def file_bytes(self) -> int:
        """Bytes of the weights in this file."""
        return sum(tensor.bytes or 0 for tensor in self.weights)

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates: of convolutions and matrix products; of other operators 0."""
        rule = _MACS.get(self.kind)
        return rule(self) if rule and None not in self.inputs[:2] else 0


def int8_bytes(shapes: Sequence[Shape]) -> int:
    """Bytes of weights in int8: kernels take 1 per weight, what has one number per channel (biases) 4."""
    return sum(math.prod(shape) * (1 if len(shape) > 1 else 4) for shape in shapes)


def operators_of(content: bytes) -> list[Operator]:
    """The operators of a file's main graph, in its order.

    Args:
        content: of a file that was found to run (`mlbench.export.artifacts.loaded`).
    """
    from ai_edge_litert import schema_py_generated as schema

    model = repacking.model_of(content)
    graph = model.subgraphs[0]
    kinds = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    tensors = [_tensor(tensor, model.buffers) for tensor in graph.tensors]
    found, known = list[Operator](), set[int]()
    for number, operator in enumerate(graph.operators):
        code = model.operatorCodes[operator.opcodeIndex]
        kind = kinds.get(max(code.builtinCode, code.deprecatedBuiltinCode), "CUSTOM")
        if kind == "CUSTOM" and code.customCode:
            kind = code.customCode.decode(errors="replace")
        given, made = _numbers(operator.inputs), _numbers(operator.outputs)
        stored = [n for n in given if n >= 0 and tensors[n].bytes is not None]
        if kind in _STORED_OTHERWISE and len(stored) == 1:
            source = tensors[stored[0]]
            shape, name = tensors[made[0]].shape, tensors[made[0]].name
            tensors[made[0]] = Tensor(name, shape, source.bytes, True)
            stored = []
        weights = tuple(tensors[n] for n in dict.fromkeys(stored) if tensors[n].weights and n not in known)
        known.update(stored)
        inputs = tuple(tensors[n] if n >= 0 else None for n in given)
        outputs = tuple(tensors[n] for n in made)
        found.append(Operator(number, kind, given, made, inputs, outputs, weights))
    return found


def _numbers(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(int(value) for value in values)


def _tensor(tensor: Any, buffers: Sequence[Any]) -> Tensor:
    from ai_edge_litert import schema_py_generated as schema

    name = (tensor.name or b"").decode(errors="replace")
    shape = () if tensor.shape is None else tuple(max(1, int(size)) for size in tensor.shape)
    data = buffers[tensor.buffer].data if tensor.buffer else None
    if data is None or not len(data):
        return Tensor(name, shape)
    kind, scale = schema.TensorType, getattr(tensor.quantization, "scale", None)
    scaled = scale is not None and len(scale) > 0
    real = tensor.type in (kind.FLOAT32, kind.FLOAT16)
    return Tensor(name, shape, len(data), real or scaled)


def _positions(shape: Shape) -> int:
    return math.prod(shape[:-1])


def _each_output(operator: Operator) -> int:
    kernel, made = operator.inputs[1], operator.outputs[0]
    return kernel.count * _positions(made.shape) if kernel else 0


def _each_input(operator: Operator) -> int:
    kernel, given = operator.inputs[1], operator.inputs[2] if len(operator.inputs) > 2 else None
    return kernel.count * _positions(given.shape) if kernel and given else 0


def _product(operator: Operator) -> int:
    """Each output number takes as many products as the left matrix has columns, whichever way round it is stored."""
    left, rows = operator.inputs[0], operator.outputs[0].shape[-2:-1]
    return operator.outputs[0].count * math.prod(left.shape[-2:]) // rows[0] if left and rows else 0


_MACS: dict[str, Callable[[Operator], int]] = {
    "CONV_2D": _each_output,
    "DEPTHWISE_CONV_2D": _each_output,
    "CONV_3D": _each_output,
    "FULLY_CONNECTED": _each_output,
    "TRANSPOSE_CONV": _each_input,
    "BATCH_MATMUL": _product,
}


def execution_order(operators: Sequence[Operator], builtin: Collection[int]) -> list[int]:
    """Numbers of the operators in the order in which a runtime with a delegate runs them.

    TensorFlow Lite takes as many operators of one side as have their inputs, then as many of the other, and so on
    (graph_info.cc, `PartitionGraphIntoIndependentNodeSubsets`); constants are there from the start.

    Args:
        operators: of the file.
        builtin: numbers of those that the delegate does not take.
    """
    makers = {number for operator in operators for number in operator.made}
    there = {n for operator in operators for n in operator.given if n not in makers}
    left, order = list(operators), list[int]()
    side = bool(left) and left[0].number in builtin
    while left:
        waiting = list[Operator]()
        for operator in left:
            ready = there.issuperset(operator.given)
            if ready and (operator.number in builtin) == side:
                order.append(operator.number)
                there.update(operator.made)
            else:
                waiting.append(operator)
        if len(waiting) == len(left) and not any(there.issuperset(operator.given) for operator in left):
            return [*order, *(operator.number for operator in left)]  # not a graph that runs
        left, side = waiting, not side
    return order


#: What XNNPACK calls the work of an operator, by the operator's kind; of others, by the first word of the kind.
_WORK = {
    "CONV_2D": ("Convolution", "Fully Connected"),
    "DEPTHWISE_CONV_2D": ("Convolution",),
    "TRANSPOSE_CONV": ("Deconvolution",),
    "FULLY_CONNECTED": ("Fully Connected", "Batch Matrix"),
    "BATCH_MATMUL": ("Batch Matrix", "Fully Connected"),
    "AVERAGE_POOL_2D": ("Average Pooling", "Global Average", "Reduce", "Mean"),
    "MEAN": ("Mean", "Reduce", "Global Average", "Average Pooling"),
    "SUM": ("Sum", "Reduce"),
    "LOGISTIC": ("Sigmoid",),
    "MUL": ("Multiply",),
    "DIV": ("Divide",),
    "SUB": ("Subtract",),
    "RELU": ("Clamp",),
    "RELU6": ("Clamp",),
    "RELU_N1_TO_1": ("Clamp",),
    "RESHAPE": ("Static Reshape", "Copy", "Reshape"),
    "SQUEEZE": ("Static Reshape", "Copy"),
    "EXPAND_DIMS": ("Static Reshape", "Copy"),
    "PAD": ("Constant Pad",),
    "QUANTIZE": ("Convert",),
    "DEQUANTIZE": ("Convert",),
    "HARD_SWISH": ("HardSwish", "Hard Swish"),
    "STRIDED_SLICE": ("Slice", "Copy"),
    "RESIZE_BILINEAR": ("Resize",),
}
#: What it adds before or behind the work itself.
_BEFORE, _AFTER = ("Convert", "Transpose", "Pack"), ("Clamp",)
_ANYWHERE = ("Static Reshape", "Copy", "Constant Pad", "Slice")
_ADDED, _AGAIN, _STRANGE, _IDLE, _FREE = 1.0, 3.0, 6.0, 4.0, 0.5
_MAY_VANISH = (
    "RESHAPE",
    "SQUEEZE",
    "EXPAND_DIMS",
    "PAD",
    "QUANTIZE",
    "DEQUANTIZE",
    "DENSIFY",
    "RELU",
    "RELU6",
)


def _is_work(event: str, kind: str) -> bool:
    words = _WORK.get(kind, (kind.split("_")[0],))
    return event.lower().startswith(tuple(word.lower() for word in words))


def _cost(event: str, kind: str, worked: bool) -> tuple[float, bool]:
    """What it costs to say that an event belongs to an operator, and whether its work is done then."""
    if _is_work(event, kind):
        return (_AGAIN if worked else 0.0), True
    added = event.startswith(_ANYWHERE) or event.startswith(_AFTER if worked else _BEFORE)
    return (_ADDED if added else _STRANGE), worked


def assigned(events: Sequence[str], kinds: Sequence[str]) -> list[int | None]:
    """Which operator each event of a delegate belongs to; None: none is of its kind.

    Both are in the order of execution. A delegate merges operators (an operator has no event then) and adds
    conversions (it has several), but keeps the order: the assignment of least cost among those that keep it.

    Args:
        events: names of what the delegate timed.
        kinds: of the operators that it runs.
    """
    best: dict[tuple[int, bool], float] = {(-1, True): 0.0}
    ways = list[dict[tuple[int, bool], tuple[int, bool]]]()
    idle = np.cumsum([0.0, *(_FREE if kind in _MAY_VANISH else _IDLE for kind in kinds)])
    for event in events:
        grown: dict[tuple[int, bool], float] = {}
        way: dict[tuple[int, bool], tuple[int, bool]] = {}
        for place, kind in enumerate(kinds):
            for before, cost in best.items():
                if before[0] > place:
                    continue
                same = before[0] == place
                left = 0.0 if same else idle[place] - idle[before[0] + 1]
                left += 0.0 if same or before[1] else _IDLE  # the one before would have no work
                price, worked = _cost(event, kind, before[1] and same)
                state, total = (place, worked), float(cost + left + price)
                if total < grown.get(state, math.inf):
                    grown[state], way[state] = total, before
        best = grown
        ways.append(way)
    if not best or not kinds:
        return [None] * len(events)
    ends = {state: cost + idle[-1] - idle[state[0] + 1] for state, cost in best.items()}
    state, found = min(ends, key=lambda one: ends[one]), list[int | None]()
    for event, way in zip(reversed(events), reversed(ways), strict=True):
        before = way[state]
        worked = before[1] and before[0] == state[0]
        strange = _cost(event, kinds[state[0]], worked)[0] >= _STRANGE
        found.append(None if strange else state[0])
        state = before
    return found[::-1]
