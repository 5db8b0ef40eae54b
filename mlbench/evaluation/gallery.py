"""Samples for reports to show: the same few for every artifact, and each artifact's worst."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import numpy as np

from mlbench.contracts import Outcome, Samples, Task
from mlbench.contracts.task import Arrays, Settings
from mlbench.records import Gallery, GallerySample

_CHOSEN = 8
_WORST = 4


def gallery_of(
    task: Task,
    tests: Mapping[str, Samples],
    outcomes: list[Outcome],
    settings: Mapping[str, Settings],
    seed: int,
) -> Gallery | None:
    """Pick samples of the first test set, as its outputs on the first device show them; None without outputs.

    `settings` are those of each artifact, by its id.
    """
    if not tests or not outcomes:
        return None
    name, samples = next(iter(tests.items()))
    device = outcomes[0].measurement.device
    answers = {
        outcome.measurement.artifact: task.settled(
            outcome.predictions[name], settings[outcome.measurement.artifact]
        )
        for outcome in outcomes
        if outcome.measurement.device == device and name in outcome.predictions
    }
    if not answers:
        return None
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(samples), min(_CHOSEN, len(samples)), replace=False))
    return Gallery(
        test_set=name,
        chosen=tuple(_shown(task, samples, int(row), answers) for row in chosen),
        worst={
            artifact: tuple(
                _shown(task, samples, int(row), {artifact: own}) for row in _worst(task, own, samples)
            )
            for artifact, own in answers.items()
        },
        mean_points=task.mean_points(samples),
    )


def _worst(task: Task, answers: Arrays, samples: Samples) -> np.ndarray:
    primary = task.primary
    assert primary.per_sample is not None  # noqa: S101 (the contract of a primary metric)
    values = primary.per_sample(answers, samples.targets)
    return np.argsort(values if primary.better == "higher" else -values, kind="stable")[:_WORST]


def _shown(task: Task, samples: Samples, row: int, answers: Mapping[str, Arrays]) -> GallerySample:
    truth = task.picture(samples, row)
    told = {artifact: task.picture_of_answer(own, row, samples) for artifact, own in answers.items()}
    return GallerySample(
        name=str(samples.ids[row]),
        png_base64=base64.b64encode(truth.png).decode("ascii"),
        truth=truth.text,
        truth_points=truth.points,
        answers={artifact: picture.text for artifact, picture in told.items() if picture.text},
        answer_points={artifact: picture.points for artifact, picture in told.items() if picture.points},
    )
