"""Whether a network's configuration is data alone, looked at before Keras builds anything of it.

Keras looks up whatever module and name a configuration gives, calls what it finds there on constants that the
configuration gives too, and waits for ever for a layer whose input never comes. So every class, module, name and
connection must be on a list here; what is on none is refused. Loading then runs no code but that of listed classes.
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from mlbench.errors import UsageError

#: Layers that compute what their configuration says. Not here: layers that hold code (Lambda, TFOpLambda,
#: SlicingOpLambda) or read files (StringLookup, TextVectorization).
LAYERS = """
InputLayer Dense Activation Flatten Reshape Permute RepeatVector Dropout SpatialDropout1D SpatialDropout2D
GaussianNoise GaussianDropout AlphaDropout ActivityRegularization Masking
Conv1D Conv2D Conv1DTranspose Conv2DTranspose DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D
LocallyConnected1D LocallyConnected2D
MaxPooling1D MaxPooling2D AveragePooling1D AveragePooling2D
GlobalMaxPooling1D GlobalMaxPooling2D GlobalAveragePooling1D GlobalAveragePooling2D
ZeroPadding1D ZeroPadding2D Cropping1D Cropping2D UpSampling1D UpSampling2D
Add Subtract Multiply Average Maximum Minimum Concatenate Dot Attention AdditiveAttention MultiHeadAttention
BatchNormalization LayerNormalization GroupNormalization UnitNormalization Normalization Rescaling Resizing
ReLU LeakyReLU PReLU ELU ThresholdedReLU Softmax
"""

_MODELS = {
    "Sequential": {"keras", "keras.models"},
    "Functional": {
        "keras.engine.functional",
        "keras.src.engine.functional",
        "tf_keras.src.engine.functional",
    },
}

#: What a string stands for in a field whose name ends so.
_CLASSES_BY_FIELD = {
    "initializer": """
        Zeros Ones Constant RandomNormal RandomUniform TruncatedNormal VarianceScaling GlorotNormal GlorotUniform
        HeNormal HeUniform LecunNormal LecunUniform Orthogonal Identity""",
    "regularizer": "L1 L2 L1L2 OrthogonalRegularizer",
    "constraint": "MaxNorm MinMaxNorm NonNeg UnitNorm RadialConstraint",
}

_ACTIVATIONS = """
elu exponential gelu hard_sigmoid leaky_relu linear mish relu relu6 selu sigmoid softmax softplus softsign swish tanh
"""

#: The modules that each of Keras' own classes may name.
_KERAS: dict[str, set[str]] = (
    _MODELS
    | {name: {"keras.layers"} for name in LAYERS.split()}
    | {name: {f"keras.{kind}s"} for kind, names in _CLASSES_BY_FIELD.items() for name in names.split()}
    | {"Policy": {"keras.mixed_precision"}}
)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


_NAMES_BY_FIELD = {
    kind: frozenset(names.split()) | {_snake(name) for name in names.split()}
    for kind, names in _CLASSES_BY_FIELD.items()
} | {"activation": frozenset(_ACTIVATIONS.split())}

#: Values that JSON has no form for, as Keras writes them.
_PLAIN_VALUES = {"__tuple__", "TensorShape"}

_OBJECT_FIELDS = {
    *("class_name", "config", "module", "registered_name", "build_config", "shared_object_id"),
    *("name", "inbound_nodes", "keras_version", "backend", "__passive_serialization__"),
}
_GRAPH_FIELDS = {"name", "trainable", "layers", "input_layers", "output_layers"}
_CONSTANT = "_CONSTANT_VALUE"
_REFERENCE = range(3, 5)  # [layer, node, tensor] and, where the layer is called, arguments


def check(config: Any, custom: Mapping[str, type]) -> None:
    """Let a network's configuration pass only if it is a graph of known layers.

    Args:
        config: what `to_json` wrote, parsed.
        custom: further classes that it may hold, by class name: a compressor's `custom_layers()`.

    Raises:
        UsageError: anything in it is not on a list; the sentence names the layer and the field.
    """
    if not isinstance(config, dict) or config.get("class_name") not in [*_MODELS]:
        _refuse("network", "class_name", "is neither Sequential nor Functional")
    _Check(custom).value(config, "network", "")


def needs_custom(config: Any) -> bool:
    """Whether a configuration holds any class that is not Keras' own."""
    if isinstance(config, list):
        return any(map(needs_custom, config))
    if not isinstance(config, dict):
        return False
    own = [*_KERAS, *_PLAIN_VALUES, "function"]
    named = "class_name" in config and config["class_name"] not in own
    return named or any(map(needs_custom, config.values()))


def _refuse(layer: str, field: str, fault: str) -> NoReturn:
    message = (
        f'layer "{layer}", field "{field}" {fault}; only plain layers and installed compressors\' are loaded.'
    )
    raise UsageError(message)


@dataclass(frozen=True)
class _Check:
    """A walk through a configuration that knows which layer and field it is in."""

    custom: Mapping[str, type]

    def value(self, value: Any, layer: str, field: str) -> None:
        """A value of any kind."""
        if isinstance(value, dict) and "class_name" in value:
            self._object(value, layer, field)
        elif isinstance(value, dict):
            for key, item in value.items():
                self.value(item, layer, f"{field}.{key}".lstrip("."))
        elif isinstance(value, list):
            for item in value:
                self.value(item, layer, field)
        elif isinstance(value, str):
            for kind, names in _NAMES_BY_FIELD.items():
                if field.endswith(kind) and value not in names:
                    _refuse(layer, field, f'names "{value}", which is no {kind} of Keras')

    def _object(self, value: dict[str, Any], layer: str, field: str) -> None:
        """What Keras would look up and build."""
        name = value["class_name"]
        if name in ("function", *_PLAIN_VALUES):
            self._written_otherwise(value, layer, field)
            return
        if not isinstance(name, str) or name not in {*_KERAS, *self.custom}:
            _refuse(layer, field or "class_name", f'is of the class "{name}", which is not listed or is code')
        config = value.get("config")
        if not isinstance(config, dict):
            _refuse(layer, field or "config", "holds no configuration")
        if isinstance(config.get("name"), str):
            layer, field = config["name"], ""
        self._identity(value, name, layer, field)
        if name in _MODELS:
            self._model(name, config, layer)
        for key in _OBJECT_FIELDS & value.keys() - {"class_name", "config", "module", "registered_name"}:
            self.value(value[key], layer, f"{field}.{key}".lstrip("."))
        self.value(config, layer, field)

    def _identity(self, value: dict[str, Any], name: str, layer: str, field: str) -> None:
        """The fields by which Keras finds the class."""
        import tf_keras

        mine = self.custom.get(name)
        modules = {mine.__module__} if mine else _KERAS[name]
        registered = {name, tf_keras.saving.get_registered_name(mine) if mine else name}
        faults = {
            "module": value.get("module") not in (None, *modules),
            "registered_name": value.get("registered_name") not in (None, *registered),
            "shared_object_id": not isinstance(value.get("shared_object_id", 0), int),
        }
        for key, wrong in faults.items():
            if wrong:
                _refuse(
                    layer, f"{field}.{key}".lstrip("."), f"is {value[key]!r}, which is not that of {name}"
                )
        for key in value.keys() - _OBJECT_FIELDS:
            _refuse(layer, f"{field}.{key}".lstrip("."), "is unknown")

    def _written_otherwise(self, value: dict[str, Any], layer: str, field: str) -> None:
        """A function by its name, or a value that JSON has no form for."""
        name, found = value.get("config"), value.get("registered_name")
        if value["class_name"] != "function":
            if value.keys() != {"class_name", "items"} or not isinstance(value["items"], list):
                _refuse(layer, field, "is no list of values")
            self.value(value["items"], layer, field)
        elif (
            not isinstance(name, str)
            or name not in _NAMES_BY_FIELD["activation"]
            or found not in (None, name)
        ):
            _refuse(layer, field, f'names the function "{name}", which is no activation of Keras')
        elif value.get("module") not in (None, "builtins", "keras.activations"):
            _refuse(layer, f"{field}.module", f"is {value['module']!r}, which holds no activation of Keras")

    def _model(self, kind: str, config: dict[str, Any], name: str) -> None:
        layers = config.get("layers")
        if not isinstance(layers, list) or not layers:
            _refuse(name, "layers", "is no list of layers")
        for layer in layers:
            kinds = (dict, "config"), (str, "class_name")
            if not isinstance(layer, dict) or not all(
                isinstance(layer.get(key), kind) for kind, key in kinds
            ):
                _refuse(name, "layers", "holds something that is no layer")
        if kind == "Functional":
            _Graph(name, config).check()


@dataclass(frozen=True)
class _Graph:
    """The connections of a functional network: every one must come from a node that is there before it."""

    name: str
    config: dict[str, Any]

    def check(self) -> None:
        """Refuse connections to nowhere, constants and cycles, for which Keras would wait for ever."""
        if not {"name", "layers", "input_layers", "output_layers"} <= self.config.keys() <= _GRAPH_FIELDS:
            _refuse(self.name, "config", "is no graph of layers")
        nodes: dict[str, range] = {}
        for layer in self.config["layers"]:
            self._check_name(layer, nodes)
            nodes[layer["name"]] = _nodes_of(layer)
        outputs = {layer["name"]: _outputs_of(layer) for layer in self.config["layers"]}
        needed: dict[tuple[str, int], set[tuple[str, int]]] = {}
        for layer in self.config["layers"]:
            name = layer["name"]
            for index, node in zip(nodes[name], layer["inbound_nodes"], strict=False):
                sources = {
                    self._source(reference, name, nodes, outputs) for reference in _references(node, name)
                }
                # Keras works on the nodes of one layer in order.
                needed[name, index] = sources | ({(name, index - 1)} if index > nodes[name].start else set())
        for end in ("input_layers", "output_layers"):
            for reference in _references(self.config[end], self.name):
                self._source(reference, self.name, nodes, outputs)
        try:
            graphlib.TopologicalSorter(needed).prepare()
        except graphlib.CycleError as error:
            _refuse(error.args[1][0][0], "inbound_nodes", "closes a cycle")

    def _check_name(self, layer: dict[str, Any], known: Mapping[str, Any]) -> None:
        name = layer.get("name")
        if (
            not isinstance(name, str)
            or name in known
            or name == _CONSTANT
            or layer["config"].get("name") != name
        ):
            _refuse(
                self.name,
                "layers",
                f"holds a layer of the name {name!r}, which is missing, double or no name",
            )
        nodes = layer.get("inbound_nodes")
        if not isinstance(nodes, list) or (nodes and layer.get("class_name") == "InputLayer"):
            _refuse(name, "inbound_nodes", "is no list of the layer's inputs")

    @staticmethod
    def _source(
        reference: list[Any], layer: str, nodes: Mapping[str, range], outputs: Mapping[str, int]
    ) -> tuple[str, int]:
        """The node that a reference names."""
        name, node, tensor = reference[:3]
        whole = type(node) is int and type(tensor) is int
        if not whole or name not in nodes or node not in nodes[name] or tensor not in range(outputs[name]):
            _refuse(layer, "inbound_nodes", f"names {reference[:3]}, which no layer gives")
        return name, node


def _nodes_of(layer: dict[str, Any]) -> range:
    """The numbers by which a layer's calls are named; the first call of a nested network made it, and is not told."""
    kind = layer.get("class_name")
    if kind == "InputLayer":
        return range(1)
    if kind == "Sequential" and not _starts_with_input(layer["config"]):
        _refuse(layer["name"], "layers", "does not begin with an InputLayer")
    first = 1 if kind in _MODELS else 0
    return range(first, first + len(layer["inbound_nodes"]))


def _starts_with_input(config: dict[str, Any]) -> bool:
    layers = config.get("layers")
    first = layers[0] if isinstance(layers, list) and layers else None
    return isinstance(first, dict) and first.get("class_name") == "InputLayer"


def _outputs_of(layer: dict[str, Any]) -> int:
    """Tensors that a layer gives: one, but of a nested graph as many as its configuration says."""
    if layer.get("class_name") != "Functional":
        return 1
    return sum(1 for _ in _references(layer["config"].get("output_layers"), layer["name"]))


def _references(value: Any, layer: str) -> Iterator[list[Any]]:
    """All [layer, node, tensor] of a node or of a network's ends, those among its arguments too."""
    if not isinstance(value, list | dict) or not value:
        _refuse(layer, "inbound_nodes", "is no list of the layer's inputs")
    if isinstance(value, list) and len(value) in _REFERENCE and isinstance(value[0], str):
        yield value
        yield from _among_arguments(value[3] if len(value) == _REFERENCE[-1] else {}, layer)
        return
    for item in value.values() if isinstance(value, dict) else value:
        yield from _references(item, layer)


def _among_arguments(value: Any, layer: str) -> Iterator[list[Any]]:
    if isinstance(value, list) and len(value) in _REFERENCE and isinstance(value[0], str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _among_arguments(item, layer)
