"""What is installed, as values for machines: numbers in base units, the unit in the key; None where the data decide."""

from __future__ import annotations

from typing import Any

from pydantic.fields import FieldInfo

from mlbench.cli.experiment import Setting
from mlbench.contracts import Compressor, NetworkSource, Task, Tuned, Variant
from mlbench.export.ready_models import Model

Facts = dict[str, Any]


def of_task(task: type[Task]) -> Facts:
    """A task, its metrics in their order, the primary one first."""
    return {
        "name": task.name,
        "what": task.summary,
        "metrics": [
            {"name": one.name, "title": one.title, "unit": one.unit, "better": one.better}
            for one in task.metrics
        ],
        "losses": list(task.losses),
    }


def of_variant(variant: NetworkSource) -> Facts:
    """A network; its sizes are None where the data decide them."""
    named = {"name": variant.name, "what": variant.summary}
    if not isinstance(variant, Variant) or variant.shape is None or variant.outputs is None:
        return named | dict.fromkeys(("parameters", "float32_bytes", "macs", "feature_map"))
    return named | {
        "parameters": variant.parameters,
        "float32_bytes": 4 * variant.parameters,
        "macs": variant.macs,
        "feature_map": list(variant.feature_map),
    }


def of_compressor(technique: type[Compressor]) -> Facts:
    """A technique and its options; those of its tuning are of every technique that tunes."""
    tuning = list(Tuned.model_fields) if issubclass(technique, Tuned) else []
    return {
        "name": technique.name,
        "what": technique.summary,
        "options": [
            {"name": name, "default": _default(field), "what": field.description}
            for name, field in technique.model_fields.items()
            if name not in tuning
        ],
        "tuning_options": tuning,
        "source": technique.source,
    }


def of_model(model: Model) -> Facts:
    """A ready network; metrics are in the stored unit of its record."""
    data = model.record.data
    return {
        "name": model.name,
        "network": model.artifact.id,
        "file_bytes": model.artifact.file_bytes,
        "trained_on": data.source if data else None,
        "metrics": {
            score.test_set: {name: interval.value for name, interval in score.metrics.items()}
            for score in model.scores
        },
    }


def of_option(key: str, option: Setting) -> Facts:
    """An option of a run: its key in a file, its flag, its default."""
    default = option.to_info_dict()["default"]
    known = isinstance(default, (bool, int, float, list)) or default is None
    return {
        "key": key,
        "flag": "/".join([option.opts[0], *option.secondary_opts[:1]]),
        "what": option.told,
        "default": default if known else str(default),
    }


def of_plugin(plugin: Any) -> Facts:
    """Any other plug-in."""
    return {"name": plugin.name, "what": plugin.summary}


def _default(field: FieldInfo) -> Any:
    default = field.get_default(call_default_factory=False)
    return default if default is None or isinstance(default, (bool, int, float)) else str(default)
