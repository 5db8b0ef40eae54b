"""The measuring process: loads one `.tflite`, then does as it is told, a JSON line in, a JSON line out.

It is started as a file, with its parent's search path, and imports numpy and LiteRT alone, OpenCV only once the
detector is asked for, so that its memory is the model's and little else. It knows nothing of mlbench.

It writes a line once it is ready. Commands: `load`, `predict`, `warm_up`, `network`, `memory`, `detector`, `both`.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

_WARM_UP_BURSTS = 20
_STEADY = 0.02


def _resident() -> dict[str, int]:
    # VmHWM, since ru_maxrss of a child starts at its parent's peak.
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123 (pathlib would cost memory)
        fields = dict(line.split(":", 1) for line in file)
    return {"now": int(fields["VmRSS"].split()[0]) * 1024, "peak": int(fields["VmHWM"].split()[0]) * 1024}


class Network:
    """One loaded `.tflite` in the field's own units: grey crops of 0..255 in, points in pixels out.

    Quantised inputs and outputs (int8, uint8, int16) are mapped by the file's own scale and zero point: a real
    number is scale * (code - zero point) (Jacob et al. 2018, equation 1).
    """

    def __init__(self, threads: int, **source: str | bytes) -> None:
        """Load and prepare a file: `model_path` or `model_content`.

        Raises:
            ValueError: it cannot be read, or its inputs or outputs are of a type without a meaning here.
            RuntimeError: it has operators that this runtime lacks.
        """
        self._interpreter = Interpreter(num_threads=threads, **source)
        try:
            self._interpreter.allocate_tensors()
        except RuntimeError as error:
            raise RuntimeError(_first_sentence(str(error))) from error
        entry, answer = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
        self._entry, self._answer = entry["index"], answer["index"]
        self.takes, self.steps = np.dtype(entry["dtype"]), steps_of(answer)
        self._greys = _codes(np.divide(np.arange(256), 255, dtype=np.float32), entry)

    def run(self, crop: np.ndarray) -> np.ndarray:
        """Points [68,2] float32 in pixels of a crop uint8 [96,96]."""
        self.set(crop)
        self.invoke()
        return self.points()

    def set(self, crop: np.ndarray) -> None:
        """Set the input to a crop uint8 [96,96]: pixels / 255, quantised where the file takes codes."""
        self._interpreter.set_tensor(self._entry, self._greys[crop][None, :, :, None])

    def invoke(self) -> None:
        """Run the network, and nothing else: this is what is timed."""
        self._interpreter.invoke()

    def points(self) -> np.ndarray:
        """What the last run found: points [68,2] in pixels, float32."""
        found = self._interpreter.get_tensor(self._answer).reshape(68, 2)
        if self.steps is None:
            return found
        scale, zero = self.steps
        return scale * (found.astype(np.int32) - zero).astype(np.float32)


def _first_sentence(text: str) -> str:
    """What TensorFlow Lite says, without its advice to builders of apps, and the operator that it stopped at."""
    said = re.split(r"\.\s", text.strip())[0]
    operator = re.search(r"Node number \d+ \((\w+)\)", text)
    return f"{said} ({operator[1]})" if operator and operator[1] not in said else said


def steps_of(tensor: dict[str, Any]) -> tuple[np.float32, int] | None:
    """Scale and zero point of an input or output as LiteRT describes it; None where it is float32.

    Raises:
        ValueError: it is of another type, or of integers whose scale the file does not tell.
    """
    kind, (scale, zero) = np.dtype(tensor["dtype"]), tensor["quantization"]
    if kind == np.float32:
        return None
    if kind not in (np.int8, np.uint8, np.int16) or not (np.isfinite(scale) and scale > 0):
        what = f"{kind}, " + ("without a scale" if kind.kind in "iu" else "no number of 8, 16 or 32 bits")
        message = f"{tensor['name']} is {what}: inputs and outputs are float32, or int8, uint8 or int16 with a scale"
        raise ValueError(message)
    return np.float32(scale), int(zero)


def _codes(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """Real numbers as a tensor takes them, rounded half to even."""
    steps = steps_of(tensor)
    if steps is None:
        return values
    scale, zero = steps
    limits = np.iinfo(tensor["dtype"])
    return np.clip(np.rint(values / scale) + zero, limits.min, limits.max).astype(tensor["dtype"])


class Worker:
    """One model and its inputs."""

    def __init__(self, model: str, crops: str, frames: str, threads: int, cascade: str) -> None:
        """Name the inputs; nothing is read yet."""
        self._model, self._threads, self._cascade = model, threads, cascade
        self._crops = np.load(crops, mmap_mode="r", allow_pickle=False)
        self._frames_path = frames
        self._turn = 0
        self._baseline = _resident()["now"]

    def load(self) -> dict[str, float]:
        """Load the model and run it once."""
        started = time.perf_counter()
        self._network = Network(self._threads, model_path=self._model)
        loaded = time.perf_counter()
        self._network.set(self._crops[0])
        begun = time.perf_counter()
        self._network.invoke()
        first = time.perf_counter()
        self._loaded = _resident()["now"]
        return {"load_ms": (loaded - started) * 1000, "first_ms": (first - begun) * 1000}

    def predict(self, crops: str, out: str) -> dict[str, int]:
        """Write the outputs [n,68,2] float32 for the crops in a file."""
        images = np.load(crops, mmap_mode="r", allow_pickle=False)
        outputs = np.empty((len(images), 68, 2), np.float32)
        for i, image in enumerate(images):
            outputs[i] = self._network.run(image)
        np.save(out, outputs, allow_pickle=False)
        return {"count": len(images)}

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

    def detector(self, seconds: float, count: int) -> dict[str, Any]:
        """A burst of face detections alone, on the frames in turn."""
        return self._burst(self._detect, seconds, count)

    def both(self, seconds: float, count: int) -> dict[str, Any]:
        """A burst of frames through detection, crop and network."""
        return self._burst(self._landmarks, seconds, count)

    def faces_found(self) -> dict[str, int]:
        """In how many frames the detector finds a face."""
        self._prepare_detector()
        found = sum(self._largest_face(frame) is not None for frame in self._frames)
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

    def _invoke(self, turn: int) -> float:
        self._network.set(self._crops[turn % len(self._crops)])
        started = time.perf_counter()
        self._network.invoke()
        return time.perf_counter() - started

    def _prepare_detector(self) -> None:
        if hasattr(self, "_frames"):
            return
        import cv2

        cv2.setNumThreads(self._threads)
        self._cv2 = cv2
        self._haar = cv2.CascadeClassifier(self._cascade)
        self._frames = np.load(self._frames_path, mmap_mode="r", allow_pickle=False)

    def _detect(self, turn: int) -> float:
        self._prepare_detector()
        frame = np.ascontiguousarray(self._frames[turn % len(self._frames)])
        started = time.perf_counter()
        self._largest_face(frame)
        return time.perf_counter() - started

    def _landmarks(self, turn: int) -> float:
        self._prepare_detector()
        frame = np.ascontiguousarray(self._frames[turn % len(self._frames)])
        started = time.perf_counter()
        box = self._largest_face(frame)
        if box is not None:
            x, y, width, height = box
            face = frame[y : y + height, x : x + width]
            self._network.run(self._cv2.resize(face, (96, 96), interpolation=self._cv2.INTER_LINEAR))
        return time.perf_counter() - started

    def _largest_face(self, frame: np.ndarray) -> Sequence[int] | None:
        boxes = self._haar.detectMultiScale(
            np.asarray(frame), scaleFactor=1.3, minNeighbors=5, minSize=(80, 80)
        )
        return max(boxes, key=lambda box: box[2] * box[3], default=None)


def main() -> None:
    """Say that all is imported, then answer commands until the input ends."""
    _write({"ready": True})
    worker = Worker(**json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        command = json.loads(line)
        name = command.pop("do")
        try:
            answer = getattr(worker, name)(**command)
        except (RuntimeError, ValueError, OSError, MemoryError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        _write(answer)


def _write(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
