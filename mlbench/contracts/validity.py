"""Whether a plug-in offers what its contract asks, so that a bad one is named before it is used."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlbench.contracts.compressor import Compressor, Order
from mlbench.contracts.network import Variant
from mlbench.contracts.report import Report
from mlbench.contracts.runner import DeviceRunner

_CLASSES: dict[str, type] = {"compressors": Compressor, "device_runners": DeviceRunner, "reports": Report}


def fault_of(kind: str, name: str, plugin: Any) -> str:
    """What is wrong with a plug-in that is registered by a name, as "has no blocks"; "" where nothing is."""
    if kind == "models":
        good = isinstance(plugin, Path) and plugin.is_dir()
        return "" if good else "is no Path of a folder"
    if kind == "variants":
        fault = _variant(plugin) if isinstance(plugin, Variant) else "is no Variant"
    else:
        fault = _class(plugin, _CLASSES[kind])
    if not fault and plugin.name != name:
        fault = f'calls itself "{plugin.name}": give it the name that it is registered by'
    return fault


def _variant(variant: Variant) -> str:
    if not (isinstance(variant.name, str) and isinstance(variant.summary, str)):
        return "has a name or summary that is no text"
    if not variant.blocks:
        return "has no blocks: give one Block at least"
    sizes = [
        variant.size,
        *variant.dense,
        *(n for block in variant.blocks for n in (block.filters, block.kernel)),
    ]
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        return "has a size that is no whole number above 0"
    sides = [
        side for layer in variant.layers() for side in layer.output[:2] if layer.kind in ("conv", "pool")
    ]
    if min(sides) < 1:
        return f"has a feature map that vanishes ({min(sides)} px): leave out a pool, or use smaller kernels"
    return ""


def _class(plugin: Any, contract: type) -> str:
    if not (isinstance(plugin, type) and issubclass(plugin, contract)):
        return f"is no class of {contract.__name__}"
    if left := sorted(name for name, value in inspect.getmembers(plugin) if _abstract(value)):
        return f"does not implement {', '.join(left)}"
    if missing := _not_texts(plugin, ("name", "summary")):
        return f"has no class variable {missing} (a text)"
    return _compressor(plugin) if issubclass(plugin, Compressor) else ""


def _compressor(technique: type[Compressor]) -> str:
    fields = technique.model_fields
    undescribed = [field for field, facts in fields.items() if not facts.description or facts.is_required()]
    if missing := _not_texts(technique, ("source",)):
        return f"has no class variable {missing} (a text)"
    if not isinstance(getattr(technique, "order", None), Order):
        return "has no class variable order (one of Order)"
    if not isinstance(getattr(technique, "needs_tuning", None), bool):
        return "has no class variable needs_tuning (True or False)"
    if technique.positional is not None and technique.positional not in fields:
        return f'has the positional option "{technique.positional}", which is none of its fields'
    if undescribed:
        return f'has the option "{undescribed[0]}" without a default or a description: give it a Field(…)'
    for options in (technique.exact, technique.example):
        if options is not None and not (isinstance(options, Mapping) and options.keys() <= fields.keys()):
            return "has examples of options that are none of its fields"
    return ""


def _abstract(value: Any) -> bool:
    return getattr(value, "__isabstractmethod__", False) is True


def _not_texts(plugin: type, names: Iterable[str]) -> str:
    """The first of the class variables that is no text, or ""."""
    return next((name for name in names if not isinstance(getattr(plugin, name, None), str)), "")
