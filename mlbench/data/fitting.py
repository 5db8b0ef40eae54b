"""Whether samples are what a network takes and answers: faults that make it impossible, and doubts to be told."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mlbench.contracts import Samples, Task
from mlbench.contracts.samples import Array
from mlbench.data.split import Split
from mlbench.errors import UsageError

#: Shape of one sample; None: any size.
Shape = tuple[int | None, ...]
Shapes = Mapping[str, Shape]

_CHUNK = 4096  # samples that are looked at together
_LOOKED_AT = 1000  # samples whose range is seen
_FEW = 10  # samples of a class: fewer are hardly learnt, and tested on one or none
_NEAR_ONE, _FAR = 3.0, 20.0  # magnitudes: of inputs brought to 0…1 or normalised, and of those that are not
_NAMED = 5  # classes that are told by name


@dataclass(frozen=True)
class Facts:
    """What is known of a network beside its shapes.

    Attributes:
        divisors: what its first layers divide an input by (Rescaling, Normalization), by name; none: not known.
        outputs: that it gives for some samples [n, …], by target.
    """

    divisors: Mapping[str, float] = field(default_factory=dict)
    outputs: Mapping[str, Array] = field(default_factory=dict)


def require_fit(
    samples: Samples, inputs: Shapes, outputs: Shapes, task: Task, what: str = "The network"
) -> None:
    """Refuse samples that a network cannot take, or whose targets it cannot answer.

    Raises:
        UsageError: the first of `faults_of`.
    """
    for fault in faults_of(samples, inputs, outputs, task, what):
        raise UsageError(fault)


def faults_of(
    samples: Samples, inputs: Shapes, outputs: Shapes, task: Task, what: str = "The network"
) -> Iterator[str]:
    """Why samples do not fit a network, a sentence each.

    Args:
        samples: to be learnt from, or tested on.
        inputs: shapes of the network's inputs, by name.
        outputs: of its outputs, by name.
        task: of the samples.
        what: the network is called, at the start of a sentence.
    """
    for fault in (
        names_fault(what, "input", "x", list(inputs), list(samples.inputs)),
        names_fault(what, "output", "y", list(outputs), list(samples.targets)),
    ):
        if fault:
            yield fault
    if len(inputs) == len(samples.inputs):
        for name, wanted in _by_name(inputs, list(samples.inputs)).items():
            if fault := shape_fault(what, name, wanted, samples.encodings[name].shape):
                yield fault
    if len(outputs) == len(samples.targets):
        shapes = _by_name(outputs, list(samples.targets))
        yield from _target_faults(samples, shapes, task, what)


def names_fault(what: str, kind: str, letter: str, wanted: Sequence[str], given: Sequence[str]) -> str:
    """Why inputs or outputs of a network are not those that samples have, by name; one alone fits whatever its name."""
    if len(wanted) == len(given) == 1 or set(wanted) == set(given):
        return ""
    if len(wanted) == 1:
        return (
            f"{what} has one {kind}, {wanted[0]}, the samples have {', '.join(given)}: keep one, or choose it with "
            f"--column {letter}=ARRAY."
        )
    names = " and ".join(f"{letter}.{name}" for name in wanted)
    return (
        f"{what} has the {kind}s {', '.join(wanted)}, the samples have {', '.join(given)}: name the arrays {names}, "
        f"or say which are which with --column {letter}.NAME=ARRAY."
    )


def shape_fault(what: str, name: str, wanted: Shape, given: tuple[int, ...]) -> str:
    """Why an input of such samples does not fit a network, and what to do; "" where it does."""
    if _fits(wanted, given):
        return ""
    told = f"{what} takes {name} as {shape_told(wanted)}, the samples hold it as {shape_told(given)}"
    return f"{told}: {_remedy(wanted, given)}."


def _remedy(wanted: Shape, given: tuple[int, ...]) -> str:
    if len(wanted) == len(given) == 3:
        if _fits(wanted, (given[2], *given[:2])):
            return "its channels come first; transpose x with numpy.moveaxis(x, -1, 1)"
        if _fits(wanted, (*given[1:], given[0])):
            return "the samples' channels come first; transpose x with numpy.moveaxis(x, 1, -1)"
        if _fits(wanted[:2], given[:2]):
            return _channels(wanted[2], given[2])
        if _fits(wanted[2:], given[2:]):
            return "give images of that size (of a folder by --image-size HxW)"
    if _fits(wanted, (*given, 1)):
        return "add the axis of the one channel, as x[..., None]"
    if None not in wanted and math.prod(given) == math.prod(size or 0 for size in wanted):
        return "reshape x"
    if len(wanted) != len(given):
        return f"give samples of {len(wanted)} {'axis' if len(wanted) == 1 else 'axes'}"
    return "give samples of that shape"


def _channels(wanted: int | None, given: int) -> str:
    if (wanted, given) == (3, 1):
        return "it is for RGB, they are grey: repeat the channel with numpy.repeat(x, 3, -1), or use --channels rgb"
    if (wanted, given) == (1, 3):
        return "it is for grey images, they are RGB: average the channels, or use --channels grey"
    return f"give images of {wanted} channels"


def _fits(wanted: Shape, given: tuple[int, ...]) -> bool:
    return len(wanted) == len(given) and all(
        size in (None, own) for size, own in zip(wanted, given, strict=True)
    )


def shape_told(shape: Shape) -> str:
    """A shape for people."""
    return "×".join("any" if size is None else f"{size}" for size in shape) or "one number"


def _by_name(shapes: Shapes, names: list[str]) -> dict[str, Shape]:
    """Shapes by the samples' names."""
    if len(shapes) == 1:
        return dict(zip(names, shapes.values(), strict=True))
    return {name: shapes[name] for name in names if name in shapes}


def _target_faults(samples: Samples, shapes: Shapes, task: Task, what: str) -> Iterator[str]:
    """What the task says of targets that such outputs cannot answer."""
    whole = {name: tuple(size or 1 for size in shape) for name, shape in shapes.items() if None not in shape}
    if len(whole) != len(samples.targets):
        return
    for start in range(0, len(samples), _CHUNK):
        rows = {name: values[start : start + _CHUNK] for name, values in samples.targets.items()}
        try:
            task.wanted(rows, whole)
        except UsageError as error:
            yield f"{what} does not fit the targets: {error}"
            return


def doubts_of(
    samples: Samples, inputs: Shapes, outputs: Shapes, task: Task, facts: Facts | None = None
) -> list[str]:
    """What is possible with samples and a network, yet probably not meant: a sentence each, with what was seen.

    For the arguments see `faults_of`.
    """
    facts = facts or Facts()
    found = [
        doubt
        for name, values in samples.spread(_LOOKED_AT).inputs.items()
        if (doubt := _range_doubt(name, values, samples, facts))
    ]
    shapes = _by_name(outputs, list(samples.targets)) if len(outputs) == len(samples.targets) else {}
    for name, counts in classes_of(samples, task).items():
        size = math.prod(one or 0 for one in shapes.get(name, ()))
        if size > len(counts):
            found.append(
                f"The network tells {size} classes apart, the samples have {len(counts)}: its other outputs are never "
                "right."
            )
    return [*found, *task.doubts(facts.outputs)]


def scaling_faults(samples: Samples, divisors: Mapping[str, float], what: str) -> Iterator[str]:
    """Why inputs would be scaled twice, by their encoding and by the network: a sentence each.

    Args:
        samples: to be learnt from, or tested on.
        divisors: see `Facts`.
        what: the network is called, at the start of a sentence.
    """
    for name, theirs in divisors.items():
        encoding = samples.encodings[name]
        ours = float(np.max(encoding.scale))
        if min(ours, theirs) < _FAR or _largest(samples, name) > _NEAR_ONE:
            continue
        named = "" if len(samples.inputs) == 1 else f"{name}="
        rest = ", without --mean and --std" if np.any(encoding.offset) else ""
        yield (
            f"{what} divides the input {name} by about {theirs:.3g} in its first layers, and mlbench would "
            f"divide it by {ours:.4g} before that: give --scale {named}1{rest}, so that the network gets the values "
            "as they are stored, or take the division out of the network."
        )


def _largest(samples: Samples, name: str) -> float:
    """The largest magnitude of an input."""
    some = samples.spread(_LOOKED_AT)
    return float(np.abs(some.encodings[name].encode(some.inputs[name])).max())


def _range_doubt(name: str, stored: Array, samples: Samples, facts: Facts) -> str:
    encoding = samples.encodings[name]
    if len(encoding.shape) != 3:  # what ranges are usual is known of images alone
        return ""
    values = encoding.encode(stored)
    low, high = float(values.min()), float(values.max())
    seen = f"Input {name} is {low:.4g}…{high:.4g} (stored as {stored.dtype})"
    divisor = facts.divisors.get(name, 1.0)
    if divisor >= _FAR and max(-low, high) <= _NEAR_ONE:
        return (
            f"{seen}, and the network's first layers divide it by about {divisor:.3g}: it probably expects 0…255; if "
            f"the values were divided by 255 before they were stored, give --scale {1 / 255:.6f}."
        )
    if divisor < _FAR and max(-low, high) >= _FAR:
        return (
            f"{seen}: networks for images mostly expect 0…1 or -1…1; give --scale 255, or --scale, --mean and --std of "
            "its training."
        )
    return ""


def doubts_of_samples(samples: Samples, split: Split | None, task: Task) -> list[str]:
    """What is odd about samples, whatever the network: a sentence each, with what was seen."""
    return [*_input_doubts(samples), *_class_doubts(samples, split, task)]


def _input_doubts(samples: Samples) -> Iterator[str]:
    some = samples.spread(_LOOKED_AT)
    for name, stored in some.inputs.items():
        low, high = float(stored.min()), float(stored.max())
        if low == high and len(some) > 1:
            yield f"Input {name} is {low:.4g} in all samples that were looked at: nothing can be learnt from it."
            continue
        offset = np.atleast_1d(some.encodings[name].offset)
        if np.any(offset) and (np.any(offset < low) or np.any(offset > high)):
            yield (
                f"Input {name}: the mean, {', '.join(f'{one:.4g}' for one in offset)} in stored values, lies outside "
                f"the values that it has, {low:.4g}…{high:.4g}: --mean is subtracted after values are divided by "
                "--scale (255 for uint8)."
            )
        if stored.ndim > 2:
            flat = stored.reshape(len(stored), -1)
            constant = np.flatnonzero(flat.min(axis=1) == flat.max(axis=1))
            if len(constant):
                yield (
                    f"Input {name}: {len(constant):,} of {len(some):,} samples that were looked at have one value "
                    f"throughout, as {some.ids[constant[0]]}."
                )


def _class_doubts(samples: Samples, split: Split | None, task: Task) -> Iterator[str]:
    for name, counts in classes_of(samples, task).items():
        few = {kind: count for kind, count in counts.items() if 0 < count < _FEW}
        if few:
            yield (
                f"{_some(few)} of {name} has fewer than {_FEW} samples: it is hardly learnt, and its errors are not "
                "told apart from guessing."
            )
        if split is None:
            continue
        for part, rows in {
            "training": split.train,
            "validation": split.validation,
            "test": split.test,
        }.items():
            there = classes_of(samples.take(rows), task)[name]
            absent = {kind: count for kind, count in counts.items() if count and not there.get(kind)}
            if absent:
                yield f"{_some(absent)} of {name} is in no {part} sample: use --split stratified."


def _some(classes: Mapping[str, int]) -> str:
    names = [f"{kind} ({count:,})" for kind, count in list(classes.items())[:_NAMED]]
    more = f" and {len(classes) - _NAMED:,} more" if len(classes) > _NAMED else ""
    return f"{'The class' if len(classes) == 1 else 'Each of the classes'} {', '.join(names)}{more}"


def classes_of(samples: Samples, task: Task) -> dict[str, dict[str, int]]:
    """How many samples each class has, by target: of targets that are class numbers."""
    found = {}
    for name in task.class_targets(samples):
        numbers, counts = np.unique(samples.targets[name], return_counts=True)
        named = samples.classes.get(name, ())
        counted = zip(numbers, counts, strict=True)
        told = {named[one] if named else f"{one}": int(count) for one, count in counted}
        found[name] = dict.fromkeys(named, 0) | told
    return found
