"""The table of everything: one row for each artifact, device and test set of the records."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Literal

from mlbench.compression.chain import short_names
from mlbench.evaluation.amounts import change_shown
from mlbench.records import (
    Artifact,
    Device,
    Difference,
    Interval,
    Measurement,
    MetricFacts,
    Record,
    TaskFacts,
)


@dataclass(frozen=True)
class Row:
    """What is known of one artifact on one device and one test set; None where it was not measured."""

    run: int  # number of the record, from 1
    created: str
    model: str
    variant: str
    chain: str
    device: str
    test_set: str
    baseline: bool
    file_bytes: int
    deflated_bytes: int
    precision: str
    parameters: int | None = None
    macs: int | None = None
    task: TaskFacts | None = None
    metrics: dict[str, Interval] = field(default_factory=dict)
    samples_tested: int | None = None
    samples_told: str = ""  # with the groups, which intervals resample
    load_ms: float | None = None
    first_ms: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    samples: int | None = None
    cpu_per_wall: float | None = None
    drift: float | None = None
    fps_network: float | None = None
    fps: dict[str, float] = field(default_factory=dict)  # of the parts of the pipeline
    peak_bytes: int | None = None
    change: Difference | None = None  # of the primary metric, against the baseline
    speed: Difference | None = None  # of p50
    broken: tuple[str, ...] = ()  # budgets
    judged: bool = False  # by any budget
    failure: str = ""
    name: str = ""  # the model with the short name of its chain; see `named`
    short_chain: str = ""

    @property
    def metric(self) -> MetricFacts | None:
        """The task's primary metric."""
        return self.task.primary if self.task else None

    @property
    def risk(self) -> float:
        """How much worse than its baseline it may be, beyond what counts as the same; infinite where unknown."""
        if self.change is None or self.metric is None:
            return math.inf
        change = self.change.change
        return max(0.0, (change.high if self.metric.better == "lower" else -change.low) - self.metric.same)

    @property
    def interval(self) -> Interval | None:
        """The primary metric, in its stored unit."""
        return self.metrics.get(self.metric.name) if self.metric else None

    @property
    def error(self) -> float | None:
        """The primary metric, so that less is better."""
        if self.metric is None or self.interval is None:
            return None
        return self.interval.value if self.metric.better == "lower" else -self.interval.value

    @property
    def fits(self) -> str:
        """What the budgets say, in words."""
        return f"breaks {', '.join(self.broken)}" if self.broken else "fits all" if self.judged else ""


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        name: in copies of the table.
        heading: with the unit.
        value: of a row; None or empty where it has none.
        write: the value as text.
        how: where the page says how it was measured: "size", "latency", "memory" or "metrics"; "": nothing to say.
        shown: whether it is shown at first: always, where its values differ, or where a row has one.
    """

    name: str
    heading: str
    value: Callable[[Row], Any]
    write: Callable[[float], str] = str
    how: str = ""
    shown: Literal["always", "where told apart", "where known", "never"] = "never"

    def starts_shown(self, rows: Sequence[Row]) -> bool:
        """Whether the table shows it at first."""
        values = {self.value(row) for row in rows} if self.shown.startswith("where") else set()
        least = 2 if self.shown == "where told apart" else 1
        return self.shown == "always" or len(values - {None, ""}) >= least


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _digits(count: int, scale: float = 1.0) -> Callable[[float], str]:
    return lambda value: f"{value * scale:,.{count}f}"


def _field(name: str, heading: str, write: Callable[[float], str] = str, **more: Any) -> Column:
    return Column(name, heading, attrgetter(name), write, **more)


def _of_metric(key: str, metric: MetricFacts, end: str, primary: bool) -> Column:
    unit = f", {metric.unit}" if metric.unit else ""
    name, heading = (key, "") if end == "value" else (f"{key}_{end}", f" {end}")

    def value(row: Row) -> float | None:
        found = row.metrics.get(metric.name) if row.task and metric in row.task.metrics else None
        return None if found is None else float(getattr(found, end))

    shown: Any = "always" if primary and end == "value" else "never"
    write = _digits(metric.digits, metric.scale)
    return Column(name, f"{metric.title}{heading}{unit}", value, write, "metrics", shown)


def _of_part(part: str) -> Column:
    return Column(f"fps_{part}", f"FPS {part}", lambda row: row.fps.get(part), _digits(1), "latency")


_BEFORE = (
    _field("run", "run", _whole, shown="where told apart"),
    _field("variant", "variant", shown="always"),
    _field("short_chain", "chain", shown="always"),
    _field("chain", "whole chain"),
    _field("device", "device", shown="where told apart"),
    _field("test_set", "test set", shown="where told apart"),
    _field("samples_told", "intervals over", how="metrics"),
    _field("file_bytes", "file, bytes", _whole, how="size", shown="always"),
    _field("deflated_bytes", "deflated, bytes", _whole, how="size"),
    _field("parameters", "parameters", _whole, how="size"),
    _field("macs", "MACs, M", _digits(2, 1e-6), how="size"),
    _field("precision", "precision"),
)
_AFTER = (
    _field("p50_ms", "p50, ms", _digits(3), how="latency", shown="always"),
    _field("p90_ms", "p90, ms", _digits(3), how="latency"),
    _field("p99_ms", "p99, ms", _digits(3), how="latency"),
    _field("samples", "latency samples", _whole, how="latency"),
    _field("load_ms", "load, ms", _digits(1), how="latency"),
    _field("first_ms", "first, ms", _digits(2), how="latency"),
    _field("fps_network", "FPS network", _digits(1), how="latency"),
)
_LAST = (
    _field("peak_bytes", "peak memory, bytes", _whole, how="memory", shown="always"),
    Column(
        "error_verdict",
        "error against baseline",
        lambda row: change_told(row.change, row.metric),
        str,
        "metrics",
        "where known",
    ),
    Column(
        "speed_verdict",
        "p50 against baseline",
        lambda row: change_told(row.speed, None),
        str,
        "latency",
        "where known",
    ),
    _field("fits", "budgets", shown="where known"),
    _field("failure", "does not run", shown="where known"),
)


def columns_of(rows: list[Row], metrics: Mapping[str, MetricFacts]) -> list[Column]:
    """The columns that rows need: those of their tasks' metrics, the primary ones with intervals, and pipelines."""
    primary = {row.metric for row in rows if row.metric}
    shown = [
        _of_metric(key, metric, end, metric in primary)
        for key, metric in metrics.items()
        for end in (("value", "low", "high") if metric in primary else ("value",))
    ]
    parts = dict.fromkeys(part for row in rows for part in row.fps)
    return [*_BEFORE, *shown, *_AFTER, *map(_of_part, parts), *_LAST]


def rows_of(record: Record, run: int, test_label: Callable[[Record, str], str]) -> Iterator[Row]:
    """The rows of one record.

    Args:
        record: what to flatten.
        run: its number.
        test_label: names a test set of a record so that equal names mean equal samples.
    """
    devices = {device.id: device for device in record.devices if not device.answers_only}
    measured = {(m.artifact, m.device): m for m in record.measurements}
    for artifact in record.artifacts:
        for device in devices.values():
            facts = _artifact_facts(artifact, record, run) | {"device": device_label(device)}
            facts |= _measured_facts(measured.get((artifact.id, device.id)))
            facts |= {"speed": _difference(record, artifact, device, "p50_ratio", ""), "task": record.task}
            scores = [s for s in record.scores if (s.artifact, s.device) == (artifact.id, device.id)]
            for score in scores:
                quantity = record.task.primary.name if record.task else ""
                yield Row(
                    test_set=test_label(record, score.test_set),
                    change=_difference(record, artifact, device, quantity, score.test_set),
                    metrics=score.metrics,
                    samples_tested=score.samples,
                    samples_told=record.samples_told(score),
                    **facts,
                )
            if not scores:
                yield Row(test_set="", **facts)


def named(rows: list[Row]) -> list[Row]:
    """The rows with short names that tell all chains of a variant apart, of whatever runs they are."""
    chains: dict[str, set[str]] = {}
    for row in rows:
        chains.setdefault(row.variant, set()).add(row.chain)
    short = {variant: short_names(of_variant) for variant, of_variant in chains.items()}
    return [_named(row, short[row.variant][row.chain]) for row in rows]


def _named(row: Row, short_chain: str) -> Row:
    own_chain = row.model.endswith(row.chain)
    name = row.model.removesuffix(row.chain) + short_chain if own_chain else row.model
    return replace(row, name=name, short_chain=short_chain)


def device_label(device: Device) -> str:
    """A device with its threads: latencies of different labels are never drawn in one picture."""
    threads = "1 thread" if device.threads == 1 else f"{device.threads} threads"
    name = device.name if device.id in ("host", device.name) else f"{device.name} ({device.id})"
    return f"{name}, {threads}"


def _artifact_facts(artifact: Artifact, record: Record, run: int) -> dict[str, Any]:
    verdicts = [verdict for verdict in record.budgets if verdict.artifact == artifact.id]
    return {
        "run": run,
        "created": record.created,
        "model": artifact.id,
        "variant": artifact.variant,
        "chain": artifact.chain,
        "baseline": artifact == record.artifacts[0],
        "file_bytes": artifact.file_bytes,
        "deflated_bytes": artifact.deflated_bytes,
        "precision": artifact.precision,
        "parameters": artifact.parameters,
        "macs": artifact.macs,
        "broken": tuple(verdict.budget for verdict in verdicts if not verdict.fits),
        "judged": bool(verdicts),
    }


def _measured_facts(measured: Measurement | None) -> dict[str, Any]:
    if measured is None:
        return {"failure": "not measured"}
    network, memory, failure = measured.network, measured.memory, measured.failure
    facts: dict[str, Any] = {
        "load_ms": measured.load_ms,
        "first_ms": measured.first_ms,
        "peak_bytes": memory.peak_above_baseline_bytes if memory else None,
        "failure": f"{failure.stage}: {failure.reason}" if failure else "",
    }
    facts["fps"] = {part: timing.fps for part, timing in measured.parts.items()}
    if network is not None:
        facts |= {
            "fps_network": network.fps,
            "samples": network.n,
            "cpu_per_wall": network.cpu_per_wall,
            "drift": network.drift,
        }
        facts |= {name: getattr(network, name) for name in ("p50_ms", "p90_ms", "p99_ms")}
    return facts


def _difference(
    record: Record, artifact: Artifact, device: Device, quantity: str, test_set: str
) -> Difference | None:
    wanted = (artifact.id, device.id, quantity, test_set)
    rows = record.differences
    return next((d for d in rows if (d.artifact, d.device, d.quantity, d.test_set) == wanted), None)


def change_told(difference: Difference | None, metric: MetricFacts | None) -> str:
    """A difference with its verdict, as a person reads it; empty where there is none."""
    if difference is None:
        return ""
    return f"{difference.verdict} ({', '.join(change_shown(metric, difference.change))})"
