"""Networks for the app's live screen, beside the cascade that finds the faces."""

from __future__ import annotations

from pathlib import Path

from mlbench.contracts import Progress
from mlbench.device_runners.android import installation
from mlbench.device_runners.android.op_versions import unsupported
from mlbench.device_runners.android.phone import Phone
from mlbench.errors import UsageError
from mlbench.export.notes import notes_of
from mlbench.faces.detection import cascade_path

#: `LiveModels.FOLDER` of the app.
FOLDER = f"{installation.FOLDER}/live"


def check(models: tuple[Path, ...]) -> None:
    """Check networks before a phone is touched.

    Raises:
        UsageError: no such file, or one that the app's TensorFlow Lite would refuse, or the app would feed wrongly.
    """
    for model in models:
        if not model.is_file():
            message = f"{model} does not exist: give the .tflite file of a run."
            raise UsageError(message)
        if margins := notes_of(model).margins:
            told = ", ".join(f"{margin:g}" for margin in margins.values())
            message = f"{model} is for crops with a margin of {told}, the app cuts without one: train for 1."
            raise UsageError(message)
        reason = unsupported(model)
        if reason:
            message = f"{model} does not run in the app: {reason}."
            raise UsageError(message)


def push(phone: Phone, models: tuple[Path, ...], progress: Progress) -> None:
    """Put networks and cascade into the live folder; those of before stay.

    Raises:
        PhoneError: no space, or disconnected.
    """
    phone.run(["mkdir", "-p", FOLDER])
    phone.run(["chmod", "755", installation.FOLDER, FOLDER])
    files = {cascade_path(): "cascade.xml", **{model: f"{model.stem}.tflite" for model in models}}
    total = sum(path.stat().st_size for path in files)
    with progress.task(f"{phone.serial}: pushing", total, "bytes") as advance:
        for path, name in files.items():
            phone.push(path, f"{FOLDER}/{name}", lambda count: advance(count, ""))
