"""The app follows faces as the host does: its own classes on a desktop JVM, against `mlbench.faces.tracking`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlbench.device_runners.android import live
from mlbench.export import ready_models
from mlbench.faces.detectors.haar import Haar
from mlbench.faces.face_network import FaceNetwork
from mlbench.faces.sequences import FPS
from mlbench.faces.tracking import Rules, Track, Tracker

from .faces_followed import Grey, telling_presence, video, with_real_weights
from .jvm.jvm_host import JvmHost


@pytest.fixture(scope="module")
def frames() -> Grey:
    return video()


def on_the_host(network: FaceNetwork, rules: Rules, frames: Grey) -> list[tuple[list[dict[str, Any]], bool]]:
    """What the host follows in each frame, and whether it searched the whole of it."""
    detector, searches = Haar(live.SMALLEST), [0]

    def detect(grey: Grey) -> Any:
        searches[0] += 1
        return detector.detect(grey)

    tracker, found = Tracker(detect, network.look, rules), []
    for number, frame in enumerate(frames):
        before = searches[0]
        tracks = [told(track) for track in tracker.step(frame, number / FPS)]
        found.append((tracks, searches[0] > before))
    return found


def told(track: Track) -> dict[str, Any]:
    box = track.box
    return {
        "number": track.number,
        "box": [box.left, box.top, box.width, box.height],
        "presence": track.presence,
        "points": track.shown.reshape(-1).tolist(),
    }


@pytest.mark.parametrize(
    ("name", "rules", "most_frames"),
    [
        ("plain", Rules(), 200),
        ("presence", Rules(smooth=True), 200),
        ("presence", Rules(every=7, most=1, min_presence=0.99), 60),
    ],
    ids=["by landmarks alone", "with presence, a margin and smoothing", "with other rules"],
)
def test_faces_are_followed_as_on_the_host(
    name: str, rules: Rules, most_frames: int, jvm: JvmHost, frames: Grey, tmp_path: Path
) -> None:
    frames, basic = frames[:most_frames], with_real_weights(ready_models.file_named("basic").read_bytes())
    model = tmp_path / f"{name}.tflite"
    model.write_bytes(telling_presence(basic, margin=1.05) if name == "presence" else basic)
    (tmp_path / "live").mkdir()
    for file, path in live.lay_out((model,), tmp_path, rules).items():
        shutil.copy(path, tmp_path / "live" / file)
    frames.tofile(tmp_path / "video.grey")
    count, height, width = frames.shape
    asked = {"model": str(tmp_path / "live" / model.name), "frames": str(tmp_path / "video.grey"), "fps": FPS}
    (said,) = jvm.request("live follow", **asked, count=count, height=height, width=width)
    expected = on_the_host(FaceNetwork.of(model), rules, frames)
    shown = {len(faces) for faces, _ in expected}
    assert shown >= {1, min(rules.most, 2)}, "the video does not show all that may happen"
    assert 0 in shown, "no face was refused"
    assert [frame["searched"] for frame in said["frames"]] == [searched for _, searched in expected]
    numbers = [[face["number"] for face in frame["faces"]] for frame in said["frames"]]
    assert numbers == [[face["number"] for face in faces] for faces, _ in expected]
    pairs = [
        pair
        for frame, (faces, _) in zip(said["frames"], expected, strict=True)
        for pair in zip(frame["faces"], faces, strict=True)
    ]
    for what, tolerance in (("box", 1), ("points", 0.5)):
        apart = np.abs([np.subtract(app[what], host[what]) for app, host in pairs])
        assert apart.max() <= tolerance, what
    given = [(app["presence"], host["presence"]) for app, host in pairs]
    if name == "presence":
        assert np.ptp(np.array(given), axis=1).max() < 1e-3
    else:
        assert set(given) == {(None, None)}
