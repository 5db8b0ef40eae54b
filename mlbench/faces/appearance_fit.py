"""Fitting the appearance model to labelled faces (Cootes, Edwards, Taylor 2001, sections 2 and 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlbench.errors import UsageError
from mlbench.faces.appearance import FRAME, MARGIN, RING, AppearanceModel, face_outline, posed, soft_mask
from mlbench.faces.dataset import CROP, LANDMARKS, Faces
from mlbench.faces.thin_plate import ThinPlate, pulled

Floats = npt.NDArray[np.float64]
Textures = npt.NDArray[np.float32]

_ROUNDS = 12  # of filling in what the crops do not show; the components settle in fewer than ten
_FOLDED = 0.15  # the least determinant of a warp that still shows both sides of a face
_RIDGE = 1e-3  # keeps the correlations positive definite
_OFF_FACE = 0.5  # weight of a pixel of hair or background beside one of the face
_LIP_PAIRS = ((61, 67), (62, 66), (63, 65))  # upper and lower inner lip
_LIP_GAP = 0.5  # px: labels of a closed mouth meet or cross, which no warp can follow


def fit(faces: Faces, *, shape_modes: int = 25, texture_modes: int = 90, seed: int = 7) -> AppearanceModel:
    """Fit a model to faces; the same faces, counts and seed give the same model.

    Args:
        faces: labelled faces; those whose warp to the mean face folds (strong profiles) are left out.
        shape_modes: principal components of the shape to keep.
        texture_modes: principal components of the texture to keep.
        seed: for the first guess of the texture's components.

    Raises:
        UsageError: fewer faces than three for each mode, or faces with a margin.
    """
    if faces.margin != 1:
        message = f"A model is fitted on faces with a margin of 1, not of {faces.margin:g}: crop them anew."
        raise UsageError(message)
    needed = 3 * max(shape_modes, texture_modes)
    if len(faces) < needed:
        message = (
            f"{len(faces)} faces are too few for a model of {texture_modes} modes: give at least {needed}."
        )
        raise UsageError(message)
    mean, poses, shapes = _aligned(_with_parted_lips(faces.points.astype(np.float64)))
    warped = [
        _to_mean(image, shape, pose, mean)
        for image, shape, pose in zip(faces.images, shapes, poses, strict=True)
    ]
    kept = np.array([texture is not None for texture in warped])
    textures = np.stack([texture for texture in warped if texture is not None])
    levels, spreads = _normalise(textures, soft_mask(face_outline(mean), 0.5) > 0.5)
    grey = np.stack([levels, np.log(spreads)], axis=1)

    offsets = (shapes[kept] - mean).reshape(kept.sum(), -1)
    shape = _principal(offsets - offsets.mean(0), shape_modes)
    weights = np.maximum(soft_mask(face_outline(mean), 3.0), _OFF_FACE).ravel()
    mean_texture, texture = _principal_of_seen(
        textures.reshape(len(textures), -1), weights, texture_modes, seed
    )
    parameters = np.hstack([_standard(poses[kept]), shape.scores, texture.scores, _standard(grey)])
    modes, scale = _quantised(texture.modes / weights)
    return AppearanceModel(
        mean_shape=mean.astype(np.float32),
        shape_modes=shape.modes.reshape(-1, LANDMARKS, 2).astype(np.float32),
        mean_texture=mean_texture.reshape(FRAME, FRAME).astype(np.float32),
        texture_modes=modes.reshape(-1, FRAME, FRAME),
        texture_scale=scale.astype(np.float32),
        pose=np.stack([poses[kept].mean(0), poses[kept].std(0)]).astype(np.float32),
        grey=np.stack([grey.mean(0), grey.std(0)]).astype(np.float32),
        mixing=_mixing(parameters).astype(np.float32),
    )


def _with_parted_lips(points: Floats) -> Floats:
    parted = points.copy()
    for upper, lower in _LIP_PAIRS:
        centre = (points[:, upper, 1] + points[:, lower, 1]) / 2
        half = np.maximum(points[:, lower, 1] - points[:, upper, 1], _LIP_GAP) / 2
        parted[:, upper, 1], parted[:, lower, 1] = centre - half, centre + half
    return parted


def _aligned(points: Floats) -> tuple[Floats, Floats, Floats]:
    """Generalised Procrustes analysis: mean shape [68,2], poses [n,4], shapes without their pose [n,68,2].

    The mean keeps the size and the place that faces have in their crops.
    """
    mean = points.mean(0)
    for _ in range(3):
        centre = mean.mean(0)
        poses = np.array([_pose_of(shape, mean, centre) for shape in points])
        shapes = np.array([_unposed(shape, pose, centre) for shape, pose in zip(points, poses, strict=True)])
        mean = shapes.mean(0)
    return mean, poses, shapes


def _pose_of(shape: Floats, mean: Floats, centre: Floats) -> Floats:
    """The pose (log scale, angle, x, y) that takes the mean nearest to a shape, by least squares."""
    a = (mean - centre) @ [1, 1j]
    b = (shape - shape.mean(0)) @ [1, 1j]
    turn = np.vdot(a, b) / np.vdot(a, a)
    return np.array([np.log(abs(turn)), np.angle(turn), *(shape.mean(0) - centre)])


def _unposed(shape: Floats, pose: Floats, centre: Floats) -> Floats:
    back = np.array([-pose[0], -pose[1], 0, 0])
    return posed(shape - pose[2:], back, centre)


def _to_mean(image: npt.NDArray[np.uint8], shape: Floats, pose: Floats, mean: Floats) -> Textures | None:
    """The face in the frame of the mean shape, NaN where the crop does not show it; None: the warp folds."""
    reference = np.vstack([mean, RING])
    placed = posed(np.vstack([shape, RING]), pose, mean.mean(0))
    if ThinPlate.through(placed, reference).preimages(mean, placed[:LANDMARKS])[1] < _FOLDED:
        return None
    where = ThinPlate.through(reference + MARGIN, placed).dense(FRAME)
    texture = pulled(image, where)
    texture[((where < 0) | (where > CROP - 1)).any(axis=2)] = np.nan
    return texture


def _normalise(textures: Textures, face: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Give every texture mean 0 and deviation 1 over its face, in place; what they were before."""
    inside = textures[:, face]
    levels, spreads = np.nanmean(inside, axis=1), np.nanstd(inside, axis=1) + 1e-3
    textures -= levels[:, None, None]
    textures /= spreads[:, None, None]
    return levels.astype(np.float64), spreads.astype(np.float64)


@dataclass(frozen=True)
class _Components:
    modes: Floats  # [k,d], one standard deviation each
    scores: Floats  # [n,k], of unit variance


def _principal(centred: npt.NDArray[np.floating], count: int) -> _Components:
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    root = np.sqrt(len(centred))
    return _Components(right[:count] * sizes[:count, None] / root, left[:, :count] * root)


def _principal_of_seen(
    textures: Textures, weights: Textures, count: int, seed: int
) -> tuple[Textures, _Components]:
    """Mean and components of textures with unseen pixels (NaN), weighted.

    Subspace iteration in which the unseen is filled in by the components of the round before: the
    expectation-maximisation of Roweis 1998, "EM algorithms for PCA and SPCA".
    """
    unseen = np.isnan(textures)
    textures *= weights
    mean = np.where(unseen, 0, textures).sum(0) / np.maximum((~unseen).sum(0), 1)
    textures -= mean
    textures[unseen] = 0
    subspace = np.random.default_rng(seed).standard_normal((count + 10, textures.shape[1]), dtype=np.float32)
    for _ in range(_ROUNDS):
        subspace = np.linalg.qr(((textures @ subspace.T).T @ textures).T)[0].T
        scores = textures @ subspace.T
        for row, hidden in enumerate(unseen):
            textures[row, hidden] = scores[row] @ subspace[:, hidden]
    inner = _principal((textures @ subspace.T).astype(np.float64), count)
    return mean / weights, _Components(inner.modes @ subspace, inner.scores)


def _standard(values: Floats) -> Floats:
    return np.asarray((values - values.mean(0)) / values.std(0), np.float64)


def _quantised(modes: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    scale = np.abs(modes).max(axis=1) / 127
    return np.rint(modes / scale[:, None]).astype(np.int8), scale


def _mixing(parameters: Floats) -> Floats:
    """The Cholesky factor of the correlations, which gives independent normal draws these correlations."""
    standard = _standard(parameters)
    correlation = standard.T @ standard / len(standard)
    ridged = (1 - _RIDGE) * correlation + _RIDGE * np.eye(len(correlation))
    return np.asarray(np.linalg.cholesky(ridged), np.float64)
