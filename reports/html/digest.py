"""What the page shows of the records, gathered in one pass, so that no record need stay in memory."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from mlbench.errors import UsageError
from mlbench.records import (
    BudgetVerdict,
    Difference,
    GallerySample,
    MetricFacts,
    Point,
    Record,
    Stage,
    Timing,
)
from mlbench.reports.answers import AnswersTable, answers_only
from mlbench.reports.files import Rows, file_rows, known
from mlbench.reports.html.rows import Row, device_label, named, rows_of
from mlbench.reports.html.selection import Selection, select

_QUANTILES = (0, 1, 2, 3, 5, *range(10, 95, 5), 95, 97, 98, 99, 99.5, 100)
_LARGEST_PICTURE = 256  # px a side; anything larger is not a sample's picture


@dataclass(frozen=True)
class Picture:
    """A sample's picture as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Sample:
    """One sample: its picture (a key in `Digest.pictures`, empty where there is none), the truth and the answer."""

    name: str
    picture: str
    truth: str
    answer: str
    truth_points: tuple[Point, ...]
    answer_points: tuple[Point, ...]


@dataclass(frozen=True)
class Samples:
    """What one model makes of test samples."""

    test_set: str
    chosen: list[Sample]
    worst: list[Sample]
    mean_points: tuple[Point, ...]
    point_errors: tuple[float, ...]  # of each point, in its unit; empty where answers are no points
    metric: MetricFacts | None


@dataclass(frozen=True)
class Latency:
    """One model's latency on one device, small enough to draw."""

    device: str
    quantiles: list[tuple[float, float]]  # (share 0..1, ms)
    bursts: list[float]  # median of each burst over the median of all


@dataclass(frozen=True)
class Layers:
    """A model's layers beside its baseline's, and what each compressor did."""

    before: list[tuple[str, int, int]]  # name, parameters, MACs
    after: list[tuple[str, int, int]]
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class FileTable:
    """What the files of a run are: a column for each, and lines by label and file."""

    columns: list[str]
    rows: Rows


@dataclass
class Digest:
    """All that the page shows. Keys of dictionaries are (run, model)."""

    rows: list[Row] = field(default_factory=list)
    runs: list[Record] = field(default_factory=list)  # without raw latencies, pictures, values per sample
    metrics: dict[str, MetricFacts] = field(default_factory=dict)  # of all tasks, by a name of their own
    budgets: dict[tuple[int, str], list[BudgetVerdict]] = field(default_factory=dict)
    differences: dict[tuple[int, str], list[Difference]] = field(default_factory=dict)
    latencies: dict[tuple[int, str], list[Latency]] = field(default_factory=dict)
    samples: dict[tuple[int, str], Samples] = field(default_factory=dict)
    layers: dict[tuple[int, str], Layers] = field(default_factory=dict)
    feature_maps: dict[tuple[int, str], tuple[int, ...]] = field(default_factory=dict)
    files: list[FileTable] = field(default_factory=list)  # of each run
    answers: list[AnswersTable] = field(default_factory=list)  # of the runs with devices that only answer
    pictures: dict[str, Picture] = field(default_factory=dict)
    selection: Selection = field(default_factory=Selection)

    def metrics_of(self, run: int) -> dict[str, MetricFacts]:
        """The metrics of a run's task, by name."""
        task = self.runs[run - 1].task
        return {metric.name: metric for metric in task.metrics} if task else {}


def digest_of(records: Iterable[Record]) -> Digest:
    """Gather what the page shows.

    Raises:
        UsageError: there is no record.
    """
    digest, labels = Digest(), _TestLabels()
    for number, record in enumerate(records, 1):
        digest.rows += rows_of(record, number, labels)
        _gather(digest, record, number)
    if not digest.rows:
        message = "There is no record to report on: give the folder of a run, or its record.json."
        raise UsageError(message)
    digest.rows = named(digest.rows)
    digest.selection = select(digest.rows)
    for table in (digest.latencies, digest.samples, digest.layers):
        for key in [key for key in table if key not in digest.selection.shown]:
            del table[key]
    return digest


class _TestLabels:
    """Names test sets so that two get the same label only if they are the same samples."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}  # name -> fingerprint

    def __call__(self, record: Record, name: str) -> str:
        whole = name.partition(" (")[0]
        fingerprint = record.test_sets.get(name) or record.test_sets.get(whole, "")
        if self._first.setdefault(name, fingerprint) == fingerprint:
            return name
        return f"{name} [{fingerprint[:6]}]"


def _gather(digest: Digest, record: Record, run: int) -> None:
    devices = {device.id: device_label(device) for device in record.devices}
    for artifact in record.artifacts:
        key = (run, artifact.id)
        digest.budgets[key] = [b for b in record.budgets if b.artifact == artifact.id]
        digest.differences[key] = [d for d in record.differences if d.artifact == artifact.id]
        digest.latencies[key] = [
            _latency(devices[m.device], m.network)
            for m in record.measurements
            if m.artifact == artifact.id and m.network is not None and m.device in devices
        ]
        digest.layers[key] = _layers(record, artifact.id)
        maps = [x.output for x in record.layers.get(artifact.id, ()) if len(x.output) == 3]
        digest.feature_maps[key] = maps[-1] if maps else ()
        if (samples := _samples(digest, record, artifact.id)) is not None:
            digest.samples[key] = samples
    for metric in record.task.metrics if record.task else ():
        if metric not in digest.metrics.values():
            twins = sum(metric.name == other.name for other in digest.metrics.values())
            digest.metrics[f"{metric.name}_{twins + 1}" if twins else metric.name] = metric
    columns = [artifact.id for artifact in known(record, record.artifacts)]
    digest.files.append(FileTable(columns, file_rows(record, record.artifacts)))
    if answers_only(record):
        digest.answers.append(AnswersTable.of(record))
    light: dict[str, Any] = {
        "agreements": (),
        "measurements": (),
        "scores": (),
        "groups": {},
        "gallery": None,
    }
    light |= {"layers": {}, "stages": {}, "files": {}}
    digest.runs.append(record.model_copy(update=light))


def _latency(device: str, timing: Timing) -> Latency:
    samples = np.asarray(timing.samples_ms)
    quantiles = np.percentile(samples, _QUANTILES)
    parts = np.split(samples, np.cumsum(timing.bursts)[:-1]) if timing.bursts else [samples]
    medians = [median(part.tolist()) / timing.p50_ms for part in parts if len(part)]
    return Latency(
        device,
        [(round(q / 100, 4), round(float(v), 4)) for q, v in zip(_QUANTILES, quantiles, strict=True)],
        [round(m, 4) for m in medians],
    )


def _layers(record: Record, model: str) -> Layers:
    def table(name: str) -> list[tuple[str, int, int]]:
        return [(x.name, x.parameters, x.macs) for x in record.layers.get(name, ()) if x.parameters]

    return Layers(table(record.artifacts[0].id), table(model), record.stages.get(model, ()))


def _samples(digest: Digest, record: Record, model: str) -> Samples | None:
    gallery = record.gallery
    if gallery is None:
        return None
    scores = next((s for s in record.scores if (s.artifact, s.test_set) == (model, gallery.test_set)), None)
    details = scores.details.values() if scores else ()

    def of_model(samples: Iterable[GallerySample]) -> list[Sample]:
        return [
            Sample(
                sample.name,
                _picture(digest, sample.png_base64),
                sample.truth,
                sample.answers.get(model, ""),
                sample.truth_points,
                sample.answer_points.get(model, ()),
            )
            for sample in samples
            if model in sample.answers or model in sample.answer_points
        ]

    return Samples(
        gallery.test_set,
        of_model(gallery.chosen),
        of_model(gallery.worst.get(model, ())),
        gallery.mean_points,
        next((errors for errors in details if len(errors) == len(gallery.mean_points) > 0), ()),
        record.task.primary if record.task else None,
    )


def _picture(digest: Digest, png_base64: str) -> str:
    """Key of a picture; it is decoded and written anew, so that nothing but pixels gets into the page."""
    key = "sample-" + hashlib.sha256(png_base64.encode()).hexdigest()[:12]
    if key not in digest.pictures:
        try:
            data = base64.b64decode(png_base64, validate=True)
            with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
                if max(image.size) > _LARGEST_PICTURE:
                    return ""
                out, (width, height) = io.BytesIO(), image.size
                image.convert("L" if image.mode in ("1", "L", "I;16") else "RGB").save(
                    out, "WEBP", quality=80
                )
        except (binascii.Error, ValueError, OSError, Image.DecompressionBombError):
            return ""
        uri = "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode("ascii")
        digest.pictures[key] = Picture(uri, width, height)
    return key
