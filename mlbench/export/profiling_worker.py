"""A process that runs one `.tflite` and says how long its operators take, by LiteRT's profiler.

Started as a file with a JSON argument; prints one line of JSON. The profiler is part of LiteRT's C interface
(litert/c/litert_profiler.h), which the wheel's library exports; it sees the operators inside XNNPACK too. What goes
wrong at that interface ends this process alone.
"""

import ctypes
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ai_edge_litert
import numpy as np

from mlbench.export import random_inputs
from mlbench.export.interpreter import Network

_WARM_UP_SECONDS = 0.1

#: LiteRtElementType, by numpy's name.
_ELEMENTS = {"float32": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9}

#: LiteRtProfilerEventType.
_OPERATOR, _INSIDE_DELEGATE = 2, (4, 8)

_Handle, _Size = ctypes.c_void_p, ctypes.c_size_t
_WRITE = 1  # LiteRtTensorBufferLockMode
_CPU = 1  # LiteRtHwAccelerators


class _Layout(ctypes.Structure):
    """LiteRtLayout; of the first field 7 bits are the rank."""

    _fields_ = (
        ("rank", ctypes.c_uint32),
        ("dimensions", ctypes.c_int32 * 8),
        ("strides", ctypes.c_uint32 * 8),
    )


class _RankedType(ctypes.Structure):
    """LiteRtRankedTensorType."""

    _fields_ = (("element", ctypes.c_int), ("layout", _Layout))


class _Event(ctypes.Structure):
    """ProfiledEventData."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", _Size * 6),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


class _Profiled:
    """A file compiled with the profiler on."""

    def __init__(self, model: str, threads: int, network: Network) -> None:
        folder = Path(ai_edge_litert.__file__).parent
        self._library = ctypes.CDLL(str(next(folder.glob("libLiteRt.*"))))
        self._kept: list[Any] = []
        self._environment = self._made("Environment", 0, None)
        opened = self._opened(model)
        options = self._made("Options")
        self._call("SetOptionsHardwareAccelerators", options, _CPU)
        self._set(options, b"runtime_options_string", b"enable_profiling = true\n")
        self._set(options, b"xnnpack", b"num_threads = %d\n" % threads)
        self._compiled = self._made("CompiledModel", self._environment, opened, options)
        self._profiler = self._got("CompiledModelGetProfiler", self._compiled)
        signature = self._got("GetModelSignature", opened, _Size(0))
        self._inputs = self._buffers("Input", signature, network)
        self._outputs = self._buffers("Output", signature, network)

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, f"LiteRt{name}")(*arguments)
        if status:
            message = f"LiteRt{name} gave status {status}"
            raise RuntimeError(message)

    def _got(self, name: str, *arguments: Any) -> Any:
        made = _Handle()
        self._call(name, *arguments, ctypes.byref(made))
        return made

    def _made(self, kind: str, *arguments: Any) -> Any:
        return self._got(f"Create{kind}", *arguments)

    def _opened(self, model: str) -> Any:
        try:
            return self._got("CreateModelFromFile", self._environment, model.encode())
        except RuntimeError:
            return self._got("CreateModelFromFile", model.encode())  # up to LiteRT 2.1

    def _set(self, options: Any, name: bytes, text: bytes) -> None:
        payload = ctypes.create_string_buffer(text)
        nothing = ctypes.CFUNCTYPE(None, _Handle)(lambda _: None)  # the buffer is Python's
        self._kept += [payload, nothing]
        create = self._library.LiteRtCreateOpaqueOptions
        create.argtypes = [ctypes.c_char_p, _Handle, _Handle, _Handle]
        made = _Handle()
        arguments = (ctypes.cast(payload, _Handle), ctypes.cast(nothing, _Handle), ctypes.byref(made))
        if create(name, *arguments):
            message = "LiteRtCreateOpaqueOptions refused"
            raise RuntimeError(message)
        self._call("AddOpaqueOptions", options, made)

    def _buffers(self, kind: str, signature: Any, network: Network) -> Any:
        ports = network.inputs if kind == "Input" else network.outputs
        by_name = {port.name: port for port in ports}
        names = [self._port_name(kind, signature, place) for place in range(len(ports))]
        known = set(names) == set(by_name)
        ordered = [by_name[name] if known else port for name, port in zip(names, ports, strict=True)]
        if kind == "Input":
            self.order = [ports.index(port) for port in ordered]
            for place, port in enumerate(ordered):
                self._resize(place, port.shape)
        layouts = (_Layout * len(ports))()
        if kind == "Output":
            arguments = (_Size(0), _Size(len(ports)), layouts, ctypes.c_bool(True))
            self._call("GetCompiledModelOutputTensorLayouts", self._compiled, *arguments)
        buffers = (_Handle * len(ports))()
        for place, port in enumerate(ordered):
            where = (self._compiled, _Size(0), _Size(place))
            if kind == "Input":
                self._call("GetCompiledModelInputTensorLayout", *where, ctypes.byref(layouts[place]))
            needs = self._got(f"GetCompiledModel{kind}BufferRequirements", *where)
            held = _RankedType(_ELEMENTS[port.dtype.name], layouts[place])
            made = self._made(
                "ManagedTensorBufferFromRequirements", self._environment, ctypes.byref(held), needs
            )
            buffers[place] = made
        return buffers

    def _port_name(self, kind: str, signature: Any, place: int) -> str:
        name = ctypes.c_char_p()
        self._call(f"GetSignature{kind}Name", signature, _Size(place), ctypes.byref(name))
        return (name.value or b"").decode(errors="replace")

    def _resize(self, place: int, shape: tuple[int, ...]) -> None:
        layout = _Layout()
        where = (self._compiled, _Size(0), _Size(place))
        self._call("GetCompiledModelInputTensorLayout", *where, ctypes.byref(layout))
        if tuple(layout.dimensions[: len(shape)]) != shape:
            sizes = (ctypes.c_int * len(shape))(*shape)
            self._call("CompiledModelResizeInputTensorNonStrict", *where, sizes, _Size(len(shape)))

    def write(self, place: int, values: np.ndarray) -> None:
        """Set the input at a place of `order`."""
        memory = _Handle()
        self._call("LockTensorBuffer", _Handle(self._inputs[place]), ctypes.byref(memory), _WRITE)
        held = np.ascontiguousarray(values)
        ctypes.memmove(memory, held.ctypes.data, held.nbytes)
        self._call("UnlockTensorBuffer", _Handle(self._inputs[place]))

    def run(self) -> None:
        """One inference."""
        given = (_Size(len(self._inputs)), self._inputs, _Size(len(self._outputs)), self._outputs)
        self._call("RunCompiledModel", self._compiled, _Size(0), *given)

    def events(self) -> list[tuple[str, int, int]]:
        """What operators took in one inference: name, number (-1: inside a delegate), microseconds."""
        self._call("StartProfiler", self._profiler)
        self.run()
        self._call("StopProfiler", self._profiler)
        count = ctypes.c_int()
        self._call("GetNumProfilerEvents", self._profiler, ctypes.byref(count))
        held = (_Event * count.value)()
        self._call("GetProfilerEvents", self._profiler, count.value, held)
        found = []
        for event in held:
            if event.kind in (_OPERATOR, *_INSIDE_DELEGATE):
                number = int(event.first) if event.kind == _OPERATOR else -1
                found.append(((event.tag or b"").decode(), number, int(event.elapsed_us)))
        return found


def main() -> None:
    """Run the file as a whole, or with the profiler; print what was found."""
    job = json.loads(sys.argv[1])
    network = Network(job["threads"], model_path=job["model"])
    samples = random_inputs.drawn(network.inputs, job["seed"])
    if not job["profile"]:

        def place(turn: int) -> None:
            for position, stored in enumerate(samples[turn % len(samples)]):
                network.put(position, stored)

        print(json.dumps({"whole_us": _whole(place, network.invoke, job)}))
        return
    profiled = _Profiled(job["model"], job["threads"], network)

    def give(turn: int) -> None:
        for position, port in enumerate(profiled.order):
            profiled.write(position, samples[turn % len(samples)][port])

    print(json.dumps(_parts(give, profiled, job)))


def _whole(place: Callable[[int], None], run: Callable[[], None], job: dict[str, Any]) -> list[float]:
    def timed(turn: int) -> float:
        place(turn)
        begun = time.perf_counter()
        run()
        return (time.perf_counter() - begun) * 1e6

    return list(_repeated(timed, job))


def _parts(give: Callable[[int], None], profiled: _Profiled, job: dict[str, Any]) -> dict[str, Any]:
    def timed(turn: int) -> list[tuple[str, int, int]]:
        give(turn)
        return profiled.events()

    runs = _repeated(timed, job)
    names = [event[:2] for event in runs[-1]]
    alike = [[event[2] for event in run] for run in runs if [event[:2] for event in run] == names]
    return {"events": names, "us": alike}


def _repeated(work: Callable[[int], Any], job: dict[str, Any]) -> list[Any]:
    """What work gives, turn by turn, after a warm-up: so many times and so many seconds at least."""
    begun, turn = time.perf_counter(), 0
    while turn < 3 or time.perf_counter() - begun < _WARM_UP_SECONDS:
        work(turn)
        turn += 1
    found: list[Any] = []
    begun = time.perf_counter()
    while len(found) < job["count"] or time.perf_counter() - begun < job["seconds"]:
        found.append(work(turn))
        turn += 1
    return found


if __name__ == "__main__":
    main()
