"""The frame pipeline of the app and its live screen, with Android's own OpenCV on a desktop JVM."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from mlbench.contracts import Samples
from mlbench.device_runners.android.live import SMALLEST
from mlbench.device_runners.android.live import lay_out as lay_out_live
from mlbench.export import ready_models
from mlbench.faces.detection import cascade_path
from mlbench.faces.detectors.haar import Haar
from mlbench.faces.face_network import FaceNetwork
from mlbench.faces.tracking import Rules, Tracker

from .app_runs import instrument, lay_out
from .conftest import job
from .faces_followed import telling_presence
from .jvm.jvm_host import JvmHost

Grey = npt.NDArray[np.uint8]


@pytest.fixture(scope="session")
def frames(sampled: Samples) -> Grey:
    """Frames [n,480,864] with faces of several sizes, and one without."""
    frames = np.full((9, 480, 864), 120, np.uint8)
    for i, face in enumerate(sampled.inputs["crop"][:8]):
        side = 140 + 30 * i
        large = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
        top, left = 20 + 5 * i, 60 + 40 * i
        frames[i, top : top + side, left : left + side] = large
    return frames


def boxes_in_python(frames: Grey) -> list[list[int] | None]:
    cascade = cv2.CascadeClassifier(str(cascade_path()))
    boxes: list[list[int] | None] = []
    for frame in frames:
        found = cascade.detectMultiScale(frame, scaleFactor=1.3, minNeighbors=5, minSize=(80, 80))
        largest = max(found, key=lambda box: box[2] * box[3], default=None)
        boxes.append(None if largest is None else [int(value) for value in largest])
    return boxes


def test_boxes_are_those_of_opencv_in_python(
    jvm: JvmHost, networks: Path, crops: Grey, frames: Grey, tmp_path: Path
) -> None:
    asked = job(
        tmp_path, networks, ("svd",), test_sets={"a": crops}, frames=frames, video=frames[1:3, ::3, ::3]
    )
    run = instrument(jvm, lay_out(asked, tmp_path), tmp_path / "x")
    expected = boxes_in_python(frames)
    found = sum(box is not None for box in expected)
    assert found >= 4, "too few faces are found for a comparison"
    assert None in expected
    assert json.loads((run.folder / "result.json").read_text())["boxes"] == expected
    assert run.result.faces_found == found
    assert run.result.frames == len(frames)
    assert run.result.both is not None
    assert len(run.result.both.samples_ms) == len(frames)
    assert run.result.tracked is not None
    assert len(run.result.tracked.samples_ms) == 10 * Rules().every, "not ten searches"


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A folder as `mlbench android install --live` leaves it, of a network with presence and one without."""
    basic = ready_models.file_named("basic").read_bytes()
    models = tmp_path / "plain.tflite", tmp_path / "presence.tflite"
    for model, content in zip(models, (basic, telling_presence(basic, margin=1.05)), strict=True):
        model.write_bytes(content)
    (tmp_path / "live").mkdir()
    for name, path in lay_out_live(models, tmp_path, Rules()).items():
        shutil.copy(path, tmp_path / "live" / name)
    return tmp_path / "live"


def ask(jvm: JvmHost, what: str, folder: Path, frame: Grey) -> dict[str, object]:
    frame.tofile(folder / "frame.grey")
    (frame // 4).tofile(folder / "dark.grey")
    height, width = frame.shape
    files = {"other": "presence.tflite", "frame": "frame.grey", "dark": "dark.grey"}
    files |= {"picture": "live.png", "dark_picture": "dark.png"}
    values = {"models": str(folder)} | {key: str(folder / name) for key, name in files.items()}
    (said,) = jvm.request(what, **values, height=height, width=width)
    return said


def assert_face_is_drawn(picture: Path, frame: Grey, network: Path) -> None:
    """The frame is on the screen, with the box around the face and the network's points on it."""
    shown = cv2.imread(str(picture))
    assert shown is not None
    scale = min(shown.shape[1] / frame.shape[1], shown.shape[0] / frame.shape[0])
    (track,) = Tracker(Haar(SMALLEST).detect, FaceNetwork.of(network).look).step(frame)
    box, points = track.box, track.points
    left, top, width, height = box.left, box.top, box.width, box.height
    corners = np.array([[left, top], [left + width, top + height]])
    for x, y in np.concatenate([points, corners]) * scale:
        patch = shown[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2].reshape(-1, 3)
        assert any(g > 150 and b < 100 and r < 100 for b, g, r in patch), f"nothing green at {x:.0f}, {y:.0f}"
    inside = shown[round((top + height + 8) * scale), round((left + width / 2) * scale)]
    assert abs(int(inside[0]) - int(frame[top + height + 8, round(left + width / 2)])) < 12, (
        "the frame is not shown"
    )


def test_live_screen_goes_on_after_a_pause_and_with_another_network(
    jvm: JvmHost, live: Path, frames: Grey
) -> None:
    shown = ask(jvm, "live frames", live, frames[3])["shown"]
    assert isinstance(shown, list)
    running, paused_unchanged, resumed, other, running_other = shown
    for text in (running, resumed, running_other):
        for part in ("detector", "network", "pipeline"):
            (line,) = (line for line in text.splitlines() if line.startswith(part))
            assert float(line.split()[1]) > 0
            assert line.split()[2] == "FPS"
    assert_face_is_drawn(live / "live.png", frames[3], live / "presence.tflite")
    assert paused_unchanged == "true", "a frame was worked on while paused"
    assert other == "presence.tflite"
    assert ["no presence" in text for text in (running, resumed, running_other)] == [True, True, False]
    refused = cv2.imread(str(live / "dark.png")).astype(int)
    green = (refused[..., 1] > 150) & (refused[..., 0] < 100) & (refused[..., 2] < 100)
    assert refused.max() > 100, "the screen is empty"
    assert not green.any(), "a crop without a face is drawn"


def test_live_screen_without_permission_says_so(jvm: JvmHost, live: Path, frames: Grey) -> None:
    said = ask(jvm, "live denied", live, frames[0])
    assert said["asked"] == ["android.permission.CAMERA"]
    assert said["shown"] == "The camera is not allowed: allow it in the settings of this app."


def test_live_screen_without_networks_says_so(jvm: JvmHost, frames: Grey, tmp_path: Path) -> None:
    said = ask(jvm, "live empty", tmp_path, frames[0])
    assert "mlbench android install --live" in str(said["shown"])


def test_live_screen_with_a_network_that_does_not_load_says_so(
    jvm: JvmHost, live: Path, frames: Grey
) -> None:
    (live / "plain.tflite").write_bytes(b"\1\2\3\4TFL3" + bytes(500))
    said = ask(jvm, "live empty", live, frames[0])
    assert str(said["shown"]).startswith("plain.tflite does not fit: ")


def test_live_screen_without_what_the_host_tells_says_so(jvm: JvmHost, live: Path, frames: Grey) -> None:
    told = live / "plain.json"
    told.write_text(json.dumps(json.loads(told.read_text()) | {"schema": 2}))
    assert "reads configurations of schema 4, not 2" in str(ask(jvm, "live empty", live, frames[0])["shown"])
    told.unlink()
    assert "plain.json is not beside it" in str(ask(jvm, "live empty", live, frames[0])["shown"])


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_camera_rows_are_turned_upright(turn: int, jvm: JvmHost) -> None:
    picture = np.arange(1, 13, dtype=np.uint8).reshape(3, 4)
    padded = np.zeros((3, 7), np.uint8)
    padded[:, :4] = picture
    luma = padded.reshape(-1).tolist()
    (said,) = jvm.request("live turn", luma=luma, width=4, height=3, stride=7, turn=turn)
    upright = np.rot90(picture, -turn // 90)
    assert (said["height"], said["width"]) == upright.shape
    assert said["pixels"] == upright.reshape(-1).tolist()
