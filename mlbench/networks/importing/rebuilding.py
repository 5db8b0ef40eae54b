"""A network of tf_keras from the calls that Keras 3 wrote down."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt

from mlbench.errors import UsageError
from mlbench.networks.checking import LAYERS
from mlbench.networks.importing.plans import TENSOR, with_tensors
from mlbench.system.quiet import quiet_tensorflow

if TYPE_CHECKING:
    import tf_keras

Weights = Mapping[str, npt.NDArray[Any]]

_LAYERS = frozenset(LAYERS.split())

#: Names of Keras 3 for what tf_keras calls otherwise, by class ("" is any).
_KEYS = {("LeakyReLU", "negative_slope"): "alpha"}
_LEFT_OUT = re.compile(r".*_(initializer|regularizer|constraint)|dtype|trainable|name")
_ACTIVATIONS = {"silu": "swish"}
#: Activations that tf_keras has not, or means otherwise by the name.
_PIECEWISE = ("hard_sigmoid", "hard_silu", "hard_swish")

#: Functions that are activations.
_FUNCTIONS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
    "Tanh": "tanh",
    "Silu": "swish",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "Gelu": "gelu",
    "Elu": "elu",
    "Selu": "selu",
    "Softplus": "softplus",
    "Softsign": "softsign",
}


def rebuilt(plan: Mapping[str, Any], weights: Weights) -> tuple[tf_keras.Model, tf_keras.Model]:
    """The network of a plan (see `mlbench.networks.importing.keras3_reading`), every layer once, with its weights.

    Returns:
        the network, and one that gives the first output of each call.

    Raises:
        UsageError: a layer has no counterpart.
    """
    quiet_tensorflow()
    import tf_keras

    values, made = {}, _Maker(plan["layers"], weights)
    inputs = []
    for one in plan["inputs"]:
        tensor = tf_keras.Input(one["shape"], name=one["name"], dtype=one["dtype"])
        values[one[TENSOR]] = tensor
        inputs.append(tensor)
    for call in plan["calls"]:
        try:
            outputs = made.call(call, values)
        except UsageError:
            raise
        except (
            Exception
        ) as error:  # Keras raises nearly anything where a layer does not take what it is given
            why = " ".join(str(error).split())[:200]
            _refuse(plan["layers"][call["layer"]]["name"], f"cannot be made in Keras 2 ({why})")
        values.update(zip(call["outputs"], outputs, strict=True))
    outputs = [values[one[TENSOR]] for one in plan["outputs"]]
    given = inputs if len(inputs) > 1 else inputs[0]
    network = tf_keras.Model(given, outputs if len(outputs) > 1 else outputs[0], name=plan["name"])
    return network, tf_keras.Model(given, [values[call["outputs"][0]] for call in plan["calls"]])


class _Maker:
    """Makes layers when they are first called."""

    def __init__(self, told: Mapping[str, Any], weights: Weights) -> None:
        self._told, self._weights = told, weights
        self._layers: dict[str, Any] = {}
        self._calls: dict[str, int] = {}

    def call(self, call: Mapping[str, Any], values: Mapping[int, Any]) -> list[Any]:
        """What a layer gives in one call."""
        import tensorflow as tf

        key = call["layer"]
        args, kwargs = with_tensors(call["args"], values), with_tensors(call["kwargs"], values)
        told = self._told[key]
        self._calls[key] = turn = self._calls.get(key, 0) + 1
        name = (
            told["name"] if turn == 1 else f"{told['name']}_{turn}"
        )  # a function in a network that is called twice
        if told["operation"]:
            return [_operation({**told, "name": name}, args, kwargs, call["shapes"][0])]
        if key not in self._layers:
            self._layers[key] = self._layer(told, key)
        layer, activation = self._layers[key]
        kwargs = {k: v for k, v in kwargs.items() if k not in ("training", "mask") or v is not None}
        kwargs.pop("training", None)
        fresh = layer is not None and not layer.built
        made = layer(*args, **kwargs) if layer is not None else args[0]
        if fresh:
            self._give_weights(layer, key)
        if activation:
            made = activated(made, activation, name)
        return list(tf.nest.flatten(made))

    def _layer(self, told: Mapping[str, Any], key: str) -> tuple[Any, str]:
        """A layer, and the activation that stands behind it as layers of its own."""
        import tf_keras

        kind: str = told["class"]
        config: dict[str, Any] = dict(told["config"])
        if kind not in _LAYERS:
            _refuse(told["name"], f"is of the class {kind}, which is not known here")
        activation = str(config.get("activation"))
        if activation in _ACTIVATIONS:
            config["activation"] = _ACTIVATIONS[activation]
        behind = activation if activation in _PIECEWISE else ""
        if behind and kind == "Activation":
            return None, behind
        if behind:
            config["activation"] = "linear"
        if kind == "Normalization" and config.get("mean") is None:
            config |= self._adapted(key)
        cls = getattr(tf_keras.layers, kind)
        known = _parameters_of(cls)
        kept = {_KEYS.get((kind, str(name)), str(name)): value for name, value in config.items()}
        kept = {
            name: value for name, value in kept.items() if name in known and not _LEFT_OUT.fullmatch(name)
        }
        name = f"{told['name']}_{kind.lower()}" if behind else told["name"]
        return cls(**kept, name=name), behind

    def _adapted(self, key: str) -> dict[str, Any]:
        """Mean and variance that a Normalization has as weights, as part of its configuration."""
        mean, variance = (self._weights[f"{key}:{number}"].tolist() for number in range(2))
        return {"mean": mean, "variance": variance}

    def _give_weights(self, layer: Any, key: str) -> None:
        given = [
            self._weights[name] for name in sorted(self._own(key), key=lambda name: int(name.split(":")[1]))
        ]
        if type(layer).__name__ == "Normalization":
            return
        if [value.shape for value in given] != [tuple(weight.shape) for weight in layer.weights]:
            _refuse(layer.name, "has weights of other shapes in Keras 2")
        layer.set_weights(given)

    def _own(self, key: str) -> list[str]:
        return [name for name in self._weights if name.startswith(f"{key}:")]


def _parameters_of(cls: type) -> set[str]:
    """Names that a layer's constructor knows, with those of the layers that it is made of."""
    return {name for base in cls.__mro__ if base is not object for name in inspect.signature(base).parameters}


def activated(value: Any, activation: str, name: str) -> Any:
    """A piecewise linear activation of Keras 3 by plain layers; hard_sigmoid of Keras 2 is another function.

    It is relu6(x + 3) / 6, and hard_silu (hard_swish) is x times that.
    """
    import tf_keras

    layers = tf_keras.layers
    inner = layers.Rescaling(1.0, offset=3.0, name=f"{name}_plus3")(value)
    inner = layers.ReLU(6.0, name=f"{name}_relu6")(inner)
    if activation == "hard_sigmoid":
        return layers.Rescaling(1 / 6, name=name)(inner)
    return layers.Multiply(name=name)([value, layers.Rescaling(1 / 6, name=f"{name}_gate")(inner)])


def _operation(
    told: Mapping[str, Any], args: list[Any], kwargs: dict[str, Any], shape: list[int | None]
) -> Any:
    """What a function of `keras.ops` gives, by layers."""
    import tf_keras

    kind, name, config = told["class"], told["name"], told["config"]
    given = args + [kwargs[key] for key in kwargs]
    tensors = [value for value in given if hasattr(value, "_keras_history")]
    if kind in _FUNCTIONS:
        activation = _FUNCTIONS[kind]
        if activation in _PIECEWISE:
            return activated(tensors[0], activation, name)
        return tf_keras.layers.Activation(activation, name=name)(tensors[0])
    if kind in ("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum"):
        if len(tensors) == 2 and kind in ("Add", "Subtract", "Multiply", "Maximum", "Minimum"):
            return getattr(tf_keras.layers, kind)(name=name)(tensors)
        return _with_constant(kind, name, given, tensors)
    if kind == "Concatenate":
        tensors = list(args[0])
        return tf_keras.layers.Concatenate(axis=config.get("axis", -1), name=name)(tensors)
    if kind in ("Reshape", "ExpandDims", "Squeeze") and None not in shape[1:] and shape[0] is None:
        return tf_keras.layers.Reshape(shape[1:], name=name)(tensors[0])
    if kind == "Transpose" and (config.get("axes") or [1])[0] == 0:
        return tf_keras.layers.Permute(config["axes"][1:], name=name)(tensors[0])
    if kind in ("Mean", "Max"):
        return _pooled(kind, told, tensors[0])
    return _refuse(name, f"is the function {kind} on values that no layer takes")


def _with_constant(kind: str, name: str, given: list[Any], tensors: list[Any]) -> Any:
    """Sums and products with a number, or one for each channel."""
    import tf_keras

    if len(tensors) != 1 or len(given) != 2:
        _refuse(name, f"is the function {kind} on values that no layer takes")
    behind = given[0] is tensors[0]
    constant = np.asarray(given[1] if behind else given[0], np.float64)
    forms: dict[str, Callable[[], tuple[Any, Any]]] = {
        "Add": lambda: (1.0, constant),
        "Subtract": lambda: (1.0, -constant) if behind else (-1.0, constant),
        "Multiply": lambda: (constant, 0.0),
    }
    if behind:
        forms |= dict.fromkeys(("Divide", "TrueDivide"), lambda: (1 / constant, 0.0))
    if kind not in forms or constant.ndim > 1:
        _refuse(name, f"is the function {kind} on values that no layer takes")
    scale, offset = (np.asarray(value).tolist() for value in forms[kind]())
    return tf_keras.layers.Rescaling(scale, offset=offset, name=name)(tensors[0])


def _pooled(kind: str, told: Mapping[str, Any], tensor: Any) -> Any:
    """The mean or maximum over all places of a map."""
    import tf_keras

    axis, rank = told["config"].get("axis"), len(tensor.shape)
    axes = (
        sorted(one % rank for one in (axis if isinstance(axis, list) else [axis])) if axis is not None else []
    )
    if axes != list(range(1, rank - 1)) or rank not in (3, 4):
        _refuse(told["name"], f"is the function {kind} over axes that no layer pools")
    layer = getattr(tf_keras.layers, f"Global{'Average' if kind == 'Mean' else 'Max'}Pooling{rank - 2}D")
    return layer(keepdims=bool(told["config"].get("keepdims")), name=told["name"])(tensor)


def _refuse(layer: str, fault: str) -> NoReturn:
    message = f'cannot be imported: "{layer}" {fault}'
    raise UsageError(message)
