"""A phone that adb cannot use: one sentence for each state, over a double of the adb server."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest

from mlbench.device_runners.android import phone

Listed = Callable[[str], None]


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listed]:
    """An adb server that answers `host:devices` with the given text."""
    pytest.importorskip("adbutils", reason="needs adbutils: pip install -e '.[android]'")
    answers: list[str] = []

    class Server(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked = self.rfile.read(int(self.rfile.read(4), 16))
            assert asked == b"host:devices"
            text = answers[-1].encode()
            self.wfile.write(b"OKAY%04x" % len(text) + text)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.server_address[1]))
        monkeypatch.setattr(phone, "_SETTLE_S", 0.0)
        yield answers.append
        server.shutdown()


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("no permissions (missing udev rules? user is in the plugdev group); see [http://x]", "udev rules"),
        ("no permissions", "udev rules"),
        ("unauthorized", "accept `Allow USB debugging`"),
        ("authorizing", "still asked"),
        ("connecting", "still connecting"),
        ("offline", "is offline"),
        ("recovery", "adb reboot"),
        ("sideload", "adb reboot"),
        ("rescue", "adb reboot"),
        ("bootloader", "fastboot reboot"),
        ("host", "not a phone"),
        ("detached", "adb attach"),
        ("no device", "is gone"),
        ("unknown", "is not ready (adb: unknown)"),
        ("", "is not ready"),
    ],
)
def test_each_state_is_one_sentence(listed: Listed, state: str, sentence: str) -> None:
    listed(f"S1\t{state}\n")
    for chosen in ("S1", None):
        with pytest.raises(phone.PhoneError) as caught:
            phone.connect(chosen)
        assert str(caught.value).startswith("Phone S1 ")
        assert sentence in str(caught.value)
        assert "disconnected" not in str(caught.value)


def test_a_ready_phone_beside_one_that_is_not(listed: Listed) -> None:
    listed("S1\tno permissions (user in plugdev group)\nS2\tdevice\n")
    assert phone.connect("S2").serial == "S2"
    with pytest.raises(phone.PhoneError, match="choose by --device android:SERIAL, of S1, S2"):
        phone.connect(None)


def test_an_error_about_a_route_is_no_state() -> None:
    assert "was disconnected while pushing" in phone.why("S1", "No route to host", "pushing")
