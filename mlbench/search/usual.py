"""The space of a search that is not told one: every order of the registered techniques that makes sense for a network.

What replaces layers comes first, one technique or two, then at most one that zeroes or ties weights, then at most one
that quantises; each as its class says what is tried of it (`Compressor.tried`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlbench import plugins
from mlbench.contracts import SHARES_OF_BYTES, Compressor, Context, Form, Order
from mlbench.errors import UsageError
from mlbench.networks import counting, graph

if TYPE_CHECKING:
    import tf_keras

Technique = type[Compressor]

_FLOAT = 4  # bytes of a weight
#: A quantised file has an eighth to a quarter of its float32 weights' bytes; what stays float32 has all.
_OF_BUDGET = (0.8, 10.0)
#: Bytes of float32 weights that a file within a budget may have, by how it is written, per byte of the file.
#: `int8` writes scales per channel too: of `basic` with all layers split, 51 KB beside the weights.
_WRITTEN = {"dynamic": 3.4, "dynamic4": 5.8, "int8": 2.4}


def usual_space(
    networks: Sequence[tf_keras.Model], context: Context, epochs: int, most_bytes: float | None
) -> dict[str, Any]:
    """The space as entries of a `[search]` table.

    Args:
        networks: which the techniques must be able to handle, one at least.
        context: what techniques may use.
        epochs: of tuning.
        most_bytes: that a file may have; None: any.
    """
    known = plugins.usable("compressors")[0].values()
    usable = [one for one in known if any(handles(one, network, context) for network in networks)]
    size = [float_bytes(network) for network in networks]
    return table_of(usable, (min(size), max(size)), epochs, most_bytes)


def float_bytes(network: tf_keras.Model) -> float:
    """Bytes of a network's weights as float32."""
    return float(_FLOAT * counting.parameters_of(network))


def handles(technique: Technique, network: tf_keras.Model, context: Context) -> bool:
    """Whether a technique, by default or as in its example, works on some layer of a network."""
    form = Form(graph.flattened(network))
    kernels = {layer.name for layer in graph.layers_with_kernel(network)}

    def works(options: Mapping[str, str]) -> bool:
        try:
            reasons = technique.model_validate(dict(options)).reasons(form, context)
        except UsageError:
            return False
        return bool(kernels) and (reasons is None or bool(kernels - set(reasons)))

    return works({}) or works(technique.example)  # small networks need smaller ranks than the default


def table_of(
    usable: Iterable[Technique], size: tuple[float, float], epochs: int, most_bytes: float | None
) -> dict[str, Any]:
    """The entries, for techniques that can handle the network.

    Args:
        usable: the techniques.
        size: bytes of float32 weights, of the smallest network and the largest.
        epochs: of tuning.
        most_bytes: that a file may have; None: any.
    """
    entries: dict[str, Any] = {}
    steps: dict[Technique, list[str]] = {}
    for technique in usable:
        tried = technique.tried()
        names = {name: f"{technique.name}_{name}" for name in tried.options}
        steps[technique] = [_renamed(step, names) for step in tried.steps]
        for name, values in tried.options.items():
            entries[names[name]] = _in_bytes(values, size, most_bytes)
    of = {order: [one for one in steps if one.order == order] for order in Order}
    entries |= {
        f"after_{one.name}": [
            "none",
            *(step for two in of[Order.REPLACE] if two is not one for step in steps[two]),
        ]
        for one in of[Order.REPLACE]
    }
    entries["replace"] = [
        "none",
        *(f"{step}+{{after_{one.name}}}" for one in of[Order.REPLACE] for step in steps[one]),
    ]
    entries["quantise"] = ["none", *(step for one in of[Order.QUANTISE] for step in steps[one])]
    keeping = [one for one in of[Order.QUANTISE] if one.keeps_shared or not one.needs_tuning]
    entries["quantise_shared"] = ["none", *(step for one in keeping for step in steps[one])]
    entries["end"] = [
        "{quantise}",
        *(f"{step}+{{quantise_shared}}" for one in of[Order.SHARE] for step in steps[one]),
    ]
    entries["epochs"] = [epochs, 3 * epochs]
    entries["chain"] = "{replace}+{end}"
    return _reached(entries)


def _renamed(step: str, names: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: f"{{{names.get(match[1], match[1])}}}", step)


def _in_bytes(values: Any, size: tuple[float, float], most_bytes: float | None) -> Any:
    """Values as they are, or a range whose ends are shares of the network as sizes, near the budget's."""
    if not isinstance(values, Mapping) or values.get("of") != SHARES_OF_BYTES:
        return values
    low, high = values["low"] * size[0], values["high"] * size[1]
    if most_bytes is not None:
        low, high = max(low, _OF_BUDGET[0] * most_bytes), min(high, _OF_BUDGET[1] * most_bytes)
    return {"low": _size(low), "high": _size(max(2 * low, 2000, high)), "log": bool(values.get("log"))}


def _size(count: float) -> str:
    """Bytes as a chain holds them: in KB, one at least, of three digits."""
    return f"{float(f'{max(1.0, count / 1000):.3g}'):.12g}KB"


def _reached(entries: dict[str, Any]) -> dict[str, Any]:
    """The entries that the chain needs, it first."""
    found, left = {"chain": entries["chain"]}, [entries["chain"]]
    while left:
        for name in re.findall(r"\{(\w+)\}", left.pop()):
            if name not in found:
                found[name] = entries[name]
                left += [value for value in entries[name] if isinstance(value, str) and "{" in value]
    return found


def recommended(size: float, most_bytes: float | None) -> list[str]:
    """The chains that docs/reference/compressors and docs/evidence recommend, for a network of so many bytes.

    Their targets are such that the files keep the budget, or without one have a 200th and a 30th of the weights' bytes.
    """
    files = [most_bytes] if most_bytes else [size / 200, size / 30]
    slim, both = "slim(0.7,layers=dense)", "slim(0.25,layers=conv)+slim(0.7,layers=dense)"
    chains = []
    for file in files:
        targets = {name: _size(times * 0.93 * file) for name, times in _WRITTEN.items()}
        four, eight, whole = (f"target={targets[name]}" for name in ("dynamic4", "dynamic", "int8"))
        chains += [
            f"{slim}+tucker({four},layers=map/dense)+dynamic4(rate=3e-3)",
            f"tucker({whole})+int8",
            f"{both}+tucker({four},layers=map/dense)+dynamic4(rate=3e-3)",
            f"{slim}+tucker({eight},layers=map/dense)+dynamic",
            f"svd({eight})+dynamic",
        ]
    return chains if most_bytes else [*chains, f"{slim}+dynamic", "dynamic"]
