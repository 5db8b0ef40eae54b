"""The paper's preparation: photographs to labelled crops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mlbench.errors import UsageError
from mlbench.faces import labelling, preparation
from mlbench.faces.frames import compose_frames
from mlbench.system.progress import Silent
from tests.benchmarks.conftest import once


@pytest.fixture(scope="module")
def photographs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        labelling.find_predictor()
        labelling.require_dlib()
    except UsageError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("photographs")
    for number, frame in enumerate(compose_frames(4 if once(request.config) else 24, 7).images):
        cv2.imwrite(str(folder / f"{number:02}.png"), np.asarray(frame))
    return folder


@pytest.mark.benchmark(group="preparation")
def test_preparation(benchmark: Any, photographs: Path, tmp_path: Path) -> None:
    rounds = iter(range(1000))

    def prepare() -> preparation.Summary:
        out = tmp_path / f"{next(rounds)}.npz"
        return preparation.prepare([photographs], out, preparation.Options(workers=1), Silent())

    summary = benchmark.pedantic(prepare, rounds=1)
    benchmark.extra_info.update(photographs=len(list(photographs.iterdir())), kept=summary.kept, threads=1)
    assert summary.kept > 0
