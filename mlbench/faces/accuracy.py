"""Errors of predicted landmarks, per face and over a test set, with bootstrap intervals.

Every figure is a mean over faces, or a function of one, so that one bootstrap of the means serves all.
The two "accuracies" are the paper's (section 4.3, equation 2; and what its training script computed):
reported, not optimised.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mlbench.evaluation.statistics import Groups, bootstrap_means, interval
from mlbench.faces.dataset import eye_distances
from mlbench.records import Errors, Interval

Points = npt.NDArray[np.float32]
PerFace = npt.NDArray[np.float64]

#: NME above which a face counts as failed, and up to which the area under the error curve goes.
FAILURE_NME = 0.08


def mae_per_face(predicted: Points, truth: Points) -> PerFace:
    """Mean absolute error of the 136 coordinates [n], px."""
    return np.abs(predicted - truth).mean(axis=(1, 2), dtype=np.float64)


def mse_per_face(predicted: Points, truth: Points) -> PerFace:
    """Mean squared error of the 136 coordinates [n], px²."""
    return np.square(predicted - truth).mean(axis=(1, 2), dtype=np.float64)


def nme_per_face(predicted: Points, truth: Points) -> PerFace:
    """Mean point error over the distance of the outer eye corners [n]."""
    return np.linalg.norm(predicted - truth, axis=2).mean(axis=1, dtype=np.float64) / eye_distances(truth)


def auc_per_face(nme: PerFace) -> PerFace:
    """Each face's part of the area under the cumulative error curve up to `FAILURE_NME`, 0..1.

    The area under the share of faces with an error below t, for t from 0 to T and divided by T,
    is the mean of max(0, 1 - nme / T).
    """
    return np.maximum(0.0, 1.0 - nme / FAILURE_NME)


def rounded_accuracy_per_face(predicted: Points, truth: Points) -> PerFace:
    """Share of coordinates equal to the truth when both are rounded [n] (paper, equation 2)."""
    return (np.rint(predicted) == np.rint(truth)).mean(axis=(1, 2), dtype=np.float64)


def argmax_accuracy_per_face(predicted: Points, truth: Points) -> PerFace:
    """1 where the largest of the 136 outputs is the same one as in the truth [n]."""
    n = len(truth)
    return (predicted.reshape(n, -1).argmax(1) == truth.reshape(n, -1).argmax(1)).astype(np.float64)


_IDENTITY: Callable[[PerFace], PerFace] = lambda values: values  # noqa: E731


def errors_of(
    artifact: str,
    device: str,
    test_set: str,
    predicted: Points,
    truth: Points,
    seed: int,
    groups: Groups | None = None,
) -> Errors:
    """All error figures of one artifact's outputs on one test set.

    Args:
        artifact: its id.
        device: where the outputs were computed.
        test_set: its name.
        predicted: [n,68,2] px.
        truth: [n,68,2] px.
        seed: of the bootstrap.
        groups: number of each face's person [n]: persons are resampled; None: faces are.
    """
    nme = nme_per_face(predicted, truth)
    figures: dict[str, tuple[PerFace, Callable[[PerFace], PerFace]]] = {
        "mae_px": (mae_per_face(predicted, truth), _IDENTITY),
        "rmse_px": (mse_per_face(predicted, truth), np.sqrt),
        "nme": (nme, _IDENTITY),
        "auc8": (auc_per_face(nme), _IDENTITY),
        "failure8": ((nme > FAILURE_NME).astype(np.float64), _IDENTITY),
        "rounded_accuracy": (rounded_accuracy_per_face(predicted, truth), _IDENTITY),
        "argmax_accuracy": (argmax_accuracy_per_face(predicted, truth), _IDENTITY),
    }
    table = np.stack([values for values, _ in figures.values()], axis=1)
    means, resampled = table.mean(axis=0), bootstrap_means(table, seed, groups)
    intervals: dict[str, Interval] = {
        name: interval(float(transform(means[i])), transform(resampled[:, i]))
        for i, (name, (_, transform)) in enumerate(figures.items())
    }
    by_landmark = np.linalg.norm(predicted - truth, axis=2).mean(axis=0, dtype=np.float64)
    return Errors(
        artifact=artifact,
        device=device,
        test_set=test_set,
        faces=len(truth),
        by_landmark_px=tuple(by_landmark.tolist()),
        by_face_mae_px=tuple(np.round(figures["mae_px"][0], 5).tolist()),
        **intervals,
    )
