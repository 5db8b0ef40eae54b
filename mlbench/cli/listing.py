"""What is installed, and the options of a run, as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from mlbench import plugins
from mlbench.cli import listing_facts
from mlbench.cli.experiment import Setting, settings
from mlbench.cli.run import run
from mlbench.contracts import Compressor, NetworkSource, Task, Tuned, Variant
from mlbench.export import ready_models
from mlbench.export.ready_models import Model
from mlbench.system.sizes import format_size

Row = dict[str, str]
T = TypeVar("T")

_MODELS = "models"
_OPTIONS = "options"

_KINDS: dict[str, plugins.Kind] = {
    "tasks": "tasks",
    "variants": "variants",
    "compressors": "compressors",
    "detectors": "detectors",
    "devices": "device_runners",
    "reports": "reports",
}


def tables(what: str | None = None) -> dict[str, list[Row]]:
    """Rows for people, of one kind of plug-in or of all; those of the options of `mlbench run` where asked for."""
    describe: dict[str, Callable[..., Row]] = {
        "tasks": _task,
        "variants": _variant,
        "compressors": _compressor,
        _MODELS: _model,
        _OPTIONS: _option,
    }
    return _described(what, describe, _plain)


def facts(what: str | None = None) -> dict[str, list[listing_facts.Facts]]:
    """The same for machines."""
    describe: dict[str, Callable[..., listing_facts.Facts]] = {
        "tasks": listing_facts.of_task,
        "variants": listing_facts.of_variant,
        "compressors": listing_facts.of_compressor,
        _MODELS: listing_facts.of_model,
        _OPTIONS: listing_facts.of_option,
    }
    return _described(what, describe, listing_facts.of_plugin)


def _described(
    what: str | None, describe: Mapping[str, Callable[..., T]], plain: Callable[..., T]
) -> dict[str, list[T]]:
    found = {
        title: [describe.get(title, plain)(plugin) for plugin in plugins.usable(kind)[0].values()]
        for title, kind in _KINDS.items()
        if what in (None, title)
    }
    if what in (None, _MODELS):
        found[_MODELS] = [describe[_MODELS](model) for model in ready_models.models()]
    if what == _OPTIONS:
        found[_OPTIONS] = [describe[_OPTIONS](key, option) for key, option in settings(run).items()]
    return found


def faults(what: str | None = None) -> list[str]:
    """A sentence for each plug-in that cannot be used, of one kind or of all."""
    kinds: dict[str, plugins.Kind] = {**_KINDS, _MODELS: "models"}
    return [
        fault for title, kind in kinds.items() if what in (None, title) for fault in plugins.usable(kind)[1]
    ]


def show(found: dict[str, list[Row]]) -> None:
    """Print the tables."""
    console = Console(markup=False)
    for title, rows in found.items():
        table = Table(title=title, title_justify="left", show_lines=title in ("compressors", _MODELS))
        for heading in rows[0] if rows else []:
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*row.values())
        console.print(table)


def _task(task: type[Task]) -> Row:
    return {
        "name": task.name,
        "what": task.summary,
        "metrics": ", ".join(
            f"{metric.name} ({metric.unit})" if metric.unit else metric.name for metric in task.metrics
        ),
        "losses": ", ".join(task.losses),
    }


def _option(key: str, option: Setting) -> Row:
    default = option.to_info_dict()["default"]
    return {
        "key": key,
        "flag": "/".join([option.opts[0], *option.secondary_opts[:1]]),
        "what": option.told,
        "default": ", ".join(map(str, default)) if isinstance(default, list) else _default_told(default),
    }


def _default_told(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _variant(variant: NetworkSource) -> Row:
    if not isinstance(variant, Variant) or variant.shape is None or variant.outputs is None:
        open_ended = dict.fromkeys(("parameters", "float32", "MACs", "feature map"), "as the data")
        return {"name": variant.name, "what": variant.summary, **open_ended}
    return {
        "name": variant.name,
        "what": variant.summary,
        "parameters": f"{variant.parameters:,}",
        "float32": format_size(4 * variant.parameters),
        "MACs": f"{variant.macs / 1e6:.1f} M",
        "feature map": "×".join(str(n) for n in variant.feature_map),
    }


def _compressor(technique: type[Compressor]) -> Row:
    tuning = Tuned.model_fields if issubclass(technique, Tuned) else {}
    options = [
        f"{name}={_default(field)}: {field.description}"
        for name, field in technique.model_fields.items()
        if name not in tuning
    ]
    if tuning:
        options.append(f"{', '.join(tuning)}: tuning of this step alone")
    return {
        "name": technique.name,
        "what": technique.summary,
        "options": "\n".join(options) or "none",
        "source": technique.source,
    }


def _model(model: Model) -> Row:
    metrics = model.record.task.metrics[:3:2] if model.record.task else ()
    told = [
        f"{score.test_set}: " + ", ".join(f"{m.title} {m.told(score.metrics[m.name].value)}" for m in metrics)
        for score in model.scores
    ]
    data = model.record.data
    return {
        "name": model.name,
        "network": model.artifact.id,
        "file": format_size(model.artifact.file_bytes),
        "trained on": data.source if data else "not told",
        "metrics": "\n".join(told),
    }


def _default(field: Any) -> str:
    return "…" if field.default is None else str(field.default)


def _plain(plugin: Any) -> Row:
    return {"name": plugin.name, "what": plugin.summary}
