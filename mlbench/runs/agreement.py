"""How far answers on other kernels, which round otherwise, are from those on the device that was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mlbench.contracts import Outcome, Samples, Task
from mlbench.contracts.task import Settings
from mlbench.evaluation import statistics
from mlbench.evaluation.metrics import scores_of
from mlbench.evaluation.within_run import numbers_of
from mlbench.export.convert import allowed_error
from mlbench.export.precisions import Float32
from mlbench.records import Agreement, Groups, Scores

Answers = Mapping[str, npt.NDArray[np.float32]]


def rows_answered(count: int, most: int) -> npt.NDArray[np.int64]:
    """Which samples of so many are answered: at most so many, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def agreements_of(
    task: Task,
    answered: Sequence[Outcome],
    measured: Sequence[Outcome],
    settings: Mapping[str, Settings],
    tests: Mapping[str, Samples],
    most: int,
    seed: int,
) -> list[Agreement]:
    """Each file's answers on each device that only answers, beside those of the first device that measured it.

    Args:
        task: what the samples are of.
        answered: of devices that only answer, on the rows of `rows_answered`.
        measured: of the others, on all.
        settings: of each artifact, by its id.
        tests: samples by name, whole.
        most: how many samples of a test set were answered.
        seed: of the bootstrap.
    """
    rows = []
    for outcome in answered:
        artifact = outcome.measurement.artifact
        beside = [one for one in measured if one.measurement.artifact == artifact and one.predictions]
        for name, found in outcome.predictions.items() if beside else ():
            chosen = rows_answered(len(tests[name]), most)
            reference = {key: values[chosen] for key, values in beside[0].predictions[name].items()}
            samples = tests[name].take(chosen)
            groups = numbers_of(Groups.of(samples.groups.tolist(), samples.unit))
            ours, theirs = (
                scores_of(
                    task,
                    (artifact, one.measurement.device, name),
                    task.settled(dict(given), settings[artifact]),
                    samples.targets,
                    seed,
                    groups,
                )
                for one, given in ((outcome, found), (beside[0], reference))
            )
            rows.append(_agreement(task, (ours, theirs), (found, reference), groups, seed))
    return rows


def _agreement(
    task: Task,
    scores: tuple[Scores, Scores],
    outputs: tuple[Answers, Answers],
    groups: npt.NDArray[np.int64] | None,
    seed: int,
) -> Agreement:
    ours, theirs = scores
    answers, reference = (_flat(task.answers(dict(given))) for given in outputs)
    off = np.abs(answers - reference)
    change = statistics.paired_difference(
        np.array(ours.per_sample, float), np.array(theirs.per_sample, float), seed, groups
    )
    return Agreement(
        artifact=ours.artifact,
        device=ours.device,
        reference=theirs.device,
        test_set=ours.test_set,
        samples=len(answers),
        unit=task.answer_unit,
        largest=float(off.max()),
        mean=float(off.mean()),
        allowed=allowed_error(Float32(), reference),
        per_sample=tuple(off.max(axis=1).tolist()),
        metrics=ours.metrics,
        reference_metrics=theirs.metrics,
        change=change,
    )


def _flat(answers: Answers) -> npt.NDArray[np.float64]:
    """All numbers that answer a sample, in a row: [n, …]."""
    return np.concatenate([values.reshape(len(values), -1) for values in answers.values()], axis=1).astype(
        np.float64
    )
