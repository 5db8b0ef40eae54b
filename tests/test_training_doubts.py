"""What is told of trainings that are slow for no reason, or that learnt nothing."""

import pytest

from mlbench.faces.sources import Source
from mlbench.records import Epoch
from mlbench.runs import pipeline
from mlbench.training.doubts import learnt_nothing, slow_arithmetic
from mlbench.training.options import TrainingOptions

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
    assert [("slower than float32" in text) for text in found] == [True] * warned
    assert slow_arithmetic(options, cpu_info=tmp_path / "absent") == []


def history(*errors):
    return [
        Epoch(
            epoch=number,
            loss=None,
            validation_mae_px=error,
            validation_rmse_px=error,
            learning_rate=1.0,
            images_per_s=0.0,
            seconds=0.0,
        )
        for number, error in enumerate(errors)
    ]


def test_a_training_without_a_better_epoch_learnt_nothing():
    assert (
        "learnt nothing: none of 2 epochs was better than 5.000 px"
        in learnt_nothing("basic", history(5.0, 9.0, 5.0), 0.1)[0]
    )
    assert learnt_nothing("basic", history(5.0, 9.0, 4.9), 0.1) == []
    assert learnt_nothing("basic", history(5.0), 0.1) == []


def test_train_says_that_nothing_was_learnt(plugin, cache, monkeypatch):
    from mlbench.system.progress import Silent

    training = TrainingOptions(epochs=1, rate=1.0)
    said = pipeline.train_only(
        "tiny", Source(None, 60, shuffle=False, seed=7), training, None, None, False, Silent()
    )
    assert "The training of tiny learnt nothing" in said
    assert "smaller --rate than 1." in said
