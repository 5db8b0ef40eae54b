"""What every compressor owes, as checks: each raises an `AssertionError` that says what was found instead."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlbench.compression.chain import parse_step
from mlbench.contracts import OTHER_KIND, Compressor, Context, ExportOptions, Form, Samples, Task
from mlbench.contracts.validity import fault_of
from mlbench.errors import RefusedCompressionError, UsageError
from mlbench.networks import counting, storage
from mlbench.networks.graph import input_layers, last_layers, layers_with_kernel
from mlbench.system.progress import Silent
from mlbench.tasks.classification import Classification
from mlbench.tasks.regression import Regression
from mlbench.testing.networks import NETWORKS
from mlbench.testing.trials import Build, Trial, plainly_written, trial

if TYPE_CHECKING:
    import tf_keras

Check = Callable[[type[Compressor]], None]

#: Tasks that a compressed network is tuned for.
TASKS: tuple[type[Task], ...] = (Classification, Regression)


def compressor_checks(
    technique: type[Compressor],
    networks: Mapping[str, Build] = NETWORKS,
    tasks: Iterable[type[Task]] = TASKS,
) -> Iterator[tuple[str, Check]]:
    """Every check of a compressor, by name.

    Args:
        technique: the compressor; one with layers of its own must be installed with its entry point.
        networks: from a seed, by name.
        tasks: that the network is tuned for. Classification asks for one output: it is left out of networks with more.
    """
    for check in _ALONE:
        yield check.__name__, check
    yield check_makes_a_network_smaller.__name__, partial(check_makes_a_network_smaller, networks.values())
    for name, build in networks.items():
        for step in _ON_NETWORKS:
            yield f"{step.__name__}({name})", partial(_on, step, build)
        if technique.needs_tuning:
            for task in tasks:
                tuned = partial(check_tuning_stays_finite, task=task())
                yield f"check_tuning_stays_finite({name},{task.name})", partial(_on, tuned, build)


def check_compressor(
    technique: type[Compressor],
    networks: Mapping[str, Build] = NETWORKS,
    tasks: Iterable[type[Task]] = TASKS,
) -> None:
    """Run every check of a compressor; for the arguments see `compressor_checks`.

    Raises:
        AssertionError: the first that it does not pass.
    """
    for _, check in compressor_checks(technique, networks, tasks):
        check(technique)


def _on(check: Callable[[Trial], None], build: Build, technique: type[Compressor]) -> None:
    check(trial(technique, build))


def check_describes_itself(technique: type[Compressor]) -> None:
    """It has all that its contract asks, and a summary and a source that are not empty."""
    fault = fault_of("compressors", technique.name, technique)
    assert not fault, f"{technique.__name__} {fault}"
    assert technique.summary.strip(), "its summary is empty"
    assert technique.source.strip(), "its source is empty: name the paper or tool"


def check_options_survive_a_chains_text(technique: type[Compressor]) -> None:
    """Its options, written as in a chain and read again, are the same."""
    for options in ({}, technique.example, technique.exact or {}):
        step = technique.model_validate(dict(options))
        text = step.describe().removeprefix(technique.name)
        again = parse_step(technique, text[1:-1])
        assert again == step, f"{step.describe()} is read again as {again.describe()}"


def check_bad_options_name_themselves(technique: type[Compressor]) -> None:
    """An option that it does not have, or a value that it does not take, is told in a sentence that names it."""
    told = _refusal(technique, "nonsense=1")
    assert "nonsense" in told, f'an unknown option is told as "{told}"'
    for name in technique.model_fields:
        told = _refusal(technique, f"{name}=?")
        assert not told or told.startswith(f"{technique.name}({name}=?): "), f'{name}=? is told as "{told}"'


def _refusal(technique: type[Compressor], options: str) -> str:
    """What a bad option is told as; "" where it is taken."""
    try:
        parse_step(technique, options)
    except UsageError as error:
        return str(error)
    return ""


def check_compresses_or_refuses_in_one_sentence(trial: Trial) -> None:
    """It gives a network, or raises `RefusedCompressionError` with a sentence; never anything else."""
    if isinstance(trial.outcome, RefusedCompressionError):
        told = str(trial.outcome)
        assert told.endswith(".") and "\n" not in told, f'it refuses with "{told}", which is no sentence'


def check_leaves_the_given_network_alone(trial: Trial) -> None:
    """The network that it was given has the weights that it had."""
    assert trial.outcome is not None
    assert _equal(trial.before, trial.network.get_weights()), "the given network has other weights now"


def check_keeps_inputs_and_outputs(trial: Trial) -> None:
    """Its inputs and outputs have the names and shapes that they had; a single output may be called otherwise."""
    if trial.shipped is not None:
        given, made = (_ends(network) for network in (trial.network, trial.shipped.network))
        assert made == given, f"its inputs and outputs are {made}, not {given}"


def check_is_never_larger(trial: Trial) -> None:
    """It has no more parameters, and its file is not larger both raw and deflated."""
    if trial.shipped is not None:
        before, after = (counting.parameters_of(net) for net in (trial.network, trial.shipped.network))
        assert after <= before, f"it has {after:,} parameters, the given network {before:,}"
        ours, plain = trial.file, plainly_written(trial.build)
        larger = ours.file_bytes > plain.file_bytes and ours.deflated_bytes > plain.deflated_bytes
        assert not larger, f"its file has {ours.file_bytes:,} bytes, the given network's {plain.file_bytes:,}"


def check_makes_a_network_smaller(networks: Iterable[Build], technique: type[Compressor]) -> None:
    """Of one network at least it saves parameters, or bytes of the file; of others it may find nothing to do."""
    tried = [trial(technique, build) for build in networks]
    refused = [str(one.outcome) for one in tried if one.shipped is None]
    assert len(refused) < len(tried), f"it refuses all networks: {'; '.join(refused)}"
    assert any(_saves(one) for one in tried if one.shipped), "no network has fewer parameters or bytes"


def _saves(trial: Trial) -> bool:
    assert trial.shipped is not None
    ours, plain = trial.file, plainly_written(trial.build)
    before, after = (counting.parameters_of(net) for net in (trial.network, trial.shipped.network))
    return after < before or ours.file_bytes < plain.file_bytes or ours.deflated_bytes < plain.deflated_bytes


def _ends(
    network: tf_keras.Model,
) -> tuple[dict[str, tuple[int | None, ...]], list[tuple[str, tuple[int, ...]]]]:
    """Shapes of inputs by name, and of outputs; by name too where there are several: a single one needs none."""
    given = {layer.name: tuple(layer.output.shape) for layer in input_layers(network)}
    names = network.output_names if len(network.outputs) > 1 else [""]
    return given, [(name, tuple(made.shape)) for name, made in zip(names, network.outputs, strict=True)]


def check_equal_seeds_give_equal_networks(trial: Trial) -> None:
    """Given the same network, samples and seed again, it makes the same."""
    if trial.shipped is not None:
        again = trial.step.finish(trial.again)
        assert again.export == trial.export, f"it is written as {again.export} the second time"
        same = _equal(trial.shipped.network.get_weights(), again.network.get_weights())
        assert same, "the second network has other weights than the first"


def check_finish_leaves_its_form_alone(trial: Trial) -> None:
    """`finish` may be asked before tuning: the network that is tuned then is as it was."""
    if trial.shipped is not None:
        before = [weight.copy() for weight in trial.again.network.get_weights()]
        trial.step.finish(trial.again)
        same = _equal(before, trial.again.network.get_weights())
        assert same, "finish changed the network that is still to be tuned"


def check_is_saved_and_loaded_equal(trial: Trial) -> None:
    """What ships is data alone: saved and loaded, it has the same weights in the same order."""
    if trial.shipped is not None:
        loaded = storage.load(trial.folder)
        same = _equal(trial.shipped.network.get_weights(), loaded.get_weights())
        assert same, "loaded again, it has other weights"


def check_its_file_answers_like_the_network(trial: Trial) -> None:
    """The file that is written of it answers, on samples that nothing has seen, as near as its precision allows."""
    if trial.shipped is not None:
        for name, distance, allowed in trial.distances():
            assert distance <= allowed, f"{name} is off by {distance:.3g}, allowed is {allowed:.3g}"


def check_names_what_it_leaves(trial: Trial) -> None:
    """A layer of the kind of one that it changed, but stays as it was, is named in the changes, with the reason."""
    if trial.shipped is None or trial.export.precision != ExportOptions().precision:
        return  # of what is written in another precision, nothing stays as it was
    whole = untouched(trial.network, trial.shipped.network)
    kinds = {_kind(layer) for layer in layers_with_kernel(trial.network) if layer not in whole}
    told = {change.layer for change in trial.shipped.changes if change.note}
    silent = [layer.name for layer in whole if _kind(layer) in kinds and layer.name not in told]
    assert not silent, f"{', '.join(silent)}: unchanged, and no change says why"


def check_reasons_are_what_it_leaves(trial: Trial) -> None:
    """Without compressing, it gives a reason for each layer that it then leaves, but for those that give the answers.

    Of those the inputs may go, while all their units stay.
    """
    nothing = Samples({}, {}, np.array([], str), np.array([], str), {})
    reasons = trial.step.reasons(Form(trial.network), Context(nothing, 7, Silent()))
    if reasons is None or trial.shipped is None:
        return
    last = {layer.name for layer in last_layers(trial.network)}
    expected, found = set(left(trial)) - last, set(reasons) - last
    assert found == expected, f"reasons for {sorted(found)}, but {sorted(expected)} are left"
    assert all(reasons.values()), "a reason is empty"


def left(trial: Trial) -> dict[str, str]:
    """The layers with a kernel that a technique left as they were, with the reason."""
    assert trial.shipped is not None
    told = {change.layer: change.note for change in trial.shipped.changes}
    if trial.export.precision != "float32":  # all are written otherwise but those that are named
        whole = [layer for layer in layers_with_kernel(trial.network) if layer.name in told]
    else:
        whole = untouched(trial.network, trial.shipped.network)
    return {layer.name: told.get(layer.name) or OTHER_KIND for layer in whole}


def untouched(before: tf_keras.Model, after: tf_keras.Model) -> list[tf_keras.layers.Layer]:
    """The layers with a kernel that another network has with equal weights."""
    others = {layer.name: layer.get_weights() for layer in after.layers}
    return [
        layer
        for layer in layers_with_kernel(before)
        if _equal(layer.get_weights(), others.get(layer.name, []))
    ]


def _kind(layer: tf_keras.layers.Layer) -> tuple[str, tuple[int, ...]]:
    return type(layer).__name__, getattr(layer, "kernel_size", ())


def check_tuning_stays_finite(trial: Trial, task: Task) -> None:
    """A step of tuning on a task has a loss, and what ships then weights, that are finite numbers."""
    if trial.shipped is None or not tunable(trial, task):
        return
    loss, shipped = trial.tuned(task)
    assert math.isfinite(loss), f"the loss of {task.name} is {loss}"
    finite = all(np.isfinite(weight).all() for weight in shipped.network.get_weights())
    assert finite, f"after a step on {task.name}, not all weights are finite"


def tunable(trial: Trial, task: Task) -> bool:
    """Whether a task asks for as many outputs as the network has: classification asks for one."""
    return task.name != "classification" or len(trial.network.outputs) == 1


def _equal(before: list[npt.NDArray[np.generic]], after: list[npt.NDArray[np.generic]]) -> bool:
    return len(before) == len(after) and all(map(np.array_equal, before, after))


_ALONE: tuple[Check, ...] = (
    check_describes_itself,
    check_options_survive_a_chains_text,
    check_bad_options_name_themselves,
)
_ON_NETWORKS: tuple[Callable[[Trial], None], ...] = (
    check_compresses_or_refuses_in_one_sentence,
    check_leaves_the_given_network_alone,
    check_keeps_inputs_and_outputs,
    check_is_never_larger,
    check_equal_seeds_give_equal_networks,
    check_finish_leaves_its_form_alone,
    check_is_saved_and_loaded_equal,
    check_its_file_answers_like_the_network,
    check_names_what_it_leaves,
    check_reasons_are_what_it_leaves,
)
