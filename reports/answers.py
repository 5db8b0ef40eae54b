"""Answers on devices that only answer, beside those where the files were measured: a table for reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlbench.compression.chain import short_names
from mlbench.evaluation.amounts import change_shown
from mlbench.records import Agreement, Interval, MetricFacts, Record


@dataclass(frozen=True)
class AnswersTable:
    """A row for each file, device and test set; one for a file that does not run there, with the reason."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, record: Record) -> AnswersTable:
        """What a record holds of devices that only answer."""
        metric = record.task.primary if record.task else None
        first = record.agreements[0] if record.agreements else None
        unit = f", {first.unit}" if first and first.unit else ""
        reference = first.reference if first else "the others"
        named = metric.title if metric else "metric"
        short = short_names(artifact.chain for artifact in record.artifacts)
        chains = {artifact.id: short[artifact.chain] for artifact in record.artifacts}
        rows = [
            *_failures(record, chains),
            *(_row(one, chains[one.artifact], metric) for one in record.agreements),
        ]
        headings = ["chain", "on", "test set", f"{named} on {reference}", f"{named} here", "change"]
        headings += [f"answers differ by, mean{unit}", f"at most{unit}", "verdict"]
        tested = {row[_TEST_SET] for row in rows} - {""}
        alone = len(tested) == 1
        return cls(
            f"Answers on other kernels, compared with {reference}: {min(tested) if alone else 'the same samples'}, "
            "changes with 95 % intervals",
            tuple(_without(headings, alone)),
            tuple(tuple(_without(row, alone)) for row in rows),
        )


_TEST_SET = 2  # the column that goes into the title where all rows are of one


def _without(cells: Sequence[str], test_set: bool) -> Iterator[str]:
    return (cell for place, cell in enumerate(cells) if not (test_set and place == _TEST_SET))


def answers_only(record: Record) -> bool:
    """Whether a device of a record only answered."""
    return any(device.answers_only for device in record.devices)


def _failures(record: Record, chains: dict[str, str]) -> list[tuple[str, ...]]:
    devices = {device.id for device in record.devices if device.answers_only}
    return [
        (
            chains[row.artifact],
            row.device,
            *[""] * 6,
            f"does not run, {row.failure.stage}: {row.failure.reason}",
        )
        for row in record.measurements
        if row.device in devices and row.failure
    ]


def _row(one: Agreement, chain: str, metric: MetricFacts | None) -> tuple[str, ...]:
    value, ends = change_shown(metric, one.change)
    return (
        chain,
        one.device,
        f"{one.samples:,} samples of {one.test_set}",
        _shown(metric, one.reference_metrics),
        _shown(metric, one.metrics),
        f"{value} ({ends})",
        f"{one.mean:.2g}",
        f"{one.largest:.2g}",
        one.verdict,
    )


def _shown(metric: MetricFacts | None, found: dict[str, Interval]) -> str:
    return metric.told(found[metric.name].value) if metric and metric.name in found else ""
