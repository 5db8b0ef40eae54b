"""The landmarks, and whether there is a face at all: a network with a second output.

The paper's networks answer an average face where a crop shows none. Here each data set has crops that show none
(`mlbench.faces.non_faces`), which count in no error of landmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from mlbench.contracts.samples import Samples
from mlbench.contracts.task import Arrays, Floats, Metric, Picture, Settings
from mlbench.faces import non_faces
from mlbench.faces.dataset import CROP, Faces
from mlbench.faces.landmarks import IMAGE, POINTS, Landmarks, samples_of

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

#: Name of the second output: the log-odds that the crop shows a face; its target is whether it does.
PRESENCE = "presence"

#: Of answers: the chance from which on a crop is taken for a face.
THRESHOLD = "threshold"

#: Chance = 1 / (1 + exp(-(slope · output + offset))); crops below the threshold are refused.
USUAL: Settings = {"presence_slope": 1.0, "presence_offset": 0.0, "presence_threshold": 0.5}

#: The share of validation faces, and of other crops there, that are too unlike theirs to decide the threshold.
LOST = 0.005

_WEIGHT = 3.0  # of the cross-entropy, in px² or px of the landmarks' loss
_SEED = 7
_BINS = 10  # of a reliability diagram


def with_non_faces(faces: Faces) -> Samples:
    """Faces, and behind each a crop that shows none; it belongs to the person in whose frame it was cut.

    Its landmarks are the middle of the crop, and count nowhere.
    """
    found = samples_of(faces).take(np.repeat(np.arange(len(faces)), 2))
    empty = np.arange(len(found)) % 2 == 1
    images, points, ids = found.inputs[IMAGE].copy(), found.targets[POINTS].copy(), found.ids.astype(object)
    images[empty] = non_faces.non_faces(faces, _SEED)
    points[empty] = (CROP - 1) / 2
    ids[empty] = [f"{name} (no face)" for name in ids[empty]]
    return replace(
        found,
        inputs={IMAGE: images},
        targets={POINTS: points, PRESENCE: (~empty).astype(np.float32)},
        ids=ids.astype(np.str_),
    )


def _shown(targets: Arrays) -> npt.NDArray[np.bool_]:
    return targets[PRESENCE] > 0.5


def _of_faces(metric: Metric) -> Metric:
    """A metric of landmarks that counts the crops alone that show a face."""
    measured = metric.per_sample
    assert measured is not None  # noqa: S101 (all of them have)

    def values(answers: Arrays, targets: Arrays) -> Floats:
        rows = _shown(targets)
        found = np.full(len(rows), np.nan)
        found[rows] = measured({POINTS: answers[POINTS][rows]}, {POINTS: targets[POINTS][rows]})
        return found

    return replace(metric, per_sample=values)


def _refused(answers: Arrays) -> Floats:
    return np.asarray(answers[PRESENCE] < answers[THRESHOLD], np.float64)


class Presence(Landmarks):
    """The landmarks, and the chance that the crop shows a face."""

    name: ClassVar[str] = "presence"
    summary: ClassVar[str] = "the landmarks, and the chance that the crop shows a face at all"
    drawn: ClassVar[str] = "faces sampled from the bundled appearance model, with crops that show none"
    metrics: ClassVar[tuple[Metric, ...]] = (
        *map(_of_faces, Landmarks.metrics),
        Metric(
            "faces_lost",
            "faces lost",
            "%",
            0.002,
            per_sample=lambda a, t: np.where(_shown(t), _refused(a), np.nan),
            scale=100,
            digits=2,
        ),
        Metric(
            "refused",
            "non-faces refused",
            "%",
            0.002,
            per_sample=lambda a, t: np.where(_shown(t), np.nan, _refused(a)),
            better="higher",
            scale=100,
            digits=2,
        ),
        Metric(
            "brier",
            "Brier score",
            "",
            0.002,
            per_sample=lambda a, t: np.square(a[PRESENCE] - t[PRESENCE]).astype(np.float64),
            digits=4,
        ),
    )

    def samples(self, faces: Faces) -> Samples:
        """See `Landmarks.samples`: with crops that show no face."""
        return with_non_faces(faces)

    def of_faces(self, faces: Faces) -> Samples:
        """See `Landmarks.of_faces`."""
        found = super().of_faces(faces)
        return replace(found, targets={**found.targets, PRESENCE: np.ones(len(faces), np.float32)})

    def recognises(self, path: Path, arrays: Arrays) -> bool:
        """See `Task.recognises`: files of faces are plainly for the landmarks."""
        return False

    def sampling_key(self) -> object:
        """See `Task.sampling_key`."""
        return [super().sampling_key(), non_faces.VERSION]

    def require_scorable(self, samples: Samples, where: str) -> None:
        """See `Landmarks.require_scorable`, of the faces."""
        super().require_scorable(_faces_of(samples), where)

    def outputs(self, samples: Samples) -> dict[str, tuple[int, ...]]:
        """See `Task.outputs`: 136 numbers, and one."""
        return {**super().outputs(samples), PRESENCE: (1,)}

    def wanted(
        self, targets: Arrays, shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, npt.NDArray[np.float32]]:
        """See `Task.wanted`: [n,136], and [n,1] of 0 and 1."""
        return {**super().wanted(targets, shapes), PRESENCE: targets[PRESENCE][:, None]}

    def answers(self, outputs: Arrays) -> dict[str, npt.NDArray[np.float32]]:
        """See `Task.answers`: [n,68,2], the chance of a face [n], and the threshold [n]."""
        return self.settled(outputs, USUAL)

    def settled(self, outputs: Arrays, settings: Settings) -> dict[str, npt.NDArray[np.float32]]:
        """See `Task.settled`."""
        known = {**USUAL, **settings}
        odds = known["presence_slope"] * outputs[PRESENCE].reshape(-1) + known["presence_offset"]
        chance = _chance(odds)
        threshold = np.full_like(chance, known["presence_threshold"])
        return {**super().answers(outputs), PRESENCE: chance, THRESHOLD: threshold}

    def settings(self, outputs: Arrays, targets: Arrays) -> dict[str, float]:
        """See `Task.settings`: Platt's slope and offset, and the chance from which on a crop is taken for a face.

        It is half way, in log-odds, from what all but `LOST` of the faces reach to what as many others reach: other
        faces are less plain than those of the validation split, and other crops more like faces. Where the two meet,
        it loses no more than `LOST` of the faces. Samples of one kind alone choose nothing.
        """
        if len(np.unique(targets[PRESENCE])) < 2:
            return {}
        odds, shown = outputs[PRESENCE].reshape(-1).astype(np.float64), _shown(targets)
        slope, offset = platt(odds, shown)
        fitted = slope * odds + offset
        reached = float(np.quantile(fitted[shown], LOST, method="lower"))
        passed = float(np.quantile(fitted[~shown], 1 - LOST, method="higher"))
        least = min(reached, (reached + passed) / 2)
        return {
            "presence_slope": slope,
            "presence_offset": offset,
            "presence_threshold": float(_chance(np.array([least]))[0]),
        }

    def loss(
        self, name: str, network: tf_keras.Model
    ) -> Callable[[dict[str, tf.Tensor], dict[str, tf.Tensor]], tf.Tensor]:
        """See `Task.loss`: of the landmarks over the faces of the batch, and the cross-entropy of presence."""
        import tensorflow as tf

        of_landmarks = super().loss(name, network)

        def of_batch(outputs: dict[str, tf.Tensor], targets: dict[str, tf.Tensor]) -> tf.Tensor:
            shown = tf.cast(targets[PRESENCE] > 0.5, tf.float32)
            # The points of crops without a face are taken as right, and the mean as over the faces alone.
            share = tf.reduce_mean(shown)
            points = shown * outputs[POINTS] + (1 - shown) * targets[POINTS]
            error = tf.math.divide_no_nan(of_landmarks({POINTS: points}, {POINTS: targets[POINTS]}), share)
            doubt = tf.nn.sigmoid_cross_entropy_with_logits(targets[PRESENCE], outputs[PRESENCE])
            return error + _WEIGHT * tf.reduce_mean(doubt)

        return of_batch

    def taught(self, outputs: dict[str, tf.Tensor], network: tf_keras.Model) -> dict[str, tf.Tensor]:
        """See `Task.taught`: a teacher's chance."""
        import tensorflow as tf

        return {**outputs, PRESENCE: tf.nn.sigmoid(outputs[PRESENCE])}

    def augment(
        self, inputs: Arrays, targets: Arrays, strength: float, rng: np.random.Generator
    ) -> tuple[Arrays, Arrays]:
        """See `Task.augment`."""
        seen, points = super().augment(inputs, targets, strength, rng)
        return seen, {**targets, **points}

    def prior(self, train: Samples) -> dict[str, npt.NDArray[np.float32]]:
        """See `Task.prior`: the mean face, and how often there is one."""
        share = float(np.clip(train.targets[PRESENCE].mean(), 0.01, 0.99))
        odds = np.array([np.log(share / (1 - share))], np.float32)
        return {**super().prior(_faces_of(train)), PRESENCE: odds}

    def details(self, answers: Arrays, targets: Arrays) -> dict[str, npt.NDArray[np.float64]]:
        """See `Task.details`: that of the landmarks, and how chances agree with how often there is a face."""
        rows = _shown(targets)
        faces = super().details({POINTS: answers[POINTS][rows]}, {POINTS: targets[POINTS][rows]})
        return faces | reliability(answers[PRESENCE].astype(np.float64), rows)

    def subsets(self, samples: Samples) -> dict[str, npt.NDArray[np.bool_]]:
        """See `Task.subsets`: the frontal faces, with all crops that show none."""
        empty = ~_shown(samples.targets)
        return {name: rows | empty for name, rows in super().subsets(samples).items()}

    def mean_points(self, samples: Samples) -> tuple[tuple[float, float], ...]:
        """See `Task.mean_points`."""
        return super().mean_points(_faces_of(samples))

    def picture(self, samples: Samples, row: int) -> Picture:
        """See `Task.picture`: the crop, its true points marked where it shows a face."""
        found = super().picture(samples, row)
        return found if _shown(samples.targets)[row] else replace(found, points=())

    def picture_of_answer(self, answers: Arrays, row: int, samples: Samples | None = None) -> Picture:
        """See `Task.picture_of_answer`: the points, and the chance of a face."""
        found = super().picture_of_answer(answers, row, samples)
        chance, refused = float(answers[PRESENCE][row]), bool(_refused(answers)[row])
        told = f"{'no face' if refused else 'a face'} ({chance:.1%})"
        return replace(found, text=told, points=() if refused else found.points)


def _chance(odds: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -80, 80))), np.float32)


def _faces_of(samples: Samples) -> Samples:
    return samples.take(_shown(samples.targets))


def platt(odds: Floats, shown: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset that make log-odds [n] fit how often there is a face (Platt 1999), by Newton's method.

    His targets, a little off 0 and 1, keep both finite where the odds tell all apart.
    """
    faces, others = int(shown.sum()), int((~shown).sum())
    wanted = np.where(shown, (faces + 1) / (faces + 2), 1 / (others + 2))
    spread = max(float(odds.std()), 1e-6)
    design = np.stack([odds / spread, np.ones(len(odds))], axis=1)
    weights = np.zeros(2)
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -80, 80)))
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, design.T @ (wanted - chance))
        weights += step * min(1.0, 2.0 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return float(weights[0] / spread), float(weights[1])


def reliability(chances: Floats, shown: npt.NDArray[np.bool_]) -> dict[str, Floats]:
    """A reliability diagram of chances [n]: ten equal bins, those that are empty left out.

    Returns:
        By name, the mean chance of each bin, the share that shows a face, the number of samples; and, as the one
        number of `calibration_error`, the mean distance of chance and share over the samples (ECE).
    """
    bins = np.minimum((chances * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    filled = counts > 0
    chance, share = (
        np.bincount(bins, weights=values, minlength=_BINS)[filled] / counts[filled]
        for values in (chances, shown.astype(np.float64))
    )
    return {
        "reliability_chance": chance,
        "reliability_share": share,
        "reliability_samples": counts[filled].astype(np.float64),
        "calibration_error": np.array([np.abs(chance - share) @ counts[filled] / len(chances)]),
    }
