"""Errors of predicted landmarks, per face: every figure is their mean, or a function of it.

The two "accuracies" are the paper's (section 4.3, equation 2; and what its training script computed):
reported, not optimised.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mlbench.faces.dataset import eye_distances

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


def by_landmark(predicted: Points, truth: Points) -> PerFace:
    """Mean point error of each landmark over the faces [68], px."""
    return np.linalg.norm(predicted - truth, axis=2).mean(axis=0, dtype=np.float64)
