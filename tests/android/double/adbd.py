"""The phone's end of the adb protocol over TCP: what `adb connect 127.0.0.1:PORT` talks to.

Messages are 24 bytes (command, two arguments, length, checksum, magic) and data; streams are opened, written
and acknowledged one piece at a time; AUTH goes token, signature, public key, as on a phone that asks its user.
"""

from __future__ import annotations

import asyncio
import os
import stat
import struct
from pathlib import Path
from typing import Protocol

_VERSION, _MAX_DATA = 0x01000001, 256 * 1024
_TOKEN, _SIGNATURE, _PUBLIC_KEY = 1, 2, 3
_STDOUT, _STDERR, _EXIT = 1, 2, 3


class Behaviour(Protocol):
    """What the daemon asks the phone behind it."""

    answers: bool  # False: accepts the connection and stays silent, which adb calls offline
    trusts: bool  # False: the user has not accepted this computer
    link_delay: float  # seconds a piece

    def banner(self) -> bytes: ...

    def path(self, name: str) -> Path: ...

    def may_write(self, name: str, size: int) -> str: ...

    def received(self, size: int) -> None: ...

    async def command(self, line: str, stream: ShellStream) -> int: ...


class CutError(Exception):
    """The connection is to be cut now, as by a pulled cable."""


class Stream:
    """One stream of a connection."""

    def __init__(self, connection: Connection, local: int, remote: int) -> None:
        self.connection, self.local, self.remote = connection, local, remote
        self.closed = False
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.acknowledged = asyncio.Event()
        self._buffer = b""

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), self.connection.max_data):
            if self.closed:
                raise ConnectionResetError
            self.acknowledged.clear()
            piece = data[start : start + self.connection.max_data]
            await self.connection.send(b"WRTE", self.local, self.remote, piece)
            await self.acknowledged.wait()

    async def read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = await self.incoming.get()
            if data is None:
                raise EOFError
            self._buffer += data
            await asyncio.sleep(self.connection.phone.link_delay)
            if not self.closed:
                await self.connection.send(b"OKAY", self.local, self.remote)
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
            await self.connection.send(b"CLSE", self.local, self.remote)
        self.connection.streams.pop(self.local, None)

    def lost(self) -> None:
        self.closed = True
        self.incoming.put_nowait(None)
        self.acknowledged.set()


class ShellStream:
    """The output of one command, in the packets of shell protocol v2."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def out(self, text: str) -> None:
        await self._packet(_STDOUT, text.encode())

    async def error(self, text: str) -> None:
        await self._packet(_STDERR, text.encode())

    async def exit(self, code: int) -> None:
        await self._packet(_EXIT, bytes([code & 255]))

    async def _packet(self, kind: int, data: bytes) -> None:
        if data:
            await self._stream.write(struct.pack("<BI", kind, len(data)) + data)


class Connection:
    """One connection of an adb server."""

    def __init__(self, phone: Behaviour, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.phone, self.streams, self.max_data = phone, dict[int, Stream](), _MAX_DATA
        self._reader, self._writer, self._next = reader, writer, 1
        self._tasks: set[asyncio.Task[None]] = set()

    async def send(self, command: bytes, first: int, second: int, data: bytes = b"") -> None:
        (number,) = struct.unpack("<I", command)
        header = struct.pack(
            "<6I", number, first, second, len(data), sum(data) & 0xFFFFFFFF, number ^ 0xFFFFFFFF
        )
        self._writer.write(header + data)
        await self._writer.drain()

    async def serve(self) -> None:
        try:
            while True:
                header = await self._reader.readexactly(24)
                first, second, length = struct.unpack_from("<3I", header, 4)
                data = await self._reader.readexactly(length) if length else b""
                await self._take(header[:4], first, second, data)
        except (asyncio.IncompleteReadError, ConnectionError, CutError):
            pass
        finally:
            self.cut()

    def cut(self) -> None:
        for stream in self.streams.values():
            stream.lost()
        self._writer.close()

    async def _take(self, command: bytes, first: int, second: int, data: bytes) -> None:
        if not self.phone.answers:
            return
        if command == b"CNXN":
            self.max_data = min(_MAX_DATA, second)
            await self.send(b"AUTH", _TOKEN, 0, os.urandom(20))
        elif command == b"AUTH" and first == _SIGNATURE:
            await self.send(b"AUTH", _TOKEN, 0, os.urandom(20))  # a key that is not known yet
        elif command == b"AUTH" and first == _PUBLIC_KEY:
            if self.phone.trusts:
                await self.send(b"CNXN", _VERSION, _MAX_DATA, self.phone.banner())
        elif command == b"OPEN":
            await self._open(first, data.rstrip(b"\0").decode())
        elif second in self.streams:
            self._pass_on(command, self.streams[second], data)

    def _pass_on(self, command: bytes, stream: Stream, data: bytes) -> None:
        if command == b"OKAY":
            stream.acknowledged.set()
        elif command == b"WRTE":
            stream.incoming.put_nowait(data)
        elif command == b"CLSE":
            self.streams.pop(stream.local, None)
            stream.lost()

    async def _open(self, remote: int, service: str) -> None:
        stream = Stream(self, self._next, remote)
        self._next += 1
        known = service.startswith(("shell,v2", "sync:"))
        if not known:
            await self.send(b"CLSE", 0, remote)
            return
        self.streams[stream.local] = stream
        await self.send(b"OKAY", stream.local, remote)
        task = asyncio.ensure_future(self._serve_stream(stream, service))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_stream(self, stream: Stream, service: str) -> None:
        try:
            if service.startswith("sync:"):
                await Sync(stream, self.phone).serve()
            else:
                shell = ShellStream(stream)
                await shell.exit(await self.phone.command(service.partition(":")[2], shell))
            await stream.close()
        except CutError:
            self.cut()
        except (EOFError, ConnectionError):
            pass


class Sync:
    """The file service: SEND and RECV, as adbd answers them."""

    def __init__(self, stream: Stream, phone: Behaviour) -> None:
        self._stream, self._phone = stream, phone

    async def serve(self) -> None:
        while True:
            request, length = struct.unpack("<4sI", await self._stream.read(8))
            if request == b"QUIT":
                return
            name = (await self._stream.read(length)).decode()
            if request == b"SEND":
                await self._receive(name.rpartition(",")[0])
            elif request == b"RECV":
                await self._send(name)
            elif request == b"STAT":
                await self._stat(name)
            else:
                await self._fail(f"unknown command {request!r}")
                return

    async def _stat(self, name: str) -> None:
        path = self._phone.path(name)
        facts = path.stat() if path.exists() else None
        values = (facts.st_mode, facts.st_size, int(facts.st_mtime)) if facts else (0, 0, 0)
        await self._stream.write(struct.pack("<4s3I", b"STAT", *values))

    async def _receive(self, name: str) -> None:
        path, size, refused = self._phone.path(name), 0, self._phone.may_write(name, 0)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            while True:
                kind, length = struct.unpack("<4sI", await self._stream.read(8))
                if kind == b"DONE":
                    break
                data = await self._stream.read(length)
                size += length
                self._phone.received(length)
                refused = refused or self._phone.may_write(name, size)
                if not refused:
                    file.write(data)
        if refused:
            path.unlink()
            await self._fail(refused)
            return
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        await self._stream.write(struct.pack("<4sI", b"OKAY", 0))

    async def _send(self, name: str) -> None:
        path = self._phone.path(name)
        if not path.is_file():
            await self._fail("open failed: No such file or directory")
            return
        with path.open("rb") as file:
            while data := file.read(64 * 1024):
                await self._stream.write(struct.pack("<4sI", b"DATA", len(data)) + data)
        await self._stream.write(struct.pack("<4sI", b"DONE", 0))

    async def _fail(self, reason: str) -> None:
        await self._stream.write(struct.pack("<4sI", b"FAIL", len(reason)) + reason.encode())
