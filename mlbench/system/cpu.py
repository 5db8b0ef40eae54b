"""What the CPU can do, as Linux tells it."""

from __future__ import annotations

from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")

_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 (two kinds), ARM


def cpu_flags(cpu_info: Path = CPU_INFO) -> frozenset[str]:
    """The flags of the CPU; none where they are not told."""
    try:
        text = cpu_info.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    told = [line.partition(":") for line in text.splitlines()]
    return frozenset(
        flag for name, _, value in told if name.strip() in ("flags", "Features") for flag in value.split()
    )


def computes_bfloat16(flags: frozenset[str]) -> bool:
    """Whether a CPU of these flags has bfloat16 arithmetic."""
    return bool(flags & _BFLOAT16)
