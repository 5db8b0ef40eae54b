"""One phone over adb: commands, files in and out, each with a time limit, and every failure in one sentence.

adbutils finds the server, starts it, and opens streams; what goes over a stream is spoken here, because a
model is half a gigabyte (progress, time limits) and because nothing that a device says is trusted (sizes).
"""

from __future__ import annotations

import shlex
import stat
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlbench.errors import UsageError
from mlbench.system.installing import install_extra

_CHUNK = 64 * 1024  # the sync protocol's largest
_SETTLE_S = 5.0  # for a phone that was just plugged in, or whose answer is late
_SILENCE_S = 60.0  # a stream that says nothing for so long is taken for dead
_MAX_OUTPUT = 16 * 2**20
_STDOUT, _STDERR, _EXIT = 1, 2, 3


class PhoneError(UsageError):
    """A phone cannot be used, or no longer; the sentence says which, why and what to do."""


class RefusedError(PhoneError):
    """The phone is there, but said no to one step."""


class OverdueError(PhoneError):
    """The phone is there, but a command on it does not end."""


@dataclass(frozen=True)
class Output:
    """What a command on the phone gave."""

    code: int
    text: str


class Phone:
    """A phone by its serial number."""

    def __init__(self, device: Any) -> None:
        """Wrap an `adbutils.AdbDevice`."""
        self._device = device
        self.serial: str = device.serial

    def run(
        self,
        command: Sequence[str],
        timeout: float = 60.0,
        silence: float = 60.0,
        on_line: Callable[[str], None] | None = None,
    ) -> Output:
        """Run a command by the phone's shell, every argument quoted; `on_line` hears each line at once.

        Raises:
            OverdueError: still running after `timeout` seconds.
            PhoneError: disconnected, or silent for `silence` seconds.
        """
        line = shlex.join(command)
        with self._told(f"running `{command[0]}`"), self._stream(f"shell,v2,raw:{line}") as stream:
            deadline = time.monotonic() + timeout
            return self._collect(stream, deadline, silence, on_line or (lambda text: None))

    def _collect(
        self, stream: Any, deadline: float, silence: float, on_line: Callable[[str], None]
    ) -> Output:
        kept, rest = bytearray(), b""
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                message = f"Phone {self.serial} takes too long: see what it shows."
                raise OverdueError(message)
            stream.conn.settimeout(min(left, silence))
            kind, length = struct.unpack("<BI", stream.read_exact(5))
            data = stream.read_exact(min(length, _MAX_OUTPUT))
            if kind == _EXIT:
                return Output(data[0] if data else 255, kept.decode("utf-8", "replace"))
            if kind in (_STDOUT, _STDERR) and len(kept) < _MAX_OUTPUT:
                kept += data
                *lines, rest = (rest + data).split(b"\n")
                for text in lines:
                    on_line(text.decode("utf-8", "replace").rstrip("\r"))

    def push(self, source: Path, target: str, on_bytes: Callable[[int], None]) -> None:
        """Copy a file to the phone; `on_bytes` hears each piece.

        Raises:
            RefusedError: the phone cannot write it (no space, no right).
            PhoneError: disconnected or silent.
        """
        doing = f"pushing {source.name}"
        with self._told(doing), self._stream("sync:") as stream, source.open("rb") as file:
            name = f"{target},{stat.S_IFREG | 0o644}".encode()
            try:
                stream.conn.sendall(b"SEND" + struct.pack("<I", len(name)) + name)
                while chunk := file.read(_CHUNK):
                    stream.conn.sendall(b"DATA" + struct.pack("<I", len(chunk)) + chunk)
                    on_bytes(len(chunk))
                stream.conn.sendall(b"DONE" + struct.pack("<I", int(source.stat().st_mtime)))
            except (BrokenPipeError, ConnectionResetError):
                pass  # a phone that refuses stops listening: what it said is still to be read
            answer = stream.read_exact(4)
            (length,) = struct.unpack("<I", stream.read_exact(4))
            if answer != b"OKAY":
                reason = stream.read_exact(min(length, 1000)).decode("utf-8", "replace")
                message = f"Phone {self.serial} refused {source.name}: {reason}."
                raise RefusedError(message)

    def pull(self, source: str, limit: int) -> bytes | None:
        """The bytes of a file on the phone, None where there is none.

        Raises:
            RefusedError: larger than `limit`.
            PhoneError: disconnected or silent.
        """
        doing = f"reading {source.rsplit('/', 1)[-1]}"
        with self._told(doing), self._stream("sync:") as stream:
            name, data = source.encode(), bytearray()
            stream.conn.sendall(b"RECV" + struct.pack("<I", len(name)) + name)
            while True:
                kind, length = struct.unpack("<4sI", stream.read_exact(8))
                if kind == b"DONE":
                    return bytes(data)
                if kind == b"FAIL":
                    return None
                if kind != b"DATA" or length > _CHUNK or len(data) + length > limit:
                    message = (
                        f"Phone {self.serial} sent more than {limit} bytes for {source.rsplit('/', 1)[-1]}."
                    )
                    raise RefusedError(message)
                data += stream.read_exact(length)

    @contextmanager
    def _stream(self, service: str) -> Iterator[Any]:
        stream = self._device.open_transport(timeout=_SILENCE_S)
        try:
            stream.send_command(service)
            stream.check_okay()
            yield stream
        finally:
            stream.close()

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        from adbutils import AdbError, AdbTimeout  # type: ignore[import-untyped]

        try:
            yield
        except UsageError:
            raise
        except (AdbTimeout, TimeoutError) as error:
            message = f"Phone {self.serial} stopped answering while {doing}: check the cable and run again."
            raise PhoneError(message) from error
        except (AdbError, EOFError, OSError, struct.error, ValueError) as error:
            raise PhoneError(why(self.serial, str(error), doing)) from error


#: What adb says of a phone that it cannot use, and what that means to people. Errors of adb hold these words too.
_REFUSALS = {
    "unauthorized": "does not allow this computer yet: unlock it and accept `Allow USB debugging`",
    "authorizing": "is still asked whether it allows this computer: unlock it, accept, and run again",
    "connecting": "is still connecting: wait some seconds and run again",
    "offline": "is offline: unplug it, plug it in again, and run again",
    "permissions": "may not be opened by this user: install `android-sdk-platform-tools-common` (udev rules), plug "
    "the phone in again, and run `adb kill-server`",
}

#: Further states, in which a phone runs no apps.
_MODES = {
    "recovery": "shows its recovery: start Android by `adb reboot`, and run again",
    "rescue": "is in rescue mode: start Android by `adb reboot`, and run again",
    "sideload": "waits for an update to be sideloaded: start Android by `adb reboot`, and run again",
    "bootloader": "shows its bootloader: start Android by `fastboot reboot`, and run again",
    "host": "is another computer's adb, not a phone: choose another by --device android:SERIAL",
    "detached": "was detached from adb: run `adb attach`, and run again",
    "no device": "is gone: connect it and run again",
}

#: States that pass by themselves, or by the user's answer on the phone.
_PASSING = {"unauthorized", "authorizing", "connecting", "offline"}


def why(serial: str, said: str, doing: str) -> str:
    """One sentence for an error of adb about a phone."""
    for word, meaning in _REFUSALS.items():
        if word in said:
            return f"Phone {serial} {meaning}."
    when = "before" if "not found" in said else "while"
    return f"Phone {serial} was disconnected {when} {doing}: connect it and run again, it goes on from there."


def _unready(serial: str, state: str) -> str:
    """One sentence for a state, as `adb devices` shows it, in which a phone cannot be used."""
    for word, meaning in (_REFUSALS | _MODES).items():
        if state.startswith(word) or (word == "permissions" and word in state):
            return f"Phone {serial} {meaning}."
    shown = state[:60] if state.isprintable() else repr(state[:60])
    return f"Phone {serial} is not ready (adb: {shown}): see `adb devices`, plug it in again, and run again."


def connect(serial: str | None) -> Phone:
    """The phone of a serial number, or the only one.

    Raises:
        PhoneError: no adb, no phone, several phones, or one that is not ready.
    """
    try:
        import adbutils
    except ImportError as error:
        message = f"Phones need the package adbutils: {install_extra('android')}."
        raise PhoneError(message) from error
    states = _settled(serial)
    chosen = serial or _only(states)
    if chosen not in states:
        connected = ", ".join(states) or "none"
        message = f"No phone {chosen} is connected (there is {connected}): see `adb devices`."
        raise PhoneError(message)
    if states[chosen] != "device":
        raise PhoneError(_unready(chosen, states[chosen]))
    return Phone(adbutils.AdbClient().device(chosen))


def _settled(serial: str | None) -> dict[str, str]:
    """The state of each phone by its serial number, once the wanted one is ready or has had a few seconds for it.

    A phone that was just plugged in is "offline", and "unauthorized" until its answer has come.
    """
    patience = time.monotonic() + _SETTLE_S
    while True:
        states = _states()
        waiting = set(states.values() if serial is None else {states.get(serial, "device")})
        if not waiting & _PASSING or time.monotonic() > patience:
            return states
        time.sleep(0.2)


def _states() -> dict[str, str]:
    """Serial numbers and states, which may hold blanks: adbutils' own list splits at them."""
    import adbutils

    try:
        with adbutils.AdbClient().make_connection() as server:
            server.send_command("host:devices")
            server.check_okay()
            lines = server.read_string_block().splitlines()
        return {
            serial: state.strip() for serial, tab, state in (line.partition("\t") for line in lines) if tab
        }
    except (adbutils.AdbError, OSError, EOFError, RuntimeError) as error:
        message = f"adb does not answer ({error}): install it (`apt install adb`) and try `adb devices`."
        raise PhoneError(message) from error


def _only(states: dict[str, str]) -> str:
    if not states:
        message = "No phone is connected: plug one in with USB debugging switched on, and see `adb devices`."
        raise PhoneError(message)
    if len(states) > 1:
        message = f"Several phones are connected: choose by --device android:SERIAL, of {', '.join(states)}."
        raise PhoneError(message)
    return next(iter(states))
