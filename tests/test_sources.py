"""Where faces come from, and what is said of it."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from mlbench.errors import UsageError
from mlbench.faces.dataset import Faces, write_faces, write_npz
from mlbench.faces.sources import Source, TestSet
from mlbench.runs.measuring import subsets
from mlbench.system.progress import Silent


@pytest.mark.parametrize(
    ("text", "path", "label", "name"),
    [
        ("faces.npz", "faces.npz", "points", "faces"),
        ("a/faces.npz:human", "a/faces.npz", "human", "faces:human"),
        ("C:/faces.npz", "C:/faces.npz", "points", "faces"),
        ("faces.csv", "faces.csv", "points", "faces"),
    ],
)
def test_a_test_set_is_a_file_and_perhaps_an_array(text, path, label, name):
    found = TestSet.parse(text)
    assert (found.path, found.label, found.name) == (Path(path), label, name)


def test_a_csv_has_one_set_of_points(tmp_path):
    with pytest.raises(UsageError, match="one set of points"):
        (tmp_path / "a.csv").write_text("")
        TestSet(tmp_path / "a.csv", "human").load(Silent())


def test_another_label_takes_the_place_of_the_points(tmp_path, sampled):
    few = sampled.take(slice(0, 5))
    write_npz(Faces(few.images, few.points, few.names, {"human": few.points + 1}), tmp_path / "a.npz")
    found = TestSet(tmp_path / "a.npz", "human").load(Silent())
    np.testing.assert_allclose(found.points, few.points + 1)


def test_sampled_faces_are_said_to_be_sampled():
    source = Source(None, 40, shuffle=False, seed=7)
    assert source.sampled
    assert "no real faces" in source.describe()
    assert "real faces are larger" in source.warnings()[0]
    assert len(source.load(Silent())) == 40
    assert Source(Path("faces.npz"), 40, shuffle=False, seed=7).warnings() == []


def test_too_few_faces_are_one_sentence(sampled):
    with pytest.raises(UsageError, match="too few"):
        Source(None, 40, shuffle=False, seed=7).split(sampled.take(slice(0, 3)))


def test_frontal_faces_are_a_subset_where_the_file_marks_them(sampled):
    marks = np.arange(10) % 2 == 0
    few = sampled.take(slice(0, 10))
    marked = Faces(few.images, few.points, few.names, {"frontal": marks})
    assert list(subsets("dev", marked)) == ["dev", "dev (frontal)"]
    assert (subsets("dev", marked)["dev (frontal)"] == marks).all()
    assert list(subsets("dev", few)) == ["dev"]


def test_test_faces_without_a_distance_of_the_eyes_are_named(tmp_path, sampled):
    few = sampled.take(slice(0, 60))
    points = few.points.copy()
    points[:, 45] = points[:, 36]
    blind = Faces(few.images, points, few.names)
    write_npz(blind, tmp_path / "blind.npz")
    with pytest.raises(UsageError, match=r"blind.npz: the outer eye corners .* row 0, .* \(60 such"):
        TestSet(tmp_path / "blind.npz").load(Silent())
    source = Source(tmp_path / "blind.npz", 40, shuffle=False, seed=7)
    split = source.split(blind)
    with pytest.raises(UsageError, match=f"blind.npz: .* row {split.test[0]}, .*{len(split.test)} such"):
        source.tests(blind, split)
    assert len(source.tests(few, split)) == len(split.test)


def test_bad_rows_of_a_csv_are_told_and_the_good_ones_used(tmp_path, sampled):
    class Told(Silent):
        lines: ClassVar[list[str]] = []

        def say(self, text):
            self.lines.append(text)

    path = tmp_path / "faces.csv"
    write_faces(sampled.take(slice(0, 4)), path)
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace(",", ",nan", 1)
    path.write_text("\n".join(lines) + "\n")
    faces = Source(path, 40, shuffle=False, seed=7).load(Told())
    assert len(faces) == 3
    assert "1 of 4 rows skipped: line 3" in Told.lines[0]
