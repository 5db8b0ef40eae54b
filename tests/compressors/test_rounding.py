"""Rounding while tuning: kernels on their grid, gradients as if they were not, and a file that holds just those."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compressors.rounding import on_grid, rounding_dense
from mlbench import networks
from mlbench.artifacts import answers
from mlbench.chain import parse_chain
from mlbench.contracts import Context, Form
from mlbench.conversion import file_of, written
from mlbench.errors import RefusedCompressionError
from mlbench.progress import Silent
from mlbench.training import TrainingOptions, predict
from tests.conftest import TINY

_KERNELS = arrays.arrays(np.float32, (5, 3), elements=st.floats(-100, 100, width=32))


@settings(deadline=None)
@given(kernel=_KERNELS)
def test_a_rounded_kernel_lies_on_its_grid_and_near_the_kernel(kernel):
    multiples, step = (part.numpy() for part in on_grid(kernel))
    found = multiples * step
    assert (np.abs(found - kernel) <= step * 0.501).all()
    assert np.array_equal(multiples, np.rint(multiples))
    assert np.abs(multiples).max() <= 7
    np.testing.assert_allclose(np.abs(found).max(axis=0), np.abs(kernel).max(axis=0), rtol=1e-5, atol=1e-9)
    again, same_step = (part.numpy() for part in on_grid(found))
    np.testing.assert_allclose(again * same_step, found, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_it_answers_with_rounded_weights_and_the_gradient_passes_the_rounding(dtype):
    import tensorflow as tf

    layer = rounding_dense()(2, use_bias=False, dtype=dtype)
    inputs = tf.constant([[1.0, 2.0, 3.0]])
    with tf.GradientTape() as tape:
        outputs = layer(inputs)
        total = tf.reduce_sum(outputs)
    np.testing.assert_allclose(
        tape.gradient(total, layer.kernel), np.repeat([[1.0], [2], [3]], 2, axis=1), rtol=1e-2
    )
    assert layer.kernel.dtype == tf.float32
    multiples, step = on_grid(layer.kernel)
    expected = inputs @ (multiples * step)
    np.testing.assert_allclose(
        tf.cast(outputs, tf.float32), expected, rtol=1e-6 if dtype == "float32" else 4e-3
    )


def test_the_file_holds_the_rounded_weights_at_half_a_byte(sampled, tmp_path):
    network = networks.build(TINY, 7)
    networks.start_from_mean(network, sampled.points.mean(axis=0))
    [step] = parse_chain("dynamic4").compressors
    form = step.finish(step.compress(Form(network), Context(sampled, 7, Silent())))
    for layer in form.network.layers[-5:-1]:
        if hasattr(layer, "kernel"):
            assert max(len(np.unique(column)) for column in layer.kernel.numpy().T) <= 15
    networks.save(form.network, tmp_path)
    facts = written(tmp_path, form.export, sampled)
    assert facts.file_bytes < 0.85 * networks.parameters_of(network)
    moved = answers(file_of(tmp_path, form.export), sampled.images[:50]) - predict(
        form.network, sampled.images[:50]
    )
    whole = predict(form.network, sampled.images[:50]) - predict(network, sampled.images[:50])
    assert np.abs(moved).mean() < 0.3 * np.abs(whole).mean()  # activations' rounding, beside the weights'


def test_what_is_not_a_plain_layer_is_refused(sampled):
    first, second = parse_chain("hashing(ratio=8,form=entry)+dynamic4").compressors
    context = Context(sampled.take(slice(0, 32)), 7, Silent())
    form = first.compress(Form(networks.build(TINY, 7)), context)
    with pytest.raises(RefusedCompressionError, match=r"HashedDense\): use dynamic"):
        second.compress(form, context)


def test_it_is_tuned_in_bfloat16(sampled):
    from mlbench.trainer import Trainer

    [step] = parse_chain("dynamic4").compressors
    form = step.compress(Form(networks.build(TINY, 7)), Context(sampled, 7, Silent()))
    trainer = Trainer(form.network, None, TrainingOptions(compute="bfloat16", threads=1), 1)
    trainer.step(sampled.images[:8], sampled.points[:8])
    assert {layer.compute_dtype for layer in trainer._working.layers[1:-1]} == {"bfloat16"}
