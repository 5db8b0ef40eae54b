"""What every task owes, as checks: each raises an `AssertionError` that says what was found instead."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench.contracts import Metric, Samples, Task
from mlbench.contracts.validity import fault_of
from mlbench.errors import UsageError
from mlbench.networks.ports import Ports

if TYPE_CHECKING:
    import tf_keras

Arrays = Mapping[str, npt.NDArray[Any]]
Check = Callable[[type[Task]], None]

_COUNT, _SIDE, _CLASSES = 48, 16, 4
_SHIFT = 1  # rows by which answers are mixed up


def task_checks(samples: Samples | None = None) -> Iterator[tuple[str, Callable[[type[Task]], None]]]:
    """Every check of a task, by name.

    Args:
        samples: to check it on; by default those that it draws itself or, where it draws none, what it reads from a
            file of small images with the numbers 0 to 3 as targets.
    """
    for alone in (check_describes_itself, check_bad_files_are_refused_in_one_sentence):
        yield alone.__name__, alone
    for check in _ON_SAMPLES:

        def on_samples(task: type[Task], check: Callable[[Task, Samples], None] = check) -> None:
            check(task(), usual_samples(task()) if samples is None else samples)

        yield check.__name__, on_samples


def check_task(task: type[Task], samples: Samples | None = None) -> None:
    """Run every check of a task; for the samples see `task_checks`.

    Raises:
        AssertionError: the first that it does not pass.
    """
    for _, check in task_checks(samples):
        check(task)


def usual_samples(task: Task) -> Samples:
    """Samples that a task draws itself, or reads from a small file.

    Raises:
        UsageError: it does neither: give samples of its own.
    """
    if type(task).sample is not Task.sample:
        return task.sample(_COUNT, 7)
    rng = np.random.default_rng(7)
    with tempfile.TemporaryDirectory(prefix="mlbench-") as folder:
        path = Path(folder, "samples.npz")
        images = rng.integers(0, 256, (_COUNT, _SIDE, _SIDE, 1), np.uint8)
        np.savez(path, allow_pickle=False, x=images, y=rng.permutation(np.arange(_COUNT) % _CLASSES))
        return task.read(path, "", lambda told: None)


def check_describes_itself(task: type[Task]) -> None:
    """It has all that its contract asks, and metrics whose names can stand in budgets and tables."""
    fault = fault_of("tasks", task.name, task)
    assert not fault, f"{task.__name__} {fault}"
    assert task.summary.strip(), "its summary is empty"
    for metric in task.metrics:
        assert metric.name.isidentifier(), f'the name of the metric "{metric.name}" is no word'
        assert metric.title.strip(), f"the metric {metric.name} has no title"
        assert metric.same >= 0, f"the metric {metric.name} counts differences under {metric.same} as none"
        assert metric.scale > 0, f"the metric {metric.name} is shown times {metric.scale}"


def check_bad_files_are_refused_in_one_sentence(task: type[Task]) -> None:
    """A file that is not there, or is no file of samples, is a `UsageError` that names it."""
    with tempfile.TemporaryDirectory(prefix="mlbench-") as folder:
        absent, other = Path(folder, "absent.npz"), Path(folder, "other.npz")
        other.write_bytes(b"no samples")
        for path in (absent, other):
            try:
                task().read(path, "", lambda told: None)
            except UsageError as error:
                told = str(error)
                assert path.name in told and "\n" not in told, f'{path.name} is refused with "{told}"'
            else:
                message = f"it reads {path.name}, which holds no samples"
                raise AssertionError(message)


def check_equal_seeds_draw_equal_samples(task: Task, samples: Samples) -> None:
    """If it draws samples: equal ones of equal seeds, others of other seeds and for other purposes."""
    if type(task).sample is Task.sample:
        return
    first, again = task.sample(8, 7), task.sample(8, 7)
    assert first.fingerprint == again.fingerprint, "equal seeds draw other samples"
    for other in (task.sample(8, 8), task.sample(8, 7, "test"), task.sample(8, 7, "tuning")):
        shared = set(first.keys.tolist()) & set(other.keys.tolist())
        assert not shared, "a sample of another seed or purpose is the same"


def check_targets_fit_the_outputs(task: Task, samples: Samples) -> None:
    """`wanted` gives, for each target, finite float32 [n, *shape] of the shapes that `outputs` asks for."""
    shapes = task.outputs(samples)
    assert set(shapes) == set(samples.targets), f"its outputs are {sorted(shapes)}, not the targets"
    for name, values in task.wanted(samples.targets, shapes).items():
        expected = (len(samples), *shapes[name])
        assert values.shape == expected, f"{name} is wanted as {values.shape}, not {expected}"
        assert values.dtype == np.float32, f"{name} is wanted as {values.dtype}, not float32"
        assert np.isfinite(values).all(), f"{name} is wanted as values that are not finite"


def check_metrics_have_a_finite_value_per_sample(task: Task, samples: Samples) -> None:
    """Metrics per sample give finite numbers [n], others one finite number; both of their shown mean too.

    Which samples do not count in a metric, and are NaN, is told by the targets.
    """
    wanted = _wanted(task, samples)
    answers, others = task.answers(wanted), task.answers(_mixed_up(wanted))
    for metric in task.metrics:
        if metric.per_sample:
            values = metric.per_sample(answers, samples.targets)
            assert values.shape == (len(samples),), (
                f"{metric.name} has shape {values.shape}, not one per sample"
            )
            counts = ~np.isnan(values)
            assert np.isfinite(values[counts]).all(), f"{metric.name} is not finite for every sample"
            again = ~np.isnan(metric.per_sample(others, samples.targets))
            assert np.array_equal(counts, again), (
                f"which samples count in {metric.name} follows from the answers"
            )
        assert np.isfinite(_value(metric, answers, samples)), f"{metric.name} is no finite number"


def check_right_answers_are_best(task: Task, samples: Samples) -> None:
    """By no metric are others' answers better than a sample's own; by the primary one they are worse."""
    wanted = _wanted(task, samples)
    right, mixed = (task.answers(outputs) for outputs in (wanted, _mixed_up(wanted)))
    for metric in task.metrics:
        sign = 1 if metric.better == "higher" else -1
        gain = sign * (_value(metric, right, samples) - _value(metric, mixed, samples))
        least = "more than" if metric is task.primary else "no less than"
        fine = gain > 0 if metric is task.primary else gain >= 0
        assert fine, (
            f"{metric.name} of right answers should be better by {least} nothing; it is by {gain:.3g}"
        )


def check_losses_lead_to_right_answers(task: Task, samples: Samples) -> None:
    """Each loss is lower for the outputs that are wanted than for others', with a finite gradient at the others'."""
    import tensorflow as tf

    wanted, network = _wanted(task, samples), _network(task, samples)
    ports = Ports.of(network, samples)
    targets = {name: tf.constant(wanted[name]) for name in ports.outputs}
    others = {name: tf.constant(values) for name, values in _mixed_up(wanted).items() if name in targets}
    for name in task.losses:
        loss = task.loss(name, network)
        with tf.GradientTape() as tape:
            tape.watch(others)
            far = loss(others, targets)
        near = loss(targets, targets)
        assert float(near) < float(far), f"the loss {name} of right answers is {near}, of others {far}"
        for output, slope in tape.gradient(far, others).items():
            assert slope is not None, f"the loss {name} has no gradient by {output}"
            assert np.isfinite(slope).all() and np.any(slope), (
                f"the gradient of {name} by {output} is {slope}"
            )


def check_augmentation_keeps_the_form(task: Task, samples: Samples) -> None:
    """Augmented inputs and targets have the names, shapes and types of the given ones, which stay as they are."""
    before = samples.fingerprint
    inputs, targets = task.augment(samples.inputs, samples.targets, 1.0, np.random.default_rng(7))
    for given, made in ((samples.inputs, inputs), (samples.targets, targets)):
        assert _forms(made) == _forms(given), f"augmentation makes {_forms(made)} of {_forms(given)}"
    assert samples.take(slice(None)).fingerprint == before, "augmentation changes what it is given"


def check_the_prior_fits_the_outputs(task: Task, samples: Samples) -> None:
    """The prior holds a finite bias for each number of an output."""
    shapes = task.outputs(samples)
    for name, values in task.prior(samples).items():
        count = int(np.prod(shapes[name]))
        assert values.shape == (count,), f"the prior of {name} is {values.shape}, the output has {count}"
        assert np.isfinite(values).all(), f"the prior of {name} is not finite"


def check_samples_and_answers_can_be_shown(task: Task, samples: Samples) -> None:
    """A sample is a PNG, or words; so is an answer, or points on the sample's picture."""
    shown = task.picture(samples, 0)
    assert shown.text or shown.png, "a sample has neither a picture nor words"
    assert not shown.png or shown.png.startswith(b"\x89PNG"), "the picture of a sample is no PNG"
    answer = task.picture_of_answer(task.answers(_wanted(task, samples)), 0)
    assert answer.text or answer.png or answer.points, "an answer has neither words, points nor a picture"


_ON_SAMPLES: tuple[Callable[[Task, Samples], None], ...] = (
    check_equal_seeds_draw_equal_samples,
    check_targets_fit_the_outputs,
    check_metrics_have_a_finite_value_per_sample,
    check_right_answers_are_best,
    check_losses_lead_to_right_answers,
    check_augmentation_keeps_the_form,
    check_the_prior_fits_the_outputs,
    check_samples_and_answers_can_be_shown,
)


def _wanted(task: Task, samples: Samples) -> dict[str, npt.NDArray[np.float32]]:
    return task.wanted(samples.targets, task.outputs(samples))


def _mixed_up(outputs: Arrays) -> dict[str, npt.NDArray[Any]]:
    """Each sample's outputs are another's."""
    return {name: np.roll(values, _SHIFT, axis=0) for name, values in outputs.items()}


def _value(metric: Metric, answers: Arrays, samples: Samples) -> float:
    if metric.per_sample is None:
        assert metric.whole is not None
        return float(metric.whole(answers, samples.targets))
    return metric.mean(metric.per_sample(answers, samples.targets))


def _forms(arrays: Arrays) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (values.shape, str(values.dtype)) for name, values in arrays.items()}


def _network(task: Task, samples: Samples) -> tf_keras.Model:
    """A dense layer for each output, which are linear."""
    import tf_keras

    given = {name: tf_keras.Input(one.shape, name=name) for name, one in samples.encodings.items()}
    flat = [tf_keras.layers.Flatten()(made) for made in given.values()]
    joined = tf_keras.layers.Concatenate()(flat) if len(flat) > 1 else flat[0]
    outputs = [
        tf_keras.layers.Dense(int(np.prod(shape)), name=name)(joined)
        for name, shape in task.outputs(samples).items()
    ]
    return tf_keras.Model(list(given.values()), outputs)
