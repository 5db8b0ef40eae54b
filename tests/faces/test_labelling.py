import subprocess
import sys

import numpy as np
import pytest

from mlbench.errors import UsageError
from mlbench.faces import labelling
from mlbench.faces.detection import Box
from mlbench.faces.labelling import DlibLabeller, find_predictor, require_dlib
from tests.faces.drawn_faces import draw_face


def found_predictor():
    try:
        return find_predictor()
    except UsageError as error:
        pytest.skip(str(error))


def test_without_dlib_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(UsageError, match="pip install 'dlib-bin"):
        require_dlib()


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(labelling.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"face_recognition_models is not here.*pip install 'dlib-bin"):
        find_predictor()


def test_a_predictor_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"none\.dat does not exist: give dlib's shape_predictor_68"):
        find_predictor(tmp_path / "none.dat")


def test_a_predictor_that_is_another(tmp_path):
    (tmp_path / "bad.dat").write_bytes(b"not the model")
    with pytest.raises(
        UsageError, match=r"bad\.dat is not dlib's .* its sha256 is [0-9a-f]{16}…, not fbdc2cb80eb9aa7a"
    ):
        find_predictor(tmp_path / "bad.dat")


def test_the_package_is_found_and_never_imported():
    path = found_predictor()
    code = "import sys; from mlbench.faces import labelling; print(labelling.find_predictor(), *sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert printed[0] == str(path)
    assert not {"face_recognition_models", "pkg_resources", "dlib"} & set(printed)


def test_dlib_finds_and_labels_a_drawn_face():
    pytest.importorskip("dlib", reason="dlib is not installed")
    labeller = DlibLabeller(found_predictor())
    grey = draw_face(400)
    box, *more = labeller.detect(grey)
    assert not more
    assert abs(box.left + box.width / 2 - 200) < 30
    points = labeller.label(grey, box)
    assert points.shape == (68, 2)
    right_eye, left_eye, nose = points[36:42].mean(0), points[42:48].mean(0), points[30]
    assert np.abs(right_eye - [162, 188]).max() < 12  # where they were drawn
    assert np.abs(left_eye - [238, 188]).max() < 12
    assert abs(nose[0] - 200) < 12


def test_upsampling_finds_smaller_faces():
    pytest.importorskip("dlib", reason="dlib is not installed")
    small = draw_face(100)
    assert DlibLabeller(found_predictor(), 0).detect(small) == []
    assert len(DlibLabeller(found_predictor(), 1).detect(small)) == 1


def test_a_box_partly_outside_is_labelled():
    pytest.importorskip("dlib", reason="dlib is not installed")
    points = DlibLabeller(found_predictor()).label(draw_face(200), Box(-40, -40, 150, 150))
    assert np.isfinite(points).all()
