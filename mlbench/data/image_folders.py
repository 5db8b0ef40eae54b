"""Images in a folder per class: `cat/*.jpg`, `dog/*.jpg`, …; perhaps within `train/`, `validation/` and `test/`."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mlbench.contracts.reading import Reading
from mlbench.contracts.samples import Samples
from mlbench.data.decoding import SUFFIXES, BadImageError, Header, header_of, read_sized
from mlbench.data.image_files import images_below
from mlbench.data.npz_arrays import GIVEN
from mlbench.data.reading import encoding_of
from mlbench.errors import UsageError

_PARTS = {"train": "train", "training": "train", "validation": "validation", "valid": "validation"}
_PARTS |= {"val": "validation", "test": "test"}

_IN_MEMORY = 2**30  # bytes of pixels; more lie in a file without a name, which ends with the process
_LISTED = 20  # files that are told by name

Tell = Callable[[str], None]


@dataclass(frozen=True)
class _Image:
    path: Path
    name: str  # within the folder, with /
    kind: str
    part: str  # of the split, or ""


def read_folder(path: Path, how: Reading, tell: Tell) -> Samples:
    """Images of classes as samples: input `x` uint8 [n, height, width, channels], target `y` [n] with class names.

    All images get one size, that of the first or of `how`, and are grey where most of them are, or as `how` says.
    They stand in an order that follows from their names alone, and in which classes are mixed.

    Args:
        path: of the folder.
        how: see `Reading`.
        tell: called with what was skipped or changed.

    Raises:
        UsageError: there are no images, no folders of classes, or a class has no image that can be read.
    """
    listed = _listed(path, tell)
    headers, bad = _headers(listed)
    sizes = Counter(header.size for header in headers.values())
    images = [image for image in listed if image in headers]
    _require_classes(path, listed, images, bad)
    size = how.size or headers[images[0]].size
    grey = how.channels == "grey" if how.channels else _mostly_grey(list(headers.values()))
    pixels, images = _pixels(images, size, grey, bad)
    _require_classes(path, listed, images, bad)
    if bad:
        share = f"{len(bad):,} of {len(images) + len(bad):,} images"
        tell(f"Note: {path}: {share} cannot be read and were skipped: {_some(bad)}.")
    _tell_changes(path, sizes, size, [header.grey for header in headers.values()], grey, tell)
    kinds = sorted({image.kind for image in images})
    ids = np.array([image.name for image in images])
    return Samples(
        inputs={"x": pixels},
        targets={"y": np.array([kinds.index(image.kind) for image in images], np.int64)},
        ids=ids,
        groups=ids,
        encodings={"x": encoding_of("x", pixels, how, {})},
        extra={GIVEN: np.array([image.part for image in images])} if images[0].part else {},
        unit="sample",
        classes={"y": tuple(kinds)},
    )


def _listed(path: Path, tell: Tell) -> list[_Image]:
    """The images of all classes, mixed by a hash of their names."""
    parts = {folder: _PARTS.get(folder.name.lower(), "") for folder in _folders(path)}
    divided = bool(parts) and all(parts.values()) and "train" in parts.values()
    left_out: Counter[str] = Counter()
    found = list[_Image]()
    for root, part in parts.items() if divided else ((path, ""),):
        for folder in _folders(root):
            for image in images_below(folder, set(), left_out):
                name = os.fsencode(image.relative_to(path).as_posix()).decode("utf-8", "backslashreplace")
                found.append(_Image(image, name, folder.name, part))
            if not any(image.kind == folder.name for image in found):
                found.append(_Image(folder, "", folder.name, part))
        stray = sum(one.suffix.lower() in SUFFIXES for one in root.iterdir())
        left_out["images in no folder of a class"] += stray
    if not any(image.name for image in found):
        stray = left_out["images in no folder of a class"]
        lies = f"holds {stray:,} images, but none in the folder of a class" if stray else "holds no image"
        message = (
            f"{path} {lies}: put the images of each class into a folder of its own, as {path}/cat/1.jpg."
        )
        raise UsageError(message)
    if told := ", ".join(f"{count:,} × {kind}" for kind, count in left_out.most_common() if count):
        tell(f"Note: {path}: not taken: {told}.")
    return sorted(found, key=lambda image: hashlib.sha256(image.name.encode()).digest())


def _folders(path: Path) -> list[Path]:
    return [one for one in sorted(path.iterdir()) if one.is_dir() and not one.name.startswith(".")]


def _headers(listed: Sequence[_Image]) -> tuple[dict[_Image, Header], dict[str, str]]:
    """What is known of images before they are decoded, and why others cannot be, by name."""
    headers, bad = dict[_Image, Header](), dict[str, str]()
    for image in listed:
        if not image.name:  # a folder without images
            continue
        try:
            headers[image] = header_of(image.path)
        except BadImageError as error:
            bad[image.name] = str(error)
    return headers, bad


def _require_classes(
    path: Path, listed: Sequence[_Image], good: Sequence[_Image], bad: dict[str, str]
) -> None:
    """Refuse a class without images: the numbers of the others would depend on it."""
    kinds = {image.kind for image in good}
    for image in listed:
        if image.kind not in kinds:
            why = f" that can be read ({_some(bad)})" if bad else ""
            message = f"{path}: the class {image.kind} has no image{why}: add some, or remove its folder."
            raise UsageError(message)
    if len(kinds) < 2:
        message = f"{path} has the class {next(iter(kinds))} alone: there is nothing to learn; add a folder per class."
        raise UsageError(message)


def _mostly_grey(headers: Sequence[Header]) -> bool:
    return 2 * sum(header.grey for header in headers) > len(headers)


def _pixels(
    images: Sequence[_Image], size: tuple[int, int], grey: bool, bad: dict[str, str]
) -> tuple[npt.NDArray[np.uint8], list[_Image]]:
    """Pixels [n, height, width, channels] of the images that can be decoded, and which they are."""
    pixels = _room((len(images), *size, 1 if grey else 3))
    kept = list[_Image]()
    for image in images:
        try:
            pixels[len(kept)] = read_sized(image.path, size, grey)
        except BadImageError as error:
            bad[image.name] = str(error)
        else:
            kept.append(image)
    return pixels[: len(kept)], kept


def _room(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    if int(np.prod(shape)) <= _IN_MEMORY:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile(prefix="mlbench-") as file:
        return np.memmap(file, np.uint8, mode="w+", shape=shape)


def _tell_changes(
    path: Path,
    sizes: Counter[tuple[int, int]],
    size: tuple[int, int],
    greys: list[bool],
    grey: bool,
    tell: Tell,
) -> None:
    """Say what of the images was changed, so that it can be chosen otherwise."""
    resized, turned = sum(sizes.values()) - sizes[size], sum(one != grey for one in greys)
    if resized:
        tell(
            f"Note: {path}: {resized:,} images of other sizes were stretched to {size[0]}×{size[1]} (bilinear, "
            "antialiased); --image-size HxW gives another size."
        )
    if turned:
        tell(
            f"Note: {path}: {turned:,} {'colour' if grey else 'grey'} images were taken as "
            f"{'grey' if grey else 'RGB'}; --channels chooses."
        )


def _some(bad: dict[str, str]) -> str:
    """The first of those that cannot be read, each with the reason."""
    told = [f"{name} ({why})" for name, why in list(bad.items())[:_LISTED]]
    return ", ".join([*told, *([f"and {len(bad) - _LISTED:,} more"] if len(bad) > _LISTED else [])])
