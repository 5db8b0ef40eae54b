"""What a user should know of a training: arithmetic that this CPU has not, and trainings that learnt nothing."""

from __future__ import annotations

from pathlib import Path

from mlbench.contracts import Metric
from mlbench.system.cpu import CPU_INFO, computes_bfloat16, cpu_flags
from mlbench.training.baselines import Trained
from mlbench.training.options import TrainingOptions


def slow_arithmetic(*options: TrainingOptions, cpu_info: Path = CPU_INFO) -> list[str]:
    """A warning where bfloat16 is asked of a CPU that computes it by detours; none where the CPU is not told."""
    flags = cpu_flags(cpu_info)
    if not flags or computes_bfloat16(flags) or all(chosen.compute != "bfloat16" for chosen in options):
        return []
    return [
        "This CPU has no bfloat16 arithmetic (none of the flags avx512_bf16, amx_bf16, bf16). On a CPU with AVX2, "
        "--compute bfloat16 was 4 times slower than float32: leave it out, or give --compute auto."
    ]


def learnt_nothing(name: str, trained: Trained, metric: Metric, rate: float) -> list[str]:
    """A warning where no epoch of a training was better than the network that it began with."""
    first, *later = trained.history
    if not later or trained.best is not first:
        return []
    return [
        f"The training of {name} learnt nothing: no epoch of {len(later)} was better than "
        f"{metric.told(first.validation[metric.name])}, the network before training, which was kept; give a smaller "
        f"--rate than {rate:g}."
    ]
