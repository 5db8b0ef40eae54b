"""Sizes as text, both ways. MB are 10^6 bytes (as in the paper), MiB are 2^20."""

from __future__ import annotations

import re

from mlbench.errors import UsageError

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"\s*(\d{1,18}(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def parse_size(text: str) -> int:
    """`512KB` -> 512000, `1.5MiB` -> 1572864.

    Raises:
        UsageError: not a number with a known unit, or zero.
    """
    match = _SIZE.fullmatch(text)
    factor = _UNITS.get(match.group(2).upper()) if match else None
    if match is None or factor is None or (size := round(float(match.group(1)) * factor)) < 1:
        message = f'"{text}" is not a size: write e.g. 512KB, 5MB or 128KiB.'
        raise UsageError(message)
    return size


def format_size(size: float) -> str:
    """Bytes for people, three significant digits: `126 MB`, `64.6 KB`."""
    for factor, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "KB")):
        scaled = size / factor
        if abs(scaled) >= 0.9995:  # what would round to 1000 of the smaller unit is 1 of this one
            return f"{scaled:.3g} {unit}" if abs(scaled) < 999.5 else f"{scaled:.0f} {unit}"
    return f"{size:.0f} B"
