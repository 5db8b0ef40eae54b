"""Variations of real faces; sampled ones stand in for real ones here."""

import dataclasses

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from mlbench.cli.group import cli
from mlbench.data.split import split
from mlbench.errors import UsageError
from mlbench.faces import covering
from mlbench.faces.appearance import AppearanceModel
from mlbench.faces.dataset import CROP, Faces
from mlbench.faces.files import read_faces, write_faces
from mlbench.faces.landmarks import samples_of
from mlbench.faces.rotation import rotated
from mlbench.faces.variation import Variation, _eyes, _mouth, _warped, extended

PLAIN = Variation(cover=0, light=0)
NONE = Variation(shape=0, turn=0, expression=0, cover=0, light=0)


@pytest.fixture(scope="module")
def faces() -> Faces:
    return AppearanceModel.load().sample(40, seed=3)


def test_a_variation_depends_on_its_number_and_face_alone(faces: Faces) -> None:
    few, more = (Variation().apply(faces, count, seed=5) for count in (6, 9))
    np.testing.assert_array_equal(few.images, more.images[:6])
    np.testing.assert_array_equal(few.points, more.points[:6])
    assert not np.array_equal(few.images, Variation().apply(faces, 6, seed=6).images)


def test_no_change_leaves_the_face_as_it_is(faces: Faces) -> None:
    same = NONE.apply(faces, 40, seed=5)
    assert np.abs(same.images.astype(int) - faces.images).max() <= 1
    np.testing.assert_allclose(
        same.points, faces.points, atol=0.3
    )  # lips that meet are parted by half a pixel


def test_landmarks_move_with_the_pixels(faces: Faces) -> None:
    """The picture of x shows a landmark's old x where the landmark is now, and that of y its old y."""
    rng, worst = np.random.default_rng(2), 0.0
    across = np.broadcast_to(np.arange(CROP, dtype=np.float32), (CROP, CROP)) * 2
    model = AppearanceModel.load()
    for points in faces.points.astype(float):
        moves = PLAIN._moves(points, model, rng)
        seen = np.stack([_warped(picture, points, moves)[0] / 2 for picture in (across, across.T)], -1)
        moved = _warped(across, points, moves)[1]
        inside = ((moved > 1) & (moved < CROP - 2) & (points > 1) & (points < CROP - 2)).all(axis=1)
        x, y = moved[inside].astype(np.float32).T
        found = cv2.remap(seen, x[None], y[None], cv2.INTER_LINEAR)[0]
        worst = max(worst, np.abs(found - points[inside]).max())
    assert worst < 0.15


def test_shapes_differ_from_the_faces(faces: Faces) -> None:
    moved = np.abs(PLAIN.apply(faces, 40, seed=5).points - faces.points).mean()
    assert 0.5 < moved < 4


def test_mouths_open_and_eyes_close(faces: Faces) -> None:
    points = faces.points.astype(float)
    gaps = {change: [] for change in (_mouth, _eyes)}
    for change, pair in ((_mouth, (66, 62)), (_eyes, (41, 37))):
        for face in points:
            moves = change(face, np.random.default_rng(len(gaps[change])))
            lower, upper = pair
            before, after = (shape[lower, 1] - shape[upper, 1] for shape in (face, face + moves))
            gaps[change].append(after - before)
    assert max(gaps[_mouth]) > 5
    assert min(gaps[_mouth]) < 0
    assert min(gaps[_eyes]) < -1
    assert max(gaps[_eyes]) > 0


@pytest.mark.parametrize("cover", [covering.glasses, covering.hair, covering.hand])
def test_covers_change_part_of_the_picture(cover, faces: Faces) -> None:
    shares = []
    for number, (image, points) in enumerate(zip(faces.images, faces.points.astype(float), strict=True)):
        picture = image.astype(np.float32)
        seen = cover(picture, points, np.random.default_rng(number))
        assert np.isfinite(seen).all()
        shares.append((np.abs(seen - picture) > 10).mean())
    assert 0.02 < np.mean(shares) < 0.6


def test_a_head_turns_about_its_own_middle_and_the_nose_goes_furthest() -> None:
    mean = AppearanceModel.load().mean_shape.astype(float)
    for angle in (0.3, -0.3):
        moves = rotated(mean, mean, angle, 0.0) - mean
        np.testing.assert_allclose(moves.mean(0), 0, atol=1e-6)
        np.testing.assert_allclose(moves[:, 1], moves[0, 1], atol=1e-6)
        across = moves[:, 0] * np.sign(angle)
        assert across.argmax() == 30
        assert across[[0, 16]].max() < 0
        eyes = np.ptp(mean[36:40, 0]), np.ptp(mean[42:46, 0])
        narrowed = [np.ptp((mean + moves)[eye, 0]) for eye in (slice(36, 40), slice(42, 46))]
        assert np.sign(narrowed[0] - eyes[0] - narrowed[1] + eyes[1]) == np.sign(angle)
    nodded = rotated(mean, mean, 0.0, 0.2) - mean
    assert nodded[30, 1] > nodded[[0, 16], 1].max()


def test_rotation_turns_heads_and_leaves_other_changes_as_they_are(faces: Faces) -> None:
    turned = dataclasses.replace(NONE, rotation=15).apply(faces, 40, seed=5)
    assert np.abs(turned.points - faces.points).mean() > 1
    off = dataclasses.replace(Variation(), rotation=0.0).apply(faces, 4, seed=5)
    np.testing.assert_array_equal(off.images, Variation().apply(faces, 4, seed=5).images)


@pytest.mark.parametrize(
    "strength", [{"shape": -1}, {"cover": 1.2}, {"rotation": 31}, {"light": float("nan")}]
)
def test_strengths_that_cannot_be_are_refused(strength: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(strength))):
        Variation(**strength)


def test_only_training_persons_are_varied() -> None:
    many = AppearanceModel.load().sample(80, seed=4)
    made = extended(many, split(samples_of(many), "shuffled", 7), 30, seed=1)
    part, person = made.extra["split"], made.extra["person"]
    assert set(part[:80]) == {"train", "validation", "test"}
    assert set(part[80:]) == {"train"}
    assert set(person[80:]) <= set(person[:80][part[:80] == "train"])


def test_the_command_writes_faces_and_their_split(tmp_path, faces: Faces) -> None:
    write_faces(faces, tmp_path / "faces.npz")
    arguments = ["faces", "vary", str(tmp_path / "faces.npz"), "--count", "5", "--out"]
    done = CliRunner().invoke(cli, [*arguments, str(tmp_path / "more.npz")])
    assert done.exit_code == 0, done.output
    made = read_faces(tmp_path / "more.npz")
    assert len(made) == 45
    assert {"person", "split"} <= set(made.extra)
    assert (read_faces(tmp_path / "more.npz").extra["split"][:40] == "train").any()
    refused = CliRunner().invoke(cli, [*arguments, str(tmp_path / "more.csv")])
    assert isinstance(refused.exception, UsageError)


def test_the_command_varies_as_far_as_it_is_told(tmp_path, faces: Faces) -> None:
    given = tmp_path / "faces.npz"
    write_faces(faces, given)

    def varied(name: str, *options: str) -> Faces:
        arguments = ["faces", "vary", str(given), "--count", "5", *options, "--out", str(tmp_path / name)]
        done = CliRunner().invoke(cli, arguments)
        assert done.exit_code == 0, done.output
        return read_faces(tmp_path / name)

    usual = varied("usual.npz")
    said = [
        part for field in dataclasses.fields(Variation) for part in (f"--{field.name}", str(field.default))
    ]
    np.testing.assert_array_equal(usual.images, varied("said.npz", *said).images)
    alone, train = varied("alone.npz", "--alone"), usual.extra["split"] == "train"
    assert (alone.extra["split"] == "train").sum() == 5
    train[-5:] = False
    np.testing.assert_array_equal(alone.images, usual.images[~train])
    none = varied("none.npz", *[part for word in said[::2] for part in (word, "0")])
    varied_ones = [list(usual.persons[:40]).index(person) for person in none.persons[-5:]]
    assert np.abs(none.images[-5:].astype(int) - usual.images[varied_ones]).max() <= 1
