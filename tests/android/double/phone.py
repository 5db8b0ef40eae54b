"""A phone of files and switches: its commands answer in the formats of real ones."""

from __future__ import annotations

import asyncio
import hashlib
import posixpath
import shlex
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .adbd import Connection, CutError, ShellStream

PACKAGE = "io.mlbench.harness"
EXTERNAL = f"/sdcard/Android/data/{PACKAGE}/files"

#: Runs the app: instrumentation arguments, the app's folder for results, and where its status lines go.
App = Callable[[dict[str, str], Path, Callable[[str], None]], None]

BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: {usb}
  Wireless powered: false
  Max charging current: 500000
  Charge counter: 3312000
  status: 2
  health: 2
  present: true
  level: {level}
  scale: 100
  voltage: 4123
  temperature: {tenths}
  technology: Li-ion
"""

THERMAL = """IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 2
\tkilled: false
\tbroadcasts count: -1
Thermal Status: {status}
Cached temperatures:
\tTemperature{{mValue=31.5, mType=3, mName=skin, mStatus={status}}}
HAL Ready: true
"""


@dataclass
class FakePhone:
    """The switches; `root` is its file system."""

    root: Path
    app: App
    properties: dict[str, str] = field(default_factory=dict)
    answers: bool = True
    trusts: bool = True
    link_delay: float = 0.0
    free_kb: int = 50_000_000
    write_limit: int | None = None  # bytes of a file at which the disk is full
    cut_after: int | None = None  # received bytes at which the cable is pulled
    cut_on: str = ""  # a command that pulls the cable
    silent_on: str = ""  # a command that never answers
    battery: list[tuple[int, int, bool]] = field(
        default_factory=lambda: [(87, 285, True)]
    )  # the last one stays
    thermal: int = 0
    log: str = ""
    install_answer: str = ""
    commands: list[str] = field(default_factory=list)
    bytes_received: int = 0
    installed: Path | None = None

    def __post_init__(self) -> None:
        defaults = {
            "ro.product.manufacturer": "Double",
            "ro.product.model": "Double One",
            "ro.product.name": "double",
            "ro.product.device": "double",
            "ro.product.cpu.abi": "arm64-v8a",
            "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a,x86_64",
            "ro.build.version.sdk": "34",
            "ro.build.version.release": "14",
            "ro.build.fingerprint": "double/double/double:14/UP1A/1:user/release-keys",
            "ro.soc.model": "None",
        }
        self.properties = defaults | self.properties
        for folder in ("/data/local/tmp", "/sdcard/Android/data"):
            self.path(folder).mkdir(parents=True, exist_ok=True)

    def banner(self) -> bytes:
        names = ("ro.product.name", "ro.product.model", "ro.product.device")
        told = "".join(f"{name}={self.properties[name]};" for name in names)
        return f"device::{told}features=shell_v2,cmd,stat_v2,ls_v2,fixed_push_mkdir,abb_exec".encode()

    def path(self, name: str) -> Path:
        return self.root / posixpath.normpath("/" + name).lstrip("/")

    def may_write(self, name: str, size: int) -> str:
        if not name.startswith(("/data/local/tmp/", "/sdcard/")):
            return "couldn't create file: Permission denied"
        full = self.write_limit is not None and size > self.write_limit
        return "write failed: No space left on device" if full else ""

    def received(self, size: int) -> None:
        self.bytes_received += size
        if self.cut_after is not None and self.bytes_received > self.cut_after:
            self.cut_after = None
            raise CutError

    async def command(self, line: str, stream: ShellStream) -> int:
        self.commands.append(line)
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        if any(set(word) <= set(";&|<>()") for word in words):
            await stream.error(f"the double runs single commands only: {line}\n")
            return 2
        if self.cut_on and line.startswith(self.cut_on):
            self.cut_on = ""
            raise CutError
        if self.silent_on and line.startswith(self.silent_on):
            await asyncio.Event().wait()
        known = getattr(self, f"_do_{words[0]}", None)
        if known is None:
            await stream.error(f"/system/bin/sh: {words[0]}: inaccessible or not found\n")
            return 127
        return int(await known(words[1:], stream) or 0)

    async def _do_getprop(self, words: list[str], stream: ShellStream) -> None:
        await stream.out("".join(f"[{key}]: [{value}]\n" for key, value in self.properties.items()))

    async def _do_df(self, words: list[str], stream: ShellStream) -> None:
        used = 100_000_000 - self.free_kb
        row = f"/dev/block/dm-44 100000000 {used} {self.free_kb}  {used // 1_000_000}% /data\n"
        await stream.out("Filesystem       1K-blocks     Used Available Use% Mounted on\n" + row)

    async def _do_dumpsys(self, words: list[str], stream: ShellStream) -> int:
        if words[0] == "battery":
            level, tenths, usb = self.battery.pop(0) if len(self.battery) > 1 else self.battery[0]
            await stream.out(BATTERY.format(level=level, tenths=tenths, usb=str(usb).lower()))
            return 0
        if words[0] == "thermalservice" and int(self.properties["ro.build.version.sdk"]) >= 29:
            await stream.out(THERMAL.format(status=self.thermal))
            return 0
        await stream.out(f"Can't find service: {words[0]}\n")
        return 0

    async def _do_date(self, words: list[str], stream: ShellStream) -> None:
        await stream.out("11-24 14:00:00.000\n")

    async def _do_logcat(self, words: list[str], stream: ShellStream) -> None:
        await stream.out("--------- beginning of main\n" + self.log)

    async def _do_mkdir(self, words: list[str], stream: ShellStream) -> None:
        for name in words:
            if not name.startswith("-"):
                self.path(name).mkdir(parents=True, exist_ok=True)

    async def _do_chmod(self, words: list[str], stream: ShellStream) -> None:
        pass

    async def _do_rm(self, words: list[str], stream: ShellStream) -> None:
        for name in (word for word in words if not word.startswith("-")):
            path = self.path(name)
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    async def _do_sha256sum(self, words: list[str], stream: ShellStream) -> int:
        path = self.path(words[0])
        if not path.is_file():
            await stream.error(f"sha256sum: {words[0]}: No such file or directory\n")
            return 1
        await stream.out(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {words[0]}\n")
        return 0

    async def _do_pm(self, words: list[str], stream: ShellStream) -> int:
        if words[0] == "path":
            if self.installed is None:
                return 1
            await stream.out(f"package:/data/app/~~Qz0_9aB==/{PACKAGE}-x1Y-2==/base.apk\n")
            return 0
        answer = self.install_answer or await asyncio.get_running_loop().run_in_executor(
            None, self._install, words[-1]
        )
        await stream.out(answer + "\n")
        return 0 if answer == "Success" else 1

    def _install(self, name: str) -> str:
        apk = self.path(name)
        verified = subprocess.run(["apksigner", "verify", str(apk)], capture_output=True, check=False)  # noqa: S607
        if verified.returncode:
            return (
                "Failure [INSTALL_PARSE_FAILED_NO_CERTIFICATES: Failed to collect certificates from base.apk]"
            )
        with zipfile.ZipFile(apk) as archive:
            abis = {entry.split("/")[1] for entry in archive.namelist() if entry.startswith("lib/")}
        if not abis & set(self.properties["ro.product.cpu.abilist"].split(",")):
            return "Failure [INSTALL_FAILED_NO_MATCHING_ABIS: Failed to extract native libraries, res=-113]"
        self.installed = self.path(f"/data/app/~~Qz0_9aB==/{PACKAGE}-x1Y-2==/base.apk")
        self.installed.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(apk, self.installed)
        return "Success"

    async def _do_am(self, words: list[str], stream: ShellStream) -> int:
        if words[0] == "force-stop":
            return 0
        if self.installed is None:
            component = words[-1].replace("/.", f"/{PACKAGE}.")
            await stream.out(
                f"INSTRUMENTATION_STATUS: Error=Unable to find instrumentation info for: ComponentInfo{{{component}}}\n"
                "INSTRUMENTATION_STATUS: id=ActivityManagerService\n"
                "INSTRUMENTATION_STATUS_CODE: -1\n"
            )
            await stream.error(f"android.util.AndroidException: INSTRUMENTATION_FAILED: {words[-1]}\n")
            return 1
        await self._instrument(words, stream)
        return 0

    async def _instrument(self, words: list[str], stream: ShellStream) -> None:
        given = {words[i + 1]: words[i + 2] for i, word in enumerate(words) if word == "-e"}
        arguments = {key: str(self.path(value)) if key == "config" else value for key, value in given.items()}
        loop, lines = asyncio.get_running_loop(), asyncio.Queue[str | None]()

        def say(text: str) -> None:
            loop.call_soon_threadsafe(lines.put_nowait, text)

        def work() -> None:
            try:
                self.app(arguments, self.path(EXTERNAL), say)
            finally:
                loop.call_soon_threadsafe(lines.put_nowait, None)

        self.path(EXTERNAL).mkdir(parents=True, exist_ok=True)
        running = loop.run_in_executor(None, work)
        while (text := await lines.get()) is not None:
            await stream.out(text)
        await running


class Plugged:
    """A phone on a port of its own, served in a thread."""

    def __init__(self, phone: FakePhone) -> None:
        self.phone = phone
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.serial = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _listen(self) -> asyncio.Server:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await Connection(self.phone, reader, writer).serve()

        return await asyncio.start_server(accept, "127.0.0.1", 0)

    def unplug(self) -> None:
        """No further connection, and the end of the thread."""

        async def stop() -> None:
            self._server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


def lines_of(event: dict[str, object]) -> str:
    """An event of the app in the words of `am instrument -r`."""
    values, code = event["values"], event["code"]
    assert isinstance(values, dict)
    kind = "STATUS" if event["event"] == "status" else "RESULT"
    rows = [f"INSTRUMENTATION_{kind}: {key}={value}" for key, value in values.items()]
    ending = "INSTRUMENTATION_STATUS_CODE" if kind == "STATUS" else "INSTRUMENTATION_CODE"
    return "\n".join([*rows, f"{ending}: {code}", ""])
