"""Whether a plug-in offers what its contract asks, so that a bad one is named before it is used."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlbench.contracts.compressor import Compressor, Order
from mlbench.contracts.detector import Detector
from mlbench.contracts.network import NetworkSource
from mlbench.contracts.precision import Precision
from mlbench.contracts.report import Report
from mlbench.contracts.runner import DeviceRunner
from mlbench.contracts.task import Metric, Task
from mlbench.contracts.variant import Variant

_CLASSES: dict[str, type] = {
    "compressors": Compressor,
    "detectors": Detector,
    "device_runners": DeviceRunner,
    "precisions": Precision,
    "reports": Report,
    "tasks": Task,
}


def fault_of(kind: str, name: str, plugin: Any) -> str:
    """What is wrong with a plug-in that is registered by a name, as "has no blocks"; "" where nothing is."""
    if kind == "models":
        good = isinstance(plugin, Path) and plugin.is_dir()
        return "" if good else "is no Path of a folder"
    fault = _network(plugin) if kind == "variants" else _class(plugin, _CLASSES[kind])
    if not fault and plugin.name != name:
        fault = f'calls itself "{plugin.name}": give it the name that it is registered by'
    return fault


def _network(source: Any) -> str:
    if not isinstance(source, NetworkSource):
        return "is no Variant, nor another NetworkSource"
    if not (isinstance(source.name, str) and isinstance(source.summary, str)):
        return "has a name or summary that is no text"
    return _variant(source) if isinstance(source, Variant) else ""


def _variant(variant: Variant) -> str:
    if not variant.blocks:
        return "has no blocks: give one Block at least"
    shape = variant.shape or ()
    sizes = [
        *shape,
        *(() if variant.outputs is None else (variant.outputs,)),
        *variant.dense,
        *(n for block in variant.blocks for n in (block.filters, block.kernel)),
    ]
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        return "has a size that is no whole number above 0"
    if len(shape) not in (0, 3):
        return "has a shape that is not (height, width, channels)"
    layers = variant.layers(variant.shape, variant.outputs or 1) if shape else []
    sides = [side for layer in layers for side in layer.output[:2] if layer.kind in ("conv", "pool")]
    if min(sides, default=1) < 1:
        return f"has a feature map that vanishes ({min(sides)} px): leave out a pool, or use smaller kernels"
    return ""


def _class(plugin: Any, contract: type) -> str:
    if not (isinstance(plugin, type) and issubclass(plugin, contract)):
        return f"is no class of {contract.__name__}"
    if left := sorted(name for name, value in inspect.getmembers(plugin) if _abstract(value)):
        return f"does not implement {', '.join(left)}"
    if missing := _not_texts(plugin, ("name", "summary")):
        return f"has no class variable {missing} (a text)"
    if issubclass(plugin, Compressor):
        return _compressor(plugin)
    return _task(plugin) if issubclass(plugin, Task) else ""


def _task(task: type[Task]) -> str:
    metrics, losses = getattr(task, "metrics", ()), getattr(task, "losses", ())
    if not metrics or not all(isinstance(metric, Metric) for metric in metrics):
        return "has no metrics: give a tuple of Metric, the primary one first"
    if not losses or not all(isinstance(loss, str) for loss in losses):
        return "has no losses: give a tuple of their names"
    if metrics[0].per_sample is None:
        return f'has the primary metric "{metrics[0].name}" without values per sample: give per_sample'
    if len({metric.name for metric in metrics}) < len(metrics):
        return "has two metrics of one name"
    both = next((m for m in metrics if (m.per_sample is None) == (m.whole is None)), None)
    return f'has the metric "{both.name}" with neither or both of per_sample and whole' if both else ""


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
