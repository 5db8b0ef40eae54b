"""The command line as a user meets it: the whole job on a tiny variant, and one sentence for each mistake."""

import json
import os
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import tf_keras

from mlbench.cli import cli
from mlbench.cli.options import TUNING, tuning_of
from mlbench.contracts import ExportOptions
from mlbench.errors import UsageError
from mlbench.export.precisions import Float32
from mlbench.faces import appearance_fit
from mlbench.faces.csv_format import write_csv
from mlbench.faces.files import read_faces, write_faces
from mlbench.records import parse_record, read_record
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.conftest import TINY

_QUICK = [
    "--variant",
    "tiny",
    "--epochs",
    "2",
    "--tune-epochs",
    "1",
    "--batch",
    "64",
    "--min-count",
    "20",
    "--min-seconds",
    "0.05",
]


_FIGURES = (
    *("parameters", "MACs", "file, raw bytes", "file, deflated", "peak memory", "load", "first inference"),
    *("p50", "p90", "p99", "samples", "FPS network", "found in frames"),
    *("FPS detector", "FPS both", "FPS tracked"),
    *("MAE", "RMSE", "NME", "AUC", "failures", "rounded accuracy", "argmax accuracy"),
)


def _table_rows(text):
    """The rows of printed tables: the label, and what stands beside it."""
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    return [(cells[0], cells[1:]) for cells in lines if len(cells) > 1]


@pytest.fixture
def mlbench(command_line, monkeypatch, plugin, cache, tmp_path):
    monkeypatch.chdir(tmp_path)
    return command_line


@pytest.fixture(scope="module")
def filled_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("filled_cache")


@pytest.fixture
def mlbench_again(mlbench, filled_cache, monkeypatch):
    """The command line with a cache that holds what earlier tests trained: for what is not about training."""
    monkeypatch.setenv("MLBENCH_CACHE", str(filled_cache))
    return mlbench


def test_the_main_job_from_faces_to_a_measured_table(mlbench, faces_file, tmp_path):
    command = [
        "run",
        *_QUICK,
        "--min-count",
        "80",  # eight rounds: what is less is compared in no time
        "--compress",
        "svd(rank=4)",
        "--compress",
        "svd(rank=4)+int8",
        "--data",
        faces_file,
    ]
    code, out, err = mlbench(*command, "--budget", "size=10KB")
    assert code == 0, err
    rows = _table_rows(out)
    for label in _FIGURES:
        cells = next(cells for row, cells in rows if row.startswith(label))
        assert [cell for cell in cells[:3] if not re.search(r"\d", cell)] == [], label
    budget = next(cells for row, cells in rows if "size=10KB" in row)
    assert all("does not fit" in cell for cell in budget[:2])
    record = read_record(next((tmp_path / "runs").glob("*/record.json")))
    assert [a.chain for a in record.artifacts] == ["none", "svd(rank=4)", "svd(rank=4)+int8"]
    assert record.artifacts[1].parameters < record.artifacts[0].parameters
    assert [s.name for s in record.stages["tiny · svd(rank=4)+int8"]] == ["baseline", "svd(rank=4)", "int8"]
    assert {d.quantity for d in record.differences} == {"mae", "p50_ratio"}
    assert record.data.split.train + record.data.split.validation + record.data.split.test == 300
    again = mlbench(*command, "--no-pipeline", "--json", "--budget", "size=10KB")  # its answers do not change
    assert again[0] == 0
    repeated = parse_record(json.dumps(json.loads(again[1])[0]), "stdout")
    assert [a.sha256 for a in repeated.artifacts] == [a.sha256 for a in record.artifacts]
    assert repeated.scores == record.scores


def test_without_data_the_faces_are_sampled_and_every_output_says_so(mlbench):
    code, out, err = mlbench("run", *_QUICK, "--compress", "none", "--faces", "200", "--no-pipeline")
    assert code == 0, err
    assert "appearance model" in out
    assert "nothing real" in err
    assert "│ flash: 100 KB │" in out, "the variant's own limit, where no budget is given"


def test_train_compress_measure_and_predict(mlbench, faces_file, tmp_path):
    options = ["--variant", "tiny", "--epochs", "2", "--data", faces_file]
    code, out, err = mlbench("train", *options)
    assert code == 0, err
    assert "validation MAE" in out
    code, out, err = mlbench(
        "compress", *options, "--tune-epochs", "1", "--chain", "svd(4)+dynamic", "--out", "a.tflite", "--pb"
    )
    assert code == 0, err
    assert (tmp_path / "a.tflite").is_file()
    assert (tmp_path / "a.pb").is_file()
    code, out, err = mlbench(
        "measure", "a.tflite", "--data", faces_file, "--no-pipeline", "--min-seconds", "0.05"
    )
    assert code == 0, err
    assert "MAE" in out


def test_any_file_is_measured_and_one_that_answers_something_else_is_told_apart(mlbench, tmp_path):
    network = replace(TINY, outputs=None).build({"x": (96, 96, 1)}, {"y": (10,)}, seed=7)
    (tmp_path / "ten.tflite").write_bytes(Float32().write(network, [], ExportOptions()))
    code, out, err = mlbench("measure", "ten.tflite", "--min-count", "20", "--min-seconds", "0.05")
    assert code == 0, err
    assert "random inputs" in out
    record = read_record(next((tmp_path / "runs").glob("*/record.json")))
    assert (record.task, record.scores) == (None, ())
    assert record.measurements[0].network is not None
    code, _, err = mlbench("measure", "ten.tflite", "--task", "landmarks")
    assert (code, "does not fit the task landmarks: it answers 10 numbers" in err) == (2, True)


def test_a_baseline_starts_from_the_one_that_is_named(mlbench, faces_file):
    options = ["--variant", "tiny", "--data", faces_file, "--epochs", "1"]
    _, out, _ = mlbench("train", *options)
    name = out.rstrip(".\n").rpartition("/")[2]
    code, again, err = mlbench("train", *options, "--start-from", name)
    assert code == 0, err
    assert name not in again


def test_a_start_that_has_seen_the_test_faces_is_refused_before_any_work(mlbench, faces_file, tmp_path):
    options = ["--variant", "tiny", "--data", faces_file, "--epochs", "1"]
    name = mlbench("train", *options)[1].rstrip(".\n").rpartition("/")[2]
    for command in (["run"], ["train"], ["compress", "--out", "a.tflite"], ["run", "--compress", "svd(4)"]):
        option = "--teacher" if command[-1] == "svd(4)" else "--start-from"
        code, _, err = mlbench(*command, *options, option, name, "--seed", "8")
        assert code == 2
        assert f"{name} has seen" in err
    assert len(list((tmp_path / "cache" / "baselines").iterdir())) == 1


def test_a_test_set_of_training_faces_is_told(mlbench_again, faces_file, tmp_path):
    (tmp_path / "again.npz").write_bytes(faces_file.read_bytes())
    command = ["run", *_QUICK, "--compress", "none", "--data", faces_file, "--no-pipeline"]
    code, out, err = mlbench_again(*command, "--test", "again.npz")
    assert code == 0, err
    record = read_record(next((tmp_path / "runs").glob("*/record.json")))
    (warning,) = [text for text in record.warnings if text.startswith("Test set again")]
    assert f"{record.data.split.train} of its 300 samples were trained on" in warning
    for shown in (out, err):
        assert f"{record.data.split.train} of its 300 samples" in " ".join(shown.split())
    assert "300 samples of 300 persons" in " ".join(err.split())
    assert (record.data.groups, record.data.unit) == (300, "person")


def test_an_earlier_record_of_an_equal_run_is_kept(mlbench_again, faces_file, tmp_path):
    command = ["run", *_QUICK, "--compress", "none", "--data", faces_file, "--no-pipeline"]
    assert mlbench_again(*command)[0] == 0
    (folder,) = (tmp_path / "runs").glob("*/")
    first = (folder / "record.json").read_text()
    assert mlbench_again(*command)[0] == 0
    (earlier,) = folder.glob("record-*.json")
    assert earlier.read_text() == first
    assert (folder / "record.json").read_text() != first
    assert mlbench_again("report", folder, earlier)[0] == 0
    assert mlbench_again("compare", earlier, folder)[0] == 0


def test_runs_whose_test_sets_differ_in_their_folder_do_not_share_one(mlbench_again, faces_file, tmp_path):
    faces = read_faces(faces_file)
    for place, rows in (("a", slice(0, 20)), ("b", slice(20, 40))):
        (tmp_path / place).mkdir()
        write_faces(faces.take(rows), tmp_path / place / "set.npz")
        command = ["run", *_QUICK, "--compress", "none", "--data", faces_file, "--no-pipeline"]
        assert mlbench_again(*command, "--test", f"{place}/set.npz")[0] == 0
    assert len(list((tmp_path / "runs").glob("*/record.json"))) == 2


def test_faces_are_joined_and_picked_by_source(mlbench, faces_file, tmp_path):
    assert mlbench("faces", "join", faces_file, faces_file, "--out", "twice.npz")[0] == 0
    assert len(read_faces(tmp_path / "twice.npz")) == 2 * len(read_faces(faces_file))
    code, _, err = mlbench("faces", "join", faces_file, "--source", "nowhere", "--out", "none.npz")
    assert (code, "no face of the source" in err) == (2, True)


@pytest.mark.parametrize(
    "command",
    [("faces", "join"), ("faces", "fit"), ("train", "--variant", "tiny", "--epochs", "1", "--data")],
)
def test_skipped_rows_are_one_sentence(mlbench, faces_file, tmp_path, monkeypatch, command):
    monkeypatch.setattr(appearance_fit, "fit", partial(appearance_fit.fit, shape_modes=6, texture_modes=8))
    write_csv(read_faces(faces_file).take(slice(0, 60)), tmp_path / "gaps.csv")
    lines = (tmp_path / "gaps.csv").read_text().splitlines()
    lines[3] = "?" + lines[3]
    (tmp_path / "gaps.csv").write_text("\n".join(lines))
    code, _, err = mlbench(*command, "gaps.csv", *(("--out", "o.npz") if "faces" in command else ()))
    assert code == 0, err
    told = [line for line in err.splitlines() if "gaps.csv" in line]
    assert len(told) == 1
    assert told[0].startswith(f"Note: gaps.csv: 1 of {len(lines) - 1} rows skipped: line 4: x0 ")


def test_warnings_of_python_show_no_code(mlbench, monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # put back afterwards
    mlbench("--version")
    assert warnings.formatwarning("odd", UserWarning, "file.py", 1) == "Note: odd\n"


def test_runs_that_split_otherwise_do_not_share_a_folder(mlbench_again, faces_file, tmp_path):
    command = ["run", *_QUICK, "--compress", "none", "--data", faces_file, "--no-pipeline", "--split"]
    assert mlbench_again(*command, "file-order")[0] == mlbench_again(*command, "shuffled")[0] == 0
    records = [read_record(path) for path in (tmp_path / "runs").glob("*/record.json")]
    assert {record.configuration["split"] for record in records} == {"file-order", "shuffled"}


def test_without_a_gallery_the_record_holds_no_picture(mlbench_again, faces_file, tmp_path):
    command = ["run", *_QUICK, "--compress", "none", "--data", faces_file, "--no-pipeline", "--no-gallery"]
    assert mlbench_again(*command)[0] == 0
    assert "png" not in next((tmp_path / "runs").glob("*/record.json")).read_text()


def test_a_refused_chain_among_good_ones_is_a_note(mlbench_again, faces_file):
    chains = ["--compress", "svd(rank=32/24/24)", "--compress", "svd(rank=4)"]
    code, out, err = mlbench_again("run", *_QUICK, *chains, "--data", faces_file, "--no-pipeline")
    assert code == 0, err
    assert "was not made" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["rum"], 'did you mean "run"'),
        (["run", "--variant", "tow_pool"], 'did you mean "two_pool"'),
        (["run", "--compress", "sdv"], 'did you mean "svd"'),
        (["run", "--device", "hots"], 'did you mean "host"'),
        (["run", "--budget", "sice=3MB"], 'did you mean "size"'),
        (["run", "--data", "absent.npz"], "does not exist"),
        (["run", "--data", "faces.txt"], "read from .npz or .csv"),
        (["run", "--test", "absent.npz"], "does not exist"),
        (["run", "--data", "faces.npz", "--test", "faces.npz:human"], "has no"),
        (["run", "--test", "test.npz"], "as the run's own test split is"),
        (["run", "--test", "a/faces.npz", "--test", "b/faces.npz"], "as a/faces.npz is"),
        (["measure", "a.tflite", "--data", "faces.npz", "--test", "faces.npz"], "as faces.npz is"),
        (["run", "--epochs", "0"], "--epochs 0"),
        (["run", "--rate", "-1"], "--rate -1"),
        (["run", "--rate", "nan"], "--rate nan"),
        (["run", "--train-threads", "-1"], "--train-threads -1"),
        (["run", "--out", "/proc/nowhere"], "cannot be written"),
        (["predict", "faces.txt", "--out", "faces.txt/points.png"], "cannot be written"),
        (["predict", "/proc/version"], "cannot be written"),
        (["report", "absent", "--out", "."], "cannot be written"),
        (["train", "--start-from", "two_pool-0", "--out", "faces.txt/x.tflite"], "cannot be written"),
        (["compress", "--start-from", "two_pool-0", "--out", "."], "is a folder"),
        (["prepare", "absent", "--out", "faces.txt/x.npz"], "cannot be written"),
        (["faces", "fit", "absent.npz", "--out", "faces.txt/x.npz"], "cannot be written"),
        (["faces", "join", "absent.npz", "--out", "faces.txt/x.npz"], "cannot be written"),
        (["train", "--start-from", "two_pool-0"], "no finished baseline"),
        (["run", "--teacher", "two_pool-0"], "no finished baseline"),
        (["measure", "absent.tflite"], "cannot be read"),
        (["compress", "--out", "model.bin"], "ends in .bin"),
        (["train", "--out", "model"], "ends in nothing"),
        (["train", "--out", "folder.tflite"], "is a folder"),
        (["predict", "absent.jpg", "--out", "points.jpg"], "ends in .jpg"),
        (["faces", "fit", "faces.npz", "--out", "x.bin"], "ends in .bin"),
        (["measure", "faces.txt"], "is not a .tflite"),
        (["predict", "absent.jpg", "--model", "absent.tflite"], "cannot be read"),
        (["faces", "sample", "--out", "faces.gif"], "written as .npz or .csv"),
        (["faces", "fit", "absent.npz", "--out", "x.npz"], "does not exist"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(mlbench, faces_file, tmp_path, arguments, told):
    (tmp_path / "faces.txt").write_text("no faces")
    (tmp_path / "folder.tflite").mkdir()
    (tmp_path / "faces.npz").write_bytes(faces_file.read_bytes())
    before = sorted(tmp_path.rglob("*"))
    code, out, err = mlbench(*arguments)
    assert code == 2
    assert told in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""
    assert [p for p in sorted(tmp_path.rglob("*")) if p not in before and p.is_file()] == []


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("run", "--faces"),
        ("run", "--seed"),
        ("train", "--faces"),
        ("compress", "--seed"),
        ("measure", "--seed"),
        ("compare", "--seed"),
        ("faces sample", "--seed"),
    ],
)
def test_seeds_and_counts_below_0_are_out_of_range(mlbench, command, option):
    code, _, err = mlbench(*command.split(), option, "-1")
    assert code == 2
    assert f"'{option}': -1 is not in the range" in err


def test_a_full_disk_is_one_sentence_and_leaves_nothing(mlbench, faces_file, tmp_path, monkeypatch):
    import errno

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full)
    code, _, err = mlbench("train", "--variant", "tiny", "--epochs", "1", "--data", faces_file)
    assert code == 2
    assert "No space left on device" in err
    assert not list(tmp_path.rglob("*.part"))


def test_list_shows_variants_and_compressors_with_their_options(mlbench):
    code, out, _ = mlbench("list", "compressors", "--json")
    assert code == 0
    svd = next(row for row in json.loads(out)["compressors"] if row["name"] == "svd")
    assert "energy" in [option["name"] for option in svd["options"]]
    assert svd["source"]
    code, out, _ = mlbench("list", "--json")
    assert {row["name"] for row in json.loads(out)["variants"]} >= {"basic", "two_pool", "one_pool", "tiny"}


def test_doctor_says_what_is_there(mlbench):
    code, out, _ = mlbench("doctor", "--json")
    assert code == 0
    assert all(check["good"] for check in json.loads(out) if check["needed"])


def test_the_cache_tells_its_size_and_is_cleared(mlbench, faces_file):
    mlbench("train", "--variant", "tiny", "--epochs", "1", "--data", faces_file)
    assert "KB" in mlbench("cache")[1]
    assert "Freed" in mlbench("cache", "--clear")[1]
    assert "0 B" in mlbench("cache")[1]


def test_every_help_ends_with_commands_to_paste(command_line):
    for name, command in cli.commands.items():
        code, out, _ = command_line(name, "--help")
        assert code == 0
        if not hasattr(command, "commands"):
            assert f"mlbench {name}" in out.rsplit("Example", 1)[-1]


def test_help_does_not_import_tensorflow():
    code = "import sys; sys.argv = ['mlbench', '--help']\nfrom mlbench.cli import main\ntry:\n    main()\nfinally:\n"
    code += "    print([m for m in ('tensorflow', 'tf_keras', 'numpy', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("[]")


def test_tuning_is_as_training_where_nothing_else_is_asked_for():
    training = TrainingOptions(epochs=60, optimizer="muon", loss="absolute", patience=4)
    usual = tuning_of(training, **dict.fromkeys(TUNING))
    assert usual == TuningOptions(**training.model_dump() | {"epochs": 10})
    asked = dict.fromkeys(TUNING) | {"tune_optimizer": "adam", "tune_loss": "squared", "tune_patience": 0}
    other = tuning_of(training, **asked)
    assert (other.optimizer, other.loss, other.patience) == ("adam", "squared", 0)
    with pytest.raises(UsageError, match="--tune-rate 0"):
        tuning_of(training, **dict.fromkeys(TUNING) | {"tune_rate": 0})


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        (
            {"x": np.zeros((9, 20, 20), np.uint8), "y": np.arange(9) % 3},
            "its inputs differ in name, shape",
        ),
        ({"x": np.zeros((9, 24, 24), np.uint8), "y": np.arange(9)}, "The class 8 has no output"),
        (
            {"x": np.zeros((9, 24, 24), np.uint8), "y.a": np.arange(9), "y.b": np.arange(9)},
            "a classifier has one",
        ),
    ],
)
def test_a_test_set_of_another_kind_is_refused_before_any_work(mlbench, tmp_path, arrays, told):
    images = np.random.default_rng(7).integers(0, 256, (60, 24, 24)).astype(np.uint8)
    np.savez(tmp_path / "my.npz", x=images, y=np.arange(60) % 3)
    np.savez(tmp_path / "other.npz", **arrays)
    layers = tf_keras.layers
    stack = [layers.Input((24, 24, 1)), layers.Flatten(), layers.Dense(3)]
    tf_keras.Sequential(stack).save(tmp_path / "net.keras")
    command = [
        "run",
        "--task",
        "classification",
        "--data",
        "my.npz",
        "--split",
        "stratified",
        "--model",
        "net.keras",
    ]
    code, _, err = mlbench(*command, "--test", "other.npz")
    assert code == 2
    assert told in err
    assert not (tmp_path / "cache" / "baselines").exists() and not (tmp_path / "runs").exists()
