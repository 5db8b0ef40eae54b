"""What `mlbench inspect` found: one schema-versioned JSON value, of which reports are functions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mlbench.records.schema import Count, Device, Interval, TaskFacts, Text, Value

#: A share of the time that is hardly worth saving.
_LITTLE = 0.15


class InspectedLayer(Value):
    """A layer of a network, or an operator of a file.

    Attributes:
        name: of the layer; of an operator what it gives, or its kind and number.
        kind: as Keras or TensorFlow Lite calls it.
        output: shape of what it gives, without the batch.
        parameters: of the layer; of an operator those that it is the first to read.
        file_bytes: of its weights in the file that was timed.
        float32_bytes: of the same weights as float32.
        int8_bytes: of the same as int8: 1 per weight, 4 per bias; scales come on top.
        macs: multiply-accumulates of one inference.
        operators: numbers of the file's operators that carry it out; none: see `part_of`.
        part_of: the layer whose operator does its work too; "": it has its own, or none is left of it.
        ms: of one inference, the median over processes with the bootstrap's interval; None: not timed.
        share: of the sum over all; None: not timed.
        runs: what runs it: XNNPACK, builtin (TensorFlow Lite's own kernel), merged (the delegate has no work for it).
        techniques: why compressors leave it, by name, "" where one takes it; kernels alone.
    """

    name: Text
    kind: Text
    output: tuple[int, ...]
    parameters: Count
    file_bytes: Count
    float32_bytes: Count
    int8_bytes: Count
    macs: Count
    operators: tuple[int, ...] = ()
    part_of: Text = ""
    ms: Interval | None = None
    share: float | None = None
    runs: Text = ""
    techniques: dict[str, Text] = Field(default_factory=dict)


class Sensitivity(Value):
    """What the primary metric loses where these layers alone are compressed, without tuning.

    Attributes:
        layers: one, or several whose channels go together.
        technique: its name.
        asked: how many times smaller they were to be.
        ratio: how many times smaller their weights are.
        loss: how much worse the metric is, in its stored unit, paired by sample, groups resampled.
    """

    layers: tuple[Text, ...]
    technique: Text
    asked: float
    ratio: float
    loss: Interval


class Sensitivities(Value):
    """How far each layer's compression moves the primary metric on validation samples.

    Attributes:
        task: whose primary metric it is.
        samples: how many.
        groups: how many groups they are of.
        unit: what a group is.
        baseline: the metric before, in the stored unit.
        rows: what was tried.
    """

    task: TaskFacts
    samples: Count
    groups: Count
    unit: Text = "group"
    baseline: float
    rows: tuple[Sensitivity, ...]


class Inspection(Value):
    """A model, layer by layer.

    Attributes:
        mlbench_version: that wrote it.
        created: when, ISO 8601, UTC.
        model: its name.
        source: keras: a row is a layer of the network, timed in its float32 file; tflite: an operator of the file.
        file_bytes: of the file that was timed.
        device: that it was timed on.
        processes: that timed the parts, and as many the whole, in turns.
        layers: in order.
        whole_ms: median inference of the file; None: not timed.
        parts_ms: sum over the rows and what belongs to none of them; None: not timed.
        sensitivities: None: no data, or a file.
        warnings: what the reader must know.
    """

    schema_version: Literal[1] = 1
    mlbench_version: Text
    created: Text
    model: Text
    source: Literal["keras", "tflite"]
    file_bytes: Count
    device: Device
    processes: Count = 0
    layers: tuple[InspectedLayer, ...]
    whole_ms: Interval | None = None
    parts_ms: Interval | None = None
    sensitivities: Sensitivities | None = None
    warnings: tuple[Text, ...] = ()

    @property
    def findings(self) -> list[str]:
        """Why a smaller file need not be faster: where the time is, and where the bytes are."""
        size = sum(layer.float32_bytes for layer in self.layers)
        timed = [(layer.share, layer) for layer in self.layers if layer.share is not None]
        if not timed or not size:
            return []
        slow = max(timed, key=lambda pair: pair[0])[1]
        large = max(self.layers, key=lambda layer: layer.float32_bytes)
        told = [_told(slow, size, "most of the time" if (slow.share or 0) > 0.5 else "the most time")]
        if large is not slow:
            told.append(_told(large, size, "the most bytes"))
            if (large.share or 0) < _LITTLE:
                told.append(
                    f"Compressing {large.name} makes the file smaller, hardly faster: for speed, compress {slow.name}."
                )
        return told


def _told(layer: InspectedLayer, size: int, what: str) -> str:
    return (
        f"{layer.name} has {what}: {(layer.share or 0):.0%} of the time, "
        f"{layer.float32_bytes / size:.0%} of the weights' bytes."
    )
