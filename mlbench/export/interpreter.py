"""A `.tflite` file and what it answers: named inputs and outputs in real numbers, whatever types the file holds.

Imports numpy and LiteRT alone: the measuring process loads it, and its memory shall be the model's.
"""

import math
import re
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
        elif kind not in (np.float32, np.int32, np.int64, np.bool_, np.uint8, np.int8, np.int16):
            message = f"{detail['name']} is {kind}: inputs and outputs are float32, int32, int64, bool, or 8 or 16 bits"
            raise ValueError(message)
        shape = tuple(int(size) for size in detail["shape"])
        return cls(name, shape, detail["index"], kind, steps)

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
        """Load and prepare a file: `model_path` or `model_content`; a batch of any size is set to 1.

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
            if signature and signature[0] < 0:
                self._interpreter.resize_tensor_input(detail["index"], [1, *map(abs, signature[1:])])

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

    def matched(self, kind: str, names: list[str]) -> list[int]:
        """Position of the input, or output, of each name; by order where the file names them otherwise.

        Raises:
            ValueError: there are more or fewer.
        """
        ports = self.inputs if kind == "inputs" else self.outputs
        own = [port.name for port in ports]
        if len(own) != len(names):
            message = f"it has {len(own)} {kind} ({', '.join(own)}), not {len(names)} ({', '.join(names)})"
            raise ValueError(message)
        return [own.index(name) for name in names] if set(own) == set(names) else list(range(len(own)))

    def set(self, position: int, values: np.ndarray) -> None:
        """Set one input to one sample's real numbers."""
        port = self.inputs[position]
        self._interpreter.set_tensor(port.index, port.stored(values))

    def invoke(self) -> None:
        """Run the network, and nothing else: this is what is timed."""
        self._interpreter.invoke()

    def get(self, position: int) -> np.ndarray:
        """What the last run gave at one output, in real numbers [*shape] without the batch."""
        port = self.outputs[position]
        return port.real(self._interpreter.get_tensor(port.index))[0]


def _first_sentence(text: str) -> str:
    """What TensorFlow Lite says, without its advice to builders of apps, and the operator that it stopped at."""
    said = re.split(r"\.\s", text.strip())[0]
    operator = re.search(r"Node number \d+ \((\w+)\)", text)
    return f"{said} ({operator[1]})" if operator and operator[1] not in said else said
