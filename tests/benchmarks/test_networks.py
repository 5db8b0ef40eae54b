"""Inference, load, pipeline and export of variants and chains, on sampled faces."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from mlbench.compression.delivery import export
from mlbench.faces.detection import HaarDetector
from mlbench.faces.landmarks import IMAGE


def _loaded(path: Path) -> Interpreter:
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def _set(interpreter: Interpreter, crop: np.ndarray) -> None:
    entry = interpreter.get_input_details()[0]["index"]
    interpreter.set_tensor(entry, np.divide(crop, 255, dtype=np.float32)[None, :, :, None])


@pytest.mark.benchmark(group="inference")
def test_inference(benchmark: Any, make: Any, variant: str, chain: str) -> None:
    made = make(variant, chain)
    benchmark.extra_info.update(made.notes())
    interpreter, crops = _loaded(made.path), cycle(made.test.inputs[IMAGE])

    def invoke() -> None:
        _set(interpreter, next(crops))
        interpreter.invoke()

    invoke()
    benchmark(invoke)


@pytest.mark.benchmark(group="load")
def test_load(benchmark: Any, make: Any, variant: str, chain: str) -> None:
    made = make(variant, chain)
    benchmark.extra_info.update(made.notes())
    assert benchmark(_loaded, made.path).get_output_details()[0]["shape"][-1] == 136


@pytest.mark.benchmark(group="pipeline")
def test_detector_alone(benchmark: Any, frames: np.ndarray) -> None:
    detector, turn = HaarDetector(), cycle(frames)
    benchmark.extra_info.update(threads=cv2.getNumThreads(), frames=len(frames))
    benchmark(lambda: detector.largest(next(turn)))


@pytest.mark.benchmark(group="pipeline")
def test_detector_and_network(
    benchmark: Any, make: Any, frames: np.ndarray, variant: str, chain: str
) -> None:
    made = make(variant, chain)
    benchmark.extra_info.update(made.notes())
    interpreter, detector, turn = _loaded(made.path), HaarDetector(), cycle(frames)

    def frame_to_points() -> None:
        frame = next(turn)
        box = detector.largest(frame)
        if box is not None:
            face = frame[box.top : box.top + box.height, box.left : box.left + box.width]
            _set(interpreter, cv2.resize(face, (96, 96)))
            interpreter.invoke()

    benchmark(frame_to_points)


@pytest.mark.benchmark(group="export")
def test_export(benchmark: Any, make: Any, variant: str, tmp_path: Path) -> None:
    made = make(variant, "none")
    benchmark.extra_info.update(made.notes())

    def forget() -> None:
        for kept in made.compressed.folder.glob("float32-*"):
            kept.unlink()

    def convert() -> Any:
        return export(made.compressed, made.variant.name, "none", made.setup, tmp_path)

    artifact = benchmark.pedantic(convert, setup=forget, rounds=1)
    assert artifact.file_bytes > made.compressed.stages[-1].parameters
