"""What `mlbench train` and `mlbench compress` say they made: sentences for people, values for machines."""

from __future__ import annotations

from mlbench.records import MetricFacts, Value


class WrittenFile(Value):
    """A network's file.

    Attributes:
        path: of the file.
        file_bytes: its size.
        parameters: of the network.
        macs: multiply-accumulates of one inference.
        metric: the task's primary one.
        validation: the metric on the validation split, in its stored unit.
    """

    path: str
    file_bytes: int
    parameters: int | None
    macs: int | None
    metric: MetricFacts
    validation: float

    def told(self) -> str:
        """For people."""
        parameters = "" if self.parameters is None else f"{self.parameters:,} parameters, "
        return (
            f"Wrote {self.path}: {self.file_bytes:,} bytes, {parameters}"
            f"validation {self.metric.title} {self.metric.told(self.validation)}."
        )


class TrainedBaseline(Value):
    """A baseline in the cache.

    Attributes:
        network: its name.
        baseline: its name in the cache, as `--start-from` and `--teacher` take it.
        folder: where it is kept.
        reused: whether it was there before.
        epochs: that it was trained, before patience ended it.
        best_epoch: whose weights were kept; 0: before training.
        seconds: that the epochs took.
        metric: the task's primary one.
        validation: the metric on the validation split, in its stored unit.
        warnings: what is probably not meant.
        file: that was written; None: none was asked for.
    """

    network: str
    baseline: str
    folder: str
    reused: bool
    epochs: int
    best_epoch: int
    seconds: float
    metric: MetricFacts
    validation: float
    warnings: tuple[str, ...] = ()
    file: WrittenFile | None = None

    def told(self) -> str:
        """For people."""
        error = f"{self.metric.told(self.validation)} in epoch {self.best_epoch}"
        done = f"{self.network}: validation {self.metric.title} {error}, kept in {self.folder}."
        return "\n".join([*self.warnings, done, *([self.file.told()] if self.file else [])])
