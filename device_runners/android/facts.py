"""What a phone says about itself, asked by plain commands; whatever it says is text to show, nothing more."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlbench.device_runners.android.phone import Phone

_PROPERTY = re.compile(r"^\[([\w.-]+)\]: \[(.*)\]$", re.MULTILINE)
_MAX_TEXT = 200


@dataclass(frozen=True)
class Battery:
    """Charge in percent, temperature in degrees Celsius, whether it is charging; None where not told."""

    level: int | None
    celsius: float | None
    charging: bool


def clean(text: str) -> str:
    """Text from a device without control characters, cut to 200 characters."""
    return "".join(c for c in text if c.isprintable())[:_MAX_TEXT].strip()


def properties(phone: Phone) -> dict[str, str]:
    """All of `getprop`."""
    return {key: clean(value) for key, value in _PROPERTY.findall(phone.run(["getprop"]).text)}


def name_of(properties: dict[str, str]) -> str:
    """Maker and model, as people call the phone."""
    maker, model = properties.get("ro.product.manufacturer", ""), properties.get("ro.product.model", "")
    return model if model.lower().startswith(maker.lower()) else f"{maker} {model}".strip()


def free_bytes(phone: Phone, folder: str) -> int | None:
    """Free space of the file system that holds a folder, None where `df` does not tell."""
    lines = phone.run(["df", "-k", folder]).text.strip().splitlines()
    # Filesystem 1K-blocks Used Available Use% Mounted on; a long name wraps onto a line of its own.
    fields = " ".join(lines[1:]).split()
    return int(fields[3]) * 1024 if len(fields) >= 6 and fields[3].isdecimal() else None


def battery(phone: Phone) -> Battery:
    """From `dumpsys battery`."""
    text = phone.run(["dumpsys", "battery"]).text
    level, tenths = _number(text, "level"), _number(text, "temperature")
    powered = re.search(r"^\s*(AC|USB|Wireless|Dock) powered: true", text, re.MULTILINE)
    return Battery(level, None if tenths is None else tenths / 10, powered is not None)


def thermal_status(phone: Phone) -> int | None:
    """0 (none) to 6 (shutdown) from `dumpsys thermalservice`; None before Android 10."""
    return _number(phone.run(["dumpsys", "thermalservice"]).text, "Thermal Status")


def _number(text: str, label: str) -> int | None:
    found = re.search(rf"^\s*{label}:\s*(-?\d{{1,9}})\s*$", text, re.MULTILINE)
    return int(found[1]) if found else None
