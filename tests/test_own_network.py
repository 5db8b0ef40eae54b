"""`--model`: a network of one's own through the command line, and what is said where it cannot be."""

import json
import re
import sys

import numpy as np
import pytest
import tf_keras

from mlbench.cli.experiment import settings
from mlbench.cli.run import run
from mlbench.faces.landmarks import Landmarks

layers = tf_keras.layers

_QUICK = ["--tune-epochs", "0", "--min-count", "20", "--min-seconds", "0.01", "--compress", "none"]


@pytest.fixture
def mlbench(command_line, cache, tmp_path, monkeypatch):
    """The command line, in a folder with a network, a module with a function, and samples."""
    monkeypatch.chdir(tmp_path)
    stack = [layers.Input((6,)), layers.Dense(16, activation="relu"), layers.Dense(3)]
    tf_keras.Sequential(stack, name="own").save("net.keras")
    (tmp_path / "own_networks.py").write_text(
        "import tf_keras\n\ndef small():\n    layers = tf_keras.layers\n"
        "    return tf_keras.Sequential([layers.Input((6,)), layers.Dense(3)])\n"
    )
    y = np.arange(90) % 3
    x = (np.random.default_rng(7).normal(size=(90, 6)) + y[:, None]).astype(np.float32)
    np.savez("my.npz", x=x, y=y)
    yield command_line
    sys.modules.pop("own_networks", None)


_DATA = ["--data", "my.npz", "--task", "classification"]


def test_a_file_is_run_as_it_is(mlbench, tmp_path):
    code, out, err = mlbench("run", "--model", "net.keras", *_DATA, *_QUICK, "--json")
    assert code == 0, err
    (record,) = json.loads(out)
    (stage,) = record["stages"]["net · none"]
    assert [epoch["epoch"] for epoch in stage["history"]] == [0]
    assert "net: outputs are logits" in err
    assert "face" not in (out + err).lower()
    page = re.sub(r"<script.*?</script>", "", (tmp_path / "runs" / "report.html").read_text(), flags=re.S)
    assert not re.search(r"\bfaces?\b|landmark", page, re.I)


def test_a_function_is_trained_and_written(mlbench, tmp_path):
    code, out, err = mlbench(
        "train", "--model", "own_networks:small", *_DATA, "--epochs", "2", "--out", "small.tflite"
    )
    assert code == 0, err
    assert "small: validation top-1" in out
    assert (tmp_path / "small.tflite").read_bytes()[4:8] == b"TFL3"


def test_a_saved_run_of_a_file_is_the_same_run_from_another_folder(mlbench, tmp_path):
    assert (
        settings(run)["models"].moved("own_networks:small", tmp_path, tmp_path / "deep")
        == "own_networks:small"
    )
    where = tmp_path / "deep" / "e.toml"
    assert mlbench("run", "--model", "net.keras", *_DATA, *_QUICK, "--save-config", where)[0] == 0
    assert 'models = [\n    "../net.keras",\n]' in where.read_text()
    code, out, err = mlbench("run", "--config", where, "--json")
    assert code == 0, err
    assert json.loads(out)[0]["configuration"]["experiment"]["models"] == ["net.keras"]
    code, _, err = mlbench("run", "--config", where, "--variant", "basic", "--epochs", "2", "--save-config")
    assert code == 0, err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "--model", "absent.keras", *_DATA], "absent.keras does not exist"),
        (["run", "--model", "my.npz", *_DATA], "my.npz holds arrays"),
        (["run", "--model", "net.keras", "--variant", "basic", *_DATA], "give one of them"),
        (["train", "--model", "net.keras", "--variant", "basic", *_DATA], "give one of them"),
        (["run", "--model", "net.keras"], "--model needs samples: give --data"),
        (["compress", "--model", "net.keras", "--out", "x.tflite"], "--model needs samples: give --data"),
        (["run", "--model", "own_networks:absent", *_DATA], "own_networks:absent gave no network"),
        (["train", "--variant", "basic", "--epochs", "0"], "--epochs 0: basic has no weights"),
    ],
)
def test_what_cannot_be_is_one_sentence(mlbench, arguments, told):
    code, out, err = mlbench(*arguments)
    assert code == 2
    assert told in err and err.startswith("Error: ") and err.count("\n") == 1
    assert not out


_UNTOLD = ("results will be in", "Validating", "Traceback")


@pytest.mark.parametrize("command", ["run", "train", "compress", "search"])
@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        (
            {"x": np.zeros((90, 7), np.float32), "y": np.arange(90) % 3},
            "takes x as 6, the samples hold it as 7",
        ),
        ({"x": np.zeros((90, 6), np.float32), "y": np.arange(90) % 5}, "The class 4 has no output"),
    ],
)
def test_a_misfit_is_told_before_anything_else_is_read_or_told(mlbench, tmp_path, command, arrays, told):
    np.savez("other.npz", **arrays)
    own = ["--model", "net.keras", "--data", "other.npz", "--task", "classification"]
    more = {"run": ["--test", "broken.npz"], "compress": ["--chain", "int8", "--out", "x.tflite"]}
    (tmp_path / "broken.npz").write_text("no archive")
    code, out, err = mlbench(command, *own, *more.get(command, []))
    assert code == 2
    assert told in err
    assert not any(text in out + err for text in _UNTOLD)
    assert not (tmp_path / "runs").exists() and not (tmp_path / "x.tflite").exists()


def test_a_misfit_is_told_before_samples_are_drawn(mlbench, monkeypatch):
    drawn = []
    draw = Landmarks.sample

    def counted(self, count, *arguments):
        drawn.append(count)
        return draw(self, count, *arguments)

    monkeypatch.setattr(Landmarks, "sample", counted)
    code, _, err = mlbench("run", "--model", "net.keras", "--task", "landmarks")
    assert code == 2
    assert "The network net takes crop as 6, the samples hold it as 96×96×1" in err
    assert drawn == [1]


def test_inputs_that_would_be_scaled_twice_are_refused_with_the_option_that_mends_it(mlbench, tmp_path):
    stack = [layers.Input((6, 6, 1)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(3)]
    tf_keras.Sequential(stack).save("scaling.keras")
    np.savez(
        "images.npz",
        x=np.random.default_rng(7).integers(0, 256, (90, 6, 6)).astype(np.uint8),
        y=np.arange(90) % 3,
    )
    own = ["--model", "scaling.keras", "--data", "images.npz"]
    for scale in ([], ["--scale", "255"]):
        code, out, err = mlbench("run", *own, *_QUICK, *scale)
        assert code == 2
        assert "The network scaling divides the input x by about 255 in its first layers" in err
        assert "give --scale 1, so that" in err
        assert not any(text in out + err for text in _UNTOLD)
    assert not (tmp_path / "runs").exists()
    code, out, _ = mlbench("data", "check", "images.npz", "--model", "scaling.keras")
    assert code == 2
    assert "give --scale 1, so" in out
    assert "0.003922" not in out, "one remedy"
    code, _, err = mlbench("train", *own, "--epochs", "0", "--scale", "1")
    assert code == 0, err
    assert "expects 0…255" not in err
