"""What a user should know of a training: arithmetic that this CPU has not, and trainings that learnt nothing."""

from __future__ import annotations

from pathlib import Path

from mlbench.contracts import Metric
from mlbench.training.baselines import Trained
from mlbench.training.options import TrainingOptions

_CPU_INFO = Path("/proc/cpuinfo")
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 (two kinds), ARM


def slow_arithmetic(*options: TrainingOptions, cpu_info: Path = _CPU_INFO) -> list[str]:
    """A warning where bfloat16 is asked of a CPU that computes it by detours; none where the CPU is not told."""
    try:
        text = cpu_info.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    told = [line.partition(":") for line in text.splitlines()]
    flags = {
        flag for name, _, value in told if name.strip() in ("flags", "Features") for flag in value.split()
    }
    if not flags or flags & _BFLOAT16 or all(chosen.compute != "bfloat16" for chosen in options):
        return []
    return [
        "This CPU has no bfloat16 arithmetic (none of the flags avx512_bf16, amx_bf16, bf16): --compute bfloat16 is "
        "several times slower than float32 here; leave it out."
    ]


def learnt_nothing(name: str, trained: Trained, metric: Metric, rate: float) -> list[str]:
    """A warning where no epoch of a training was better than the network that it began with."""
    first, *later = trained.history
    if not later or trained.best is not first:
        return []
    return [
        f"The training of {name} learnt nothing: none of {len(later)} epochs was better than "
        f"{metric.told(first.validation[metric.name])}, the network before training, which was kept; give a smaller "
        f"--rate than {rate:g}."
    ]
