"""The measuring process: loads one `.tflite`, then does as it is told, a JSON line in, a JSON line out.

It is started as a file, with its parent's search path, and imports numpy and LiteRT alone, OpenCV and the detector's
plug-in only once the pipeline is asked for, so that its memory is the model's and little else.

It writes a line once it is ready. Commands: `load`, `predict`, `warm_up`, `network`, `memory`, `delegation`,
`detector`, `both`, `tracked`, `found`.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mlbench.errors import UsageError
from mlbench.export import random_inputs
from mlbench.export.interpreter import Network, matched

if TYPE_CHECKING:
    from mlbench.boxes import Box

_WARM_UP_BURSTS = 20
_STEADY = 0.02


def _resident() -> dict[str, int]:
    # VmHWM, since ru_maxrss of a child starts at its parent's peak.
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123 (pathlib would cost memory)
        fields = dict(line.split(":", 1) for line in file)
    return {"now": int(fields["VmRSS"].split()[0]) * 1024, "peak": int(fields["VmHWM"].split()[0]) * 1024}


class Input:
    """One input of the samples: stored values, and how they become the network's input."""

    def __init__(self, name: str, file: str, encoding: dict[str, Any]) -> None:
        """Name the file; it is mapped."""
        self.name, self._shape = name, tuple(encoding["shape"])
        self.values = np.load(file, mmap_mode="r", allow_pickle=False)
        self._dtype = np.dtype(encoding["dtype"])
        self._real = self._dtype if self._dtype.kind == "f" else np.dtype(np.float64)
        self._scale = np.asarray(encoding["scale"], self._real)
        self._offset = np.asarray(encoding["offset"], self._real)

    def encoded(self, stored: np.ndarray) -> np.ndarray:
        """One stored sample as the network takes it: (stored - offset) / scale."""
        values = stored.reshape(self._shape)
        if self._offset.any():
            values = np.subtract(values, self._offset, dtype=self._real)
        if (self._scale != 1).any():
            values = np.divide(values, self._scale, dtype=self._real)
        return values.astype(self._dtype, copy=False)


class Worker:
    """One model and its inputs."""

    def __init__(
        self,
        model: str,
        threads: int,
        inputs: list[dict[str, Any]],
        outputs: list[str],
        pipeline: dict[str, Any] | None,
        seed: int,
    ) -> None:
        """Name the inputs; without any, random ones are drawn as the model asks."""
        self._model, self._threads, self._outputs, self._pipeline = model, threads, outputs, pipeline
        self._inputs = [Input(**one) for one in inputs]
        self._seed, self._turn = seed, 0
        self._baseline = _resident()["now"]

    def load(self) -> dict[str, float]:
        """Load the model and run it once."""
        started = time.perf_counter()
        self._network = Network(self._threads, model_path=self._model)
        loaded = time.perf_counter()
        self._entries = (
            matched("inputs", self._network.inputs, [one.name for one in self._inputs])
            if self._inputs
            else []
        )
        if not self._inputs:
            self._random = random_inputs.drawn(self._network.inputs, self._seed)
        self._set(0)
        begun = time.perf_counter()
        self._network.invoke()
        first = time.perf_counter()
        self._loaded = _resident()["now"]
        return {"load_ms": (loaded - started) * 1000, "first_ms": (first - begun) * 1000}

    def predict(
        self, files: dict[str, str], out: str, first: int = 0, last: int | None = None
    ) -> dict[str, int]:
        """Write the outputs float32 [n, …] for the samples `first` up to `last` in files, an array per output."""
        stored = [np.load(files[one.name], mmap_mode="r", allow_pickle=False) for one in self._inputs]
        places = matched("outputs", self._network.outputs, self._outputs)
        found: dict[str, list[np.ndarray]] = {name: [] for name in self._outputs}
        rows = range(len(stored[0]))[first:last]
        for row in rows:
            for entry, one, values in zip(self._entries, self._inputs, stored, strict=True):
                self._network.set(entry, one.encoded(values[row]))
            self._network.invoke()
            for name, place in zip(self._outputs, places, strict=True):
                found[name].append(self._network.get(place).astype(np.float32))
        np.savez(out, allow_pickle=False, **{name: np.stack(values) for name, values in found.items()})
        return {"count": len(rows)}

    def warm_up(self) -> dict[str, int]:
        """Run until the median of a burst is within 2 % of the one before."""
        last, count = float("inf"), 0
        for _ in range(_WARM_UP_BURSTS):
            samples = self.network(0.05, 5)["samples_ms"]
            count += len(samples)
            median = float(np.median(samples))
            if abs(median - last) <= _STEADY * last:
                break
            last = median
        return {"count": count}

    def network(self, seconds: float, count: int) -> dict[str, Any]:
        """A burst of inferences alone: at least so many seconds and samples."""
        return self._burst(self._invoke, seconds, count)

    def memory(self) -> dict[str, int]:
        """Bytes before the model, after its first inference, and at the peak so far."""
        return {
            "baseline_bytes": self._baseline,
            "loaded_bytes": self._loaded,
            "peak_bytes": _resident()["peak"],
        }

    def delegation(self) -> dict[str, Any]:
        """How many operators the network has, and of how many each part consists that a delegate took over."""
        operators, parts = self._network.delegation()
        return {"operators": operators, "parts": parts}

    def detector(self, seconds: float, count: int) -> dict[str, Any]:
        """A burst of detections alone, on the frames in turn."""
        return self._burst(self._detect, seconds, count)

    def both(self, seconds: float, count: int) -> dict[str, Any]:
        """A burst of frames through detection, cropping and the network."""
        return self._burst(self._detect_and_run, seconds, count)

    def tracked(self, seconds: float, count: int) -> dict[str, Any]:
        """A burst of consecutive frames in which the face that was found is followed."""
        return self._burst(self._follow, seconds, count)

    def found(self) -> dict[str, int]:
        """In how many frames the detector finds something."""
        self._prepare_detector()
        found = sum(self._detector.largest(frame) is not None for frame in self._frames)
        return {"found": found, "frames": len(self._frames)}

    def _burst(self, work: Callable[[int], float], seconds: float, count: int) -> dict[str, Any]:
        samples: list[float] = []
        wall, cpu = time.perf_counter(), time.process_time()
        while len(samples) < count or time.perf_counter() - wall < seconds:
            self._turn += 1
            samples.append(work(self._turn) * 1000)
        return {
            "samples_ms": samples,
            "cpu_s": time.process_time() - cpu,
            "wall_s": time.perf_counter() - wall,
        }

    def _set(self, turn: int) -> None:
        if not self._inputs:
            for position, stored in enumerate(self._random[turn % len(self._random)]):
                self._network.put(position, stored)
        for entry, one in zip(self._entries, self._inputs, strict=True):
            self._network.set(entry, one.encoded(one.values[turn % len(one.values)]))

    def _invoke(self, turn: int) -> float:
        self._set(turn)
        started = time.perf_counter()
        self._network.invoke()
        return time.perf_counter() - started

    def _prepare_detector(self) -> None:
        if hasattr(self, "_frames"):
            return
        import cv2

        from mlbench import plugins

        assert self._pipeline is not None  # noqa: S101 (the parent asks only where there is one)
        cv2.setNumThreads(self._threads)
        self._cv2 = cv2
        self._detector = plugins.load("detectors", self._pipeline["detector"])(self._pipeline["smallest"])
        self._frames = np.load(self._pipeline["frames"], mmap_mode="r", allow_pickle=False)

    def _prepare_tracker(self) -> None:
        self._prepare_detector()
        if hasattr(self, "_tracker"):
            return
        from pathlib import Path

        from mlbench.faces.face_network import FaceNetwork
        from mlbench.faces.tracking import Tracker

        assert self._pipeline is not None  # noqa: S101 (as in _prepare_detector)
        self._video = np.load(self._pipeline["video"], mmap_mode="r", allow_pickle=False)
        self._tracker = Tracker(self._detector.detect, FaceNetwork.of(Path(self._model), self._network).look)
        self._shown = 0

    def _follow(self, turn: int) -> float:
        self._prepare_tracker()
        last = len(self._video) - 1
        place = abs((self._shown + last) % max(1, 2 * last) - last)  # to the end and back: no frame jumps
        self._shown += 1
        frame = np.ascontiguousarray(self._video[place])
        started = time.perf_counter()
        self._tracker.step(frame)
        return time.perf_counter() - started

    def _detect(self, turn: int) -> float:
        self._prepare_detector()
        frame = np.ascontiguousarray(self._frames[turn % len(self._frames)])
        started = time.perf_counter()
        self._detector.largest(frame)
        return time.perf_counter() - started

    def _detect_and_run(self, turn: int) -> float:
        self._prepare_detector()
        frame = np.ascontiguousarray(self._frames[turn % len(self._frames)])
        started = time.perf_counter()
        box = self._detector.largest(frame)
        if box is not None:
            assert self._pipeline is not None  # noqa: S101 (as in _prepare_detector)
            part = self._cut(frame, box)
            resized = self._cv2.resize(
                part, tuple(self._pipeline["size"]), interpolation=self._cv2.INTER_LINEAR
            )
            self._network.set(self._entries[0], self._inputs[0].encoded(resized))
            self._network.invoke()
            self._network.get(0)
        return time.perf_counter() - started

    def _cut(self, frame: np.ndarray, box: "Box") -> np.ndarray:
        """The box with its margin; what lies outside the frame repeats its border."""
        assert self._pipeline is not None  # noqa: S101 (as in _prepare_detector)
        wide = box.scaled(self._pipeline["margin"])
        right, bottom = wide.left + wide.width, wide.top + wide.height
        part = frame[max(wide.top, 0) : bottom, max(wide.left, 0) : right]
        sides = -wide.top, bottom - frame.shape[0], -wide.left, right - frame.shape[1]
        above, below, before, behind = (max(side, 0) for side in sides)
        if not (above or below or before or behind):
            return part
        return self._cv2.copyMakeBorder(part, above, below, before, behind, self._cv2.BORDER_REPLICATE)


def main() -> None:
    """Say that all is imported, then answer commands until the input ends."""
    write({"ready": True})
    worker = Worker(**json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        command = json.loads(line)
        name = command.pop("do")
        try:
            answer = getattr(worker, name)(**command)
        except (RuntimeError, ValueError, OSError, MemoryError, UsageError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        write(answer)


def write(answer: dict[str, Any]) -> None:
    """One line to whoever asked."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
