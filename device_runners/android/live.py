"""Networks for the app's live screen, each with how it finds faces, beside the cascade."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from mlbench.contracts import Progress
from mlbench.device_runners.android import face_finding, installation
from mlbench.device_runners.android.op_versions import unsupported
from mlbench.device_runners.android.phone import Phone
from mlbench.device_runners.android.results import SCHEMA
from mlbench.errors import UsageError
from mlbench.faces.detection import cascade_path
from mlbench.faces.face_network import FaceNetwork
from mlbench.faces.live import SMALLEST
from mlbench.faces.tracking import Rules

#: `LiveModels.FOLDER` of the app.
FOLDER = f"{installation.FOLDER}/live"

_CASCADE = "cascade.xml"


def check(models: tuple[Path, ...]) -> None:
    """Check networks before a phone is touched.

    Raises:
        UsageError: no such file, one that is not for faces, or one that the app's TensorFlow Lite would refuse.
    """
    for model in models:
        if not model.is_file():
            message = f"{model} does not exist: give the .tflite file of a run."
            raise UsageError(message)
        reason = unsupported(model)
        if reason:
            message = f"{model} does not run in the app: {reason}."
            raise UsageError(message)
        FaceNetwork.of(model)


def lay_out(models: tuple[Path, ...], folder: Path, rules: Rules) -> dict[str, Path]:
    """What the live screen reads, by its name on the phone; what is not there yet is written below a folder."""
    files = {_CASCADE: cascade_path()}
    for model in models:
        settings = folder / f"{model.stem}.json"
        settings.write_text(json.dumps(settings_of(FaceNetwork.of(model), rules)))
        files |= {f"{model.stem}.tflite": model, settings.name: settings}
    return files


def settings_of(network: FaceNetwork, rules: Rules) -> dict[str, object]:
    """How the live screen finds faces with a network, as it reads it."""
    return {
        "schema": SCHEMA,
        "detector": face_finding.of_detector(_CASCADE, SMALLEST),
        "network": face_finding.of_network(network, rules),
        "tracking": face_finding.of_tracking(rules),
    }


def push(phone: Phone, models: tuple[Path, ...], rules: Rules, progress: Progress) -> None:
    """Put networks, their settings and the cascade into the live folder; those of before stay.

    Raises:
        PhoneError: no space, or disconnected.
    """
    phone.run(["mkdir", "-p", FOLDER])
    phone.run(["chmod", "755", installation.FOLDER, FOLDER])
    with tempfile.TemporaryDirectory(prefix="mlbench-") as scratch:
        files = lay_out(models, Path(scratch), rules)
        total = sum(path.stat().st_size for path in files.values())
        with progress.task(f"{phone.serial}: pushing", total, "bytes") as advance:
            for name, path in files.items():
                phone.push(path, f"{FOLDER}/{name}", lambda count: advance(count, ""))
