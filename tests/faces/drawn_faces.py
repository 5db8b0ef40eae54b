"""A drawn face that dlib's and OpenCV's detectors accept, so that tests need no photograph."""

from pathlib import Path

import cv2
import numpy as np


def draw_face(side=200, seed=0):
    """A grey image uint8 [side,side] with one frontal face in its middle."""
    random = np.random.default_rng(seed)
    image = np.full((400, 400), 90, np.uint8)
    hair, skin = random.integers(-4, 5, (2, 2))
    cv2.ellipse(image, (200, 190), (105 + int(hair[0]), 140 + int(hair[1])), 0, 0, 360, 60, -1)
    cv2.ellipse(image, (200, 215), (88 + int(skin[0]), 120 + int(skin[1])), 0, 0, 360, 190, -1)
    for way in (-1, 1):
        eye = 200 + way * 38
        cv2.ellipse(image, (eye, 185), (24, 14), 0, 0, 360, 140, -1)
        cv2.ellipse(image, (eye, 188), (17, 8), 0, 0, 360, 225, -1)
        cv2.circle(image, (eye, 188), 8, 35, -1)
        cv2.ellipse(image, (eye, 168), (26, 9), 0, 190, 350, 60, 6)
        cv2.ellipse(image, (200 + way * 12, 248), (7, 4), 0, 0, 360, 90, -1)
        cv2.line(image, (200 + way * 8, 190), (200 + way * 14, 240), 165, 4)
    cv2.ellipse(image, (200, 252), (22, 8), 0, 20, 160, 130, 4)
    cv2.ellipse(image, (200, 285), (34, 11), 0, 0, 360, 110, -1)
    cv2.line(image, (168, 285), (232, 285), 60, 3)
    image = cv2.GaussianBlur(image, (0, 0), 4)
    image = np.clip(image + random.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def write_faces(folder: Path, count: int, side: int = 200) -> list[Path]:
    """`count` different faces as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"Drawn_Face_{seed:04}.png" for seed in range(count)]
    for seed, path in enumerate(paths):
        cv2.imwrite(str(path), draw_face(side, seed))
    return paths
