"""A `.tflite` file and what it answers: named inputs and outputs in real numbers, whatever types the file holds.

Imports numpy and LiteRT alone: the measuring process loads it, and its memory shall be the model's.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter


@dataclass(frozen=True)
class Steps:
    """A quantised tensor's codes: a real number is scale × (code - zero) (Jacob et al. 2018, equation 1)."""

    scale: np.float32
    zero: int
    dtype: np.dtype[Any]

    def codes(self, values: np.ndarray) -> np.ndarray:
        """Real numbers as codes, rounded half to even."""
        limits = np.iinfo(self.dtype)
        return np.clip(np.rint(values / self.scale) + self.zero, limits.min, limits.max).astype(self.dtype)

    def values(self, codes: np.ndarray) -> np.ndarray:
        """Codes as real numbers, float32."""
        return self.scale * (codes.astype(np.int32) - self.zero).astype(np.float32)


@dataclass(frozen=True)
class Port:
    """One input or output of a file."""

    name: str
    shape: tuple[int, ...]  # with the batch
    index: int
    dtype: np.dtype[Any]
    steps: Steps | None  # None: not quantised
    open: bool = False  # whether the file leaves sizes open beside the batch, which are 1 then

    @classmethod
    def of(cls, name: str, detail: dict[str, Any]) -> "Port":
        """As LiteRT describes it.

        Raises:
            ValueError: it is of a type without a meaning here.
        """
        kind, (scale, zero) = np.dtype(detail["dtype"]), detail["quantization"]
        steps = None
        if kind in (np.int8, np.uint8, np.int16) and math.isfinite(scale) and scale > 0:
            steps = Steps(np.float32(scale), int(zero), kind)
        elif kind.kind not in "fiub":
            message = f"{detail['name']} is {_told_type(kind)}: inputs and outputs are real numbers or bool"
            raise ValueError(message)
        shape = tuple(int(size) for size in detail["shape"])
        left = bool((np.asarray(detail.get("shape_signature", ()))[1:] < 0).any())
        return cls(name, shape, detail["index"], kind, steps, left)

    @classmethod
    def parse(cls, facts: dict[str, Any]) -> "Port":
        """As `facts` told it to another process; it has no place in an interpreter here."""
        kind, steps = np.dtype(facts["dtype"]), facts["steps"]
        return cls(
            facts["name"],
            tuple(facts["shape"]),
            -1,
            kind,
            Steps(np.float32(steps[0]), steps[1], kind) if steps else None,
            facts["open"],
        )

    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "name": self.name,
            "shape": self.shape,
            "dtype": self.dtype.str,
            "steps": [float(self.steps.scale), self.steps.zero] if self.steps else None,
            "open": self.open,
        }

    @property
    def sample_shape(self) -> tuple[int, ...] | None:
        """Of one sample; None: what it holds is not of one sample, but of another number, or of none."""
        return self.shape[1:] if self.shape[:1] == (1,) else None

    def drawn(self, rng: np.random.Generator) -> np.ndarray:
        """A random input, as the file takes it: reals in 0..1, any code of a quantised one.

        Whole numbers without a scale are 0 or 1: they may be rows of a table, and each has two.
        """
        if self.dtype.kind == "f":
            return np.asarray(rng.random(self.shape), self.dtype)
        limits = np.iinfo(self.dtype) if self.steps else None
        low, high = (limits.min, limits.max) if limits else (0, 1)
        return np.asarray(rng.integers(low, high, self.shape, endpoint=True), self.dtype)

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers that are no codes: only whole numbers have a meaning there."""
        return self.steps is None and self.dtype.kind in "iu"

    def stored(self, values: np.ndarray) -> np.ndarray:
        """One sample's real numbers as the file takes them."""
        shaped = values.reshape(self.shape)
        return self.steps.codes(shaped) if self.steps else shaped.astype(self.dtype, copy=False)

    def real(self, stored: np.ndarray) -> np.ndarray:
        """What the file gives, in real numbers."""
        return self.steps.values(stored) if self.steps else stored


class Network:
    """One loaded file."""

    def __init__(self, threads: int = 1, **source: str | bytes) -> None:
        """Load and prepare a file: `model_path` or `model_content`; sizes left open, as a batch's, are 1.

        Raises:
            ValueError: it cannot be read, or its inputs or outputs are of a type without a meaning here.
            RuntimeError: it has operators that this runtime lacks.
        """
        self._interpreter = Interpreter(num_threads=threads, **source)
        self._one_at_a_time()
        try:
            self._interpreter.allocate_tensors()
        except RuntimeError as error:
            raise RuntimeError(_first_sentence(str(error))) from error
        entries, answers = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self.inputs, self.outputs = self._ports("inputs", entries), self._ports("outputs", answers)

    def _one_at_a_time(self) -> None:
        for detail in self._interpreter.get_input_details():
            signature = [int(size) for size in detail.get("shape_signature", detail["shape"])]
            if any(size < 0 for size in signature):
                self._interpreter.resize_tensor_input(detail["index"], [max(1, size) for size in signature])

    def _ports(self, kind: str, details: list[dict[str, Any]]) -> list[Port]:
        """With the names of the file's only signature, else the tensors' own."""
        signatures = self._interpreter.get_signature_list()
        named: dict[int, str] = {}
        if len(signatures) == 1:
            ((key, ends),) = signatures.items()
            runner = self._interpreter.get_signature_runner(key)
            tensors = runner.get_input_details() if kind == "inputs" else runner.get_output_details()
            named = {tensors[name]["index"]: name for name in ends[kind]}
        return [Port.of(named.get(detail["index"], detail["name"]), detail) for detail in details]

    def put(self, position: int, stored: np.ndarray) -> None:
        """Set one input to what the file takes, the batch with it."""
        self._interpreter.set_tensor(self.inputs[position].index, stored)

    def set(self, position: int, values: np.ndarray) -> None:
        """Set one input to one sample's real numbers."""
        port = self.inputs[position]
        self._interpreter.set_tensor(port.index, port.stored(values))

    def invoke(self) -> None:
        """Run the network, and nothing else: this is what is timed."""
        self._interpreter.invoke()

    def get(self, position: int) -> np.ndarray:
        """What the last run gave at one output, in real numbers [*shape] without the batch."""
        return self.given(position)[0]

    def given(self, position: int) -> np.ndarray:
        """What the last run gave at one output, in real numbers, whatever its shape."""
        port = self.outputs[position]
        return port.real(self._interpreter.get_tensor(port.index))

    def delegation(self) -> tuple[int, list[int]]:
        """How many operators the main graph has, and how many of them each part that a delegate took over.

        LiteRT appends an operator for each such part. What it stands for lies between its inputs and outputs: an
        input of a part is never made inside it (TensorFlow Lite, `graph_info.cc`).
        """
        operators = self._interpreter._get_ops_details()
        own = [one for one in operators if one["op_name"] != _DELEGATE]
        makers = {int(tensor): place for place, one in enumerate(own) for tensor in one["outputs"]}
        return len(own), [_between(one, own, makers) for one in operators if one["op_name"] == _DELEGATE]


def matched(kind: str, ports: Sequence[Port], names: list[str]) -> list[int]:
    """Position of the port of each name; by order where the file names them otherwise.

    A file may answer more than is asked for by name.

    Raises:
        ValueError: there are more or fewer `kind`, "inputs" or "outputs".
    """
    own = [port.name for port in ports]
    if kind == "outputs" and set(names) <= set(own):
        return [own.index(name) for name in names]
    if len(own) != len(names):
        message = f"it has {len(own)} {kind} ({', '.join(own)}), not {len(names)} ({', '.join(names)})"
        raise ValueError(message)
    return [own.index(name) for name in names] if set(own) == set(names) else list(range(len(own)))


#: How LiteRT names what a delegate has taken over.
_DELEGATE = "DELEGATE"


def _between(part: dict[str, Any], operators: list[dict[str, Any]], makers: dict[int, int]) -> int:
    """How many operators lie between the inputs and the outputs of a part."""
    entries, found = {int(tensor) for tensor in part["inputs"]}, set[int]()
    left = [int(tensor) for tensor in part["outputs"]]
    while left:
        tensor = left.pop()
        maker = makers.get(tensor)
        if tensor in entries or maker is None or maker in found:
            continue
        found.add(maker)
        left += (int(needed) for needed in operators[maker]["inputs"])
    return len(found)


def _told_type(kind: np.dtype[Any]) -> str:
    return "text" if kind.kind in "SUO" else str(kind)


def _first_sentence(text: str) -> str:
    """What TensorFlow Lite says, without its advice to builders of apps, and the operator that it stopped at."""
    said = re.split(r"\.\s", text.strip())[0]
    operator = re.search(r"Node number \d+ \((\w+)\)", text)
    return f"{said} ({operator[1]})" if operator and operator[1] not in said else said
