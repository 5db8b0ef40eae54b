"""What is told of trainings that are slow for no reason, or that learnt nothing."""

from pathlib import Path

import numpy as np
import pytest

from mlbench.data.overlap import Seen
from mlbench.data.sources import Source
from mlbench.faces.landmarks import Landmarks
from mlbench.records import Epoch
from mlbench.runs.plan import Making
from mlbench.runs.steps import train_only
from mlbench.training.baselines import Trained
from mlbench.training.doubts import learnt_nothing, slow_arithmetic
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.conftest import TINY

LOW = TrainingOptions(compute="bfloat16")


@pytest.mark.parametrize(
    ("line", "options", "warned"),
    [
        ("flags\t\t: fpu avx2 avx512f", LOW, True),
        ("flags\t\t: fpu avx2 avx512_bf16", LOW, False),
        ("flags\t\t: fpu amx_bf16 amx_tile", LOW, False),
        ("Features\t: fp asimd bf16", LOW, False),
        ("Features\t: fp asimd", LOW, True),
        ("flags\t\t: fpu avx2", TrainingOptions(), False),
        ("model name\t: unknown", LOW, False),
    ],
)
def test_bfloat16_on_a_cpu_without_it(tmp_path, line, options, warned):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\n")
    found = slow_arithmetic(TrainingOptions(), options, cpu_info=tmp_path / "cpuinfo")
    assert [("4 times slower than float32" in text) for text in found] == [True] * warned
    assert slow_arithmetic(options, cpu_info=tmp_path / "absent") == []


def trained(*errors):
    history = [
        Epoch(
            epoch=number,
            loss=None,
            validation={"mae": error},
            learning_rate=1.0,
            samples_per_s=0.0,
            seconds=0.0,
        )
        for number, error in enumerate(errors)
    ]
    best = min(history, key=lambda epoch: epoch.validation["mae"])
    nothing = np.array([], "S32")
    return Trained("", Path(), tuple(history), best, reused=False, seen=Seen(nothing, nothing, nothing))


def test_a_training_without_a_better_epoch_learnt_nothing():
    mae = Landmarks().primary
    told = learnt_nothing("basic", trained(5.0, 9.0, 5.0), mae, 0.1)
    assert "learnt nothing: no epoch of 2 was better than 5.000 px" in told[0]
    assert learnt_nothing("basic", trained(5.0, 9.0, 4.9), mae, 0.1) == []
    assert learnt_nothing("basic", trained(5.0), mae, 0.1) == []


def test_train_says_that_nothing_was_learnt(cache):
    from mlbench.system.progress import Silent

    source = Source(Landmarks(), None, 60, "file-order", 7)
    making = Making(source, TrainingOptions(epochs=1, rate=1.0), TuningOptions())
    said = train_only(TINY, making, None, False, Silent()).told()
    assert "The training of tiny learnt nothing" in said
    assert "smaller --rate than 1." in said
