"""Keys that sign the APK: a debug key made on first use, or the user's own keystore."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlbench.device_runners.android.tools import Command, Tools, call
from mlbench.errors import UsageError

#: Environment variable with the password of a keystore of one's own: never an argument that `ps` would show.
PASSWORD_VARIABLE = "MLBENCH_KEYSTORE_PASSWORD"  # noqa: S105

#: Every debug keystore has these two, by convention.
_DEBUG_PASSWORD = "android"  # noqa: S105
_DEBUG_ALIAS = "androiddebugkey"


@dataclass(frozen=True)
class Keystore:
    """Where a signing key is."""

    path: Path
    alias: str
    password: str


def users_keystore(path: Path, alias: str) -> Keystore:
    """A keystore of the user's own.

    Raises:
        UsageError: no such file, or no password in the environment.
    """
    password = os.environ.get(PASSWORD_VARIABLE)
    if not path.is_file():
        message = f"{path} is not a keystore: give the file that `keytool -genkeypair` wrote."
        raise UsageError(message)
    if not password:
        message = (
            f"The password of {path} is not set: put it into the environment variable {PASSWORD_VARIABLE}."
        )
        raise UsageError(message)
    return Keystore(path, alias, password)


def debug_keystore(folder: Path, tools: Tools) -> Keystore:
    """The debug key of this user, made on first use."""
    keystore = Keystore(folder / "debug.keystore", _DEBUG_ALIAS, _DEBUG_PASSWORD)
    if not keystore.path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        identity = ["-alias", _DEBUG_ALIAS, "-dname", "CN=Android Debug,O=Android,C=US"]
        strength = ["-keyalg", "RSA", "-keysize", "2048", "-validity", "10000", "-storetype", "PKCS12"]
        with tempfile.TemporaryDirectory(prefix=".debug.keystore.", dir=folder) as scratch:
            made = Path(scratch, keystore.path.name)
            command: Command = [
                tools.path("keytool"),
                "-genkeypair",
                "-keystore",
                made,
                "-storepass",
                _DEBUG_PASSWORD,
            ]
            call([*command, *identity, *strength], "The debug key cannot be made")
            made.replace(keystore.path)
    return keystore


def sign(unsigned: Path, signed: Path, keystore: Keystore, minimum_sdk: int, tools: Tools) -> None:
    """Sign an APK with schemes v2 and v3.

    Raises:
        UsageError: a wrong password or alias.
    """
    command: Command = [
        *(tools.path("apksigner"), "sign", "--ks", keystore.path, "--ks-key-alias", keystore.alias),
        *("--ks-pass", f"env:{PASSWORD_VARIABLE}", "--min-sdk-version", str(minimum_sdk)),
        *("--v1-signing-enabled", "false", "--v2-signing-enabled", "true", "--v3-signing-enabled", "true"),
        *("--v4-signing-enabled", "false", "--out", signed, unsigned),
    ]
    call(command, f"The APK cannot be signed with {keystore.path}", {PASSWORD_VARIABLE: keystore.password})
