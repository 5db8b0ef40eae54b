"""A task's metrics over a set of samples, with bootstrap intervals."""

from __future__ import annotations

import numpy as np

from mlbench.contracts.task import Arrays, Floats, Metric, Task
from mlbench.evaluation.statistics import Groups, bootstrap_means, interval
from mlbench.records import Interval, MetricFacts, Scores, TaskFacts

#: Resamples of a metric that is computed of the whole set anew each time.
_WHOLE_RESAMPLES = 200


def facts_of(task: Task) -> TaskFacts:
    """What a record says of a task."""
    shown = MetricFacts.model_fields
    metrics = tuple(MetricFacts(**{name: getattr(metric, name) for name in shown}) for metric in task.metrics)
    return TaskFacts(name=task.name, version=task.version, metrics=metrics)


def figures(task: Task, answers: Arrays, targets: Arrays) -> dict[str, float]:
    """Each metric of a task that is a mean over samples, and the primary one, by name; none that counts no sample."""
    found = {}
    for metric in task.metrics:
        if metric.per_sample:
            values = metric.per_sample(answers, targets)
            if not np.isnan(values).all():
                found[metric.name] = metric.mean(values)
        elif metric is task.primary and metric.whole:
            found[metric.name] = float(metric.whole(answers, targets))
    return found


def scores_of(
    task: Task,
    place: tuple[str, str, str],
    answers: Arrays,
    targets: Arrays,
    seed: int,
    groups: Groups | None = None,
) -> Scores:
    """All metrics of one artifact's answers on one test set.

    Args:
        task: whose metrics.
        place: artifact, device and test set.
        answers: [n, …] by target.
        targets: [n, …] by name.
        seed: of the bootstrap.
        groups: number of each sample's group [n]: groups are resampled; None: samples are.
    """
    means = {m.name: m.per_sample(answers, targets) for m in task.metrics if m.per_sample}
    means = {name: values for name, values in means.items() if not np.isnan(values).all()}
    table = np.stack(list(means.values()), axis=1) if means else np.empty((_count(targets), 0))
    resampled = bootstrap_means(table, seed, groups)
    columns = {name: resampled[:, column] for column, name in enumerate(means)}
    found = {
        metric.name: _mean_interval(metric, means[metric.name], columns[metric.name])
        if metric.per_sample
        else _whole_interval(metric, answers, targets, seed, groups)
        for metric in task.metrics
        if metric.name in means or metric.whole
    }
    artifact, device, test_set = place
    return Scores(
        artifact=artifact,
        device=device,
        test_set=test_set,
        samples=_count(targets),
        metrics=found,
        per_sample=tuple(
            None if np.isnan(value) else value for value in np.round(means[task.primary.name], 5).tolist()
        ),
        details={name: tuple(values.tolist()) for name, values in task.details(answers, targets).items()},
    )


def _count(targets: Arrays) -> int:
    return len(next(iter(targets.values())))


def _mean_interval(metric: Metric, values: Floats, resampled: Floats) -> Interval:
    shown = metric.of_mean or (lambda means: means)
    return interval(metric.mean(values), shown(resampled))


def _whole_interval(
    metric: Metric, answers: Arrays, targets: Arrays, seed: int, groups: Groups | None
) -> Interval:
    """The interval of a whole-set function: groups are drawn with replacement, all their samples with them."""
    assert metric.whole is not None  # noqa: S101 (a metric has one of both)
    count = _count(targets)
    names, member = np.unique(np.arange(count) if groups is None else groups, return_inverse=True)
    rows_of = np.split(np.argsort(member, kind="stable"), np.cumsum(np.bincount(member))[:-1])
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(_WHOLE_RESAMPLES):
        rows = np.concatenate([rows_of[group] for group in rng.integers(0, len(names), len(names))])
        values.append(metric.whole(_taken(answers, rows), _taken(targets, rows)))
    return interval(float(metric.whole(answers, targets)), np.array(values))


def _taken(arrays: Arrays, rows: np.ndarray) -> Arrays:
    return {name: values[rows] for name, values in arrays.items()}
