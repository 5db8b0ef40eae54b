"""The record of a run: one schema-versioned JSON file, validated when written and when read.

Reports are pure functions of records, so whatever a report shows is in here. Units are part of the names:
`_ms` milliseconds, `_bytes` bytes. Metrics are in the stored unit of `MetricFacts`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

# 1  2026-11  first version: errors in px.
# 2  2026-11  metrics by name, the task and its metrics, encodings; 1 is read by a migration (`mlbench.migrations`).
SCHEMA_VERSION = 2


Point = tuple[float, float]


Text = Annotated[str, Field(max_length=20_000)]


Count = Annotated[int, Field(ge=0, lt=2**63)]


class Value(BaseModel):
    """Base of everything in a record: immutable, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _in_base_units(facts: Any) -> Any:
    """Facts of a machine as early records hold them, `cores: "2"` and `memory: "23.5 GiB"`, as numbers."""
    if not isinstance(facts, dict):
        return facts
    found = dict(facts)
    if isinstance(cores := found.get("cores"), str) and cores.isdecimal():
        found["cores"] = int(cores)
    if size := re.fullmatch(r"(\d{1,6}(?:\.\d)?) GiB", str(found.get("memory", ""))):
        del found["memory"]
        found["memory_bytes"] = round(float(size[1]) * 2**30)
    return found


#: What is known of a machine: text, and numbers in base units.
Facts = Annotated[dict[str, Text | Count], BeforeValidator(_in_base_units)]


def facts_told(facts: Mapping[str, str | int]) -> dict[str, str]:
    """Facts of a machine for people: `memory: "23.5 GiB"`."""
    return {
        name.removesuffix("_bytes"): f"{value / 2**30:.1f} GiB"
        if name.endswith("_bytes") and isinstance(value, int)
        else str(value)
        for name, value in facts.items()
    }


class Interval(Value):
    """A figure with its 95 % confidence interval."""

    value: float
    low: float
    high: float


class MetricFacts(Value):
    """What a task says of one of its metrics, so that a report needs the record alone."""

    name: Text
    title: Text
    unit: Text  # of the shown value
    better: Literal["lower", "higher"] = "lower"
    same: float = 0.0  # how large a difference still counts as none, in the stored unit
    scale: float = 1.0  # shown value / stored value
    digits: Annotated[int, Field(ge=0, le=9)] = 3  # of the shown value

    def told(self, value: float) -> str:
        """A stored value as people read it, with its unit."""
        return f"{value * self.scale:.{self.digits}f} {self.unit}".rstrip()


class TaskFacts(Value):
    """What was learnt."""

    name: Text
    version: Count
    metrics: Annotated[tuple[MetricFacts, ...], Field(min_length=1)]  # the first is the primary one

    @property
    def primary(self) -> MetricFacts:
        """The metric by which networks are compared."""
        return self.metrics[0]


class EncodingFacts(Value):
    """How a stored sample becomes an input of the network: `(stored - offset) / scale` in the given shape."""

    shape: tuple[int, ...]
    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0
    layout: Text = ""
    dtype: Text = "float32"
    margin: float = 1.0  # sides of what the input shows, in sides of the box that a detector finds


class Artifact(Value):
    """One exported `.tflite` file: the thing that is measured and shipped."""

    id: Text  # "two_pool · svd": unique within a record
    variant: Text
    chain: Text  # "none" for the baseline
    path: Text  # beside the record
    sha256: Text
    file_bytes: Annotated[int, Field(ge=1, lt=2**63)]
    deflated_bytes: Count  # zlib level 9: what a store's compression makes of it
    parameters: Count | None  # None: a file of unknown origin
    macs: Count | None
    precision: Text
    export_error: float | None  # largest |file - network| over the check inputs
    settings: dict[
        str, float
    ] = {}  # chosen on validation samples for its use, such as a threshold; the file holds them


class PortFacts(Value):
    """One input or output of a file, as the file says."""

    name: Text
    shape: tuple[int, ...]  # with the batch; -1: any size
    dtype: Text
    scale: float | None = None  # a real number is scale × (code - zero); None: not quantised
    zero: int | None = None


class OperatorFacts(Value):
    """An operator of a file, at one version."""

    name: Text
    version: Count
    count: Count


class SignatureFacts(Value):
    """One of a file's entry points, by the names of what it takes and answers."""

    key: Text
    inputs: tuple[Text, ...]
    outputs: tuple[Text, ...]


class FileFacts(Value):
    """What a `.tflite` file says of itself."""

    inputs: tuple[PortFacts, ...]
    outputs: tuple[PortFacts, ...]
    operators: tuple[OperatorFacts, ...]  # of all graphs, the most frequent first
    graphs: Count
    signatures: tuple[SignatureFacts, ...] = ()
    description: Text = ""  # mostly the converter's
    runtime: Text = ""  # the oldest that has its operators; "": not told
    metadata: tuple[Text, ...] = ()  # names of its entries
    notes: dict[str, Text] = {}  # of TFLite Metadata: name, description, version, author, license
    attached: tuple[Text, ...] = ()  # names of files that hang at its end


class Delegation(Value):
    """What a device's delegate (XNNPACK, on a CPU) took over of a file's main graph."""

    operators: Count  # of the graph
    parts: tuple[Count, ...]  # how many operators each part that was taken over has

    @property
    def taken(self) -> int:
        """How many operators were taken over."""
        return sum(self.parts)


class Layer(Value):
    """One layer of a network: where the parameters and the multiply-accumulates are."""

    name: Text
    kind: Text
    output: tuple[int, ...]
    parameters: Count
    macs: Count


class Epoch(Value):
    """One epoch of training or tuning; epoch 0 is the network before it."""

    epoch: Count
    loss: float | None  # on training samples; None in epoch 0
    validation: dict[str, float]  # metrics by name
    learning_rate: float
    samples_per_s: float
    seconds: float


class LayerChange(Value):
    """What a compressor did to one layer."""

    layer: Text
    shape: tuple[int, ...]
    parameters_before: Count
    parameters_after: Count
    rank: tuple[int, ...] = ()
    energy: float | None = None  # kept share of the squared singular values
    note: Text = ""


class Stage(Value):
    """One step from trained network to candidate: its size and its error on the validation split."""

    name: Text  # "baseline", "svd(rank=64)", "int8"
    parameters: Count
    macs: Count
    validation_before_tuning: float  # of the primary metric
    validation: float
    seconds: float  # of compressing and tuning, when it was done
    file_bytes: Count | None = None  # of the stage written to a file; None: it was not
    deflated_bytes: Count | None = None
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

    baseline_bytes: Count  # interpreter and libraries, before the model
    loaded_bytes: Count  # after load and first inference
    peak_bytes: Count  # high-water mark after the network's measurement

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
    threads: Count
    details: Facts = {}
    answers_only: bool = False  # nothing was measured there: it answered samples


class Measurement(Value):
    """What one device found about one artifact."""

    artifact: Text  # Artifact.id
    device: Text  # Device.id
    failure: Failure | None = None
    load_ms: float | None = None
    first_ms: float | None = None
    warmup_count: Count = 0
    network: Timing | None = None
    parts: dict[str, Timing] = {}  # of what stands around the network in the task's pipeline, by name
    memory: Memory | None = None
    delegation: Delegation | None = None  # None: the device does not tell
    found: Count | None = None  # frames in which the pipeline found what the network looks at, of `frames`
    frames: Count | None = None
    details: dict[str, Text] = {}  # what else the device told while measuring, to read beside the figures


class Scores(Value):
    """Metrics of one artifact's own outputs on one test set, with bootstrap 95 % intervals."""

    artifact: Text
    device: Text
    test_set: Text
    samples: Count
    metrics: dict[str, Interval]  # by name
    per_sample: tuple[
        float | None, ...
    ]  # the primary metric of each sample, for pairs; None: it does not count
    details: dict[str, tuple[float, ...]] = {}  # what the task tells beside, such as the error of each output


class Groups(Value):
    """Which samples of a test set belong together; intervals of metrics resample groups, each with all its samples."""

    of_sample: Annotated[tuple[int, ...], Field(min_length=1)]  # number of each sample's group, from 0
    unit: Text = "group"  # what a group is: "person"

    @property
    def count(self) -> int:
        """How many groups there are."""
        return len(set(self.of_sample))

    @classmethod
    def of(cls, labels: Sequence[str], unit: str) -> Groups:
        """Groups by the label of each sample, numbered as they come."""
        numbers: dict[str, int] = {}
        return cls(of_sample=tuple(numbers.setdefault(label, len(numbers)) for label in labels), unit=unit)


class Difference(Value):
    """Candidate against baseline, paired, from one run on one machine."""

    artifact: Text
    baseline: Text
    device: Text
    quantity: Text  # a metric's name, or "p50_ratio"
    test_set: Text = ""
    change: Interval  # candidate - baseline, or candidate / baseline for ratios
    confidence: float = 0.95  # of the interval: 0.99 for latencies since 0.1.0
    verdict: Literal["better", "same", "worse", "cannot tell"]


class Agreement(Value):
    """How far a file's answers on a device that only answers are from those where it was measured, sample by sample."""

    artifact: Text
    device: Text
    reference: Text  # the device that the answers are compared with
    test_set: Text
    samples: Count  # that were answered, evenly spread over the test set
    unit: Text  # of the answers
    largest: float  # |difference| of single numbers
    mean: float
    allowed: float  # up to here they are the same: what a file in float32 may differ from its network
    per_sample: tuple[float, ...]  # largest |difference| of each sample
    metrics: dict[str, Interval]  # of the answers, by name
    reference_metrics: dict[str, Interval]  # of the reference's for the same samples
    change: Interval  # of the primary metric, paired

    @property
    def same(self) -> bool:
        """Whether no answer differs by more than is allowed."""
        return self.largest <= self.allowed

    @property
    def verdict(self) -> str:
        """As people read it."""
        return "same" if self.same else f"differs by up to {self.largest:.2g} {self.unit}".rstrip()


class BudgetVerdict(Value):
    """One artifact against one budget."""

    artifact: Text
    budget: Text  # "asset"
    quantity: Text  # "size", "memory", "p50" or a metric's name
    #: What limit and value are; "": the value itself.
    against_baseline: Literal["", "difference", "share"] = ""
    limit: float
    value: float | None  # None: could not be measured
    fits: bool
    reason: Text = ""

    @field_validator("limit")
    @classmethod
    def _some_limit(cls, limit: float, others: ValidationInfo) -> float:
        if limit <= 0 and not others.data.get("against_baseline"):
            message = "should be greater than 0, or against the baseline"
            raise ValueError(message)
        return limit


class GallerySample(Value):
    """One test sample with what each artifact makes of it: in words, or as points on its picture."""

    name: Text
    png_base64: Text = ""  # empty: it cannot be shown
    truth: Text = ""
    truth_points: tuple[Point, ...] = ()
    answers: dict[str, Text] = {}  # by Artifact.id
    answer_points: dict[str, tuple[Point, ...]] = {}  # by Artifact.id


class Gallery(Value):
    """Samples for a report to show: some drawn by the seed, and each artifact's worst."""

    test_set: Text
    chosen: tuple[GallerySample, ...]
    worst: dict[str, tuple[GallerySample, ...]]
    mean_points: tuple[Point, ...] = ()  # of the truth, where it is points


class SplitSizes(Value):
    """How the data set was divided: sizes, and how the test split was kept apart."""

    train: Count
    validation: Count
    test: Count
    rule: Text


class Data(Value):
    """What the network was trained on."""

    source: Text
    fingerprint: Text
    samples: Count
    sampled: bool  # True: drawn by the task itself, nothing real
    split: SplitSizes
    groups: Count | None = None  # persons, say; None: not counted
    unit: Text = "group"  # what a group is


class Record(Value):
    """One run of one variant: its baseline and the candidates made from it, measured interleaved."""

    schema_version: Literal[2] = 2
    mlbench_version: Text
    created: Text  # ISO 8601, UTC
    command: tuple[Text, ...]
    configuration: dict[str, object]
    environment: Facts
    task: TaskFacts | None = None  # None: nothing was tested
    encodings: dict[str, EncodingFacts] = {}  # by input
    data: Data | None = None  # None: files were measured that no run made
    test_sets: dict[str, Text] = {}  # name -> fingerprint
    groups: dict[
        str, Groups
    ] = {}  # by Scores.test_set; none in early records, whose intervals resample samples
    files: dict[str, FileFacts] = {}  # by Artifact.id
    layers: dict[str, tuple[Layer, ...]] = {}  # by Artifact.id
    stages: dict[str, tuple[Stage, ...]] = {}  # by Artifact.id
    artifacts: Annotated[tuple[Artifact, ...], Field(min_length=1)]  # the baseline first
    devices: tuple[Device, ...]
    measurements: tuple[Measurement, ...]
    scores: tuple[Scores, ...]
    differences: tuple[Difference, ...]
    agreements: tuple[Agreement, ...] = ()  # none where no device only answers
    budgets: tuple[BudgetVerdict, ...]
    gallery: Gallery | None = None
    warnings: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _only_known_names(self) -> Self:
        artifacts, devices = ({one.id for one in known} for known in (self.artifacts, self.devices))
        rows: list[Any] = [*self.measurements, *self.scores, *self.differences, *self.agreements]
        named = {row.artifact for row in (*rows, *self.budgets)} | {row.baseline for row in self.differences}
        places = {row.device for row in rows} | {row.reference for row in self.agreements}
        unknown = sorted((named - artifacts) | (places - devices))
        if unknown:
            message = f'a row is about "{unknown[0][:100]}", which is no artifact or device of the record'
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _one_group_per_sample(self) -> Self:
        for scores in self.scores:
            groups = self.groups.get(scores.test_set)
            if groups is not None and len(groups.of_sample) != len(scores.per_sample):
                message = f'"{scores.test_set}" has groups of other samples than scores'
                raise ValueError(message)
        return self

    def resampled(self, scores: Scores) -> str:
        """What intervals on a test set resample, in words: "85 persons", "500 samples"."""
        groups = self.groups.get(scores.test_set)
        if groups is None:
            return f"{scores.samples:,} samples, groups unknown"
        alone = groups.count in (1, scores.samples)
        return f"{scores.samples:,} samples" if alone else f"{groups.count:,} {groups.unit}s"

    def samples_told(self, scores: Scores) -> str:
        """How many samples a test set has, and what its intervals resample: "1,732 samples of 85 persons"."""
        resampled, samples = self.resampled(scores), f"{scores.samples:,} samples"
        return resampled if resampled.startswith(samples) else f"{samples} of {resampled}"
