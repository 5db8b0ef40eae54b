"""Networks of a user's own: files of Keras 2 and 3, functions, networks in memory; and what is refused."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tf_keras

from mlbench.compression.chain import parse_chain
from mlbench.data.sources import Source
from mlbench.data.split import Split
from mlbench.errors import UsageError
from mlbench.networks import graph
from mlbench.networks.importing import rebuilding, source_of
from mlbench.networks.importing import source as importing
from mlbench.runs import pipeline
from mlbench.runs.measuring import Measuring
from mlbench.runs.plan import Making, Plan
from mlbench.system.progress import Silent
from mlbench.tasks.classification import Classification
from mlbench.training.baselines import Material, train_baseline
from mlbench.training.options import TrainingOptions, TuningOptions

layers = tf_keras.layers

_SHARED = Path(os.environ.get("MLBENCH_SHARED") or Path(__file__).parents[3] / "shared")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A cache for all tests here: equal files are imported once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def keras3(kept, tmp_path_factory):
    """Files that Keras 3 wrote, in a process of its own."""
    folder = tmp_path_factory.mktemp("keras3")
    script = Path(__file__).with_name("keras3_files.py")
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    environment |= {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run(
        [sys.executable, str(script), str(folder)], check=True, env=environment, capture_output=True
    )
    return folder


def _network(source, **inputs):
    return source.build(inputs or source.inputs, source.outputs, 7)


def _answers(network, arrays):
    given = [arrays[f"x{n}"] for n in range(len(network.inputs))]
    outputs = network(given if len(given) > 1 else given[0], training=False)
    return outputs if isinstance(outputs, list) else [outputs]


@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    ["branched.keras", "branched.h5", "classifier.keras", "classifier.h5", "called.keras", "attention.keras"],
)
def test_a_network_of_keras_3_answers_as_it_did_there(keras3, file):
    source = source_of(keras3 / file)
    network, arrays = _network(source), np.load(keras3 / f"{Path(file).stem}.npz")
    for number, found in enumerate(_answers(network, arrays)):
        np.testing.assert_allclose(found, arrays[f"y{number}"], rtol=1e-5, atol=1e-6)
    assert all(layer.trainable for layer in network.layers)
    assert source.trained and source.name == Path(file).stem
    assert graph.copy(network).count_params() == network.count_params()


@pytest.mark.slow
def test_a_network_of_keras_applications_is_imported(keras3):
    source = source_of(keras3 / "mobilenet.keras")
    assert (source.inputs, source.outputs) == ({source_name(source): (32, 32, 3)}, {"predictions": (5,)})
    assert _network(source).count_params() > 900_000


def source_name(source):
    return next(iter(source.inputs))


@pytest.mark.slow
def test_a_layer_that_computes_otherwise_is_named(keras3, cache, monkeypatch):
    """The answers of this network hardly depend on its layers, so that they alone would tell nothing."""

    def as_in_keras_2(value, activation, name):
        return layers.Activation("hard_sigmoid" if activation == "hard_sigmoid" else "swish", name=name)(
            value
        )

    monkeypatch.setattr(rebuilding, "activated", as_in_keras_2)
    with pytest.raises(
        UsageError, match=r'deaf\.keras cannot be imported: ".*" computes otherwise in Keras 2'
    ):
        source_of(keras3 / "deaf.keras")


@pytest.mark.slow
def test_a_batch_of_one_size_is_opened(keras3):
    network = _network(source_of(keras3 / "fixed.keras"))
    assert network.inputs[0].shape.as_list() == [None, 8, 8, 1]
    assert network(np.zeros((3, 8, 8, 1), np.float32)).shape == (3, 3)


@pytest.mark.slow
def test_samples_give_the_size_that_a_network_leaves_open(keras3):
    source = source_of(keras3 / "open_sized.keras")
    assert _network(source, x=(10, 11, 3)).inputs[0].shape.as_list() == [None, 10, 11, 3]
    with pytest.raises(UsageError, match="none of 2×2×3"):
        _network(source, x=(2, 2, 3))


def _stored(folder, network, name="own.h5"):
    network.save(folder / name)
    return folder / name


def _small(**first):
    stack = [
        layers.Conv2D(8, 3, activation="relu", **(first or {"input_shape": (8, 8, 1)})),
        layers.BatchNormalization(),
        layers.Flatten(),
        layers.Dense(64, activation="hard_sigmoid", kernel_regularizer="l2"),
        layers.Dropout(0.5),
        layers.Dense(3, name="classes"),
        layers.Softmax(),
        layers.Reshape((3,)),
    ]
    return tf_keras.Sequential(stack, name="small")


@pytest.mark.parametrize("name", ["own.h5", "own.keras"])
def test_a_network_of_keras_2_answers_as_it_did_there(kept, tmp_path, rng, name):
    network = _small(batch_input_shape=(8, 8, 8, 1))
    network.layers[0].trainable = False
    network.set_weights([rng.uniform(0.1, 1, w.shape) for w in network.weights])
    source = source_of(_stored(tmp_path, network, name))
    found = _network(source)
    x = rng.normal(size=(8, 8, 8, 1)).astype(np.float32)
    np.testing.assert_array_equal(found(x), network(x))
    assert found.inputs[0].shape[0] is None
    assert source.difference == 0


def test_what_normalisation_learnt_survives_import_and_copies(kept, rng):
    normal = layers.Normalization(axis=-1)
    normal.adapt(rng.normal(5, 3, (100, 4)).astype(np.float32))
    network = tf_keras.Sequential([layers.Input((4,)), normal, layers.Dense(2)])
    x = rng.normal(5, 3, (6, 4)).astype(np.float32)
    imported = _network(source_of(network))
    np.testing.assert_allclose(imported(x), network(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(graph.copy(imported)(x), imported(x))


def test_the_key_tells_what_the_network_is_not_where_it_lies(kept, tmp_path):
    network = _small()
    file = _stored(tmp_path, network)
    other = file.with_name("a name of its own!.h5")
    other.write_bytes(file.read_bytes())
    one, same = source_of(file), source_of(other)
    assert one.key() == same.key()
    assert same.name == "a-name-of-its-own"
    network.set_weights([weight + 1 for weight in network.get_weights()])
    assert source_of(_stored(tmp_path, network)).key() != one.key()


def test_networks_in_memory_of_one_name_have_runs_of_their_own(kept, tmp_path):
    network = _small()
    one = _plan(tmp_path, source_of(network), ["dynamic"], tmp_path / "my.npz")
    network.set_weights([weight + 1 for weight in network.get_weights()])
    other = _plan(tmp_path, source_of(network), ["dynamic"], tmp_path / "my.npz")
    assert one.networks[0].name == other.networks[0].name
    assert one.deciding() != other.deciding()


def test_a_file_that_is_nested_too_deeply_is_one_sentence(kept, tmp_path):
    deep = json.loads("[" * 700 + "]" * 700)
    layer = {"class_name": "Dense", "config": {"units": 2, "name": "deep", "more": deep}}
    config = {"class_name": "Sequential", "config": {"name": "net", "layers": [layer]}}
    with h5py.File(tmp_path / "deep.h5", "w") as file:
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(config), "2.4.0"
    with pytest.raises(UsageError, match="nested too deeply"):
        source_of(tmp_path / "deep.h5")


def test_how_files_are_imported_is_in_the_key(kept, tmp_path, monkeypatch):
    file = _stored(tmp_path, _small())
    before = source_of(file).key()
    monkeypatch.setattr(importing, "IMPORT_VERSION", importing.IMPORT_VERSION + 1)
    assert source_of(file).key() != before


_MODULE = """
import numpy as np
import tf_keras

def network(units=2):
    layers = tf_keras.layers
    return tf_keras.Sequential([layers.Input((4,)), layers.Dense(units)])

def broken():
    return network(units=-1)

def number():
    return 7

class Makers:
    other = staticmethod(lambda: network(3))
"""


@pytest.fixture
def module(kept, tmp_path, monkeypatch):
    """A module in the current folder."""
    (tmp_path / "my_networks.py").write_text(_MODULE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("my_networks", None)


def test_a_function_gives_the_same_network_every_time_and_is_trained_as_a_variant(module):
    one, again = source_of("my_networks:network"), source_of("my_networks:network")
    assert one.key() == again.key()
    assert (one.name, one.origin, one.trained) == ("network", "my_networks:network", False)
    assert list(source_of("my_networks:Makers.other").outputs.values()) == [(3,)]
    assert source_of("my_networks:network", trained=True).trained
    assert str(module) not in sys.path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("my_networks:broken", "my_networks:broken gave no network .ValueError"),
        ("my_networks:number", "gave int: give a network"),
        ("my_networks:absent", "gave no network .AttributeError"),
        ("no_such_module:network", "gave no network .ModuleNotFoundError"),
        ("my_networks:__name__", "is not a function"),
    ],
)
def test_a_function_that_gives_no_network_is_refused(module, text, told):
    with pytest.raises(UsageError, match=told):
        source_of(text)


_KERAS3_FUNCTION = """
import keras

def network():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="silu")], name="mine")
"""


@pytest.mark.slow
def test_a_function_may_give_a_network_of_keras_3(module):
    (module / "of_keras3.py").write_text(_KERAS3_FUNCTION)
    program = (
        "from mlbench.networks.importing import source_of; s = source_of('of_keras3:network'); "
        "print(s.build(s.inputs, s.outputs, 7).count_params(), s.key() == source_of('of_keras3:network').key())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["10", "True"]


class _OfOnesOwn(tf_keras.Model):
    def call(self, x):
        return x


def test_a_class_of_ones_own_in_memory_is_refused(kept):
    with pytest.raises(UsageError, match="custom class"):
        source_of(_OfOnesOwn())


_REFUSED = {
    "net.onnx": (b"\x08\x07", "is ONNX: convert it by onnx2tf; `mlbench measure"),
    "net.pt": (b"PK\x03\x04", "is of PyTorch: convert it by litert-torch"),
    "net.pth": (b"PK\x03\x04", "is of PyTorch"),
    "net.safetensors": (b"\x00" * 9, "is of PyTorch"),
    "saved_model.pb": (b"\x08\x01", "SavedModel"),
    "net.tflite": (b"\x1c\x00\x00\x00TFL3", "`mlbench measure FILE.tflite`"),
    "renamed.h5": (b"\x1c\x00\x00\x00TFL3", "is a finished file"),
    "page.keras": (b"<!DOCTYPE html><html>", "is a web page"),
    "empty.keras": (b"", "is empty"),
    "text.h5": (b"hello, world", "is neither a .keras nor an .h5 file"),
    "half.keras": (b"PK\x03\x04half a zip", "is damaged"),
    "half.h5": (b"\x89HDF\r\n\x1a\nhalf", "is damaged"),
    "lfs.h5": (b"version https://git-lfs.github.com/spec/v1", "is a pointer of Git LFS"),
    "net.pkl": (b"\x80\x04", "is a pickle"),
}


@pytest.mark.parametrize("name", _REFUSED)
def test_other_files_are_refused_with_the_way_that_works(tmp_path, cache, name):
    content, told = _REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=f"{name} .*{told}") as refused:
        source_of(tmp_path / name)
    assert "\n" not in str(refused.value)
    assert not (cache / "imports").exists()


def test_folders_and_absent_files_are_refused(tmp_path, cache):
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(UsageError, match="SavedModel, which holds a graph without layers"):
        source_of(tmp_path)
    with pytest.raises(UsageError, match=r"absent\.keras does not exist"):
        source_of(tmp_path / "absent.keras")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("custom.keras", "\"doubling\" is of the class 'Doubling', which is custom"),
        ("lambda.keras", "\"lambda\" is of the class 'Lambda', which holds code"),
        ("alone.weights.h5", "holds weights without layers"),
    ],
)
def test_code_in_files_of_keras_3_is_refused(keras3, name, told):
    with pytest.raises(UsageError, match=told):
        source_of(keras3 / name)


def _dense(**changed):
    """A network of one dense layer as Keras 3 writes it."""
    tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": ["given", 0, 0]}}
    dense = {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {"name": "dense", "units": 2},
        "registered_name": None,
        "name": "dense",
        "inbound_nodes": [{"args": [tensor], "kwargs": {}}],
    }
    given = dense | {
        "class_name": "InputLayer",
        "config": {"name": "given", "batch_shape": [None, 4]},
        "name": "given",
        "inbound_nodes": [],
    }
    ends = {"input_layers": ["given", 0, 0], "output_layers": ["dense", 0, 0]}
    config = {"name": "net", "layers": [given, dense | changed], **ends}
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "registered_name": "Functional",
        "config": config,
    }


def _zipped(path, config, **more):
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/dense/vars/0"] = np.zeros((4, 2), np.float32)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.9.0"}))
        archive.writestr("model.weights.h5", weights.getvalue())
        for name, content in more.items():
            archive.writestr(name, content)
    return path


_EVIL = "an_evil_module"

_CRAFTED = {
    "module": _dense(module=_EVIL),
    "module below keras": _dense(module=f"keras.layers;{_EVIL}"),
    "registered name": _dense(registered_name=f"{_EVIL}>Dense"),
    "class": _dense(class_name="Evil"),
    "lambda": _dense(class_name="Lambda", config={"name": "dense", "function": ["aGk=", None, None]}),
    "activation": _dense(
        config={
            "name": "dense",
            "units": 2,
            "activation": {
                "module": _EVIL,
                "class_name": "function",
                "config": "relu",
                "registered_name": "relu",
            },
        }
    ),
    "value": _dense(config={"name": "dense", "units": {"module": _EVIL, "class_name": "Evil", "config": {}}}),
    "argument": _dense(
        inbound_nodes=[{"args": [{"module": _EVIL, "class_name": "Evil", "config": {}}], "kwargs": {}}]
    ),
    "nowhere": _dense(
        inbound_nodes=[
            {
                "args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["absent", 0, 0]}}],
                "kwargs": {},
            }
        ]
    ),
    "cycle": _dense(
        inbound_nodes=[
            {
                "args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["dense", 0, 0]}}],
                "kwargs": {},
            }
        ]
    ),
}


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A module that leaves a mark when anything imports it; here and in child processes."""
    folder = tmp_path / "path"
    folder.mkdir()
    mark = tmp_path / "mark"
    (folder / f"{_EVIL}.py").write_text(f"open({str(mark)!r}, 'w')\nrelu = Evil = Dense = lambda **_: None\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return mark


@pytest.mark.parametrize("kind", _CRAFTED)
def test_no_name_of_a_module_or_class_of_a_file_is_followed(tmp_path, cache, evil, kind):
    path = _zipped(tmp_path / "crafted.keras", _CRAFTED[kind])
    with pytest.raises(
        UsageError, match=r'crafted\.keras cannot be imported: "(dense|net|given)"'
    ) as refused:
        source_of(path)
    assert "\n" not in str(refused.value)
    assert not evil.exists()


def _with_config(path, config):
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(config)
    return path


@pytest.mark.parametrize("field", ["class_name", "module", "activation", "lambda"])
def test_no_name_of_an_h5_file_is_followed(tmp_path, cache, evil, field):
    path = _stored(tmp_path, _small())
    with h5py.File(path) as file:
        config = json.loads(file.attrs["model_config"])
    layer = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Dense")
    if field == "lambda":
        layer |= {"class_name": "Lambda", "config": {"name": "x", "function": ["aGk=", None, None]}}
    elif field == "activation":
        layer["config"][field] = {"module": _EVIL, "class_name": "function", "config": "relu"}
    else:
        layer[field] = _EVIL
    with pytest.raises(UsageError, match=r"own\.h5"):
        source_of(_with_config(path, config))
    assert not evil.exists()


def test_paths_that_lead_out_of_a_file_are_not_followed(tmp_path, cache):
    out = _zipped(tmp_path / "out.keras", _dense(), **{"../outside": "x"})
    with pytest.raises(UsageError, match=r"holds '\.\./outside'"):
        source_of(out)
    assert not (tmp_path.parent / "outside").exists()
    file = _stored(tmp_path, _small())
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as other:
        other["kernel"] = np.ones(3)
    with h5py.File(file, "r+") as opened:
        opened["model_weights/linked"] = h5py.ExternalLink(str(secret), "/kernel")
    with pytest.raises(UsageError, match="has a link in place of 'linked'"):
        source_of(file)


def test_a_zip_that_inflates_beyond_measure_is_refused(tmp_path, cache):
    bomb = tmp_path / "bomb.keras"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        with archive.open("model.weights.h5", "w", force_zip64=True) as member:
            for _ in range(1100):
                member.write(bytes(1 << 20))
    with pytest.raises(UsageError, match="would inflate to"):
        source_of(bomb)


_TASK = Classification()


def _file_of_samples(folder, rng, shape=(8, 8, 1), classes=3, count=90):
    y = np.arange(count) % classes
    x = (rng.normal(size=(count, *shape)) + y.reshape(-1, *[1] * len(shape))).astype(np.float32)
    np.savez(folder / "my.npz", x=x, y=y)
    return folder / "my.npz"


def _plan(folder, source, chains, data, epochs=0, tuning=0):
    training = TrainingOptions(epochs=epochs, batch=30, threads=1)
    return Plan(
        networks=(source,),
        chains=tuple(map(parse_chain, chains)),
        making=Making(
            Source(_TASK, data, 0, "stratified", 7),
            training,
            TuningOptions(**training.model_dump() | {"epochs": tuning}),
        ),
        tests=(),
        measuring=Measuring(min_count=20, min_seconds=0.01, gallery=False),
        out=folder / "runs",
    )


class _Heard(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def _material(folder, rng, **how):
    samples = _TASK.read(_file_of_samples(folder, rng, **how), "", lambda _: None)
    rows = np.arange(len(samples))
    return Material(_TASK, samples, Split(rows[:60], rows[60:75], rows[75:], "by hand"))


@pytest.mark.slow
def test_a_trained_network_is_the_baseline_as_it_is(kept, tmp_path, rng):
    network = _small()
    source = source_of(_stored(tmp_path, network))
    material = _material(tmp_path, rng)
    trained = train_baseline(source, material, TrainingOptions(epochs=0), Silent())
    for kept_weight, weight in zip(trained.network().get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(kept_weight, weight)
    assert [epoch.epoch for epoch in trained.history] == [0]
    assert not len(trained.seen.trained) and not len(trained.seen.validated)
    further = train_baseline(source, material, TrainingOptions(epochs=2, batch=30), Silent())
    assert len(further.history) == 3
    assert further.history[0].validation == trained.history[0].validation  # no prior was put in its place
    assert len(further.seen.trained) == 60


@pytest.mark.parametrize(
    ("shape", "classes", "told"),
    [
        ((1, 8, 8), 3, "takes x as 8×8×1, the samples hold it as 1×8×8: the samples' channels come first"),
        ((8, 8), 3, r"the samples hold it as 8×8: add the axis of the one channel, as x\[..., None\]"),
        ((9, 9, 1), 3, "the samples hold it as 9×9×1: give images of that size"),
        ((8, 8, 1), 4, "The class 3 has no output: the network answers classes 0 to 2"),
    ],
)
def test_samples_that_do_not_fit_a_network_are_refused_before_any_work(
    kept, tmp_path, rng, shape, classes, told
):
    source = source_of(_stored(tmp_path, _small()))
    with pytest.raises(UsageError, match=told):
        train_baseline(
            source,
            _material(tmp_path, rng, shape=shape, classes=classes),
            TrainingOptions(epochs=0),
            Silent(),
        )


@pytest.mark.slow
def test_a_run_of_ones_own_network_says_what_is_not_known(kept, tmp_path, rng):
    source = source_of(_stored(tmp_path, _small()))
    (done,) = pipeline.run(_plan(tmp_path, source, ["int8"], _file_of_samples(tmp_path, rng)), Silent())
    record = done.record
    assert [artifact.id for artifact in record.artifacts] == ["own · none", "own · int8"]
    assert any("What own was trained on is not known" in warning for warning in record.warnings)
    assert "face" not in record.model_dump_json().lower().replace("interface", "")
    assert record.configuration["experiment"]["models"] == [str(tmp_path / "own.h5")]


_PICTURES = {
    "resnet8.h5": ((32, 32, 3), 10, ["svd+int8", "slim+tucker+dynamic"]),
    "mobilenet_v1_025_96.h5": ((96, 96, 3), 2, ["slim+dynamic"]),  # of many layers: each step takes long
}


@pytest.mark.slow
@pytest.mark.parametrize("name", _PICTURES)
def test_networks_of_others_are_imported_and_compressed(kept, tmp_path, rng, name):
    """On pictures as they take them: bytes of colours, or those divided by 255."""
    file = _SHARED / "models" / "mlperf_tiny" / name
    if not file.exists():
        pytest.skip(f"no networks of MLPerf Tiny: {file} is absent (MLBENCH_SHARED names another place)")
    (shape, classes, chains), source = _PICTURES[name], source_of(file)
    data = tmp_path / "pictures.npz"
    largest = 255 if name == "resnet8.h5" else 1
    x = rng.uniform(0, largest, (12 + 5 * classes, *shape)).astype(np.float32)
    np.savez(data, x=x, y=np.arange(len(x)) % classes)
    (done,) = pipeline.run(_plan(tmp_path, source, chains, data), Silent())
    sizes = [artifact.file_bytes for artifact in done.record.artifacts]
    assert [artifact.chain for artifact in done.record.artifacts] == ["none", *chains]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == len(sizes)
    assert source.difference == 0
