import dataclasses
import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from mlbench.errors import UsageError
from mlbench.faces.appearance import BUNDLED, FRAME, MARGIN, AppearanceModel
from mlbench.faces.appearance_fit import fit
from mlbench.faces.dataset import CROP, Faces
from mlbench.faces.landmarks import samples_of
from mlbench.faces.thin_plate import pulled


@pytest.fixture(scope="module")
def model() -> AppearanceModel:
    return AppearanceModel.load()


@pytest.fixture(scope="module")
def sampled(model: AppearanceModel) -> Faces:
    return model.sample(200, seed=7)


def test_the_bundled_file_is_small() -> None:
    assert BUNDLED.stat().st_size <= 1_500_000


def test_the_fingerprint_is_the_files(model: AppearanceModel) -> None:
    assert model.fingerprint == hashlib.sha256(BUNDLED.read_bytes()).hexdigest()


def test_samples_are_faces_of_the_data_set(sampled: Faces) -> None:
    assert sampled.images.dtype == np.uint8
    assert sampled.images.shape == (200, CROP, CROP)
    assert sampled.points.dtype == np.float32
    assert sampled.points.shape == (200, 68, 2)
    assert np.isfinite(sampled.points).all()
    assert list(sampled.names[[0, 199]]) == ["sampled_000001", "sampled_000200"]
    assert len({image.tobytes() for image in sampled.images}) == 200


def test_the_same_seed_gives_the_same_faces(model: AppearanceModel) -> None:
    first, again, other = (samples_of(model.sample(20, seed=seed)).fingerprint for seed in (5, 5, 6))
    assert first == again != other


def test_a_face_depends_on_its_number_alone(model: AppearanceModel, sampled: Faces) -> None:
    for start, count in ((0, 1), (17, 1), (30, 5), (33, 70)):
        part = model.sample(count, seed=7, start=start)
        whole = sampled.take(slice(start, start + count))
        np.testing.assert_array_equal(part.images, whole.images)
        np.testing.assert_array_equal(part.points, whole.points)
        np.testing.assert_array_equal(part.names, whole.names)


def test_no_face_is_a_valid_count(model: AppearanceModel) -> None:
    assert len(model.sample(0)) == 0


def test_landmarks_lie_where_the_picture_shows_them(model: AppearanceModel) -> None:
    """A marker a landmark is drawn into the texture, warped as a face is, and found again in the crop.

    The marker is the texture's own coordinate: the place where the warped picture of x shows the landmark's x
    and that of y its y is where the landmark is seen.
    """
    coordinates = np.stack(np.meshgrid(np.arange(FRAME), np.arange(FRAME)), -1).astype(np.float32)
    worst = 0.0
    for number in range(400):
        where, points = model.warp(model.draw(np.random.default_rng((3, number))))
        seen = pulled(coordinates, where + np.float32(MARGIN)) - MARGIN
        inside = ((points > 1) & (points < CROP - 2)).all(axis=1)
        found = _located(seen, model.mean_shape[inside].astype(float), points[inside])
        worst = max(worst, np.linalg.norm(found - points[inside], axis=1).max())
    assert worst < 0.1


def _located(seen: np.ndarray, wanted: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Where a picture of coordinates, read bilinearly, shows the wanted ones: Gauss-Newton from `near`."""
    at = near.copy()
    for _ in range(4):
        miss = _read(seen, at) - wanted
        slopes = [(_read(seen, at + step) - _read(seen, at - step)) * 2 for step in ([0.25, 0], [0, 0.25])]
        at -= np.linalg.solve(np.stack(slopes, axis=2), miss[..., None])[..., 0]
    return at


def _read(picture: np.ndarray, at: np.ndarray) -> np.ndarray:
    corner = np.clip(np.floor(at), 0, CROP - 2).astype(int)
    (x, y), (a, b) = corner.T, (at - corner).T[..., None]
    top = picture[y, x] * (1 - a) + picture[y, x + 1] * a
    return top * (1 - b) + (picture[y + 1, x] * (1 - a) + picture[y + 1, x + 1] * a) * b


def test_drawn_dots_are_found_at_the_landmarks(model: AppearanceModel) -> None:
    """The same with drawn dots, found by their centroids; coarser, as a bent warp leans the dot itself."""
    for number in range(10):
        where, points = model.warp(model.draw(np.random.default_rng((4, number))))
        for landmark in (8, 30, 36, 45, 48, 54):
            point, place = points[landmark], model.mean_shape[landmark] + MARGIN
            if not ((point > 6) & (point < CROP - 7)).all():
                continue
            grid = np.mgrid[:FRAME, :FRAME][::-1].transpose(1, 2, 0)
            dot = np.exp(-np.square(grid - place).sum(-1) / 2)
            seen = pulled(dot.astype(np.float32), where + np.float32(MARGIN)).astype(float)
            rows, columns = np.mgrid[:CROP, :CROP]
            sharp = seen**4  # the centre counts most
            centroid = np.array([(columns * sharp).sum(), (rows * sharp).sum()]) / sharp.sum()
            assert np.linalg.norm(centroid - point) < 0.2


def test_dlibs_detector_accepts_the_samples(sampled: Faces) -> None:
    dlib = pytest.importorskip("dlib", reason="dlib is not installed: pip install -e '.[prepare]'")
    detector = dlib.get_frontal_face_detector()
    found = [len(detector(enlarged(image), 0)) > 0 for image in sampled.images]
    assert np.mean(found) >= 0.95


def enlarged(image: np.ndarray) -> np.ndarray:
    """The crop at twice its size with its edge drawn out by 64 px, so that the detector's window fits."""
    doubled = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    return cv2.copyMakeBorder(doubled, 64, 64, 64, 64, cv2.BORDER_REPLICATE)


def _arrays() -> dict[str, np.ndarray]:
    with np.load(BUNDLED, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


@pytest.mark.parametrize("fault", ["missing", "shape", "type", "nan", "pickle", "cut", "text", "absent"])
def test_a_bad_file_is_refused_in_one_sentence(tmp_path: Path, fault: str) -> None:
    path, arrays = tmp_path / "model.npz", _arrays()
    if fault == "missing":
        del arrays["mixing"]
    elif fault == "shape":
        arrays["texture_scale"] = arrays["texture_scale"][1:]
    elif fault == "type":
        arrays["texture_modes"] = arrays["texture_modes"].astype(np.float32)
    elif fault == "nan":
        arrays["mean_shape"][3, 0] = np.nan
    elif fault == "pickle":
        arrays["mean_shape"] = np.array([{}], object)
    if fault != "absent":
        np.savez(path, **arrays)
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif fault == "text":
        path.write_text("not a model")
    with pytest.raises(UsageError, match="mlbench faces fit") as caught:
        AppearanceModel.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_saved_is_read_again_with_the_same_bytes(model: AppearanceModel, tmp_path: Path) -> None:
    first, second = tmp_path / "a.npz", tmp_path / "b.npz"
    model.save(first)
    AppearanceModel.load(first).save(second)
    assert first.read_bytes() == second.read_bytes() == BUNDLED.read_bytes()


@pytest.fixture(scope="module")
def small(sampled: Faces) -> AppearanceModel:
    return fit(sampled, shape_modes=6, texture_modes=8)


def test_a_fit_has_the_bundled_files_form(
    small: AppearanceModel, model: AppearanceModel, tmp_path: Path
) -> None:
    small.save(tmp_path / "small.npz")
    read = AppearanceModel.load(tmp_path / "small.npz")
    for field in dataclasses.fields(model):
        ours, bundled = getattr(read, field.name), getattr(model, field.name)
        assert type(ours) is type(bundled)
        if isinstance(ours, np.ndarray):
            assert (ours.dtype, ours.ndim) == (bundled.dtype, bundled.ndim)
    assert read.sample(3).images.shape == (3, CROP, CROP)


def test_a_fit_finds_the_faces_it_was_given(small: AppearanceModel, sampled: Faces) -> None:
    assert np.abs(small.mean_shape - sampled.points.mean(0)).mean() < 1.0
    resampled = small.sample(200, seed=1)
    assert np.abs(resampled.points.mean(0) - sampled.points.mean(0)).mean() < 1.5
    assert abs(float(resampled.images.mean()) - float(sampled.images.mean())) < 20


def test_the_same_faces_give_the_same_fit(small: AppearanceModel, sampled: Faces, tmp_path: Path) -> None:
    small.save(tmp_path / "a.npz")
    fit(sampled, shape_modes=6, texture_modes=8).save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_too_few_faces_are_refused(sampled: Faces) -> None:
    with pytest.raises(UsageError, match="too few"):
        fit(sampled.take(slice(10)))
