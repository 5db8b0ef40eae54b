"""A network's configuration is data: whatever it names, nothing is looked up or called but listed classes."""

import copy
import importlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlbench.compressors.hashing import hashed_dense
from mlbench.errors import UsageError
from mlbench.networks import checking, storage

#: What attacks and accidents would put anywhere; the names are harmless in case one gets through.
_HOSTILE = [
    *(
        "os",
        "builtins",
        "system",
        "getcwd",
        "mlbench.system.sizes",
        "Lambda",
        "TFOpLambda",
        "function",
        "Dense",
    ),
    *(
        "_CONSTANT_VALUE",
        "relu",
        "Custom>Thing",
        "__lambda__",
        "__typespec__",
        "__tensor__",
        None,
        -1,
        0,
        5,
        True,
    ),
    ["_CONSTANT_VALUE", -1, "true"],
    [["_CONSTANT_VALUE", -1, "true", {}]],
    ["input", 0, 7],
    {"class_name": "getcwd", "module": "os", "config": {}, "registered_name": None},
    {"class_name": "function", "module": "builtins", "config": "exec", "registered_name": "exec"},
    {"class_name": "__lambda__", "config": {"value": ["4wAAAA==", None, None]}},
    {
        "class_name": "Lambda",
        "module": "keras.layers",
        "config": {"function": "abs"},
        "registered_name": None,
    },
    {},
    [],
]
_FIELDS = [
    "module",
    "registered_name",
    "class_name",
    "config",
    "activation",
    "inbound_nodes",
    "build_config",
    "x",
]


def _branched():
    """Two inputs, branches, a nested network, a call with an argument, a compressor's layer."""
    import tf_keras as keras

    layers = keras.layers
    image, extra = layers.Input((8, 8, 1), name="image"), layers.Input((4,), name="extra")
    x = layers.Conv2D(2, 3, padding="same", kernel_regularizer="l2", kernel_constraint="non_neg")(image)
    x = layers.BatchNormalization()(x, training=False)
    x = layers.ReLU(6.0)(x)
    nested = keras.Sequential(
        [layers.Input((8, 8, 2)), layers.DepthwiseConv2D(3, padding="same", activation=layers.LeakyReLU())]
    )
    x = layers.Add()([x, nested(x)])
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), extra])
    return keras.Model([image, extra], hashed_dense()(6, 5, 7, activation="relu", name="hashed")(x))


def _stacked():
    """One of each kind of layer that landmark networks are made of."""
    import tf_keras as keras

    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.ZeroPadding2D(1),
            layers.Conv2DTranspose(2, 3, strides=2, activation="tanh"),
            layers.UpSampling2D(),
            layers.AveragePooling2D(2),
            layers.SeparableConv2D(2, 3, depthwise_initializer="he_normal"),
            layers.PReLU(),
            layers.Permute((2, 1, 3)),
            layers.Reshape((-1, 2)),
            layers.Conv1D(2, 3, activation="relu"),
            layers.Dropout(0.1),
            layers.Flatten(),
            layers.Dense(3, dtype=keras.mixed_precision.Policy("mixed_bfloat16")),
        ]
    )


@pytest.fixture(scope="module")
def branched():
    return _branched()


@pytest.fixture(scope="module")
def configuration(branched):
    return json.loads(branched.to_json())


def _refused(tmp_path, config, match):
    (tmp_path / "network.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=match):
        storage.load(tmp_path)


def test_graphs_and_stacks_of_plain_layers_are_loaded(branched, tmp_path):
    for network in (branched, _stacked()):
        storage.save(network, tmp_path)
        found = storage.load(tmp_path)
        assert json.loads(found.to_json()) == json.loads(network.to_json())
        for a, b in zip(network.get_weights(), found.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_command_in_a_configuration_is_not_run(tmp_path):
    marker = tmp_path / "marker"
    constant = ["_CONSTANT_VALUE", -1, f"touch {marker}", {}]
    source = {"module": "keras.layers", "class_name": "InputLayer", "name": "a", "inbound_nodes": []}
    source["config"] = {"batch_input_shape": [None, 1], "dtype": "float32", "name": "a"}
    shell = {"module": "os", "class_name": "function", "config": "system", "registered_name": "HashedDense"}
    shell |= {"name": "b", "inbound_nodes": [[constant]]}
    graph = {
        "name": "n",
        "layers": [source, shell],
        "input_layers": [["a", 0, 0]],
        "output_layers": [["a", 0, 0]],
    }
    _refused(tmp_path, {"class_name": "Functional", "config": graph}, "holds something that is no layer")
    assert not marker.exists()


def _first(config, class_name):
    return next(layer for layer in config["config"]["layers"] if layer["class_name"] == class_name)


@pytest.mark.parametrize(
    ("class_name", "field", "value", "match"),
    [
        ("Conv2D", "module", "os", r'field "module" is \'os\''),
        ("Conv2D", "registered_name", "HashedDense", 'field "registered_name"'),
        ("HashedDense", "module", "os", 'layer "hashed", field "module"'),
        ("HashedDense", "registered_name", "Dense", 'layer "hashed", field "registered_name"'),
        ("ReLU", "class_name", "Lambda", '"Lambda", which is not listed or is code'),
        ("ReLU", "class_name", "SlicingOpLambda", "not listed or is code"),
        ("ReLU", "class_name", ["ReLU"], "holds something that is no layer"),
        ("ReLU", "compile_config", {"optimizer": "adam"}, 'field "compile_config" is unknown'),
        ("ReLU", "inbound_nodes", [[["_CONSTANT_VALUE", -1, 1.0, {}]]], 'field "inbound_nodes" names'),
        ("ReLU", "inbound_nodes", [[["nowhere", 0, 0, {}]]], "which no layer gives"),
        ("Add", "inbound_nodes", [[["add", 0, 0, {}]]], "closes a cycle"),
        (
            "BatchNormalization",
            "inbound_nodes",
            [[["conv2d", 0, 0, {"mask": ["conv2d", 0, 3]}]]],
            "no layer gives",
        ),
    ],
)
def test_a_changed_field_is_named(configuration, tmp_path, class_name, field, value, match):
    config = copy.deepcopy(configuration)
    layer = _first(config, class_name)
    for node in (layer["inbound_nodes"], value) if field == "inbound_nodes" else ():
        for entry in node[0]:
            entry[0] = layer["name"] if entry[0] == "add" else entry[0]
    layer[field] = value
    _refused(tmp_path, config, match)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("activation", "serialize"),
        (
            "activation",
            {"class_name": "function", "module": "builtins", "config": "exec", "registered_name": "exec"},
        ),
        (
            "activation",
            {"class_name": "function", "module": "os", "config": "relu", "registered_name": "relu"},
        ),
        ("kernel_initializer", {"class_name": "system", "module": "os", "config": {}}),
        ("kernel_regularizer", "os.system"),
        ("kernel_constraint", {"class_name": "__lambda__", "config": {"value": "x"}}),
    ],
)
def test_what_a_layer_is_made_of_is_checked_too(configuration, tmp_path, field, value):
    config = copy.deepcopy(configuration)
    _first(config, "Conv2D")["config"][field] = value
    _refused(tmp_path, config, rf'layer "conv2d[_\d]*", field "{field}')


def _places(value, path=()):
    """Paths to all values in a configuration."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*path, key))


def _changed(config, data):
    """A configuration with one value replaced, added or left out."""
    path = data.draw(st.sampled_from([p for p in _places(config) if p]))
    parent = config
    for key in path[:-1]:
        parent = parent[key]
    sources = st.sampled_from(list(_places(config))).map(lambda p: _at(config, p))
    value = copy.deepcopy(data.draw(st.sampled_from(_HOSTILE) | sources))
    action = data.draw(st.sampled_from(["replace", "replace", "add", "remove"]))
    if action == "replace":
        parent[path[-1]] = value
    elif action == "remove":
        del parent[path[-1]]
    elif isinstance(parent, dict):
        parent[data.draw(st.sampled_from(_FIELDS))] = value
    else:
        parent.append(value)
    return config


def _at(config, path):
    for key in path:
        config = config[key]
    return config


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_configuration_looks_up_anything_but_listed_classes(configuration, tmp_path, monkeypatch, data):
    from tf_keras.src.saving import serialization_lib
    from tf_keras.src.saving.legacy import serialization as legacy
    from tf_keras.src.utils import generic_utils

    config = copy.deepcopy(configuration)
    for _ in range(data.draw(st.integers(1, 3))):
        config = _changed(config, data)
    looked_up = []
    with monkeypatch.context() as patch:

        def recorded(where, name):
            genuine = getattr(where, name)

            def look(*args, **kwargs):
                found = genuine(*args, **kwargs)
                looked_up.append(found[0] if isinstance(found, tuple) else found)
                return found

            patch.setattr(where, name, look)

        recorded(serialization_lib, "_retrieve_class_or_fn")
        recorded(legacy, "class_and_config_for_serialized_keras_object")
        recorded(importlib, "import_module")
        recorded(generic_utils, "func_load")
        (tmp_path / "network.json").write_text(json.dumps(config))
        (tmp_path / "weights.npz").unlink(missing_ok=True)
        with pytest.raises(UsageError):  # at the latest since there are no weights
            storage.load(tmp_path)
    modules = set().union(*checking._KERAS.values(), {"mlbench.compressors.hashing"})
    allowed = {*checking._KERAS, *checking._ACTIVATIONS.split(), "HashedDense"} | modules
    unlisted = [found for found in looked_up if getattr(found, "__name__", "") not in allowed]
    assert not unlisted
