"""One network read by Keras 3, in a process of its own: `python -m mlbench.networks.importing.keras3_reading job.json`.

Keras 3 and tf_keras do not share a process. What is written for the other side is data alone: the calls of the layers
in order (`calls.json`), their weights (`weights.npz`), what the network answers to random inputs (`answers.npz`), and
an excerpt of what each call gives for them (`given.npz`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mlbench.networks.importing.plans import TENSOR, excerpt, with_tensors
from mlbench.networks.importing.trials import trial_inputs
from mlbench.networks.storage import save_arrays


def main() -> None:
    """Read the job, write what was found, and print why where nothing was."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        read(job["config"], Path(job["weights"]), Path(job["out"]))
    except Exception as error:  # Keras raises nearly anything where values fit no network
        print(json.dumps({"error": " ".join(f"{type(error).__name__}: {error}".split())[:400]}))
    else:
        print(json.dumps({}))


def read(config: dict[str, Any], weights: Path, out: Path) -> None:
    """Build a network of a configuration, give it its weights, and write it as data.

    Args:
        config: of listed layers alone (see `mlbench.networks.importing.keras3_config`).
        weights: `model.weights.h5` of a .keras file, or an .h5 file.
        out: folder for what is written.
    """
    import keras

    if config["class_name"] == "Sequential":
        model = keras.Sequential.from_config(config["config"])
    else:
        model = keras.Model.from_config(config["config"])
    model.load_weights(weights)
    walk = _Walk()
    plan = walk.plan(model)
    (out / "calls.json").write_text(json.dumps(plan), encoding="utf-8")
    arrays = {
        f"{key}:{number}": value for key, layer in walk.layers.items() for number, value in enumerate(layer)
    }
    save_arrays(arrays, out / "weights.npz")
    inputs = trial_inputs({one["name"]: (one["shape"], one["dtype"]) for one in plan["inputs"]})
    given = [inputs[one["name"]] for one in plan["inputs"]]
    outputs = keras.tree.flatten(_functional(model)(given if len(given) > 1 else given[0], training=False))
    answers = {f"{number}": keras.ops.convert_to_numpy(value) for number, value in enumerate(outputs)}
    save_arrays(answers, out / "answers.npz")
    numbered = {one[TENSOR]: keras.ops.convert_to_tensor(inputs[one["name"]]) for one in plan["inputs"]}
    save_arrays(walk.excerpts(numbered), out / "given.npz")


def _functional(model: Any) -> Any:
    """The graph of a network; `Sequential` has one in it."""
    return getattr(model, "_functional", None) or model


class _Walk:
    """The calls of all layers, those of networks in the network in their place."""

    def __init__(self) -> None:
        self.layers: dict[str, list[Any]] = {}
        self._keys: dict[int, str] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self._calls: list[dict[str, Any]] = []
        self._operations: list[Any] = []
        self._count = 0

    def plan(self, model: Any) -> dict[str, Any]:
        """The network as data."""
        graph = _functional(model)
        values: dict[int, int] = {}
        inputs = []
        for tensor in graph.inputs:
            values[id(tensor)] = self._number()
            history = tensor._keras_history.operation
            shape = [None if size is None else int(size) for size in tensor.shape[1:]]
            inputs.append(
                {"name": history.name, "shape": shape, "dtype": tensor.dtype, TENSOR: values[id(tensor)]}
            )
        self._follow(graph, values, "")
        outputs = [{TENSOR: values[id(tensor)]} for tensor in graph.outputs]
        return {
            "name": model.name,
            "inputs": inputs,
            "layers": self._told,
            "calls": self._calls,
            "outputs": outputs,
        }

    def excerpts(self, values: dict[int, Any]) -> dict[str, Any]:
        """An excerpt of what each call gives, by its number, for inputs by theirs."""
        import keras

        found = {}
        for number, (call, operation) in enumerate(zip(self._calls, self._operations, strict=True)):
            args, kwargs = with_tensors(call["args"], values), with_tensors(call["kwargs"], values)
            made = keras.tree.flatten(operation(*args, **kwargs))
            values.update(zip(call["outputs"], made, strict=True))
            found[f"{number}"] = excerpt(keras.ops.convert_to_numpy(made[0]))
        return found

    def _number(self) -> int:
        self._count += 1
        return self._count

    def _follow(self, graph: Any, values: dict[int, int], prefix: str) -> None:
        import keras

        def told(value: Any) -> Any:
            return {TENSOR: values[id(value)]} if isinstance(value, keras.KerasTensor) else value

        for node in _calls(graph):
            operation, arguments = node.operation, node.arguments
            if isinstance(operation, keras.Model):
                inner = _functional(operation)
                given = [
                    t for t in keras.tree.flatten(list(arguments.args)) if isinstance(t, keras.KerasTensor)
                ]
                within = {id(a): values[id(b)] for a, b in zip(inner.inputs, given, strict=True)}
                self._follow(inner, within, f"{prefix}{operation.name}_")
                made = [within[id(tensor)] for tensor in inner.outputs]
            else:
                made = [self._number() for _ in node.outputs]
                call = {
                    "layer": self._key(operation, prefix),
                    "args": keras.tree.map_structure(told, list(arguments.args)),
                    "kwargs": keras.tree.map_structure(told, dict(arguments.kwargs)),
                    "outputs": made,
                    "shapes": [list(output.shape) for output in node.outputs],
                }
                self._operations.append(operation)
                self._calls.append(json.loads(json.dumps(call, default=_plain)))
            values.update(zip(map(id, node.outputs), made, strict=True))

    def _key(self, operation: Any, prefix: str) -> str:
        """The key of a layer, whose configuration and weights are taken down the first time."""
        if id(operation) not in self._keys:
            key = f"{len(self._keys)}"
            self._keys[id(operation)] = key
            config = operation.get_config() if hasattr(operation, "get_config") else {}
            known = {**vars_of(operation), **config}
            self._told[key] = {
                "class": type(operation).__name__,
                "operation": type(operation).__module__.startswith("keras.src.ops."),
                "name": prefix + operation.name,
                "config": json.loads(json.dumps(known, default=_plain)),
            }
            self.layers[key] = operation.get_weights() if hasattr(operation, "get_weights") else []
        return self._keys[id(operation)]


def vars_of(operation: Any) -> dict[str, Any]:
    """What functions of `keras.ops` keep of their arguments, which their configurations leave out."""
    if not type(operation).__module__.startswith("keras.src.ops."):
        return {}
    return {name: value for name, value in vars(operation).items() if not name.startswith("_")}


def _calls(graph: Any) -> Iterator[Any]:
    """Calls of layers, each behind those that it takes from."""
    by_depth = graph._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        for node in by_depth[depth]:
            if node.operation is not None and not node.is_input:
                yield node


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    return np.asarray(value).tolist() if hasattr(value, "shape") else str(value)


if __name__ == "__main__":
    main()
