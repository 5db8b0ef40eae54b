"""What every source of networks owes, as checks: each raises an `AssertionError` that says what was found instead."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from mlbench.contracts import NetworkSource
from mlbench.contracts.network import Shapes
from mlbench.contracts.validity import fault_of
from mlbench.errors import UsageError
from mlbench.networks import graph, storage
from mlbench.system.quiet import quiet_tensorflow

Check = Callable[[NetworkSource], None]

_IMAGE: Shapes = {"x": (32, 32, 1)}
_NUMBERS: Shapes = {"y": (3,)}


def source_checks(inputs: Shapes = _IMAGE, outputs: Shapes = _NUMBERS) -> Iterator[tuple[str, Check]]:
    """Every check of a source of networks, by name.

    Args:
        inputs: shapes of one sample's inputs, by name, that it has a network for.
        outputs: of what the network shall answer, by target.
    """
    yield check_describes_itself.__name__, check_describes_itself
    for check in _ON_SHAPES:

        def on_shapes(
            source: NetworkSource, check: Callable[[NetworkSource, Shapes, Shapes], None] = check
        ) -> None:
            quiet_tensorflow()
            check(source, inputs, outputs)

        yield check.__name__, on_shapes


def check_network_source(source: NetworkSource, inputs: Shapes = _IMAGE, outputs: Shapes = _NUMBERS) -> None:
    """Run every check of a source of networks; for the shapes see `source_checks`.

    Raises:
        AssertionError: the first that it does not pass.
    """
    for _, check in source_checks(inputs, outputs):
        check(source)


def check_describes_itself(source: NetworkSource) -> None:
    """It has all that its contract asks, and a key of JSON values."""
    fault = fault_of("variants", source.name, source)
    assert not fault, f"{source.name} {fault}"
    assert source.summary.strip(), "its summary is empty"
    key = source.key()
    assert json.loads(json.dumps(key)) is not None, f"its key is {key}, which tells it from nothing"


def check_its_network_fits_the_shapes(source: NetworkSource, inputs: Shapes, outputs: Shapes) -> None:
    """Inputs and outputs of its network have the asked shapes, as it says before, and, of several, names."""
    network = source.build(inputs, outputs, 7)
    given = {layer.name: tuple(layer.output.shape[1:]) for layer in graph.input_layers(network)}
    made = zip(network.output_names, network.outputs, strict=True)
    answers = {name: tuple(output.shape[1:]) for name, output in made}
    for found, asked in ((given, inputs), (answers, outputs)):
        alike = dict(found) == dict(asked) if len(asked) > 1 else [*found.values()] == [*asked.values()]
        assert alike, f"its network has {found} where {dict(asked)} is asked for"
    if ends := source.ends(inputs, outputs):
        for said, found in zip(ends, (given, answers), strict=True):
            assert _keeps_to(said, found), f"its network has {found} where it said {dict(said)}"


def _keeps_to(said: Mapping[str, tuple[int | None, ...]], found: Shapes) -> bool:
    """Whether shapes are as said, where None is any size; the name of an only one is free."""
    pairs = (
        [(one, found.get(name, ())) for name, one in said.items()]
        if len(said) > 1
        else [*zip(said.values(), found.values(), strict=False)]
    )
    return len(said) == len(found) and all(
        len(one) == len(other) and all(a is None or a == b for a, b in zip(one, other, strict=True))
        for one, other in pairs
    )


def check_equal_seeds_give_equal_networks(source: NetworkSource, inputs: Shapes, outputs: Shapes) -> None:
    """Equal seeds give equal weights, other seeds others."""
    first, again, other = (source.build(inputs, outputs, seed).get_weights() for seed in (7, 7, 8))
    assert len(first) == len(again) and all(map(np.array_equal, first, again)), (
        "equal seeds give other weights"
    )
    assert not all(map(np.array_equal, first, other)), "another seed gives the same weights"


def check_its_network_is_saved_and_loaded_equal(
    source: NetworkSource, inputs: Shapes, outputs: Shapes
) -> None:
    """Its network is data alone: saved and loaded, it has the same weights."""
    network = source.build(inputs, outputs, 7)
    with tempfile.TemporaryDirectory(prefix="mlbench-") as folder:
        storage.save(network, Path(folder))
        loaded = storage.load(Path(folder))
    for before, after in zip(network.get_weights(), loaded.get_weights(), strict=True):
        assert np.array_equal(before, after), "loaded again, it has other weights"


def check_other_shapes_are_refused_in_one_sentence(
    source: NetworkSource, inputs: Shapes, outputs: Shapes
) -> None:
    """Of samples that it has no network for it gives none, or says so in a sentence; never anything else."""
    for other in (dict.fromkeys(inputs, (3,)), {**inputs, "further": (5,)}):
        try:
            source.build(other, outputs, 7)
        except UsageError as error:
            told = str(error)
            assert told.endswith(".") and "\n" not in told, f'it refuses with "{told}", which is no sentence'


_ON_SHAPES: tuple[Callable[[NetworkSource, Shapes, Shapes], None], ...] = (
    check_its_network_fits_the_shapes,
    check_equal_seeds_give_equal_networks,
    check_its_network_is_saved_and_loaded_equal,
    check_other_shapes_are_refused_in_one_sentence,
)
