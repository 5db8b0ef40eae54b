"""What Python users call: a network and samples in memory, to a record that shows itself."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import mlbench
from mlbench.api.arrays import path_of
from mlbench.errors import UsageError
from mlbench.records import read_record


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def samples():
    """Two classes that a plane divides."""
    x = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    return x, np.where(x[:, 0] > 0, "high & <b>", "low")


@pytest.fixture(scope="module")
def network(samples):
    """Hand-made weights that tell the classes apart."""
    import tf_keras

    made = tf_keras.Sequential(
        [tf_keras.Input((8,)), tf_keras.layers.Dense(256, "relu"), tf_keras.layers.Dense(2, "softmax")]
    )
    first = np.zeros((8, 256), np.float32)
    first[0] = np.linspace(-1, 1, 256)
    last = np.stack([np.linspace(-1, 1, 256), np.linspace(1, -1, 256)], axis=1)
    made.set_weights([first, np.zeros(256), last, np.zeros(2)])
    return made


@pytest.fixture(scope="module")
def result(network, samples, tmp_path_factory):
    return mlbench.run(
        network,
        samples,
        compress="dynamic",
        test={"again": (samples[0][::3], samples[1][::3])},
        epochs=0,
        budget="top1=90%",
        min_count=20,
        min_seconds=0.01,
        out=tmp_path_factory.mktemp("runs"),
    )


def test_a_network_in_memory_is_compressed_and_measured(result):
    assert [artifact.chain for artifact in result.artifacts] == ["none", "dynamic"]
    sizes = [artifact.file_bytes for artifact in result.artifacts]
    assert sizes[1] < 0.6 * sizes[0]
    assert all((result.folder / artifact.path).is_file() for artifact in result.artifacts)
    assert {score.test_set for score in result.scores} == {"test", "again"}
    assert min(score.metrics["top1"].value for score in result.scores) > 0.95
    assert result.task.name == "classification"


def test_a_network_in_memory_is_trained_further_from_its_own_weights(samples, tmp_path):
    """And from no prior in place of its bias, which an untrained network gets."""
    import tf_keras

    made = tf_keras.Sequential([tf_keras.Input((8,)), tf_keras.layers.Dense(1)])
    x = samples[0] + 3
    made.set_weights([np.eye(8, 1, dtype=np.float32), np.float32([-1])])
    quick = {"min_count": 20, "min_seconds": 0.01, "out": tmp_path}
    found = mlbench.run(made, (x, x[:, 0] - 1), compress=(), epochs=1, rate=1e-6, **quick)
    history = next(iter(found.stages.values()))[0].history
    assert [epoch.validation["mae"] < 1e-3 for epoch in history] == [True, True]


def test_its_record_is_the_file(result):
    assert read_record(result.folder / "record.json").model_dump() == result.model_dump()


def test_its_rows_are_numbers_in_base_units(result):
    frame = result.frame()
    assert isinstance(frame, pd.DataFrame)
    assert frame[["chain", "test_set"]].drop_duplicates().shape == (4, 2)
    first = frame.iloc[0]
    assert first["bytes"] == result.artifacts[0].file_bytes
    assert first["p50_ms"] == result.measurements[0].network.p50_ms
    score = result.scores[0].metrics["top1"]
    assert (first["top1"], first["top1_low"], first["top1_high"]) == (score.value, score.low, score.high)


def test_it_shows_itself_as_text_and_in_notebooks(result):
    assert "top-1, %" in result.table()
    assert max(map(len, result.table(60).splitlines())) <= 60
    shown = result.model_copy(update={"warnings": ("<script>alert(1)</script>",)})._repr_html_()
    assert "dynamic" in shown
    assert "<script>" not in shown


def test_nothing_is_printed_unless_asked(result, network, samples, tmp_path, capfd):
    files = [result.folder / artifact.path for artifact in result.artifacts]
    quick = {"min_count": 20, "min_seconds": 0.01, "out": tmp_path}
    measured = mlbench.measure(files, {"mine": samples}, **quick)
    assert [score.metrics["top1"].value > 0.95 for score in measured.scores] == [True, True]
    assert any("numbered in alphabetical order, high & <b>, low" in note for note in measured.warnings)
    assert capfd.readouterr() == ("", "")
    mlbench.measure(files[0], progress=True, **quick)
    out, err = capfd.readouterr()
    assert out == ""
    assert "Measuring network" in err


def test_a_network_and_a_file_are_inspected(result, network, samples):
    how = {"processes": 2, "technique": "svd", "ratio": 4, "max_samples": 20}
    found = mlbench.inspect(network, samples, **how)
    sizes = dict(found.frame()[["name", "parameters"]].to_numpy())
    assert [sizes[layer.name] for layer in network.layers] == [8 * 256 + 256, 256 * 2 + 2]
    assert {one.technique for one in found.sensitivities.rows} == {"svd"}
    assert network.layers[0].name in found.table(80)
    assert len(mlbench.inspect(network, processes=2).rows()) == len(found.rows())
    of_file = mlbench.inspect(result.folder / result.artifacts[0].path, processes=2)
    assert sum(row["macs"] for row in of_file.rows()) == 8 * 256 + 256 * 2
    assert "operator by operator" in of_file._repr_html_()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tune_epoch": 1}, ["tune_epoch", "tune_epochs"]),
        ({"min_count": "many"}, ["min-count", "many"]),
        ({"compress": "svd(rang=3)"}, ["rang", "rank"]),
        ({"epochs": -1}, ["epochs", "-1"]),
        ({"loss": "squared"}, ["loss", "cross-entropy"]),
        ({"device": "hosd"}, ["device", "host"]),
        ({"data": ([1, 2], [1, 2], [3])}, ["tuple of 3", "(x, y)"]),
        ({"data": ([[1.0]], np.array([{}]))}, ["Python objects", "y"]),
        ({"data": ([[1.0]] * 20, [0, 1] * 9)}, ["20", "18"]),
    ],
)
def test_bad_input_is_one_sentence(network, samples, options, words, tmp_path):
    with pytest.raises(UsageError) as caught:
        mlbench.run(network, **{"data": samples, "out": tmp_path, **options})
    told = str(caught.value)
    assert all(word in told for word in words), told
    assert "\n" not in told
    assert not list(tmp_path.iterdir())


def test_equal_arrays_are_kept_once_and_others_apart(samples):
    x, y = samples
    assert path_of((x, y)) == path_of({"x": x.copy(), "y": y})
    assert path_of((x, y)) != path_of((x + 1, y))
    assert path_of((x, y)) != path_of((x.astype(np.float64), y))
    with np.load(path_of({"x": {"a": x, "b": x}, "y": y}), allow_pickle=False) as file:
        assert set(file.files) == {"x.a", "x.b", "y"}


def test_the_package_alone_imports_nothing_heavy():
    code = "import sys, mlbench; print(sorted({'click', 'numpy', 'pydantic', 'rich'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
