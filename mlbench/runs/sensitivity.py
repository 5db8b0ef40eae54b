"""Which layer costs the accuracy: what the metric loses where each layer alone is compressed, without tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench import plugins
from mlbench.contracts import Compressor, Context, Form, Progress, Samples, Task
from mlbench.errors import UsageError
from mlbench.evaluation.metrics import facts_of
from mlbench.evaluation.statistics import paired_difference
from mlbench.evaluation.within_run import numbers_of
from mlbench.networks import graph
from mlbench.networks.ports import Ports
from mlbench.records import Groups, Interval, Sensitivities, Sensitivity
from mlbench.training.baselines import Material

if TYPE_CHECKING:
    import tf_keras

Floats = npt.NDArray[np.float64]

_CALIBRATED = 256  # training samples that techniques may look at
_BATCH = 120


def sensitivities_of(
    network: tf_keras.Model,
    material: Material,
    techniques: Sequence[str],
    ratios: Sequence[float],
    most: int,
    seed: int,
    progress: Progress,
) -> Sensitivities:
    """Compress each layer alone, by each technique and ratio, and score the network on validation samples.

    Args:
        network: trained, without networks within.
        material: whose validation split is scored on; training samples calibrate, test samples are not touched.
        techniques: names of compressors.
        ratios: how many times smaller a layer shall get.
        most: validation samples, spread over all.
        seed: of techniques and of the bootstrap.
        progress: shows how far it is.

    Raises:
        UsageError: no such technique, one that does not compress layers alone, or ratios without sense.
    """
    steps = [_step(name) for name in techniques]
    if not steps or not all(1 < ratio <= 1000 for ratio in ratios):
        message = "A layer gets smaller by a ratio above 1, up to 1000: give e.g. --ratio 2 --ratio 4."
        raise UsageError(message)
    task, samples = material.task, material.validation.spread(most)
    groups = Groups.of(samples.groups.tolist(), samples.unit)
    context = Context(material.train.spread(_CALIBRATED), seed, progress)
    before, rows = _scores(network, task, samples), list[Sensitivity]()
    total = len(graph.layers_with_kernel(network)) * sum(len(_reached(step, ratios)) for step in steps)
    with progress.task("Compressing layers alone", total, "trials") as advance:
        done = 0
        for step in steps:
            for one in step.one_by_one(Form(network), context, ratios):
                after = _scores(one.network, task, samples)
                loss = _loss(task, after, before, seed, groups)
                row = Sensitivity(
                    layers=one.layers, technique=step.name, asked=one.asked, ratio=one.ratio, loss=loss
                )
                rows.append(row)
                advance(1, f"{step.name} of {one.layers[0]}")
                done += 1
        advance(max(0, total - done), "")  # layers that a technique leaves
    return Sensitivities(
        task=facts_of(task),
        samples=len(samples),
        groups=groups.count,
        unit=samples.unit,
        baseline=float(before.mean()),
        rows=tuple(rows),
    )


def _step(name: str) -> Compressor:
    technique: type[Compressor] = plugins.load("compressors", name)
    if technique.one_by_one is Compressor.one_by_one:
        able = [
            known
            for known, kind in plugins.usable("compressors")[0].items()
            if kind.one_by_one is not Compressor.one_by_one
        ]
        message = f"{name} does not compress layers one by one: give one of {', '.join(able)}."
        raise UsageError(message)
    return technique()


def _reached(step: Compressor, ratios: Sequence[float]) -> Sequence[float]:
    """Of a technique with one ratio only, that one."""
    return ratios[:1] if hasattr(step, "bits") else ratios


def _scores(network: tf_keras.Model, task: Task, samples: Samples) -> Floats:
    """The primary metric of each sample [n]. Eagerly: each network is asked once, and tracing takes longer."""
    ports, parts = Ports.of(network, samples), list[dict[str, Any]]()
    for start in range(0, len(samples), _BATCH):
        rows = samples.take(slice(start, start + _BATCH))
        outputs = ports.call(network, ports.encoded(dict(rows.inputs)), training=False)
        parts.append({name: values.numpy() for name, values in outputs.items()})
    outputs = {name: np.concatenate([part[name] for part in parts]) for name in ports.outputs}
    assert task.primary.per_sample is not None  # noqa: S101 (promised by `Metric`)
    return task.primary.per_sample(task.answers(outputs), samples.targets)


def _loss(task: Task, after: Floats, before: Floats, seed: int, groups: Groups) -> Interval:
    """How much worse the metric is."""
    if task.primary.better == "higher":
        after, before = before, after
    return paired_difference(after, before, seed, numbers_of(groups))
