"""Rounding while tuning: kernels on their grid, gradients as if they were not, and a file that holds just those."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mlbench.compression.chain import parse_chain
from mlbench.compressors.rounding import best_steps, on_grid, rounding_dense
from mlbench.contracts import Context, Form
from mlbench.errors import RefusedCompressionError
from mlbench.export.written import file_of, written
from mlbench.faces.landmarks import Landmarks
from mlbench.networks import building, counting, storage
from mlbench.networks.ports import Ports
from mlbench.system.progress import Silent
from mlbench.training.options import TrainingOptions
from tests.conftest import TINY
from tests.fitted import points_in, points_of

_KERNELS = arrays.arrays(np.float32, (5, 3), elements=st.floats(-100, 100, width=32))


@settings(deadline=None)
@given(kernel=_KERNELS, log_step=arrays.arrays(np.float32, 3, elements=st.floats(-8, 8, width=32)))
def test_a_rounded_kernel_lies_on_the_grid_that_the_file_will_have(kernel, log_step):
    multiples, step = (part.numpy() for part in on_grid(kernel, log_step))
    assert np.array_equal(multiples, np.rint(multiples))
    assert np.abs(multiples).max() <= 7
    found = multiples * step
    cut = np.clip(kernel, -7 * step, 7 * step)
    assert (np.abs(found - cut) <= step * 0.501).all()
    weighty = np.abs(kernel).max(axis=0) > 1e-9
    np.testing.assert_allclose(np.abs(found).max(axis=0)[weighty], 7 * step[weighty], rtol=1e-5)
    again, same_step = (part.numpy() for part in on_grid(found, log_step))
    np.testing.assert_allclose(again * same_step, found, rtol=1e-4, atol=1e-6)


@settings(deadline=None)
@given(kernel=_KERNELS)
def test_the_first_steps_round_no_worse_than_the_largest_weights_would(kernel):
    def error(step):
        return np.square(np.clip(np.rint(kernel / step), -7, 7) * step - kernel).sum(axis=0)

    largest = np.maximum(np.abs(kernel).max(axis=0), 1e-12)
    assert (error(best_steps(kernel)) <= error(largest / 7) * 1.0001).all()


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_it_answers_with_rounded_weights_and_the_gradient_passes_the_rounding(dtype):
    import tensorflow as tf

    layer = rounding_dense()(2, use_bias=False, dtype=dtype)
    inputs = tf.constant([[1.0, 2.0, 3.0]])
    layer.build(inputs.shape)
    layer.set_weights([np.array([[0.1, 0.7], [-0.33, 0.2], [0.9, -0.44]]), np.log([0.1, 0.05])])
    with tf.GradientTape() as tape:
        outputs = layer(inputs)
        total = tf.reduce_sum(tf.cast(outputs, tf.float32))
    kernel_gradient, step_gradient = tape.gradient(total, [layer.kernel, layer.log_step])
    # The weights that are cut off, at 7 x 0.1 and 7 x 0.05, stay where they are.
    np.testing.assert_allclose(kernel_gradient, [[1, 0], [2, 2], [0, 0]], rtol=1e-2)
    # Esser et al. 2020, equation 3, times the step: a logarithm's share.
    expected_steps = [0.1 * ((1 - 1) + 2 * (-3 + 3.3) + 3 * 7), 0.05 * (7 + 2 * (4 - 4) + 3 * -7)]
    np.testing.assert_allclose(step_gradient, expected_steps, rtol=1e-2, atol=1e-6)
    assert layer.kernel.dtype == layer.log_step.dtype == tf.float32
    expected = inputs @ np.array([[0.1, 0.35], [-0.3, 0.2], [0.7, -0.35]], np.float32)
    np.testing.assert_allclose(
        tf.cast(outputs, tf.float32), expected, rtol=1e-5 if dtype == "float32" else 4e-3
    )


def test_the_file_holds_the_rounded_weights_at_half_a_byte(sampled, tmp_path):
    network = building.build(TINY, Landmarks(), sampled, 7)
    building.start_from_prior(network, Landmarks().prior(sampled))
    [step] = parse_chain("dynamic4").compressors
    form = step.finish(step.compress(Form(network), Context(sampled, 7, Silent())))
    for layer in form.network.layers[-5:-1]:
        if hasattr(layer, "kernel"):
            assert max(len(np.unique(column)) for column in layer.kernel.numpy().T) <= 15
    storage.save(form.network, tmp_path)
    facts = written(tmp_path, form.export, sampled)
    assert facts.file_bytes < 0.85 * counting.parameters_of(network)
    some = sampled.take(slice(0, 50))
    moved = points_in(file_of(tmp_path, form.export), some) - points_of(form.network, some)
    whole = points_of(form.network, some) - points_of(network, some)
    assert np.abs(moved).mean() < 0.3 * np.abs(whole).mean()  # activations' rounding, beside the weights'


def test_what_is_not_a_plain_layer_is_refused(sampled):
    first, second = parse_chain("hashing(ratio=8,form=entry)+dynamic4").compressors
    context = Context(sampled.take(slice(0, 32)), 7, Silent())
    form = first.compress(Form(building.build(TINY, Landmarks(), sampled, 7)), context)
    with pytest.raises(RefusedCompressionError, match=r"HashedDense\): use dynamic"):
        second.compress(form, context)


def test_it_is_tuned_in_bfloat16(sampled):
    from mlbench.training.step import Trainer

    [step] = parse_chain("dynamic4").compressors
    form = step.compress(Form(building.build(TINY, Landmarks(), sampled, 7)), Context(sampled, 7, Silent()))
    options, ports = TrainingOptions(compute="bfloat16", threads=1), Ports.of(form.network, sampled)
    trainer, some = Trainer(form.network, None, ports, Landmarks(), options, 1), sampled.take(slice(0, 8))
    trainer.step(some.inputs, some.targets)
    assert {layer.compute_dtype for layer in trainer._working.layers[1:-1]} == {"bfloat16"}
