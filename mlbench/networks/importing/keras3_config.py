"""The configuration of a Keras 3 network, written anew from what is on a list: Keras 3 is never given the file's own.

Keras looks up whatever class, module and function a configuration names. Here every entry of the file is taken apart;
a layer of a listed class is written again with its plain values, and what decides no answer (initialisers,
regularisers, constraints, the optimiser, types of arithmetic) is left out. So no name of a module comes from a file.
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from mlbench.errors import UsageError
from mlbench.networks.checking import LAYERS

_MODELS = {"Functional": "keras.src.models.functional", "Sequential": "keras"}

#: Functions of `keras.ops` that are layers by another name, and the modules that hold them.
_FUNCTIONS = {
    "keras.src.ops.numpy": """
        Add Subtract Multiply Divide TrueDivide Maximum Minimum Reshape Transpose Concatenate Mean Max ExpandDims
        Squeeze""",
    "keras.src.ops.nn": """
        Relu Relu6 Sigmoid Softmax Tanh Silu HardSigmoid HardSilu Gelu Elu Selu Softplus Softsign""",
}
_OPERATIONS = {name: module for module, names in _FUNCTIONS.items() for name in names.split()}

_NAMES = """
elu exponential gelu hard_sigmoid hard_silu hard_swish leaky_relu linear mish relu relu6 selu sigmoid silu softmax
softplus softsign swish tanh
"""
_ACTIVATIONS = frozenset(_NAMES.split())

_KNOWN_LAYERS = frozenset(LAYERS.split())
_LEFT_OUT = re.compile(
    r".*_(initializer|regularizer|constraint)|dtype|build_config|compile_config|shared_object_id|trainable"
    r"|build_input_shape|quantization_config|ragged|sparse|optional"
)
_MODULE = re.compile(r"(keras|keras\.layers|keras\.models|keras\.src\.[a-z0-9_.]+)")
_TENSOR = "__keras_tensor__"
_ARRAYS = {"__numpy__", "__tensor__"}
_HISTORY = 3  # [layer, call, tensor]


def cleaned(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a network of listed layers, for `keras.Model.from_config` and the like.

    Raises:
        UsageError: something in it is on no list; the sentence names the layer.
    """
    if config.get("class_name") not in _MODELS:
        _refuse("network", f"is of the class {config.get('class_name')!r}, a custom class")
    return _entry(config)


def _entry(value: Any, place: str = "network") -> dict[str, Any]:
    """A layer, an operation or a network: its class, configuration and calls."""
    if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
        _refuse(place, "holds something that is no layer")
    kind, config = str(value.get("class_name")), value["config"]
    name = value.get("name", config.get("name"))
    place = name if isinstance(name, str) else place
    operation = kind in _OPERATIONS and (kind not in _KNOWN_LAYERS or _is_operation(value))
    if kind == "Lambda" or (not operation and kind not in _MODELS and kind not in _KNOWN_LAYERS):
        why = "holds code" if kind == "Lambda" else "is custom, or not known here"
        _refuse(place, f"is of the class {kind!r}, which {why}")
    if not _is_kerass_own(value, kind):
        _refuse(
            place, f"is a {kind} of {value.get('module')!r} registered as {value.get('registered_name')!r}"
        )
    module = _OPERATIONS[kind] if operation else _MODELS.get(kind, "keras.layers")
    made: dict[str, Any] = {"module": module, "class_name": kind, "registered_name": kind}
    made["config"] = _model(config, kind, place) if kind in _MODELS else _values(config, place)
    if kind not in _MODELS and not isinstance(config.get("quantization_config"), type(None)):
        _refuse(place, "is quantised: import the network before its quantisation")
    if "inbound_nodes" in value:
        made |= {
            "name": place,
            "inbound_nodes": [_call(node, place) for node in _list(value["inbound_nodes"], place)],
        }
    return made


def _is_operation(value: Mapping[str, Any]) -> bool:
    """Whether an entry is a function of `keras.ops` and no layer: `.h5` files hold no module that tells."""
    module = value.get("module")
    return (
        module.startswith("keras.src.ops.") if isinstance(module, str) else "trainable" not in value["config"]
    )


def _is_kerass_own(value: Mapping[str, Any], kind: str) -> bool:
    module, registered = value.get("module"), value.get("registered_name")
    own = module is None or (isinstance(module, str) and _MODULE.fullmatch(module) is not None)
    return own and registered in (None, kind)


def _model(config: Mapping[str, Any], kind: str, place: str) -> dict[str, Any]:
    layers = [_entry(layer, place) for layer in _list(config.get("layers"), place)]
    if kind == "Sequential" and (not layers or layers[0]["class_name"] != "InputLayer"):
        layers.insert(0, _input_of(config.get("build_input_shape"), place))
    made: dict[str, Any] = {"name": config.get("name"), "layers": layers}
    if kind == "Functional":
        made |= {"trainable": True}
        for end in ("input_layers", "output_layers"):
            made[end] = _ends(config.get(end), place)
        _require_graph(made, place)
    return made


def _input_of(shape: Any, place: str) -> dict[str, Any]:
    """The input layer of a Sequential network that was built by its first call."""
    if not isinstance(shape, list) or not shape:
        _refuse(
            place, "has no shape of its input: call it on samples, or give it an Input, before it is saved"
        )
    config = {"batch_shape": [None, *shape[1:]], "name": f"{place}_input"}
    return {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "registered_name": "InputLayer",
        "config": config,
    }


def _ends(value: Any, place: str) -> Any:
    """References to inputs or outputs: one, a list or a table of them."""
    if isinstance(value, list) and _is_history(value):
        return value
    if isinstance(value, list):
        return [_ends(item, place) for item in value]
    if isinstance(value, dict):
        return {str(key): _ends(item, place) for key, item in value.items()}
    return _refuse(place, "has ends that are no layers")


def _is_history(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == _HISTORY
        and isinstance(value[0], str)
        and all(type(number) is int and number >= 0 for number in value[1:])
    )


def _call(node: Any, place: str) -> dict[str, Any]:
    if not isinstance(node, dict) or not {"args", "kwargs"} >= node.keys():
        _refuse(place, "is called in a way that is not known")
    kwargs = {
        key: value for key, value in node.get("kwargs", {}).items() if not (key == "mask" and value is None)
    }
    if kwargs.pop("training", None):
        _refuse(place, "is called with training=True, so that its answers are drawn at random")
    return {"args": _argument(node.get("args", []), place), "kwargs": _argument(kwargs, place)}


def _argument(value: Any, place: str) -> Any:
    if isinstance(value, list):
        return [_argument(item, place) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") != _TENSOR:
        plain = "class_name" in value
        return (
            _plain(value, place, "argument") if plain else {k: _argument(v, place) for k, v in value.items()}
        )
    config = value.get("config")
    if not isinstance(config, dict) or not _is_history(config.get("keras_history")):
        _refuse(place, "is called with something that no layer gives")
    kept = {key: config[key] for key in ("shape", "dtype", "keras_history") if key in config}
    return {"class_name": _TENSOR, "config": kept}


def _values(config: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Plain values; an activation by its name."""
    made = {}
    for key, value in config.items():
        if key == "dtype" and not _is_plain_policy(value):
            _refuse(place, "is quantised, or computes by a custom policy")
        if key.endswith("activation"):
            made[key] = _activation(value, place)
        elif not _LEFT_OUT.fullmatch(key) or (key == "dtype" and "batch_shape" in config):
            made[key] = _plain(value, place, key)
    if isinstance(shape := made.get("batch_shape"), list) and shape:
        made["batch_shape"] = [
            None,
            *shape[1:],
        ]  # a batch of one size is no part of what the network computes
    return made


def _is_plain_policy(value: Any) -> bool:
    if isinstance(value, dict):
        named = value.get("config", {})
        return value.get("class_name") in ("DTypePolicy", "Policy") and isinstance(named, dict)
    return value is None or isinstance(value, str)


def _activation(value: Any, place: str) -> str | None:
    """The name of an activation, which Keras writes in two ways."""
    if isinstance(value, dict) and value.get("class_name") == "function":
        if value.get("module") not in (None, "builtins", "keras.activations"):
            _refuse(place, f"has an activation of the module {value.get('module')!r}, which is code")
        value = value.get("config")
    if value is not None and (not isinstance(value, str) or value not in _ACTIVATIONS):
        told = value.get("class_name") if isinstance(value, dict) else value
        _refuse(place, f"has the activation {told!r}, which is custom or has no counterpart")
    return value


def _plain(value: Any, place: str, key: str) -> Any:
    if isinstance(value, list):
        return [_plain(item, place, key) for item in value]
    if isinstance(value, dict):
        if value.get("class_name") in _ARRAYS:
            return _array(value)
        if "class_name" in value or "module" in value or "registered_name" in value:
            _refuse(place, f"has the {key} {value.get('class_name')!r}, which is no plain value")
        return {str(name): _plain(item, place, key) for name, item in value.items()}
    return value


def _array(value: Mapping[str, Any]) -> Any:
    """The numbers of an array that is part of a configuration."""
    return value.get("config", {}).get("value")


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        _refuse(place, "has no list of layers or of calls")
    return value


def _require_graph(config: Mapping[str, Any], place: str) -> None:
    """Refuse connections to nowhere and cycles, for which Keras would search for ever."""
    needed: dict[tuple[str, int], set[tuple[str, int]]] = {}
    names = {layer.get("name") for layer in config["layers"]}
    if len(names) != len(config["layers"]):
        _refuse(place, "holds two layers of one name")
    for layer in config["layers"]:
        for number, node in enumerate(layer.get("inbound_nodes", [])):
            first = int(layer["class_name"] == "Functional")  # its own making is its first call
            sources = {(source, call) for source, call, _ in _histories(node)}
            if missing := [source for source, _ in sources if source not in names]:
                _refuse(str(layer["name"]), f"is called with {missing[0]!r}, which is no layer")
            needed[str(layer["name"]), first + number] = sources
    try:
        graphlib.TopologicalSorter(needed).prepare()
    except graphlib.CycleError as error:
        _refuse(str(error.args[1][0][0]), "is part of a cycle")


def _histories(value: Any) -> Iterator[list[Any]]:
    if isinstance(value, dict) and value.get("class_name") == _TENSOR:
        yield value["config"]["keras_history"]
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _histories(item)


def _refuse(layer: str, fault: str) -> NoReturn:
    message = (
        f'cannot be imported: "{layer}" {fault}; only plain layers of Keras are, so build it of those, or convert it '
        "to .tflite, which `mlbench measure` and `mlbench compress FILE.tflite` take"
    )
    raise UsageError(message)
