"""The table of everything: one row for each artifact, device and test set of the records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from mlbench.compression.chain import short_names
from mlbench.records import Artifact, Device, Difference, Errors, Interval, Measurement, Record


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
    faces: int | None = None
    faces_told: str = ""  # with the persons, which intervals resample
    mae_px: float | None = None
    mae_low: float | None = None
    mae_high: float | None = None
    rmse_px: float | None = None
    nme: float | None = None
    nme_low: float | None = None
    nme_high: float | None = None
    auc8: float | None = None
    failure8: float | None = None
    rounded_accuracy: float | None = None
    argmax_accuracy: float | None = None
    load_ms: float | None = None
    first_ms: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    samples: int | None = None
    cpu_per_wall: float | None = None
    drift: float | None = None
    fps_network: float | None = None
    fps_detector: float | None = None
    fps_both: float | None = None
    peak_bytes: int | None = None
    error_verdict: str = ""
    mae_change_high: float | None = None  # upper end of the change against the baseline
    speed_verdict: str = ""
    fits: str = ""
    failure: str = ""
    name: str = ""  # the model with the short name of its chain; see `named`
    short_chain: str = ""


@dataclass(frozen=True)
class Column:
    """One column of the table: which field, its heading with unit, and how a value is written."""

    field: str
    heading: str
    write: Callable[[float], str] = str


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _digits(count: int, scale: float = 1.0) -> Callable[[float], str]:
    return lambda value: f"{value * scale:,.{count}f}"


COLUMNS = (
    Column("run", "run", _whole),
    Column("variant", "variant"),
    Column("chain", "chain"),
    Column("device", "device"),
    Column("test_set", "test set"),
    Column("file_bytes", "file, bytes", _whole),
    Column("deflated_bytes", "deflated, bytes", _whole),
    Column("parameters", "parameters", _whole),
    Column("macs", "MACs, M", _digits(2, 1e-6)),
    Column("precision", "precision"),
    Column("mae_px", "MAE, px", _digits(3)),
    Column("mae_low", "MAE low, px", _digits(3)),
    Column("mae_high", "MAE high, px", _digits(3)),
    Column("faces_told", "intervals over"),
    Column("rmse_px", "RMSE, px", _digits(3)),
    Column("nme", "NME, %", _digits(2, 100)),
    Column("auc8", "AUC to 8 %, %", _digits(1, 100)),
    Column("failure8", "failures, %", _digits(1, 100)),
    Column("p50_ms", "p50, ms", _digits(3)),
    Column("p90_ms", "p90, ms", _digits(3)),
    Column("p99_ms", "p99, ms", _digits(3)),
    Column("samples", "samples", _whole),
    Column("load_ms", "load, ms", _digits(1)),
    Column("first_ms", "first, ms", _digits(2)),
    Column("fps_network", "FPS network", _digits(1)),
    Column("fps_detector", "FPS detector", _digits(1)),
    Column("fps_both", "FPS both", _digits(1)),
    Column("peak_bytes", "peak memory, bytes", _whole),
    Column("error_verdict", "error against baseline"),
    Column("speed_verdict", "p50 against baseline"),
    Column("fits", "budgets"),
    Column("failure", "does not run"),
)


def rows_of(record: Record, run: int, test_label: Callable[[Record, str], str]) -> Iterator[Row]:
    """The rows of one record.

    Args:
        record: what to flatten.
        run: its number.
        test_label: names a test set of a record so that equal names mean equal faces.
    """
    devices = {device.id: device for device in record.devices}
    measured = {(m.artifact, m.device): m for m in record.measurements}
    for artifact in record.artifacts:
        for device in devices.values():
            facts = _artifact_facts(artifact, record, run) | {"device": device_label(device)}
            facts |= _measured_facts(measured.get((artifact.id, device.id)))
            speed = _difference(record, artifact, device, "p50_ratio", "")
            facts |= {"speed_verdict": _verdict(speed)}
            errors = [e for e in record.errors if (e.artifact, e.device) == (artifact.id, device.id)]
            for error in errors:
                change = _difference(record, artifact, device, "mae_px", error.test_set)
                yield Row(
                    test_set=test_label(record, error.test_set),
                    error_verdict=_verdict(change),
                    mae_change_high=change.change.high if change else None,
                    **facts,
                    faces_told=record.faces_told(error),
                    **_error_facts(error),
                )
            if not errors:
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
    broken = [b for b in record.budgets if b.artifact == artifact.id and not b.fits]
    judged = any(b.artifact == artifact.id for b in record.budgets)
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
        "fits": "breaks " + ", ".join(b.budget for b in broken) if broken else "fits all" if judged else "",
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
    for part in ("network", "detector", "both"):
        timing = getattr(measured, part)
        facts[f"fps_{part}"] = timing.fps if timing else None
    if network is not None:
        facts |= {"samples": network.n, "cpu_per_wall": network.cpu_per_wall, "drift": network.drift}
        facts |= {name: getattr(network, name) for name in ("p50_ms", "p90_ms", "p99_ms")}
    return facts


def _error_facts(error: Errors) -> dict[str, Any]:
    names = ("mae_px", "rmse_px", "nme", "auc8", "failure8", "rounded_accuracy", "argmax_accuracy")
    facts: dict[str, Any] = {name: getattr(error, name).value for name in names}
    mae, nme = error.mae_px, error.nme
    facts |= {"mae_low": mae.low, "mae_high": mae.high, "nme_low": nme.low, "nme_high": nme.high}
    return facts | {"faces": error.faces}


def _difference(
    record: Record, artifact: Artifact, device: Device, quantity: str, test_set: str
) -> Difference | None:
    wanted = (artifact.id, device.id, quantity, test_set)
    found = (d for d in record.differences if (d.artifact, d.device, d.quantity, d.test_set or "") == wanted)
    return next(found, None)


def _verdict(difference: Difference | None) -> str:
    if difference is None:
        return ""
    return f"{difference.verdict} ({change_text(difference.quantity, difference.change)})"


def change_text(quantity: str, change: Interval) -> str:
    """A difference with its interval, as a person reads it."""
    if quantity == "p50_ratio":
        return f"× {change.value:.3f}, {change.low:.3f} to {change.high:.3f}"
    return f"{change.value:+.3f} px, {change.low:+.3f} to {change.high:+.3f}"
