"""Preparation; drawn faces stand for photographs, and where dlib is absent a stand-in for the recipe."""

import json
import multiprocessing
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from mlbench.boxes import Box
from mlbench.data.decoding import BadImageError, decode_grey
from mlbench.data.image_files import find_photos
from mlbench.errors import UsageError
from mlbench.faces import photographs, preparation, shards
from mlbench.faces.csv_format import read_csv
from mlbench.faces.dataset import read_npz
from mlbench.faces.detection import HaarDetector
from mlbench.faces.files import read_faces
from mlbench.faces.labelling import find_predictor, require_dlib
from mlbench.faces.photographs import LabelledCrop
from mlbench.faces.preparation import Options, prepare
from tests.faces.drawn_faces import draw_face, write_faces


def missing_dlib():
    try:
        require_dlib()
        find_predictor()
    except UsageError as error:
        return str(error)
    return None


needs_dlib = pytest.mark.skipif(missing_dlib() is not None, reason=f"{missing_dlib()}")


@dataclass
class Told:
    """A Progress that remembers."""

    steps: list = field(default_factory=list)
    total: int = 0

    @contextmanager
    def task(self, title, total, unit, done=0):
        self.total = total
        yield lambda done, text: self.steps.append(done)

    def say(self, text):
        pass


@dataclass(frozen=True)
class StandIn:
    """In place of a Recipe: an image's mean brightness decides."""

    identity = ("stand-in",)

    def faces_of(self, path: Path):
        photo = decode_grey(path)
        grey = photo.pixels
        if grey.mean() < 10:
            message = "dark"
            raise BadImageError(message)
        face = LabelledCrop(np.resize(grey, (96, 96)), np.full((68, 2), 1.5), "dlib", photo.note)
        return [face] * (2 if grey.mean() > 250 else 1)


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(preparation, "require_dlib", lambda: "none")
    monkeypatch.setattr(preparation, "find_predictor", lambda given: given)
    monkeypatch.setattr(preparation, "DlibLabeller", lambda *options: None)
    monkeypatch.setattr(preparation, "Recipe", lambda *options: StandIn())


def write_greys(folder, levels):
    folder.mkdir(exist_ok=True)
    for number, level in enumerate(levels):
        cv2.imwrite(str(folder / f"{number:03}.png"), np.full((100, 100), level, np.uint8))
    return folder


def left_over(folder):
    """Files that should not be there after a run."""
    return [path.name for path in folder.iterdir() if path.name.endswith((".work", ".part"))]


def test_bad_images_are_skipped_counted_and_listed(tmp_path, stand_in):
    photos = write_greys(tmp_path / "photos", [100] * 20 + [0, 0, 255])
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "notes.txt").write_text("not an image: not looked at")
    told = Told()
    summary = prepare([photos], tmp_path / "faces.npz", Options(workers=1, summary_file=True), told)
    assert (summary.images, summary.kept, summary.faces, summary.several) == (24, 21, 21, 1)
    assert summary.skipped == (("020.png", "dark"), ("021.png", "dark"), ("empty.jpg", "empty file"))
    assert sum(told.steps) == told.total == 24
    assert read_npz(tmp_path / "faces.npz").names.tolist() == [f"{n:03}.png" for n in [*range(20), 22]]
    lines = "\n".join(summary.lines())
    for part in ("21 faces (21 by dlib) of 21 images", "3 skipped", "2 × dark", "empty.jpg: empty file"):
        assert part in lines
    written = json.loads((tmp_path / "faces.npz.summary.json").read_text())
    assert written["skipped"][0] == {"name": "020.png", "reason": "dark"}
    assert (written["images"], written["kept"], written["faces"]) == (24, 21, 21)
    assert left_over(tmp_path) == []


def test_files_that_are_not_taken_are_counted_and_told(tmp_path, stand_in):
    photos = write_greys(tmp_path / "photos", [100])
    for name in ("a.jxl", "b.JXL", "list.txt", "README", ".hidden.jpg"):
        (photos / name).write_bytes(b"x")
    (photos / "gone.jpg").symlink_to(photos / "nothing")
    summary = prepare([photos], tmp_path / "faces.npz", Options(workers=1, summary_file=True), Told())
    told = summary.lines()[-1]
    assert told.startswith("6 other files not taken:")
    assert "2 × .jxl (convert them to JPEG or PNG)" in told
    assert json.loads((tmp_path / "faces.npz.summary.json").read_text())["not_taken"] == {
        ".jxl": 2,
        ".txt": 1,
        "no ending": 1,
        "hidden files and folders": 1,
        "links to nothing, or no files": 1,
    }
    for path in photos.glob("*.png"):
        path.unlink()
    with pytest.raises(UsageError, match=r"holds no image .*; not taken: 2 × \.jxl \(convert"):
        prepare([photos], tmp_path / "none.npz", Options(workers=1), Told())


def test_links_are_followed_once(tmp_path):
    (tmp_path / "photos").mkdir()
    write_greys(tmp_path / "elsewhere", [100, 110])
    (tmp_path / "photos" / "ada").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "same.png").symlink_to(tmp_path / "elsewhere" / "000.png")
    found = find_photos([tmp_path / "photos"])
    assert [photo.name for photo in found.photos] == ["ada/000.png", "ada/001.png"]
    assert found.left_out == {"links to an image taken by another name": 1}


def test_assumed_ranges_are_told(tmp_path, stand_in):
    photos = write_greys(tmp_path / "photos", [100])
    cv2.imwrite(str(photos / "twelve.png"), np.linspace(0, 4095, 10_000).reshape(100, 100).astype(np.uint16))
    summary = prepare([photos], tmp_path / "faces.npz", Options(workers=1), Told())
    assert summary.faces == 2
    assert any(line.startswith("1 images: 16-bit values use 12 bits") for line in summary.lines())
    assert list(json.loads(summary.as_json())["notes"].values()) == [1]


def test_all_faces_where_asked(tmp_path, stand_in):
    photos = write_greys(tmp_path / "photos", [100, 255])
    prepare([photos], tmp_path / "faces.npz", Options(workers=1, all_faces=True), Told())
    assert read_npz(tmp_path / "faces.npz").names.tolist() == ["000.png", "001.png", "001.png#2"]


def test_all_bad_is_an_error_and_leaves_nothing(tmp_path, stand_in):
    photos = write_greys(tmp_path / "photos", [0, 0])
    with pytest.raises(UsageError, match=r"none of 2 images gave a face \(000.png: dark\)"):
        prepare([photos], tmp_path / "faces.npz", Options(workers=1), Told())
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_an_interrupted_run_goes_on_and_repeats_nothing(tmp_path, stand_in, monkeypatch):
    photos = write_greys(tmp_path / "photos", range(50, 150))
    prepare([photos], tmp_path / "whole.npz", Options(workers=1), Told())
    worked = []
    work = shards.Shard.work

    def interrupted(shard, recipe):
        if len(worked) == 3:
            raise KeyboardInterrupt
        worked.append(shard.path.name)
        work(shard, recipe)

    monkeypatch.setattr(shards.Shard, "work", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare([photos], tmp_path / "faces.npz", Options(workers=1), Told())
    assert not (tmp_path / "faces.npz").exists()
    before = list(worked)
    worked.clear()
    worked.extend(["", "", "", ""])  # no more interruptions
    summary = prepare([photos], tmp_path / "faces.npz", Options(workers=1), Told())
    assert summary.resumed == 48
    assert set(before).isdisjoint(worked)
    assert (tmp_path / "faces.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert left_over(tmp_path) == []


def test_changed_photos_and_options_are_not_taken_from_an_earlier_run(tmp_path):
    photos = write_greys(tmp_path / "photos", range(50, 90))
    keys = lambda **options: [  # noqa: E731
        shard.path.name
        for shard in shards.shards_of(
            find_photos([photos]).photos, StandIn(), folder=tmp_path, all_faces=False, **options
        )
    ]
    before = keys()
    assert keys() == before
    os.utime(photos / "020.png", ns=(1, 1))
    after = keys()
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]


def test_a_damaged_shard_is_named(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK")
    with pytest.raises(UsageError, match=r"a\.npz is damaged .* remove it and run again"):
        shards.Shard(tmp_path / "a.npz", (), False).read()


def test_one_process_at_a_time(tmp_path):
    with (
        shards.work_folder(tmp_path / "faces.npz"),
        pytest.raises(UsageError, match="being prepared by another process"),
        shards.work_folder(tmp_path / "faces.npz"),
    ):
        pass


def test_the_work_folder_spares_what_is_not_ours(tmp_path):
    with shards.work_folder(tmp_path / "faces.npz") as folder:
        (folder / "holiday.jpg").write_bytes(b"mine")
        (folder / "0123456789abcdef.npz").write_bytes(b"ours")
        (folder / ".0123456789abcdef.npz.123.part").write_bytes(b"ours")
    assert [path.name for path in folder.iterdir()] == ["holiday.jpg"]


def test_a_place_that_cannot_be_written(tmp_path, stand_in):
    photos = write_greys(tmp_path / "photos", [100])
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot be written: .*choose another place"):
        prepare([photos], tmp_path / "file" / "faces.npz", Options(), Told())


def test_a_full_disk_is_one_sentence_and_keeps_what_was_done(tmp_path, stand_in, monkeypatch):
    photos = write_greys(tmp_path / "photos", range(50, 90))
    save, calls = np.savez, []

    def full(file, **arrays):
        calls.append(1)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        save(file, **arrays)

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(UsageError, match="No space left on device"):
        prepare([photos], tmp_path / "faces.npz", Options(workers=1), Told())
    assert not (tmp_path / "faces.npz").exists()
    assert len(list((tmp_path / "faces.npz.work").glob("*.npz"))) == 1
    assert not list((tmp_path / "faces.npz.work").glob(".*"))


@pytest.mark.parametrize(
    ("out", "options", "sentence"),
    [
        ("faces.txt", Options(), "ends in .txt"),
        ("faces.npz", Options(margin=0), "--margin 0 is not between"),
        ("faces.npz", Options(margin=float("nan")), "--margin nan"),
        ("faces.npz", Options(workers=0), "--workers 0"),
        ("faces.npz", Options(upsample=9), "--upsample 9"),
    ],
)
def test_bad_options_are_named(tmp_path, out, options, sentence):
    with pytest.raises(UsageError, match=sentence):
        prepare([tmp_path], tmp_path / out, options, Told())


def test_photos_have_names_below_their_folder_and_come_once(tmp_path):
    for name in ("a/Ada/1.jpg", "a/b.PNG", "a/.hidden.jpg", "a/.git/x.jpg", "a/notes.txt", "c/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    names = lambda *inputs: [photo.name for photo in find_photos([tmp_path / i for i in inputs]).photos]  # noqa: E731
    assert names("a") == ["Ada/1.jpg", "b.PNG"]
    assert names("a", "c", "a") == ["a/Ada/1.jpg", "a/b.PNG", "c/1.jpg"]
    assert names("a/notes.txt", "c/1.jpg") == ["1.jpg", "notes.txt"]  # what is given by name is tried
    with pytest.raises(UsageError, match=r"none\.jpg does not exist"):
        names("none.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no image"):
        names("empty")


@needs_dlib
def test_the_same_bytes_from_any_number_of_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "_WORTH_A_PROCESS", 1)
    photos = write_faces(tmp_path / "photos", 40)
    told = {}
    for workers in (1, 3):
        told[workers] = Told()
        prepare(photos, tmp_path / f"{workers}.npz", Options(workers=workers), told[workers])
        assert sum(told[workers].steps) == 40
    first, *others = ((tmp_path / f"{workers}.npz").read_bytes() for workers in told)
    assert all(other == first for other in others)
    assert left_over(tmp_path) == []


@needs_dlib
def test_what_a_dead_worker_had_taken_is_done_by_the_first_process(tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "_WORTH_A_PROCESS", 1)
    photos = write_faces(tmp_path / "photos", 100)
    prepare(photos, tmp_path / "whole.npz", Options(workers=1), Told())
    killed = []

    class Killer(Told):
        @contextmanager
        def task(self, title, total, unit, done=0):
            yield lambda done, text: [
                killed.append(child.kill()) for child in multiprocessing.active_children()
            ]

    prepare(photos, tmp_path / "faces.npz", Options(workers=2), Killer())
    assert killed
    assert (tmp_path / "faces.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert left_over(tmp_path) == []


@needs_dlib
def test_the_labels_lie_on_the_drawn_eyes(tmp_path):
    write_faces(tmp_path / "photos", 3, side=400)
    prepare([tmp_path / "photos"], tmp_path / "faces.npz", Options(workers=1), Told())
    faces = read_npz(tmp_path / "faces.npz")
    assert set(faces.extra["detector"].tolist()) == {"dlib"}
    for image, points in zip(faces.images, faces.points, strict=True):
        for eye in (points[36:42].mean(0), points[42:48].mean(0)):
            x, y = np.round(eye).astype(int)
            assert image[y - 3 : y + 4, x - 3 : x + 4].min() < 100  # the pupil is dark


@needs_dlib
def test_csv_holds_the_same_faces(tmp_path):
    write_faces(tmp_path / "photos", 3)
    prepare([tmp_path / "photos"], tmp_path / "faces.csv", Options(workers=1), Told())
    prepare([tmp_path / "photos"], tmp_path / "faces.npz", Options(workers=1), Told())
    csv, npz = read_csv(tmp_path / "faces.csv"), read_faces(tmp_path / "faces.npz")
    assert (csv.images == npz.images).all()
    assert (csv.points == npz.points).all()


@needs_dlib
def test_opencv_is_asked_where_dlib_finds_none(tmp_path):
    """A face of 64 px is below dlib's 80, and above the fallback's 48."""
    photos = tmp_path / "photos"
    photos.mkdir()
    cv2.imwrite(str(photos / "small.png"), draw_face(110))
    cv2.imwrite(str(photos / "none.png"), np.full((200, 200), 90, np.uint8))
    summary = prepare([photos], tmp_path / "faces.npz", Options(workers=1), Told())
    assert summary.detectors == {"haar": 1}
    assert summary.skipped == (("none.png", "no face found, neither by dlib nor by OpenCV"),)
    assert read_npz(tmp_path / "faces.npz").extra["detector"].tolist() == ["haar"]


@needs_dlib
def test_of_several_faces_the_largest(tmp_path):
    scene = np.full((420, 700), 90, np.uint8)
    scene[10:210, 10:210] = draw_face(200)
    scene[10:410, 250:650] = draw_face(400, 1)
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "two.png"), scene)
    summary = prepare([tmp_path / "photos"], tmp_path / "one.npz", Options(workers=1), Told())
    assert (summary.faces, summary.several) == (1, 1)
    prepare([tmp_path / "photos"], tmp_path / "all.npz", Options(workers=1, all_faces=True), Told())
    every = read_npz(tmp_path / "all.npz")
    assert every.names.tolist() == ["two.png", "two.png#2"]
    assert (every.images[0] == read_npz(tmp_path / "one.npz").images[0]).all()


@needs_dlib
def test_a_margin_shows_more_and_moves_the_points(tmp_path):
    write_faces(tmp_path / "photos", 1, side=400)
    for margin in (1.0, 1.5):
        prepare([tmp_path / "photos"], tmp_path / f"{margin}.npz", Options(margin=margin, workers=1), Told())
    exact, wide = (read_npz(tmp_path / f"{margin}.npz").points[0] for margin in (1.0, 1.5))
    spread = lambda points: np.ptp(points, axis=0)  # noqa: E731
    assert spread(exact) / spread(wide) == pytest.approx(1.5, abs=0.02)


@needs_dlib
def test_every_kind_of_image_is_prepared_or_skipped_with_a_reason(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    grey = Image.fromarray(draw_face(300))
    colour = grey.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    colour.save(photos / "colour.jpg")
    colour.convert("CMYK").save(photos / "cmyk.jpg")
    colour.convert("RGBA").save(photos / "alpha.png")
    colour.quantize(200).save(photos / "palette.png")
    colour.rotate(90, expand=True).save(photos / "turned.jpg", exif=exif)
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(photos / "sixteen.png")
    (photos / "truncated.jpg").write_bytes((photos / "colour.jpg").read_bytes()[:3000])
    (photos / "text.jpg").write_text("text")
    (photos / "empty.png").write_bytes(b"")
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(photos / "dot.png")
    summary = prepare([photos], tmp_path / "faces.npz", Options(workers=1), Told())
    faces = read_npz(tmp_path / "faces.npz")
    kept = dict(zip(faces.names.tolist(), faces.points, strict=True))
    assert set(kept) == {"colour.jpg", "cmyk.jpg", "alpha.png", "palette.png", "turned.jpg", "sixteen.png"}
    for name, points in kept.items():
        assert np.abs(points - kept["colour.jpg"]).mean() < 1.5, name
    reasons = dict(summary.skipped)
    assert reasons == {
        "dot.png": "no face found, neither by dlib nor by OpenCV",
        "empty.png": "empty file",
        "text.jpg": "not an image of a known format",
        "truncated.jpg": "truncated",
    }


@needs_dlib
def test_photographs_of_people(tmp_path):
    shared = Path(os.environ.get("MLBENCH_SHARED", Path(__file__).parents[2].parent / "shared"))
    photos = shared / "data" / "photos"
    if not photos.is_dir():
        pytest.skip(f"no photographs: {photos} does not exist")
    for photo in sorted(photos.iterdir())[:10]:
        shutil.copy2(photo, tmp_path / photo.name)
    summary = prepare([tmp_path], tmp_path / "faces.npz", Options(workers=2), Told())
    assert summary.faces == 10
    train = shared / "data" / "faces_train.npz"
    if train.is_file():  # the same photographs, prepared by others
        theirs = read_npz(train)
        rows = {str(name): row for row, name in enumerate(theirs.names)}
        ours = read_npz(tmp_path / "faces.npz")
        known = [(row, rows[str(name)]) for row, name in enumerate(ours.names) if str(name) in rows]
        distance = [np.abs(ours.points[a] - theirs.points[b]).mean() for a, b in known]
        assert np.median(distance) < 0.1


@needs_dlib
def test_persons_of_several_folders_are_told_below_them(tmp_path):
    for folder in ("mine", "yours"):
        write_faces(tmp_path / folder / "alice", 1)
    prepare([tmp_path / "mine", tmp_path / "yours"], tmp_path / "faces.npz", Options(workers=1), Told())
    assert set(read_faces(tmp_path / "faces.npz").persons.tolist()) == {"alice"}


class Named:
    """A detector that finds one box."""

    name = "named"

    def key(self):
        return ["named", 1]

    def detect(self, grey):
        return [Box(10, 10, 60, 60)]


def test_a_named_detector_is_asked_in_place_of_both(tmp_path, monkeypatch):
    monkeypatch.setattr(photographs, "require_dlib", lambda: "none")
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.full((100, 100), 90, np.uint8))
    labeller = SimpleNamespace(upsample=0, label=lambda grey, box: np.full((68, 2), 40.0))  # detects nothing
    usual = photographs.Recipe(labeller, HaarDetector())
    named = photographs.Recipe(labeller, HaarDetector(), 1.0, Named())
    (face,) = named.faces_of(path)
    assert face.detector == "named"
    assert usual.identity != named.identity


def test_an_unknown_detector_is_told_before_any_work(stand_in, tmp_path):
    folder = write_greys(tmp_path / "photos", [100])
    with pytest.raises(UsageError, match='no detector "harr"'):
        prepare([folder], tmp_path / "faces.npz", Options(detector="harr"), Told())
    assert not (tmp_path / "faces.npz").exists()
