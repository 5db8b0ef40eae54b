"""Rounding while tuning: kernels on their grid, gradients as if they were not, and a file that holds just those."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compressors.rounding import rounded, rounding_layers
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
@given(kernel=_KERNELS, bits=st.sampled_from([2, 4, 8]))
def test_a_rounded_kernel_lies_on_its_grid_and_near_the_kernel(kernel, bits):
    found, most = rounded(kernel, bits).numpy(), 2 ** (bits - 1) - 1
    step = np.abs(kernel).max(axis=0) / most
    assert (np.abs(found - kernel) <= step * 0.501 + 1e-6).all()
    multiples = found / np.maximum(step, 1e-12)
    np.testing.assert_allclose(multiples, np.rint(multiples), atol=1e-3)
    np.testing.assert_allclose(np.abs(found).max(axis=0), np.abs(kernel).max(axis=0), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(rounded(found, bits).numpy(), found, rtol=1e-4, atol=1e-6)


def test_the_gradient_passes_the_rounding():
    import tensorflow as tf

    layer = rounding_layers()["RoundingDense"](2, bits=4, use_bias=False)
    inputs = tf.constant([[1.0, 2.0, 3.0]])
    with tf.GradientTape() as tape:
        outputs = tf.reduce_sum(layer(inputs))
    np.testing.assert_allclose(tape.gradient(outputs, layer.kernel), np.repeat([[1.0], [2], [3]], 2, axis=1))
    np.testing.assert_allclose(layer(inputs), inputs @ rounded(layer.kernel, 4), rtol=1e-6)


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
