"""Who is on a face crop, as its name tells: what keeps a person's faces on one side of a split.

The rule, in this order:

1. An array `person` in the file says it, but for faces where it is empty.
2. The first folder whose name says more than `aligned`, `train` or `01_Indoor` does: `n000001/0007_01.jpg`,
   `CASIA-WebFace/0000045/001.jpg`, `Aaron_Eckhart/0/12.jpg`. Folders below it may be videos of the same person.
3. Words before a number: `Aaron_Eckhart_0001.jpg`, `Abdullah_0001.jpg`; not `training_image_0001.jpg`.
4. A known kind of number before the photograph's: `n000001_0007_01.jpg` (VGGFace2), `nm0000001_rm12_1899.jpg` (IMDB),
   `00001_930831_fa.ppm` (FERET), `100032540_1.jpg` (Helen: the faces of one photograph).
5. Else each name is a person of its own.

Where the rule errs, it takes two persons for one, which costs faces, rather than one for two, which leaks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

_NUMBERED = re.compile(
    r"([^\W\d_]+)[_ -]+\d+|([^\W\d_]+(?:[_ -]+[^\W\d_]+)+)[_ -]*\d+"
)  # Abdullah_1, Ada_Lovelace1
_KNOWN = re.compile(r"(n\d{6})_\d{4}_\d{2}|(nm\d{7,})_.*|(\d{5})_\d{6}_.*|(\d{4,})_\d+")
_WORD = re.compile(r"[^\W\d_]+")

#: Words that tell of files and sets of files, not of persons.
_FILE_WORDS = """
    a the my our new old all other raw original originals processed clean data dataset set sets part parts batch
    batches split fold folder file files item input output label labels unlabelled unlabeled
    train trainset training test tests testset testing val valid validation dev eval query gallery probe
    image images img imgs photo photos photograph photographs pic pics picture pictures portrait portraits selfie
    selfies face faces head heads crop crops cropped aligned align alignment unaligned detect detected detection
    whatsapp instagram facebook fb w dsc dscf dscn pxl mvimg screenshot scan camera cam webcam frame frames video
    videos clip shot sample samples sampled tuning
    frontal profile front side left right indoor outdoor grey gray rgb color colour bmp gif jpg jpeg png tif tiff webp
    male female men women boys girls people persons celeb celebs celebrity celebrities
    afw aflw agedb asian casia celeba cfp cofw deepfake fbp feret ffhq fgnet helen ibug imdb lfpw lfw menpo
    megaface scut umdfaces utkface vgg vggface webface wflw wider widerface wiki xm youtubefaces ytf
"""
_OF_FILES = frozenset(_FILE_WORDS.split())


def person_of(name: str) -> str:
    """Who (or which photograph) a file name speaks of; the file's own name where it tells nothing."""
    return _told_by(name) or _stem(name) or name


def person_below(name: str) -> str:
    """As `person_of`, of a name led by a folder that was searched: what it says below comes before that folder."""
    return _told_by(name.partition("/")[2]) or person_of(name)


def persons_of(
    names: npt.NDArray[np.str_], extra: Mapping[str, npt.NDArray[np.generic]]
) -> npt.NDArray[np.str_]:
    """The person of each face [n]: of the array `person` where there is one, else of the names."""
    named = np.array([person_of(str(name)) for name in names], np.str_)
    given = extra.get("person", np.array("")).astype(np.str_)
    return np.where(given == "", named, given)


def _told_by(name: str) -> str | None:
    *folders, _ = name.replace("\\", "/").split("/")
    person = next((folder for folder in folders if not _of_files(folder)), None)
    if person is not None:
        return person
    stem = _stem(name)
    if (match := _NUMBERED.fullmatch(stem)) and not _of_files(stem):
        return match.group(1) or match.group(2)
    match = _KNOWN.fullmatch(stem)
    return match and next(filter(None, match.groups()))


def _of_files(text: str) -> bool:
    """Whether all words of a name tell of files; `.` and an empty name do, numbers alone do not."""
    words = _WORD.findall(text.lower())
    return all(word in _OF_FILES for word in words) and (bool(words) or not any(map(str.isalnum, text)))


def _stem(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2].split(".", 1)[0]
