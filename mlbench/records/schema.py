"""The record of a run: one schema-versioned JSON file, validated when written and when read.

Reports are pure functions of records, so whatever a report shows is in here. Units are part of the names:
`_ms` milliseconds, `_bytes` bytes, `_px` pixels of the 96×96 crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

# 1  2026-11  first version.
SCHEMA_VERSION = 1


Point = tuple[float, float]


Text = Annotated[str, Field(max_length=20_000)]


class Value(BaseModel):
    """Base of everything in a record: immutable, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Interval(Value):
    """A figure with its 95 % confidence interval."""

    value: float
    low: float
    high: float


class Artifact(Value):
    """One exported `.tflite` file: the thing that is measured and shipped."""

    id: Text  # "two_pool · svd": unique within a record
    variant: Text
    chain: Text  # "none" for the baseline
    path: Text  # beside the record
    sha256: Text
    file_bytes: int
    deflated_bytes: int  # zlib level 9: what a store's compression makes of it
    parameters: int | None  # None: a file of unknown origin
    macs: int | None
    precision: Text
    export_error: float | None  # largest |file - network| over the check inputs, px


class Layer(Value):
    """One layer of a network: where the parameters and the multiply-accumulates are."""

    name: Text
    kind: Text
    output: tuple[int, ...]
    parameters: int
    macs: int


class Epoch(Value):
    """One epoch of training or tuning; epoch 0 is the network as it came."""

    epoch: int
    loss: float | None  # on training faces: px² if squared, px if absolute; None in epoch 0
    validation_mae_px: float
    validation_rmse_px: float
    learning_rate: float
    images_per_s: float
    seconds: float


class LayerChange(Value):
    """What a compressor did to one layer."""

    layer: Text
    shape: tuple[int, ...]
    parameters_before: int
    parameters_after: int
    rank: tuple[int, ...] = ()
    energy: float | None = None  # kept share of the squared singular values
    note: Text = ""


class Stage(Value):
    """One step from trained network to candidate: its size and its error on the validation split."""

    name: Text  # "baseline", "svd(rank=64)", "int8"
    parameters: int
    macs: int
    validation_mae_before_tuning_px: float
    validation_mae_px: float
    seconds: float  # of compressing and tuning, when it was done
    file_bytes: int | None = None  # of the stage written to a file; None: it was not
    deflated_bytes: int | None = None
    changes: tuple[LayerChange, ...] = ()
    history: tuple[Epoch, ...] = ()


class Timing(Value):
    """Latency of one part of the pipeline; every sample is kept, in the order measured."""

    samples_ms: Annotated[tuple[float, ...], Field(min_length=1)]
    bursts: tuple[int, ...]  # how many samples each interleaved burst gave
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    mean_ms: float
    std_ms: float
    fps: float  # 1000 / mean
    cpu_per_wall: float  # process-CPU time / wall time: about the number of threads that really ran
    drift: float  # median of the last third / median of the first third

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.samples_ms)

    @classmethod
    def from_samples(cls, samples_ms: list[float], bursts: list[int], cpu_per_wall: float) -> Timing:
        """Summarise latency samples.

        Args:
            samples_ms: at least one latency, in the order measured.
            bursts: sizes of the bursts they came in; sums to their number.
            cpu_per_wall: process-CPU seconds per wall second while measuring.
        """
        values = np.asarray(samples_ms, dtype=np.float64)
        p50, p90, p95, p99 = np.percentile(values, (50, 90, 95, 99))
        third = max(1, len(values) // 3)
        return cls(
            samples_ms=tuple(round(v, 5) for v in samples_ms),
            bursts=tuple(bursts),
            p50_ms=p50,
            p90_ms=p90,
            p95_ms=p95,
            p99_ms=p99,
            mean_ms=values.mean(),
            std_ms=values.std(ddof=1) if len(values) > 1 else 0.0,
            fps=1000.0 / values.mean(),
            cpu_per_wall=cpu_per_wall,
            drift=float(np.median(values[-third:]) / np.median(values[:third])),
        )


class Memory(Value):
    """Resident memory of the measuring process."""

    baseline_bytes: int  # interpreter and libraries, before the model
    loaded_bytes: int  # after load and first inference
    peak_bytes: int  # high-water mark after the network's measurement

    @property
    def peak_above_baseline_bytes(self) -> int:
        """What the model itself costs at its peak."""
        return max(0, self.peak_bytes - self.baseline_bytes)


class Failure(Value):
    """Why an artifact could not be measured on a device: a verdict, not a crash."""

    stage: Text  # "space", "load", "inference", "detector", "process"
    reason: Text


class Device(Value):
    """Where something was measured."""

    id: Text  # "host", or an adb serial
    runner: Text
    name: Text  # CPU or phone model
    threads: int
    details: dict[str, Text] = {}


class Measurement(Value):
    """What one device found about one artifact."""

    artifact: Text  # Artifact.id
    device: Text  # Device.id
    failure: Failure | None = None
    load_ms: float | None = None
    first_ms: float | None = None
    warmup_count: int = 0
    network: Timing | None = None
    detector: Timing | None = None
    both: Timing | None = None
    memory: Memory | None = None
    faces_found: int | None = None  # frames with a detected face, of `frames`
    frames: int | None = None
    details: dict[str, Text] = {}  # what else the device told while measuring, to read beside the figures


class Errors(Value):
    """Errors of one artifact's own outputs on one test set, with bootstrap 95 % intervals."""

    artifact: Text
    device: Text
    test_set: Text
    faces: int
    mae_px: Interval
    rmse_px: Interval
    nme: Interval  # share of the outer-eye-corner distance
    auc8: Interval  # area under the cumulative error curve up to NME 8 %, 0..1
    failure8: Interval  # share of faces with NME above 8 %
    rounded_accuracy: Interval
    argmax_accuracy: Interval
    by_landmark_px: tuple[float, ...]  # mean point error of each of the 68 points
    by_face_mae_px: tuple[
        float, ...
    ]  # MAE of each face, in the order of the test set: for paired comparisons


class Persons(Value):
    """Whose faces a test set holds; intervals of errors resample persons, each with all its faces."""

    of_face: Annotated[tuple[int, ...], Field(min_length=1)]  # number of each face's person, from 0

    @property
    def count(self) -> int:
        """How many persons there are."""
        return len(set(self.of_face))

    @classmethod
    def of(cls, labels: Sequence[str]) -> Persons:
        """Persons by the label of each face, numbered as they come."""
        numbers: dict[str, int] = {}
        return cls(of_face=tuple(numbers.setdefault(label, len(numbers)) for label in labels))


class Difference(Value):
    """Candidate against baseline, paired, from one run on one machine."""

    artifact: Text
    baseline: Text
    device: Text
    quantity: Text  # "mae_px", "nme", "p50_ratio"
    test_set: Text = ""
    change: Interval  # candidate - baseline, or candidate / baseline for ratios
    confidence: float = 0.95  # of the interval: 0.99 for latencies since 0.1.0
    verdict: Literal["better", "same", "worse", "cannot tell"]


class BudgetVerdict(Value):
    """One artifact against one budget."""

    artifact: Text
    budget: Text  # "asset"
    quantity: Text  # "file_bytes"
    limit: Annotated[float, Field(gt=0)]
    value: float | None  # None: could not be measured
    fits: bool
    reason: Text = ""


class GalleryFace(Value):
    """One test face with what each artifact makes of it."""

    name: Text
    png_base64: Text
    truth: tuple[Point, ...]
    predictions: dict[str, tuple[Point, ...]]  # by Artifact.id


class Gallery(Value):
    """Faces for a report to show: eight drawn by the seed, and each artifact's worst."""

    test_set: Text
    chosen: tuple[GalleryFace, ...]
    worst: dict[str, tuple[GalleryFace, ...]]
    mean_face: tuple[Point, ...]


class Split(Value):
    """How the data set was divided: sizes, and how the test split was kept apart."""

    train: int
    validation: int
    test: int
    rule: Text


class Data(Value):
    """What the network was trained on."""

    source: Text
    fingerprint: Text
    faces: int
    persons: int | None = None  # as the rule of `mlbench.faces.persons` tells them apart; None: not counted
    sampled: bool  # True: drawn from the bundled appearance model, no real face
    split: Split


class Record(Value):
    """One run of one variant: its baseline and the candidates made from it, measured interleaved."""

    schema_version: Literal[1] = 1
    mlbench_version: Text
    created: Text  # ISO 8601, UTC
    command: tuple[Text, ...]
    configuration: dict[str, object]
    environment: dict[str, Text]
    data: Data | None = None  # None: files were measured that no run made
    test_sets: dict[str, Text] = {}  # name -> fingerprint
    persons: dict[
        str, Persons
    ] = {}  # by Errors.test_set; none in early records, whose intervals resample faces
    layers: dict[str, tuple[Layer, ...]] = {}  # by Artifact.id
    stages: dict[str, tuple[Stage, ...]] = {}  # by Artifact.id
    artifacts: tuple[Artifact, ...]  # the baseline first
    devices: tuple[Device, ...]
    measurements: tuple[Measurement, ...]
    errors: tuple[Errors, ...]
    differences: tuple[Difference, ...]
    budgets: tuple[BudgetVerdict, ...]
    gallery: Gallery | None = None
    warnings: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _one_person_per_face(self) -> Self:
        for error in self.errors:
            persons = self.persons.get(error.test_set)
            if persons is not None and len(persons.of_face) != len(error.by_face_mae_px):
                message = f'"{error.test_set}" has persons of other faces than errors'
                raise ValueError(message)
        return self

    def resampled(self, error: Errors) -> str:
        """What intervals of errors on a test set resample, in words: "85 persons", "500 faces"."""
        persons = self.persons.get(error.test_set)
        if persons is None:
            return f"{error.faces:,} faces, persons unknown"
        alone = persons.count in (1, error.faces)
        return f"{error.faces:,} faces" if alone else f"{persons.count:,} persons"

    def faces_told(self, error: Errors) -> str:
        """How many faces a test set has, and what its intervals resample: "1,732 faces of 85 persons"."""
        resampled, faces = self.resampled(error), f"{error.faces:,} faces"
        return resampled if resampled.startswith(faces) else f"{faces} of {resampled}"
