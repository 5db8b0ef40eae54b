"""Installs the harness app where the phone does not already have these very bytes."""

from __future__ import annotations

import re
from pathlib import Path

from mlbench.contracts import Progress
from mlbench.device_runners.android import facts
from mlbench.device_runners.android.build import MINIMUM_SDK, PACKAGE
from mlbench.device_runners.android.phone import Phone, RefusedError
from mlbench.system.files import file_sha256

#: Everything of mlbench on a phone, readable by the app and not executable.
FOLDER = "/data/local/tmp/mlbench"

_TIMEOUT_S = 300.0
_REMEDIES = {
    "INSTALL_FAILED_UPDATE_INCOMPATIBLE": f"uninstall the older app (`adb uninstall {PACKAGE}`)",
    "INSTALL_FAILED_VERSION_DOWNGRADE": f"uninstall the newer app (`adb uninstall {PACKAGE}`)",
    "INSTALL_FAILED_NO_MATCHING_ABIS": "build for this phone's processor (`mlbench android build --abi …`)",
    "INSTALL_FAILED_INSUFFICIENT_STORAGE": "free space on the phone",
    "INSTALL_FAILED_USER_RESTRICTED": "allow `Install via USB` in its developer options",
    "INSTALL_FAILED_VERIFICATION_FAILURE": "switch `Verify apps over USB` off in its developer options",
}


def digest(phone: Phone, path: str) -> str | None:
    """SHA-256 of a file on the phone; None where there is no such file, or no sha256sum (Android 7)."""
    output = phone.run(["sha256sum", path], timeout=300)
    found = re.match(r"([0-9a-f]{64})\s", output.text)
    return found[1] if output.code == 0 and found else None


def installed_digest(phone: Phone) -> str | None:
    """SHA-256 of the installed app's APK, None where it is not installed."""
    found = re.match(r"package:(/[\w./=~+-]+\.apk)\s*$", phone.run(["pm", "path", PACKAGE]).text)
    return digest(phone, found[1]) if found else None


def install(phone: Phone, apk: Path, progress: Progress) -> bool:
    """Install an APK unless the phone has it; returns whether it was installed.

    Raises:
        RefusedError: the phone is too old or refuses, with what to do.
        PhoneError: disconnected.
    """
    level = facts.properties(phone).get("ro.build.version.sdk", "")
    if level.isdecimal() and int(level) < MINIMUM_SDK:
        message = (
            f"Phone {phone.serial} has Android API level {level}, the app needs {MINIMUM_SDK} (Android 7)."
        )
        raise RefusedError(message)
    if installed_digest(phone) == file_sha256(apk):
        return False
    target = f"{FOLDER}/harness.apk"
    phone.run(["mkdir", "-p", FOLDER])
    with progress.task(f"{phone.serial}: installing", apk.stat().st_size, "bytes") as advance:
        phone.push(apk, target, lambda count: advance(count, ""))
        output = phone.run(["pm", "install", "-r", "-t", target], timeout=_TIMEOUT_S)
    phone.run(["rm", "-f", target])
    if "Success" not in output.text:
        raise RefusedError(_refusal(phone, output.text))
    return True


def _refusal(phone: Phone, text: str) -> str:
    found = re.search(r"\[?(INSTALL_[A-Z_]+)", text)
    reason = found[1] if found else facts.clean(text) or "no reason given"
    remedy = _REMEDIES.get(reason, "see the phone's screen")
    return f"Phone {phone.serial} refused the app ({reason}): {remedy} and run again."
