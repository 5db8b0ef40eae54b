"""What is read from phones and files: the real formats, and anything else without a crash."""

from __future__ import annotations

import hashlib
import json
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench.device_runners.android import apk, death, dex, elf, facts
from mlbench.device_runners.android.instrumentation import Listener
from mlbench.device_runners.android.op_versions import unsupported
from mlbench.device_runners.android.results import BadResultError, OutputReport, parse_output, parse_result
from mlbench.errors import UsageError
from mlbench.export.interpreter import Port


def heard(text: str) -> tuple[Listener, list[str]]:
    progress: list[str] = []
    listener = Listener(progress.append)
    for line in text.splitlines():
        listener.hear(line)
    return listener, progress


def test_a_finished_run() -> None:
    listener, progress = heard(
        "INSTRUMENTATION_STATUS: progress=load\n"
        "INSTRUMENTATION_STATUS_CODE: 1\n"
        "INSTRUMENTATION_STATUS: progress=frame 3\n"
        "INSTRUMENTATION_STATUS_CODE: 1\n"
        "INSTRUMENTATION_RESULT: outcome=measured\n"
        "INSTRUMENTATION_CODE: -1\n"
    )
    assert listener.finished
    assert progress == ["load", "frame 3"]
    assert listener.results == {"outcome": "measured"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("INSTRUMENTATION_RESULT: shortMsg=Process crashed.\nINSTRUMENTATION_CODE: 0\n", "Process crashed."),
        (
            "INSTRUMENTATION_RESULT: shortMsg=java.lang.OutOfMemoryError\n"
            "INSTRUMENTATION_RESULT: longMsg=java.lang.OutOfMemoryError: Failed to allocate\nINSTRUMENTATION_CODE: 0\n",
            "Failed to allocate",
        ),
        ("INSTRUMENTATION_ABORTED: System has crashed.\n", "System has crashed"),
        (
            "INSTRUMENTATION_STATUS: Error=Unable to find instrumentation info for: ComponentInfo{a/b}\n"
            "INSTRUMENTATION_STATUS: id=ActivityManagerService\nINSTRUMENTATION_STATUS_CODE: -1\n"
            "android.util.AndroidException: INSTRUMENTATION_FAILED: a/b\n",
            "Unable to find instrumentation info",
        ),
        ("", "ended without a word"),
    ],
)
def test_a_run_that_did_not_finish(text: str, said: str) -> None:
    listener, _ = heard(text)
    assert not listener.finished
    assert said in listener.how_it_ended


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (
            "I/lmkd    (  500): Kill 'io.mlbench.harness' (1), uid 10 oom_score_adj 0 to free 9kB rss",
            "memory ran out",
        ),
        ("I/lowmemorykiller(  523): Killing 'io.mlbench.harness' (12345), adj 0", "memory ran out"),
        ("I/lowmemorykiller(  523): Kill 'com.other.app' (12345), uid 1 to free 3kB", ""),
        (
            "E/AndroidRuntime( 9): java.lang.OutOfMemoryError: Failed to allocate a 5 byte allocation",
            "memory ran out",
        ),
        (
            "I/ActivityManager( 1): Process io.mlbench.harness (pid 12) has died: fg TOP",
            "the process was killed",
        ),
        ("I/ActivityManager( 1): Process com.other.app (pid 12) has died: fg TOP", ""),
        ("F/libc (9): Fatal signal 11 (SIGSEGV), code 1 in tid 9 (x), pid 8 (com.other.app)", ""),
        (
            "F/libc (9): Fatal signal 11 (SIGSEGV), code 1 in tid 9 (x), pid 8 (mlbench.harness)",
            "with SIGSEGV",
        ),
    ],
)
def test_the_log_tells_why_the_app_died_and_only_the_app(log: str, said: str) -> None:
    reason = death.explain(log)
    assert said in reason
    assert bool(reason) == bool(said)


class Told:
    """A phone that gives one text to every command."""

    def __init__(self, text: str) -> None:
        self._text = text

    def run(self, command: list[str]) -> object:
        return type("Output", (), {"code": 0, "text": self._text})()


@pytest.mark.parametrize(
    ("text", "free"),
    [
        (
            "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/block/dm-5 100 60 40 60% /data\n",
            40 * 1024,
        ),
        (
            "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/block/a-very-long-name\n 9 2 7 2% /data\n",
            7 * 1024,
        ),
        ("df: /data/local/tmp/x: No such file or directory\n", None),
        ("", None),
    ],
)
def test_free_space(text: str, free: int | None) -> None:
    assert facts.free_bytes(Told(text), "/data") == free  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.text())
def test_whatever_a_phone_says_is_text(text: str) -> None:
    phone = Told(text)
    facts.battery(phone)  # type: ignore[arg-type]
    facts.thermal_status(phone)  # type: ignore[arg-type]
    facts.free_bytes(phone, "/data")  # type: ignore[arg-type]
    assert all(value.isprintable() and len(value) <= 200 for value in facts.properties(phone).values())  # type: ignore[arg-type]
    heard(text)
    death.explain(text)


@settings(deadline=None)
@given(st.binary(max_size=2000))
def test_bytes_that_are_no_result_are_refused(data: bytes) -> None:
    with pytest.raises(BadResultError):
        parse_result(data, "ab")


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["schema", "run", "network", "memory", "failure", "load_ms"]), _JSON))
def test_json_of_another_shape_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(BadResultError):
        parse_result(json.dumps(values).encode(), "ab")


ANSWERS = Port("answers", (1, 136), 0, np.dtype(np.float32), None)


@pytest.mark.parametrize(
    "wrong", [{"count": 3}, {"bytes": 40}, {"type": "int8"}, {"type": "complex7"}, {"sha256": "0" * 64}]
)
def test_outputs_that_do_not_match_are_refused(wrong: dict[str, object]) -> None:
    data = np.zeros((2, 136), "<f4").tobytes()
    right = {"type": "float32", "count": 2, "bytes": 544, "sha256": hashlib.sha256(data).hexdigest()}
    assert parse_output(data, OutputReport(**right), ANSWERS, 2).shape == (2, 136)  # type: ignore[arg-type]
    with pytest.raises(BadResultError):
        parse_output(data, OutputReport(**(right | wrong)), ANSWERS, 2)  # type: ignore[arg-type]


def test_outputs_that_are_not_finite_are_refused() -> None:
    data = np.full((1, 136), np.nan, "<f4").tobytes()
    report = OutputReport(type="float32", count=1, bytes=544, sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(BadResultError, match="not finite"):
        parse_output(data, report, ANSWERS, 1)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_libraries_and_dex_files_of_any_bytes_are_refused_or_read(data: bytes) -> None:
    for read in (elf.page_alignment, dex.class_names):
        for head in (b"", b"\x7fELF\x02\x01\x01" + bytes(11) + b"\xb7\x00", b"dex\n035\0"):
            with pytest.raises(UsageError):
                read(head + data[:40], "x")  # type: ignore[operator]


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_networks_of_any_bytes_are_read_without_a_crash(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "x.tflite"
        file.write_bytes(data[:4] + b"TFL3" + data[4:])
        assert isinstance(unsupported(file), str | None)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["lib/a/x.so", "a.txt", "classes.dex", "dir/ü.bin"]),
            st.binary(max_size=70),
            st.booleans(),
        ),
        unique_by=lambda e: e[0],
        min_size=1,
    )
)
def test_packed_entries_are_aligned_and_the_same_every_time(entries: list[tuple[str, bytes, bool]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        first, second = Path(name) / "a.apk", Path(name) / "b.apk"
        packed = [apk.Entry(*entry) for entry in entries]
        apk.pack(packed, first)
        apk.pack(packed, second)
        assert first.read_bytes() == second.read_bytes()
        assert apk.misaligned(first) == []


def test_a_dex_file_is_checked_against_its_header() -> None:
    body = bytearray(0x70)
    body[:8] = b"dex\n035\0"
    struct.pack_into("<I", body, 32, len(body))
    body[12:32] = hashlib.sha1(body[32:], usedforsecurity=False).digest()
    struct.pack_into("<I", body, 8, zlib.adler32(bytes(body[12:])))
    assert dex.class_names(bytes(body), "x") == set()
    body[0x60] ^= 1
    with pytest.raises(UsageError, match="does not match its own checksum"):
        dex.class_names(bytes(body), "x")
