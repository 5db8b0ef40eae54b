"""The app's result, checked against its schema before a number of it is believed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from mlbench.export.interpreter import Port

#: Of configurations and results; `RunConfig.SCHEMA` of the app.
SCHEMA = 4

#: What an app that reads or writes another schema comes to.
OTHER_APP = "the app is another mlbench's: make this one's with `mlbench android build`, and run again"

#: A result is samples and facts; anything larger is not one.
MAX_RESULT_BYTES = 16 * 2**20

_Millis = Annotated[float, Field(ge=0, le=1e7)]
_Kilobytes = Annotated[int, Field(ge=0, le=2**40)]
_Text = Annotated[str, Field(max_length=4000)]


class BadResultError(Exception):
    """A result that cannot be believed; the text says why."""


class _Part(BaseModel):
    # Newer apps may say more; what is used is checked.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Series(_Part):
    """Latencies of one part of the pipeline, in the order measured."""

    samples_ms: tuple[_Millis, ...] = Field(min_length=1, max_length=1_000_000)
    cpu_per_wall: float = Field(ge=0, le=1000)


class Reading(_Part):
    """Memory of the app's process, in kB."""

    pss_kb: _Kilobytes
    rss_kb: _Kilobytes
    peak_kb: _Kilobytes


class MemoryReadings(_Part):
    """Before the network, after its first inference, after its measurement."""

    baseline: Reading
    loaded: Reading | None = None
    after: Reading | None = None


class FailureReport(_Part):
    """What kept the network from being measured."""

    stage: _Text
    reason: _Text


class Core(_Part):
    """One processor core."""

    max_khz: _Text = ""
    governor: _Text = ""


class DeviceReport(_Part):
    """What the app says of the phone."""

    soc: _Text = ""
    android: _Text = ""
    sdk: int = 0
    page_bytes: int = 0
    tflite: _Text = ""
    opencv: _Text = ""
    cores: tuple[Core, ...] = Field(default=(), max_length=1024)


class Condition(_Part):
    """Heat and charge before or after."""

    battery_level: int | None = None
    battery_tenths_celsius: int | None = None
    thermal_status: int | None = None


class OutputReport(_Part):
    """One output's file beside the result: what it gives for each sample, as raw bytes."""

    type: _Text
    count: int = Field(ge=1, le=10_000_000)
    bytes: int = Field(ge=1, le=2**31)  # of a sample
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Result(_Part):
    """One run of the app."""

    schema_version: int = Field(alias="schema")
    run: _Text
    foreground: bool
    file_bytes: int
    failure: FailureReport | None = None
    load_ms: _Millis | None = None
    first_ms: _Millis | None = None
    warmup_count: int = Field(default=0, ge=0)
    network: Series | None = None
    detector: Series | None = None
    both: Series | None = None
    tracked: Series | None = None
    memory: MemoryReadings | None = None
    faces_found: int | None = None
    frames: int | None = None
    outputs: tuple[OutputReport, ...] = Field(default=(), max_length=1000)
    device: DeviceReport = DeviceReport()
    before: Condition = Condition()
    after: Condition = Condition()


def parse_result(data: bytes, run: str) -> Result:
    """Check the bytes of a `result.json`.

    Raises:
        BadResultError: not JSON, not of this schema, or of another run.
    """
    try:
        result = Result.model_validate_json(data)
    except (ValidationError, ValueError, RecursionError) as error:
        fault = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        place = ".".join(str(part) for part in fault["loc"]) or "the file"
        message = f"the app's result is damaged ({place}: {str(fault['msg'])[:200]})"
        raise BadResultError(message) from error
    if result.schema_version != SCHEMA:
        raise BadResultError(OTHER_APP)
    if result.run != run:
        message = "the app left the result of another run"
        raise BadResultError(message)
    if result.failure is None and (result.network is None or result.load_ms is None or result.memory is None):
        message = "the app's result has neither figures nor a reason"
        raise BadResultError(message)
    return result


def parse_output(data: bytes, report: OutputReport, port: Port, count: int) -> npt.NDArray[np.float32]:
    """What one output of the file gave for each sample, in real numbers [n, *shape].

    Args:
        data: the bytes of its file.
        report: what the app says of them.
        port: the output, as the host's runtime reads the file.
        count: of samples.

    Raises:
        BadResultError: another type, size or number of samples, a damaged file, or numbers that are not finite.
    """
    size = size_of(port)
    if (report.type, report.bytes) != (port.dtype.name, size):
        message = (
            f"the app answers {port.name} as {report.bytes} bytes of {report.type} per sample, "
            f"the file as {size} of {port.dtype}"
        )
        raise BadResultError(message)
    if report.count != count:
        message = f"the app gave {report.count} outputs, not {count}"
        raise BadResultError(message)
    if len(data) != count * size or hashlib.sha256(data).hexdigest() != report.sha256:
        message = "the app's outputs are damaged"
        raise BadResultError(message)
    stored = np.frombuffer(data, port.dtype).reshape(count, *port.shape[1:])
    outputs = port.real(stored).astype(np.float32)
    if not np.isfinite(outputs).all():
        message = "the network gives numbers on this phone that are not finite"
        raise BadResultError(message)
    return outputs


def size_of(port: Port) -> int:
    """Bytes of one sample at an input or output."""
    return int(np.prod(port.shape, dtype=int)) * port.dtype.itemsize
