"""Where samples come from, and what is said of it."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from mlbench.data.sources import Source, TestSet
from mlbench.data.split import split
from mlbench.errors import UsageError
from mlbench.faces.dataset import Faces, write_npz
from mlbench.faces.files import write_faces
from mlbench.faces.landmarks import POINTS, Landmarks, samples_of
from mlbench.runs.measuring import _parts
from mlbench.system.progress import Silent
from mlbench.tasks.regression import Regression

_TASK = Landmarks()


def _source(path):
    return Source(_TASK, path, 40, "file-order", 7)


@pytest.mark.parametrize(
    ("text", "path", "label", "name"),
    [
        ("faces.npz", "faces.npz", "", "faces"),
        ("a/faces.npz:human", "a/faces.npz", "human", "faces:human"),
        ("C:/faces.npz", "C:/faces.npz", "", "faces"),
        ("faces.csv", "faces.csv", "", "faces"),
    ],
)
def test_a_test_set_is_a_file_and_perhaps_an_array(text, path, label, name):
    found = TestSet.parse(text)
    assert (found.path, found.label, found.name) == (Path(path), label, name)


def test_a_csv_has_one_set_of_points(tmp_path):
    with pytest.raises(UsageError, match="one set of points"):
        (tmp_path / "a.csv").write_text("")
        TestSet(tmp_path / "a.csv", "human").load(_TASK, Silent())


def test_another_label_takes_the_place_of_the_points(tmp_path, sampled_faces):
    few = sampled_faces.take(slice(0, 5))
    write_npz(Faces(few.images, few.points, few.names, {"human": few.points + 1}), tmp_path / "a.npz")
    found = TestSet(tmp_path / "a.npz", "human").load(_TASK, Silent())
    np.testing.assert_allclose(found.targets[POINTS], few.points + 1)


def test_drawn_samples_are_said_to_be_drawn():
    source = _source(None)
    assert source.sampled
    assert "nothing real" in source.describe()
    assert "real samples are larger" in source.warnings()[0]
    assert len(source.load(Silent())) == 40
    assert _source(Path("faces.npz")).warnings() == []


def test_a_task_that_draws_nothing_asks_for_data():
    with pytest.raises(UsageError, match="regression has no samples of its own: give --data"):
        replace(_source(None), task=Regression()).load(Silent())


def test_too_few_samples_are_one_sentence(sampled):
    with pytest.raises(UsageError, match="too few"):
        split(sampled.take(slice(0, 3)), "file-order", 7)


def test_frontal_faces_are_a_subset_where_the_file_marks_them(sampled):
    marks = np.arange(10) % 2 == 0
    few = sampled.take(slice(0, 10))
    marked = replace(few, extra={"frontal": marks})
    assert list(_parts(_TASK, "dev", marked)) == ["dev", "dev (frontal)"]
    assert (_parts(_TASK, "dev", marked)["dev (frontal)"] == marks).all()
    assert list(_parts(_TASK, "dev", few)) == ["dev"]


def test_test_faces_without_a_distance_of_the_eyes_are_named(tmp_path, sampled_faces):
    few = sampled_faces.take(slice(0, 60))
    points = few.points.copy()
    points[:, 45] = points[:, 36]
    blind = Faces(few.images, points, few.names)
    write_npz(blind, tmp_path / "blind.npz")
    first = f"blind.npz: the outer eye corners .* of {few.names[0]} are .* \\(60 such"
    with pytest.raises(UsageError, match=first):
        TestSet(tmp_path / "blind.npz").load(_TASK, Silent())
    source, test = _source(tmp_path / "blind.npz"), split(samples_of(blind), "file-order", 7).test
    with pytest.raises(UsageError, match=f"blind.npz: .* of {few.names[test[0]]} .*\\({len(test)} such"):
        source.divided(Silent())
    write_npz(few, tmp_path / "few.npz")
    assert len(_source(tmp_path / "few.npz").divided(Silent())[1].test) == len(test)


def test_bad_rows_of_a_csv_are_told_and_the_good_ones_used(tmp_path, sampled_faces):
    class Told(Silent):
        lines: ClassVar[list[str]] = []

        def say(self, text):
            self.lines.append(text)

    path = tmp_path / "faces.csv"
    write_faces(sampled_faces.take(slice(0, 4)), path)
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace(",", ",nan", 1)
    path.write_text("\n".join(lines) + "\n")
    faces = _source(path).load(Told())
    assert len(faces) == 3
    assert "1 of 4 rows skipped: line 3" in Told.lines[0]
