"""`mlbench data`: what a file must hold, what one holds, and all that is wrong with it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlbench import plugins
from mlbench.export import ready_models


@pytest.fixture
def written(tmp_path):
    def write(**changed):
        rng = np.random.default_rng(7)
        usual = {"x": rng.integers(0, 256, (120, 16, 12, 3), np.uint8), "y": np.arange(120) % 3}
        path = tmp_path / "samples.npz"
        np.savez(path, **{**usual, **changed})
        return path

    return write


def _check(command_line, *arguments):
    code, out, _ = command_line("data", "check", *arguments, "--json")
    return code, json.loads(out)


def test_a_good_file_is_told_whole(command_line, written):
    x = np.random.default_rng(7).integers(0, 256, (120, 16, 12, 3), np.uint8)
    x[5] = x[4]
    code, found = _check(command_line, written(x=x, group=np.arange(120) // 2, note=np.full(120, np.nan)))
    assert (code, found["task"], found["faults"], found["doubts"]) == (0, "classification", [], [])
    assert (found["samples"], found["groups"], found["duplicates"]) == (120, 60, 1)
    assert found["classes"] == {"y": {"0": 40, "1": 40, "2": 40}}
    assert sum(found["split"].values()) == 120
    by_name = {one["name"]: one for one in found["arrays"]}
    assert (by_name["x"]["dtype"], by_name["x"]["shape"], by_name["x"]["high"]) == (
        "uint8",
        [120, 16, 12, 3],
        255,
    )
    assert (by_name["note"]["missing"], by_name["note"]["low"]) == (120, None)
    assert found["inputs"] == ["Input x [16×12×3]: uint8 0…255 → x / 255 = 0…1."]


def test_all_faults_are_told_and_the_exit_code_is_2(command_line, written):
    path = written(x=np.full((9, 3), np.nan), y=np.full(9, -1))
    code, found = _check(command_line, path)
    assert code == 2
    sentences = ["values that are not finite", "holds the class -1", "all samples are of one class"]
    assert [any(text in fault for fault in found["faults"]) for text in sentences] == [True] * 3
    assert [one["name"] for one in found["arrays"]] == ["x", "y"]
    code, out, _ = command_line("data", "check", path)
    assert (code, out.count("Wrong: ")) == (2, 3)


@pytest.mark.parametrize(
    ("changed", "arguments", "sentence"),
    [
        ({"y": np.zeros(7)}, (), "x has 120 rows, y has 7"),
        ({"y": np.arange(120) % 3 - 1}, (), "holds the class -1: number classes from 0"),
        ({"y": np.where(np.arange(120) < 3, np.nan, 1.5)}, (), "not finite"),
        ({"y": np.array(["a", "b"] * 60)}, ("--task", "regression"), "y holds text, not numbers"),
        ({}, ("--column", "x=imgs"), r'no array "imgs" .*; there are: x, y'),
        ({}, ("--mean", "1,2"), "--mean has 2 numbers, the input x has 3 channels"),
    ],
)
def test_each_fault_is_one_sentence(command_line, written, changed, arguments, sentence):
    task = () if "--task" in arguments else ("--task", "regression" if changed else "classification")
    if "holds the class" in sentence:
        task = ("--task", "classification")
    code, found = _check(command_line, written(**changed), *arguments, *task)
    assert code == 2
    assert any(re.search(sentence, fault) for fault in found["faults"])
    assert all("\n" not in fault for fault in found["faults"])


def test_samples_are_checked_against_a_file(command_line, written, faces_file):
    model = ready_models.file_named("basic")
    code, found = _check(command_line, written(), "--model", model)
    assert code == 2
    assert any("96×96×1, the samples hold it as 16×12×3" in fault for fault in found["faults"])
    code, found = _check(command_line, faces_file, "--model", model)
    assert (code, found["task"], found["faults"]) == (0, "landmarks", [])


def test_a_picture_shows_samples_with_their_labels(command_line, written, tmp_path):
    sheet = tmp_path / "sheet.png"
    code, out, _ = command_line("data", "check", written(), "--picture", sheet)
    assert code == 0
    assert Image.open(sheet).size == (6 * 134 + 6, 4 * 162 + 6)
    assert re.search(r"│ 0 +│ class 0", out)
    code, _, told = command_line("data", "check", written(), "--picture", tmp_path / "sheet.txt")
    assert code == 2
    assert ".png" in told


def test_a_folder_of_images_is_checked_with_names_and_what_was_skipped(command_line, tmp_path):
    for kind, level in {"cat": 0, "dog": 100}.items():
        (tmp_path / "data" / kind).mkdir(parents=True)
        for row in range(20):
            Image.new("L", (6, 6), level + row).save(tmp_path / "data" / kind / f"{row}.png")
    (tmp_path / "data" / "cat" / "bad.png").write_bytes(b"no image")
    code, found = _check(command_line, tmp_path / "data")
    assert (code, found["classes"]) == (0, {"y": {"cat": 20, "dog": 20}})
    assert any(
        "1 of 41 images cannot be read and were skipped: cat/bad.png" in note for note in found["notes"]
    )
    assert any("have one value throughout" in doubt for doubt in found["doubts"])


def test_schemas_tell_what_each_task_reads(command_line):
    code, out, _ = command_line("data", "schema", "--json")
    found = json.loads(out)
    assert code == 0
    assert set(found) >= {"classification", "regression", "landmarks"}
    assert [one["name"] for one in found["regression"] if not one["optional"]] == ["x", "y"]
    assert "class numbers" in command_line("data", "schema", "classification")[1]
    assert (
        command_line("data", "--schema", "regression")[1] == command_line("data", "schema", "regression")[1]
    )
    code, _, told = command_line("data", "schema", "clasification")
    assert (code, "did you mean" in told) == (2, True)


def test_the_documentation_names_every_array_of_the_schemas():
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "data.md").read_text()
    for task in ("classification", "regression"):
        for one in plugins.load("tasks", task).expected:
            assert f"| `{one.name}`" in page, one.name


def test_samples_are_checked_against_a_network_of_ones_own(command_line, tmp_path):
    import tf_keras

    made = tf_keras.Sequential([tf_keras.Input((6,)), tf_keras.layers.Dense(3)])
    made.save(tmp_path / "own.h5")
    x = np.random.default_rng(0).random((60, 6), np.float32)
    for name, count, code in (("fitting", 3, 0), ("more", 5, 2)):
        np.savez(tmp_path / f"{name}.npz", x=x, y=np.arange(60) % count)
        found, report = _check(command_line, tmp_path / f"{name}.npz", "--model", tmp_path / "own.h5")
        assert found == code
        told = report["faults"] if code else report["notes"]
        assert any(("class 4 has no output" if code else "outputs are logits") in one for one in told)
