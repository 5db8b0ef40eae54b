"""What `mlbench search` found: one schema-versioned JSON value, of which reports are functions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mlbench.records.schema import Count, Interval, MetricFacts, Text, Value


class SearchTrial(Value):
    """A candidate, and what became of it.

    Attributes:
        number: in order of asking.
        network: that was compressed.
        chain: of compressors.
        values: of the space's names, as they were chosen.
        state: complete; stopped: it could not reach the front, or broke a budget; failed; running or waiting.
        epochs: of tuning, after which the figures are; None: all.
        value: of the metric on validation samples, of the written file.
        file_bytes: of the file.
        deflated_bytes: of the file, deflated.
        parameters: weights and biases.
        macs: multiply-accumulates of one inference.
        p50_ms: latency; None: not timed.
        fits: whether it keeps all budgets that a search judges.
        failure: why it failed.
    """

    number: Count
    network: Text
    chain: Text
    values: dict[str, Text] = Field(default_factory=dict)
    state: Literal["complete", "stopped", "failed", "running", "waiting"]
    epochs: Count | None = None
    value: float | None = None
    file_bytes: Count | None = None
    deflated_bytes: Count | None = None
    parameters: Count | None = None
    macs: Count | None = None
    p50_ms: float | None = None
    fits: bool = True
    failure: Text = ""


class FrontPoint(Value):
    """A candidate that none dominates.

    Attributes:
        trial: its number.
        command: that makes it again.
        file: its `.tflite` file, relative to the search's folder; "": not measured.
        tested: its metric on the test samples, from the run at the end; None: not measured.
        p50_ms: its latency there, interleaved with the others.
    """

    trial: Count
    command: Text
    file: Text = ""
    tested: Interval | None = None
    p50_ms: Interval | None = None


class SearchRecord(Value):
    """A study as far as it came.

    Attributes:
        mlbench_version: that wrote it.
        created: when, ISO 8601, UTC.
        command: that was given.
        study: its name.
        metric: that is sought to be good, on validation samples.
        budgets: as they were given.
        sampler: of candidates.
        baselines: values of the metric and bytes, by network: `{"basic": [0.9, 33302068]}`.
        trials: in order.
        front: within the budgets, the smallest file first.
        volumes: that the front dominates after each trial that was carried out.
        records: of the runs that measured the front, relative to the search's folder.
    """

    schema_version: Literal[1] = 1
    mlbench_version: Text
    created: Text
    command: tuple[Text, ...] = ()
    study: Text
    metric: MetricFacts
    budgets: tuple[Text, ...] = ()
    sampler: Text
    baselines: dict[str, tuple[float, int]] = Field(default_factory=dict)
    trials: tuple[SearchTrial, ...]
    front: tuple[FrontPoint, ...]
    volumes: tuple[float, ...] = ()
    records: tuple[Text, ...] = ()

    @property
    def trials_by_number(self) -> dict[int, SearchTrial]:
        """The trials, each by its number, which others that repeated it leave out."""
        return {trial.number: trial for trial in self.trials}
