"""Networks with several inputs and outputs become files that take and give them by name."""

import pytest
import tf_keras

from mlbench import plugins
from mlbench.compressors.rounding import Dynamic4
from mlbench.contracts import Context, ExportOptions, Form
from mlbench.export.artifacts import answers
from mlbench.export.convert import spread_of, static
from mlbench.networks.ports import Ports, predict
from mlbench.system.progress import Silent
from mlbench.testing import NETWORKS, samples_for


def _moved(network, samples, options):
    """How far the answers of a network's file are from the network's, as shares of their spread, by output."""
    encoded = samples.encoded()
    inputs = [encoded[name] for name in Ports.of(network, samples).inputs]
    content = plugins.load("precisions", options.precision)().write(static(network), inputs, options)
    found = answers(content, samples)
    expected = predict(network, samples)
    return {name: abs(found[name] - own).mean() / spread_of(own) for name, own in expected.items()}


@pytest.mark.parametrize("last", ["linear", "relu", "softmax", "sigmoid"])
def test_a_file_of_four_bits_holds_what_was_tuned_whatever_the_last_activation(last):
    given = tf_keras.Input((12,), name="facts")
    hidden = tf_keras.layers.Dense(32, activation="relu", name="hidden")(given)
    network = tf_keras.Model(given, tf_keras.layers.Dense(10, activation=last, name="answers")(hidden))
    network.set_weights([weight * 2 for weight in network.get_weights()])
    samples = samples_for(network, 60, 3)
    step = Dynamic4()
    form = step.finish(step.compress(Form(network), Context(samples, 7, Silent())))
    assert all(moved < 0.02 for moved in _moved(form.network, samples, form.export).values())


@pytest.mark.parametrize(
    ("precision", "float_output", "allowed"),
    [
        ("float32", False, 1e-5),
        ("float16", False, 0.01),
        ("dynamic", False, 0.05),
        ("int8", False, 0.15),
        ("int8", True, 0.15),
        ("dynamic4", False, 0.5),
    ],
)
def test_a_file_of_two_inputs_answers_like_the_network(precision, float_output, allowed):
    network = NETWORKS["two_inputs"](7)
    samples = samples_for(network, 40, 3)
    options = ExportOptions(precision, float_output=float_output)
    assert all(moved < allowed for moved in _moved(network, samples, options).values())
