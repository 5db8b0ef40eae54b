"""Intervals of records made before persons were resampled, made anew from the errors of each face.

    python -m tests.benchmarks.resampled_records DATA RECORD…

DATA is a folder with the files of faces that the records were tested on; a test set is known by its fingerprint, so
that only the very same faces give their persons. Of each record whose faces are found, the persons, the intervals of
the MAE and the differences are written anew, and a note says so: records keep no other figure of each face.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mlbench.evaluation.statistics import bootstrap_means, interval
from mlbench.evaluation.within_run import differences_of, groups_of
from mlbench.faces.dataset import Faces, read_npz, split_faces
from mlbench.records import Errors, Persons, Record, read_record, write_record
from mlbench.runs.measuring import subsets

_SEED = 7
_NOTE = (
    "Intervals of the MAE and of its differences resample persons: made anew from the errors of each face. "
    "Those of other figures resample faces, the rule when this was measured."
)


def main() -> None:
    """Write the records anew."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    known = {faces.fingerprint: faces for faces in _test_sets(Path(sys.argv[1]))}
    for place in map(Path, sys.argv[2:]):
        record = read_record(place)
        write_record(resampled(record, known), place)
        print(f"{place}: {', '.join(name for name, key in record.test_sets.items() if key in known)}")


def _test_sets(data: Path) -> Iterator[Faces]:
    """Every file as a whole with each of its labels, and the test splits of the seed."""
    for path in sorted(data.glob("*.npz")):
        faces = read_npz(path)
        yield faces
        if "human" in faces.extra:
            yield read_npz(path, "human")
        for shuffle in (False, True):
            yield faces.take(split_faces(faces, seed=_SEED, shuffle=shuffle).test)


def resampled(record: Record, known: dict[str, Faces]) -> Record:
    """A record with the persons of those test sets that are known, by fingerprint."""
    persons = {
        subset: Persons.of(known[key].persons[rows].tolist())
        for name, key in record.test_sets.items()
        if key in known
        for subset, rows in subsets(name, known[key]).items()
    }
    errors = tuple(_with_interval(error, persons.get(error.test_set)) for error in record.errors)
    changed = {
        "persons": persons,
        "errors": errors,
        "differences": tuple(
            differences_of(record.artifacts[0].id, record.measurements, errors, persons, _SEED)
        ),
        "warnings": (*(text for text in record.warnings if text != _NOTE), _NOTE),
    }
    return record.model_copy(update=changed)


def _with_interval(error: Errors, persons: Persons | None) -> Errors:
    means = bootstrap_means(np.array(error.by_face_mae_px)[:, None], _SEED, groups_of(persons))
    return error.model_copy(update={"mae_px": interval(error.mae_px.value, means[:, 0])})


if __name__ == "__main__":
    main()
