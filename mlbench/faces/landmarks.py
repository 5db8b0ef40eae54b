"""The task of the paper: 68 landmarks of a face in a grey 96×96 crop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from mlbench import plugins
from mlbench.contracts.reading import AS_STORED, Expected, Reading
from mlbench.contracts.runner import Pipeline
from mlbench.contracts.samples import Encoding, Samples
from mlbench.contracts.task import Arrays, Metric, Picture, Purpose, Task
from mlbench.errors import UsageError
from mlbench.faces import accuracy, appearance
from mlbench.faces.appearance import SAMPLING_VERSION, AppearanceModel
from mlbench.faces.augmentation import Augmentation
from mlbench.faces.dataset import CROP, LANDMARKS, Faces, eye_distances
from mlbench.faces.files import read_faces

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

#: The detector of the paper.
PAPERS = "haar"

#: Names of the input and the target.
IMAGE, POINTS = "crop", "points"

_PURPOSES: dict[Purpose, appearance.Purpose] = {"data": "sampled", "tuning": "tuning", "test": "test"}

#: Grey levels to 0..1, with one channel.
ENCODING = Encoding((CROP, CROP, 1), scale=255.0, layout="HWC")

_VIDEO = 16  # frames in which the pipeline follows a face

_ROUNDED_BELOW = 0.5  # px: an absolute error is squared about zero, so that small errors are not overshot


def samples_of(faces: Faces) -> Samples:
    """Faces as samples: a person is a group; of faces that only their rows name, each is one of its own."""
    unnamed = "person" not in faces.extra and all(str(name).isdecimal() for name in faces.names)
    return Samples(
        inputs={IMAGE: faces.images},
        targets={POINTS: faces.points},
        ids=faces.names,
        groups=faces.persons,
        encodings={IMAGE: replace(ENCODING, margin=faces.margin)},
        extra=faces.extra,
        unit="face" if unnamed else "person",
    )


def _per_face(
    metric: Callable[..., npt.NDArray[np.float64]],
) -> Callable[[Arrays, Arrays], npt.NDArray[np.float64]]:
    return lambda answers, targets: metric(answers[POINTS], targets[POINTS])


def _nme(answers: Arrays, targets: Arrays) -> npt.NDArray[np.float64]:
    return accuracy.nme_per_face(answers[POINTS], targets[POINTS])


class Landmarks(Task):
    """Coordinates x0, y0, x1, y1, … in pixels of the crop."""

    name: ClassVar[str] = "landmarks"
    summary: ClassVar[str] = "68 landmarks of a face in a grey 96×96 crop (the paper)"
    drawn: ClassVar[str] = "faces sampled from the bundled appearance model"
    answer_unit: ClassVar[str] = "px"
    losses: ClassVar[tuple[str, ...]] = ("squared", "absolute")
    varying: ClassVar[tuple[str, ...]] = ("light",)  # the points would stay where they are
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mae", "MAE", "px", 0.02, per_sample=_per_face(accuracy.mae_per_face)),
        Metric("rmse", "RMSE", "px", 0.02, per_sample=_per_face(accuracy.mse_per_face), of_mean=np.sqrt),
        Metric("nme", "NME", "%", 0.0005, per_sample=_nme, scale=100, digits=2),
        Metric(
            "auc8",
            "AUC to 8 %",
            "%",
            0.005,
            per_sample=lambda a, t: accuracy.auc_per_face(_nme(a, t)),
            better="higher",
            scale=100,
            digits=1,
        ),
        Metric(
            "failure8",
            "failures over 8 %",
            "%",
            0.005,
            per_sample=lambda a, t: (_nme(a, t) > accuracy.FAILURE_NME).astype(np.float64),
            scale=100,
            digits=1,
        ),
        Metric(
            "rounded_accuracy",
            "rounded accuracy",
            "",
            0.005,
            per_sample=_per_face(accuracy.rounded_accuracy_per_face),
            better="higher",
        ),
        Metric(
            "argmax_accuracy",
            "argmax accuracy",
            "",
            0.005,
            per_sample=_per_face(accuracy.argmax_accuracy_per_face),
            better="higher",
        ),
    )

    expected: ClassVar[tuple[Expected, ...]] = (
        Expected("images", f"[n, {CROP}, {CROP}]", "uint8", "grey crops of faces"),
        Expected(POINTS, f"[n, {LANDMARKS}, 2]", "numbers", "x and y in pixels of the crop"),
        Expected("name", "[n]", "text", "of the photograph", optional=True),
        Expected("person", "[n]", "text or whole numbers", "who it is: kept whole", optional=True),
    )

    def read(self, path: Path, label: str, tell: Callable[[str], None], how: Reading = AS_STORED) -> Samples:
        """See `Task.read`: `.npz` or the paper's `.csv`."""
        if how != AS_STORED:
            message = (
                f"{path}: faces are read from images, {POINTS} and name: leave out --column, --scale, --mean, --std, "
                "--image-size and --channels, or choose another --task."
            )
            raise UsageError(message)
        faces = read_faces(path, label or POINTS)
        if faces.note:
            tell(f"Note: {faces.note}")
        return self.samples(faces)

    def samples(self, faces: Faces) -> Samples:
        """Faces as a data set of the task."""
        return self.of_faces(faces)

    def of_faces(self, faces: Faces) -> Samples:
        """Faces as samples of the task, and nothing beside them."""
        return samples_of(faces)

    def recognises(self, path: Path, arrays: Arrays) -> bool:
        """See `Task.recognises`."""
        return path.suffix.lower() == ".csv" or {"images", POINTS} <= set(arrays)

    def sample(self, count: int, seed: int, purpose: Purpose = "data") -> Samples:
        """See `Task.sample`: drawn from the bundled appearance model."""
        return self.sample_cut({}, count, seed, purpose)

    def sample_cut(
        self, margins: Mapping[str, float], count: int, seed: int, purpose: Purpose = "data"
    ) -> Samples:
        """See `Task.sample_cut`."""
        margin = margins.get(IMAGE, 1.0)
        drawn = AppearanceModel.load().sample(count, seed=seed, purpose=_PURPOSES[purpose], margin=margin)
        return self.samples(drawn)

    def require_scorable(self, samples: Samples, where: str) -> None:
        """See `Task.require_scorable`: a face whose outer eye corners coincide has no NME."""
        distances = eye_distances(samples.targets[POINTS])
        bad = np.flatnonzero(~((distances > 0) & np.isfinite(distances)))
        if len(bad):
            message = (
                f"{where}: the outer eye corners (points 36 and 45) of {samples.ids[bad[0]]} are no distance apart "
                f"({len(bad)} such faces), so that their NME cannot be told; remove them."
            )
            raise UsageError(message)

    def sampling_key(self) -> object:
        """See `Task.sampling_key`."""
        return [SAMPLING_VERSION, AppearanceModel.load().fingerprint]

    def outputs(self, samples: Samples) -> dict[str, tuple[int, ...]]:
        """See `Task.outputs`: 136 numbers."""
        return {POINTS: (2 * LANDMARKS,)}

    def wanted(
        self, targets: Arrays, shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, npt.NDArray[np.float32]]:
        """See `Task.wanted`: [n,136]."""
        answered = math.prod(shapes[POINTS])
        if answered != 2 * LANDMARKS:
            message = f"it answers {answered} numbers, not x and y of {LANDMARKS} landmarks."
            raise UsageError(message)
        return {POINTS: targets[POINTS].reshape(len(targets[POINTS]), -1)}

    def answers(self, outputs: Arrays) -> dict[str, npt.NDArray[np.float32]]:
        """See `Task.answers`: [n,68,2]."""
        return {POINTS: outputs[POINTS].reshape(-1, LANDMARKS, 2)}

    def loss(
        self, name: str, network: tf_keras.Model
    ) -> Callable[[dict[str, tf.Tensor], dict[str, tf.Tensor]], tf.Tensor]:
        """See `Task.loss`.

        `squared` is the mean squared error, px² (paper, eq. 1, as its training script has it); `absolute` the mean
        absolute error, px, rounded off below half a pixel: sqrt(d² + 0.25) - 0.5.
        """
        import tensorflow as tf

        def squared(differences: tf.Tensor) -> tf.Tensor:
            return tf.reduce_mean(tf.square(differences))

        def absolute(differences: tf.Tensor) -> tf.Tensor:
            return tf.reduce_mean(tf.sqrt(tf.square(differences) + _ROUNDED_BELOW**2)) - _ROUNDED_BELOW

        error = {"squared": squared, "absolute": absolute}[name]
        return lambda outputs, targets: error(outputs[POINTS] - targets[POINTS])

    def augment(
        self, inputs: Arrays, targets: Arrays, strength: float, rng: np.random.Generator
    ) -> tuple[Arrays, Arrays]:
        """See `Task.augment`."""
        images, points = Augmentation().times(strength).apply(inputs[IMAGE], targets[POINTS], rng)
        return {IMAGE: images}, {POINTS: points}

    def prior(self, train: Samples) -> dict[str, npt.NDArray[np.float32]]:
        """See `Task.prior`: the mean face."""
        return {POINTS: train.targets[POINTS].mean(axis=0).reshape(-1)}

    def details(self, answers: Arrays, targets: Arrays) -> dict[str, npt.NDArray[np.float64]]:
        """See `Task.details`: the mean point error of each landmark, px."""
        return {"by_landmark_px": accuracy.by_landmark(answers[POINTS], targets[POINTS])}

    def subsets(self, samples: Samples) -> dict[str, npt.NDArray[np.bool_]]:
        """See `Task.subsets`: the frontal faces, where the file marks them."""
        frontal = samples.extra.get("frontal")
        marked = frontal is not None and frontal.dtype == bool and bool(frontal.any())
        return {"frontal": np.asarray(frontal)} if marked else {}

    def pipeline(self, count: int, seed: int, photos: Path | None, detector: str = "") -> Pipeline | None:
        """See `Task.pipeline`: a face detector, the paper's if none is named, on frames of the paper's camera."""
        from mlbench.faces.detection import cascade_path
        from mlbench.faces.frames import compose_frames
        from mlbench.faces.sequences import SCENES, sequence

        plugins.load("detectors", detector or PAPERS)().require_ready()
        frames = compose_frames(count, seed, photos).images
        if not len(frames):
            return None
        video = np.stack([frame.image for frame in sequence(SCENES["slow"], _VIDEO, seed)])
        return Pipeline(frames, cascade_path(), (CROP, CROP), detector or PAPERS, video)

    def mean_points(self, samples: Samples) -> tuple[tuple[float, float], ...]:
        """See `Task.mean_points`: the mean face."""
        return _marks(samples.targets[POINTS].mean(axis=0))

    def picture(self, samples: Samples, row: int) -> Picture:
        """See `Task.picture`: the crop, its true points marked."""
        png = cv2.imencode(".png", samples.inputs[IMAGE][row])[1].tobytes()
        return Picture(png, str(samples.ids[row]), _marks(samples.targets[POINTS][row]))

    def picture_of_answer(self, answers: Arrays, row: int, samples: Samples | None = None) -> Picture:
        """See `Task.picture_of_answer`: the points."""
        return Picture(points=_marks(answers[POINTS][row]))


def _marks(points: npt.NDArray[np.floating]) -> tuple[tuple[float, float], ...]:
    return tuple((round(float(x), 2), round(float(y), 2)) for x, y in points)
