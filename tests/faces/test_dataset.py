import io
import itertools
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench.data.sources import TestSet
from mlbench.data.split import Split, split
from mlbench.errors import UsageError
from mlbench.faces.dataset import Faces, iter_npz, joined, read_npz, write_npz
from mlbench.faces.files import iter_faces, read_faces, write_faces
from mlbench.faces.landmarks import Landmarks, samples_of
from mlbench.faces.persons import person_of
from mlbench.system.progress import Silent


def arrays_of(n=4, seed=0):
    random = np.random.default_rng(seed)
    return {
        "images": random.integers(0, 256, (n, 96, 96)).astype(np.uint8),
        "points": random.normal(48, 20, (n, 68, 2)).astype(np.float32),
        "name": np.array([f"Ada_Lovelace_{i:04}.jpg" for i in range(n)]),
        "frontal": np.arange(n) % 2 == 0,
    }


def faces_named(names):
    n = len(names)
    images = np.zeros((n, 96, 96), np.uint8)  # each another image
    images[:, 0, 0], images[:, 0, 1] = np.divmod(np.arange(n), 256)
    return Faces(images, np.zeros((n, 68, 2), np.float32), np.array(names))


def split_of(faces, seed=7, shuffle=False) -> Split:
    return split(samples_of(faces), "shuffled" if shuffle else "file-order", seed)


class Bomb:
    """Would make a folder if it were ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (type(self.path).mkdir, (self.path,))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_stored_and_deflated_files_read_the_same(tmp_path, save):
    path = tmp_path / "faces.npz"
    save(path, **arrays_of())
    faces = read_npz(path)
    for key, values in (("images", faces.images), ("points", faces.points), ("name", faces.names)):
        assert values.tolist() == arrays_of()[key].tolist()
    assert faces.extra["frontal"].tolist() == [True, False, True, False]
    parts = list(iter_npz(path, 3))
    assert [len(part) for part in parts] == [3, 1]
    assert np.concatenate([part.extra["frontal"] for part in parts]).tolist() == [True, False, True, False]


def test_what_is_written_is_mapped_when_read(tmp_path):
    path = tmp_path / "faces.npz"
    write_npz(Faces(*list(arrays_of().values())[:3]), path)
    images = read_npz(path).images
    base = images
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)
    assert not images.flags.writeable


def test_the_same_faces_give_the_same_bytes(tmp_path):
    faces = Faces(*list(arrays_of().values())[:3])
    write_npz(faces, tmp_path / "a.npz")
    write_npz(read_npz(tmp_path / "a.npz"), tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_arrays_in_column_order_are_read_right(tmp_path):
    arrays = arrays_of()
    arrays["images"] = np.asfortranarray(arrays["images"])
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "f.npz", **arrays)
        assert read_npz(tmp_path / "f.npz").images.tolist() == arrays["images"].tolist()
        assert (
            np.concatenate([p.images for p in iter_npz(tmp_path / "f.npz", 3)]).tolist()
            == arrays["images"].tolist()
        )


def test_another_label_is_read_by_name(tmp_path):
    arrays = arrays_of() | {"human": arrays_of(seed=1)["points"].astype(np.float64)}
    np.savez(tmp_path / "f.npz", **arrays)
    faces = read_faces(tmp_path / "f.npz", "human")
    assert faces.points.dtype == np.float32
    assert (faces.points == arrays["human"]).all()
    assert "points" in faces.extra


BROKEN = {
    "no images": ({"images": None}, "has no array 'images'"),
    "no points": ({"points": None}, "has no array 'points'"),
    "float images": ({"images": np.zeros((4, 96, 96))}, r"images are float64 \(4, 96, 96\)"),
    "small images": ({"images": np.zeros((4, 48, 48), np.uint8)}, r"images are uint8 \(4, 48, 48\)"),
    "scalar images": ({"images": np.uint8(1)}, r"images are uint8 \(\)"),
    "colour images": ({"images": np.zeros((4, 96, 96, 3), np.uint8)}, r"images are uint8"),
    "whole points": ({"points": np.zeros((4, 68, 2), int)}, "points are int64"),
    "five points": ({"points": np.zeros((4, 5, 2))}, r"points are float64 \(4, 5, 2\)"),
    "fewer points": ({"points": np.zeros((3, 68, 2))}, r"not float \[4,68,2\]"),
    "few persons": ({"person": np.array(["a"])}, r"person is <U1 \(1,\), not 4 texts or whole numbers"),
    "persons in floats": ({"person": np.zeros(4)}, "person is float64"),
    "numbers for names": ({"name": np.arange(4)}, r"name is int64 \(4,\), not 4 texts"),
    "few names": ({"name": np.array(["a"])}, "not 4 texts"),
    "nan": (
        {"points": np.full((4, 68, 2), np.nan)},
        r"points of Ada_Lovelace_0000.jpg are not finite \(4 such",
    ),
    "too large for float32": ({"points": np.full((4, 68, 2), 1e300)}, "not finite"),
    "no faces": (
        {
            "images": np.zeros((0, 96, 96), np.uint8),
            "points": np.zeros((0, 68, 2), np.float32),
            "name": np.zeros(0, str),
        },
        "holds no face",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("read", [read_npz, lambda path: list(iter_npz(path, 2))])
def test_wrong_keys_shapes_and_types_get_one_sentence(tmp_path, case, read):
    changes, sentence = BROKEN[case]
    arrays = {key: value for key, value in (arrays_of() | changes).items() if value is not None}
    np.savez_compressed(tmp_path / "f.npz", **arrays)
    with pytest.raises(UsageError, match=sentence) as raised:
        read(tmp_path / "f.npz")
    assert "f.npz" in str(raised.value)


def test_pickles_are_never_loaded(tmp_path):
    mark = tmp_path / "unpickled"
    for key in ("images", "extra"):
        np.savez(tmp_path / "f.npz", **arrays_of() | {key: np.array([Bomb(mark)], object)}, allow_pickle=True)
        with pytest.raises(UsageError, match="pickle"):
            read_npz(tmp_path / "f.npz")
    assert not mark.exists()


def test_a_header_that_claims_more_than_there_is(tmp_path):
    data = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**12, 96, 96)}
    np.lib.format.write_array_header_1_0(data, header)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "f.npz", "w", method) as archive:
            archive.writestr("images.npy", data.getvalue())
        with pytest.raises(UsageError, match="claims"):
            read_npz(tmp_path / "f.npz")


def test_a_zip_bomb_is_refused_by_its_directory(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(
        path, images=np.zeros((20, 96, 96), np.uint8), points=np.zeros((20, 68, 2), np.float32)
    )
    data = bytearray(path.read_bytes())
    size = (20 * 96 * 96 + 128).to_bytes(4, "little")
    place = data.rindex(size)  # the length in the zip directory
    data[place : place + 4] = (2**31).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UsageError, match="would inflate to 2,147"):
        read_npz(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all", b"\x93NUMPY\x01\x00"])
def test_no_npz_at_all(tmp_path, content):
    (tmp_path / "f.npz").write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read as faces"):
        read_npz(tmp_path / "f.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_truncated_anywhere(tmp_path, save):
    save(tmp_path / "whole.npz", **arrays_of())
    data = (tmp_path / "whole.npz").read_bytes()
    for length in range(0, len(data), 997):
        (tmp_path / "f.npz").write_bytes(data[:length])
        with pytest.raises(UsageError):
            read_npz(tmp_path / "f.npz")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_files_end_in_a_sentence_or_in_sound_faces(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "f.npz"
    (np.savez, np.savez_compressed)[data.draw(st.integers(0, 1))](path, **arrays_of(1))
    content = bytearray(path.read_bytes())
    ends = st.one_of(st.integers(0, 400), st.integers(len(content) - 400, len(content) - 1))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.one_of(ends, st.integers(0, len(content) - 1)))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            faces = read_npz(path)
        except UsageError:
            return
    assert faces.images.shape == (1, 96, 96)
    assert faces.points.shape == (1, 68, 2)
    assert np.isfinite(faces.points).all()


def test_other_files_are_refused(tmp_path):
    (tmp_path / "faces.txt").write_text("")
    (tmp_path / "faces.csv").write_text("")
    for name, label, sentence in (
        ("none.npz", "points", "does not exist"),
        ("faces.txt", "points", "ends in .txt"),
        ("faces.csv", "human", "cannot hold 'human'"),
    ):
        with pytest.raises(UsageError, match=sentence):
            read_faces(tmp_path / name, label)


def test_faces_without_names_are_split_by_another_rule():
    named, unnamed = (faces_named([f"{row}{end}" for row in range(60)]) for end in (".jpg", ""))
    some_skipped = faces_named([str(row) for row in range(61) if row != 3])
    rules = [split_of(faces).rule for faces in (named, unnamed, some_skipped)]
    assert rules[1] == rules[2]
    assert rules[0] != rules[1], "else a baseline of the one would be taken for one of the other"


def test_many_faces_of_one_person_are_refused_with_the_reason():
    with pytest.raises(UsageError, match="60 samples of 1 persons"):
        split_of(faces_named([f"Ada_Lovelace_{i:05}.jpg" for i in range(60)]))


people = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), min_size=30, max_size=200)


@settings(max_examples=60, deadline=None)
@given(people, st.integers(0, 2**32), st.booleans())
def test_splits_share_no_row_and_test_shares_no_person(photos, seed, shuffle):
    names = [f"Person_{chr(97 + who % 26)}{chr(97 + who // 26)}_{number:04}.jpg" for who, number in photos]
    faces = faces_named(names)
    try:
        found = split_of(faces, seed, shuffle)
    except UsageError as error:
        assert "too few" in str(error)
        return
    parts = [found.train, found.validation, found.test]
    assert sorted(itertools.chain(*(part.tolist() for part in parts))) == list(range(len(names)))
    assert all(len(part) for part in parts)
    tested = {person_of(names[row]) for row in found.test}
    assert tested.isdisjoint(person_of(names[row]) for row in np.concatenate(parts[:2]))


@settings(max_examples=30, deadline=None)
@given(people, st.integers(0, 1000))
def test_nobody_changes_sides_when_faces_are_added(photos, seed):
    names = [f"Person_{chr(97 + who % 26)}{chr(97 + who // 26)}_{number:04}.jpg" for who, number in photos]
    try:
        before = split_of(faces_named(names[:-10]), seed)
        after = split_of(faces_named(names), seed)
    except UsageError:
        return
    assert set(before.test.tolist()) == {row for row in after.test.tolist() if row < len(names) - 10}


def test_the_papers_validation_is_the_last_tenth():
    found = split_of(faces_named([f"{i}" for i in range(1000)]))
    rest = sorted(set(range(1000)) - set(found.test.tolist()))
    cut = len(rest) - round(len(rest) / 10)
    assert found.train.tolist() == rest[:cut]
    assert found.validation.tolist() == rest[cut:]


def test_too_few_faces_are_refused():
    with pytest.raises(UsageError, match="3 samples of 3 persons"):
        split_of(faces_named(["a", "b", "c"]))


def test_persons_in_folders_do_not_cross_the_split():
    names = [f"n{who:06}/{photo:04}_01.jpg" for who in range(60) for photo in range(5)]
    found = split_of(faces_named(names))
    sides = [{names[row][:7] for row in rows} for rows in (found.test, [*found.train, *found.validation])]
    assert sides[0].isdisjoint(sides[1])
    assert all(sides)


def test_persons_of_an_array_do_not_cross_the_split_and_survive_joining(tmp_path):
    """No name tells who is who, so that the array alone can."""
    plain = faces_named([f"{row:06}.jpg" for row in range(200)])
    persons = np.arange(200) % 40
    write_npz(
        Faces(
            plain.images, plain.points + 48 * (np.arange(68) % 2)[:, None], plain.names, {"person": persons}
        ),
        tmp_path / "f.npz",
    )
    faces = joined([read_faces(tmp_path / "f.npz"), faces_named(["Ada_Lovelace_1.jpg"])])
    assert faces.persons[-1] == "Ada_Lovelace"
    found = split_of(faces)
    tested = set(faces.persons[found.test])
    assert tested.isdisjoint(faces.persons[np.concatenate([found.train, found.validation])])
    assert len(tested) < len(found.test)


def test_faces_without_a_split_are_joined_to_those_to_train_on():
    given = faces_named([f"a{row}.jpg" for row in range(3)])
    given.extra["split"] = np.array(["train", "validation", "test"])
    both = joined([faces_named(["b.jpg"]), given])
    assert list(both.extra["split"]) == ["train", "train", "validation", "test"]


@pytest.mark.parametrize("shuffle", [False, True])
def test_equal_images_under_other_names_do_not_cross_the_split(shuffle):
    once = faces_named([f"{row:06}.jpg" for row in range(200)])
    again = Faces(once.images[:60], once.points[:60], np.array([f"again{row:06}.jpg" for row in range(60)]))
    faces = joined([once, again])
    found = split_of(faces, shuffle=shuffle)
    parts = [set(samples_of(faces).keys[rows]) for rows in (found.train, found.validation, found.test)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert len(set.union(*parts)) == 200
    assert found.left_out > 0
    assert split_of(once, shuffle=shuffle).left_out == 0


def test_names_persons_and_rows_are_in_the_keys_of_the_data():
    faces = faces_named([f"{row:06}.jpg" for row in range(100)])
    renamed = Faces(faces.images, faces.points, faces.names[::-1])
    grouped = Faces(faces.images, faces.points, faces.names, {"person": np.arange(100) // 2})
    assert len({samples_of(found).fingerprint for found in (faces, renamed, grouped)}) == 3
    splits = [split_of(faces, seed) for seed in (7, 8)]
    assert splits[0].rule == splits[1].rule
    assert splits[0].key(samples_of(faces)) != splits[1].key(samples_of(faces))


@pytest.mark.parametrize("end", [".npz", ".csv"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda points: points / 96, "lie within 4 px of each other"),
        (lambda points: points / 48 - 1, "lie within 4 px of each other"),
        (lambda points: points * 1e6, "lie over 384 px apart"),
        (lambda points: points + 200, "lie mostly outside the crop"),
        (lambda points: points * 3, "lie mostly outside the crop"),
    ],
)
def test_points_that_are_no_pixels_of_the_crop_are_refused(tmp_path, sampled_faces, end, change, told):
    few = sampled_faces.take(slice(0, 3))
    path = tmp_path / f"faces{end}"
    write_faces(Faces(few.images, change(few.points), few.names), path)
    for read in (
        read_faces,
        lambda path: list(iter_faces(path, 2)),
        lambda path: TestSet(path).load(Landmarks(), Silent()),
    ):
        with pytest.raises(
            UsageError, match=f"faces{end}: the points of .* {told} .* no pixels of the 96×96"
        ):
            read(path)
