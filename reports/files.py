"""What measured files are, beside their figures: what they take and answer, operators, who runs them, metadata."""

from __future__ import annotations

from collections.abc import Iterable

from mlbench.records import Artifact, Delegation, FileFacts, Measurement, PortFacts, Record, SignatureFacts

_SHOWN = 12  # of a kind; the record holds them all

Rows = list[tuple[str, list[list[str]]]]


def known(record: Record, part: Iterable[Artifact]) -> list[Artifact]:
    """Those of whose files the record tells something."""
    return [artifact for artifact in part if artifact.id in record.files]


def file_rows(record: Record, part: Iterable[Artifact]) -> Rows:
    """Labels, and for each known file the lines that stand beside them; only what any of the files has."""
    part = known(record, part)
    facts = [record.files[artifact.id] for artifact in part]
    rows: Rows = [
        ("takes", [[_port(port) for port in one.inputs] for one in facts]),
        ("answers", [[_port(port) for port in one.outputs] for one in facts]),
        ("operators", [_operators(one) for one in facts]),
        ("graphs", [[str(one.graphs)] if one.graphs > 1 else [] for one in facts]),
        *(
            (f"delegated on {device.id}", _delegated(record, part, device.id))
            for device in record.devices
            if not device.answers_only
        ),
        ("signatures", [[_signature(signature) for signature in one.signatures] for one in facts]),
        ("runtime at least", [[one.runtime] if one.runtime else [] for one in facts]),
        ("says of itself", [[f"{key}: {text}" for key, text in one.notes.items()] for one in facts]),
        ("files inside", [list(one.attached) for one in facts]),
    ]
    return [(label, [_cut(lines) for lines in cells]) for label, cells in rows if any(cells)]


def _port(port: PortFacts) -> str:
    shape = "×".join("?" if size < 0 else str(size) for size in port.shape) or "one number"
    return f"{port.name} {shape} {port.dtype}"


def _operators(facts: FileFacts) -> list[str]:
    return [f"{one.count} {one.name} v{one.version}" for one in facts.operators]


def _signature(signature: SignatureFacts) -> str:
    return f"{signature.key}({', '.join(signature.inputs)}) → {', '.join(signature.outputs)}"


def _delegated(record: Record, part: list[Artifact], device: str) -> list[list[str]]:
    found: dict[str, Measurement] = {m.artifact: m for m in record.measurements if m.device == device}
    told = [found[artifact.id].delegation if artifact.id in found else None for artifact in part]
    return [[] if one is None else [_parts(one)] for one in told]


def _parts(one: Delegation) -> str:
    parts = "" if len(one.parts) < 2 else f" in {len(one.parts)} parts ({', '.join(map(str, one.parts))})"
    return f"{one.taken} of {one.operators} operators{parts}"


def _cut(lines: list[str]) -> list[str]:
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], f"… {more} more"] if more > 0 else lines
