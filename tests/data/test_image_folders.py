"""Folders of images: a class per folder, one size, and what is skipped or refused."""

import numpy as np
import pytest
from PIL import Image

from mlbench.data.reading import reading_of
from mlbench.data.split import split, usual_rule
from mlbench.errors import UsageError
from mlbench.tasks.classification import Classification
from mlbench.tasks.regression import Regression

_TASK = Classification()


def _image(path, size=(8, 6), mode="RGB", level=100, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (level,) * 3 if mode == "RGB" else level).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Four cats and three dogs, RGB, 6 pixels high and 8 wide."""
    for row in range(4):
        _image(tmp_path / "data" / "cat" / f"{row}.png", level=row)
    for row in range(3):
        _image(tmp_path / "data" / "dog" / "deep" / f"{row}.png", level=100 + row)
    return tmp_path / "data"


def _read(path, **options):
    said = []
    samples = _TASK.read(path, "", said.append, reading_of(**options))
    return samples, said


def test_a_folder_is_a_class(folder):
    samples, said = _read(folder)
    assert samples.inputs["x"].shape == (7, 6, 8, 3)
    assert samples.inputs["x"].dtype == np.uint8
    assert samples.classes == {"y": ("cat", "dog")}
    assert {
        (name.split("/")[0], kind) for name, kind in zip(samples.ids, samples.targets["y"], strict=True)
    } == {
        ("cat", 0),
        ("dog", 1),
    }
    for name, image in zip(samples.ids, samples.inputs["x"], strict=True):
        assert (image == int(name[-5]) + (100 if name.startswith("dog") else 0)).all()
    assert said == []
    assert samples.fingerprint == _read(folder)[0].fingerprint
    assert _TASK.picture(samples, 0).text.endswith(("cat", "dog"))


def test_images_get_one_size_and_as_many_channels_as_most_have(folder):
    _image(folder / "cat" / "large.png", (80, 60), "L")
    samples, said = _read(folder, size="3x4")
    assert samples.inputs["x"].shape == (8, 3, 4, 3)
    assert any("8 images of other sizes were stretched to 3×4" in line for line in said)
    assert any("1 grey images were taken as RGB" in line for line in said)
    assert _read(folder, channels="grey")[0].inputs["x"].shape[-1] == 1


def test_images_stand_upright(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    for kind in ("a", "b"):
        _image(tmp_path / kind / "1.jpg", (10, 4), exif=turned)
    samples, said = _read(tmp_path)
    assert (samples.inputs["x"].shape, said) == ((2, 10, 4, 3), [])


def test_images_that_cannot_be_read_are_skipped_counted_and_named(folder):
    (folder / "cat" / "none.jpg").write_bytes(b"")
    whole = folder / "dog" / "deep" / "0.png"
    (folder / "dog" / "cut.png").write_bytes(whole.read_bytes()[:-30])
    (folder / "dog" / "notes.txt").write_text("no image")
    samples, said = _read(folder)
    assert len(samples) == 7
    [skipped] = [line for line in said if "skipped" in line]
    assert "2 of 9 images cannot be read" in skipped
    assert "cat/none.jpg (empty file)" in skipped
    assert "dog/cut.png (truncated)" in skipped
    assert any("1 × .txt" in line for line in said)


def _divided(path, **counts):
    """Images of two classes in parts; no two are equal."""
    for place, (part, count) in enumerate(counts.items()):
        for kind, level in {"cat": 0, "dog": 100}.items():
            for row in range(count):
                _image(path / part / kind / f"{row}.png", level=row + 30 * place + level)
    samples, _ = _read(path)
    found = split(samples, usual_rule(samples), 7)
    return samples, found, [samples.ids[rows] for rows in (found.train, found.validation, found.test)]


def test_folders_train_and_test_are_a_split(tmp_path):
    samples, found, parts = _divided(tmp_path, train=30, val=4, test=5)
    assert samples.classes["y"] == ("cat", "dog")
    assert found.rule == "as the file says"
    assert [{name.split("/")[0] for name in part} for part in parts] == [{"train"}, {"val"}, {"test"}]


def test_without_a_folder_for_validation_a_tenth_of_the_training_images_is(tmp_path):
    _, _, (train, validation, test) = _divided(tmp_path, train=20, test=5)
    assert [len(train), len(validation), len(test)] == [36, 4, 10]
    assert all(name.startswith("train/") for name in validation)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda data: (data / "bird").mkdir(), "the class bird has no image: add some, or remove its folder"),
        (
            lambda data: _damage(data / "bird" / "1.png"),
            r"the class bird has no image that can be read \(bird/1.png",
        ),
        (lambda data: _remove(data / "dog" / "deep"), "the class dog has no image"),
        (lambda data: (_remove(data / "dog" / "deep"), (data / "dog").rmdir()), "has the class cat alone"),
        (
            lambda data: [_remove(data / "dog" / "deep"), _remove(data / "cat")],
            "holds no image: put the images",
        ),
    ],
)
def test_a_folder_that_is_no_classes_is_one_sentence(folder, change, sentence):
    change(folder)
    with pytest.raises(UsageError, match=sentence) as raised:
        _read(folder)
    assert "\n" not in str(raised.value)


def _damage(path):
    path.parent.mkdir()
    path.write_bytes(b"no image")


def _remove(folder):
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_images_without_folders_are_one_sentence(tmp_path):
    _image(tmp_path / "1.png")
    with pytest.raises(UsageError, match="holds 1 images, but none in the folder of a class"):
        _read(tmp_path)


def test_a_folder_of_classes_is_no_regression(folder):
    with pytest.raises(UsageError, match=r"y holds classes \(cat, dog, …\), not numbers: use --task class"):
        Regression().read(folder, "", lambda _: None)
