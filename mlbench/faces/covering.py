"""What covers a face: glasses, hair and hands, drawn as simple shapes. The landmarks stay where they are."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Picture = npt.NDArray[np.float32]

_SUB = 16  # parts of a pixel that OpenCV draws by
_SHIFT = 4


def covered(picture: Picture, points: Floats, rng: np.random.Generator) -> Picture:
    """A picture [n,n] of a face with landmarks [68,2], px, with glasses, hair or a hand before it."""
    cover = (glasses, glasses, hair, hand)[int(rng.integers(4))]
    return cover(picture, points, rng)


def glasses(picture: Picture, points: Floats, rng: np.random.Generator) -> Picture:
    """Two rims with a bridge and temples; the lenses clear, tinted or dark, with a reflection at times."""
    centres = np.stack([points[36:42].mean(0), points[42:48].mean(0)])
    across = centres[1] - centres[0]
    between = float(np.linalg.norm(across))
    unit = across / between
    half = between * np.array([rng.uniform(0.3, 0.46), rng.uniform(0.2, 0.38)])
    centres = centres + np.array([0, rng.uniform(-0.05, 0.12) * between])
    corner = rng.uniform(2, 6)  # of a superellipse: 2 is an ellipse, 6 nearly a rectangle
    angles = np.linspace(0, 2 * np.pi, 33)[:-1]
    ring = np.sign(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    ring *= np.abs(np.stack([np.cos(angles), np.sin(angles)], axis=1)) ** (2 / corner)
    turned = np.outer(ring[:, 0] * half[0], unit) + np.outer(ring[:, 1] * half[1], [-unit[1], unit[0]])
    lenses = [centre + turned for centre in centres]

    tint = rng.uniform(0.7, 0.97) if rng.random() < 0.25 else rng.uniform(0, 0.25)
    glass = _mask(picture, [(lens, 0) for lens in lenses], closed=True, filled=True)
    picture = _towards(picture, glass, rng.uniform(0, 60), tint)
    if rng.random() < 0.3:
        low = centres[int(rng.integers(2))] - half * rng.uniform(0.2, 0.8, 2)
        shine = low + half * np.array([[0, 0], [1, 0], [0.7, 1]])
        picture = _towards(picture, _mask(picture, [(shine, 0)], closed=True, filled=True) * glass, 255, 0.5)
    thick = rng.uniform(1.0, 3.2)
    lines = [(lens, thick) for lens in lenses]
    lines.append((np.stack([centres[0] + unit * half[0], centres[1] - unit * half[0]]), thick))
    lines.append((np.stack([centres[0] - unit * half[0], points[0] - [0, 0.1 * between]]), thick))
    lines.append((np.stack([centres[1] + unit * half[0], points[16] - [0, 0.1 * between]]), thick))
    frame = np.maximum(
        _mask(picture, lines[:2], closed=True, filled=False),
        _mask(picture, lines[2:], closed=False, filled=False),
    )
    grey = rng.uniform(0, 80) if rng.random() < 0.75 else rng.uniform(80, 230)
    return _towards(picture, frame, grey, rng.uniform(0.6, 1.0))


def hair(picture: Picture, points: Floats, rng: np.random.Generator) -> Picture:
    """A fringe over the brows, or strands down one or both sides, streaked along their fall."""
    side, grey, reach = len(picture), rng.uniform(5, 190), float(np.ptp(points[:17, 0]))
    mask = np.zeros_like(picture)
    kind = int(rng.integers(3))
    if kind != 1:  # a fringe
        x = np.linspace(-5, side + 5, 9)
        brow = points[17:27, 1].mean()
        edge = brow + reach * rng.uniform(-0.15, 0.08) + 0.04 * reach * rng.standard_normal(9)
        edge += rng.normal(0, 0.25) * (x - side / 2)
        outline = np.vstack([np.stack([x, edge], axis=1), [[side + 5, -9], [-5, -9]]])
        mask = np.maximum(mask, _mask(picture, [(outline, 0)], closed=True, filled=True))
    if kind != 0:  # strands
        for jaw, way in ((points[:9], 1), (points[8:17], -1)):
            if rng.random() < 0.7:
                y = np.linspace(-5, side + 5, 7)
                edge = jaw[:4, 0].mean() if way > 0 else jaw[-4:, 0].mean()
                edge = edge + way * reach * rng.uniform(0.0, 0.2) + 0.02 * reach * rng.standard_normal(7)
                beyond = -9 if way > 0 else side + 9
                outline = np.vstack([np.stack([edge, y], axis=1), [[beyond, side + 5], [beyond, -5]]])
                mask = np.maximum(mask, _mask(picture, [(outline, 0)], closed=True, filled=True))
    streaks = cv2.GaussianBlur(rng.standard_normal(picture.shape, dtype=np.float32), (0, 0), 0.8, sigmaY=6)
    strand = np.float32(grey) + streaks * np.float32(rng.uniform(20, 120))
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 1.5)), np.float32)
    return np.asarray(picture + mask * (strand - picture), np.float32)


def hand(picture: Picture, points: Floats, rng: np.random.Generator) -> Picture:
    """Fingers side by side, as grey as the cheeks, from a random side to somewhere on the face."""
    tip = points[int(rng.integers(len(points)))] + rng.normal(0, 4, 2)
    angle = rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    cheek = points[[2, 14, 30]].mean(0).round().astype(int).clip(0, len(picture) - 1)
    grey = float(picture[cheek[1], cheek[0]]) * rng.uniform(0.7, 1.25)
    width = rng.uniform(5, 10)
    for number in range(int(rng.integers(1, 5))):
        start = tip + across * width * number + along * rng.uniform(0, 5)
        finger = _mask(picture, [(np.stack([start, start + along * 140]), width)], closed=False, filled=False)
        shade = np.asarray(cv2.GaussianBlur(finger, (0, 0), 1.5), np.float32)
        picture = _towards(picture, shade, grey * 0.6, 0.5)  # the finger's edge and shadow
        picture = _towards(picture, finger, grey * rng.uniform(0.9, 1.1), 1.0)
    return picture


def _mask(
    picture: Picture, shapes: list[tuple[Floats, float]], *, closed: bool, filled: bool
) -> npt.NDArray[np.float32]:
    """1 on shapes (outline [k,2] and thickness, px), 0 off them, smooth at their edges."""
    drawn = np.zeros(picture.shape, np.uint8)
    for outline, thick in shapes:
        corners = [np.rint(np.clip(outline, -500, 500) * _SUB).astype(np.int32)]
        if filled:
            cv2.fillPoly(drawn, corners, 255, cv2.LINE_AA, _SHIFT)
        else:
            cv2.polylines(drawn, corners, closed, 255, max(1, round(thick)), cv2.LINE_AA, _SHIFT)
    return np.asarray(drawn / np.float32(255), np.float32)


def _towards(picture: Picture, mask: Picture, grey: float, share: float) -> Picture:
    return np.asarray(picture + np.float32(share) * mask * (np.float32(grey) - picture), np.float32)
