"""Models layer by layer: operators of files, their times, and what each layer's compression costs."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlbench.cli import cli
from mlbench.contracts import ExportOptions
from mlbench.data.split import split
from mlbench.errors import UsageError
from mlbench.export.convert import static
from mlbench.export.layer_names import carriers, layers_of
from mlbench.export.operators import Operator, Tensor, assigned, execution_order, int8_bytes, operators_of
from mlbench.export.precisions import Float32
from mlbench.export.profiler import Profile, ProfilerError, collected
from mlbench.models import FOLDER
from mlbench.networks import counting
from mlbench.records import Inspection
from mlbench.runs import inspection
from mlbench.runs.inspection import Inspecting, inspect
from mlbench.runs.sensitivity import sensitivities_of
from mlbench.system.progress import Silent
from mlbench.tasks.regression import Regression
from mlbench.testing.networks import NETWORKS, samples_for
from mlbench.training.baselines import Material
from tests.small_files import passing

REAL = Path(__file__).parents[2] / "shared" / "models" / "mlperf_tiny"
_quickly = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
READY = FOLDER / "two_pool.tflite"


@pytest.fixture(scope="module")
def files():
    made = {}
    for name, build in NETWORKS.items():
        network = build(7)
        made[name] = network, operators_of(Float32().write(static(network), [], ExportOptions()))
    return made


@pytest.mark.parametrize("name", NETWORKS)
def test_arithmetic_and_weights_of_a_file_are_those_of_its_network(files, name):
    network, operators = files[name]
    table = counting.layer_table(network)
    assert sum(o.macs for o in operators) == sum(layer.macs for layer in table) > 0
    kernels = {tuple(sorted(w.shape)) for o in operators for w in o.weights if len(w.shape) > 1}
    of_layers = {
        tuple(sorted(w.shape)) for layer in network.layers for w in layer.weights if len(w.shape) > 1
    }
    # Files of dense layers have the axes the other way round, those of depthwise ones in another order.
    assert kernels == of_layers


@pytest.mark.parametrize("left", [(5, 3, 4), (5, 4, 3)])
def test_arithmetic_of_a_product_is_the_same_however_its_left_matrix_is_stored(left):
    matrices = Tensor("left", left), Tensor("right", (5, 4, 7))
    product = Operator(0, "BATCH_MATMUL", (0, 1), (2,), matrices, (Tensor("out", (5, 3, 7)),), ())
    assert product.macs == 5 * 3 * 4 * 7


@pytest.mark.parametrize("name", NETWORKS)
def test_each_operator_is_told_the_layers_that_it_carries_out(files, name):
    network, operators = files[name]
    found = layers_of(operators, network)
    table = counting.layer_table(network)
    macs, parameters = ({x.name: getattr(x, field) for x in table} for field in ("macs", "parameters"))
    homes = carriers(found, macs, parameters)
    for operator in operators:
        layer = network.get_layer(homes[operator.number])
        assert operator.output == tuple(layer.output_shape[1:])
        assert operator.macs == macs[layer.name]
    assert {name for names in found.values() for name in names} == {x.name for x in table}


def test_what_the_converter_joins_is_one_operator(files):
    network, operators = files["residual"]
    found = layers_of(operators, network)
    assert found[0] == ("stem", "stem_norm", "stem_relu")
    assert ("first_sum", "first_relu") in found.values()


#: As LiteRT 2.3 prints them for a file of nine operators; the kinds are of its operators.
_EVENTS = [
    "Convolution (NHWC, F32) IGEMM",
    "Convert (NC, F32, QD8)",
    "Convolution (NHWC, QD8, F32, QC8W) IGEMM",
    "Max Pooling (NHWC, F32)",
    "Fully Connected (NC, F32) GEMM",
    "Static Reshape (NC)",
    "Add (ND)",
    "Clamp (NC)",
    "Static Reshape (NC)",
    "Static Reshape (NC)",
    "Fully Connected (NC, QD8, F32, QC8W) GEMM",
    "Softmax (NC, F32)",
]
_KINDS = ["CONV_2D", "CONV_2D", "MAX_POOL_2D", "CONV_2D", "ADD", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"]


def test_events_of_a_delegate_go_to_the_operators_that_they_are_of():
    found = assigned(_EVENTS, _KINDS)
    work = {0: 0, 2: 1, 3: 2, 4: 3, 6: 4, 7: 4, 10: 6, 11: 7}
    assert {event: found[event] for event in work} == work
    assert found[1] == 1  # a conversion belongs to the product behind it


def test_an_operator_that_was_joined_to_another_has_no_event_and_a_strange_event_no_operator():
    assert assigned(["Convolution", "Softmax"], ["CONV_2D", "RELU", "SOFTMAX"]) == [0, 2]
    assert assigned(["Convolution", "Nonesuch", "Softmax"], ["CONV_2D", "SOFTMAX"])[1] is None
    assert assigned(["Convolution"], []) == [None]


@_quickly
@given(
    st.lists(st.sampled_from(["CONV_2D", "ADD", "SOFTMAX", "MAX_POOL_2D", "FULLY_CONNECTED"]), max_size=12)
)
def test_events_that_are_one_an_operator_are_found_again(kinds):
    names = {
        "CONV_2D": "Convolution (NHWC)",
        "ADD": "Add (ND)",
        "SOFTMAX": "Softmax",
        "MAX_POOL_2D": "Max Pooling",
        "FULLY_CONNECTED": "Fully Connected",
    }
    assert assigned([names[kind] for kind in kinds], kinds) == list(range(len(kinds)))


@_quickly
@given(st.lists(st.sampled_from(_EVENTS), max_size=12), st.lists(st.sampled_from(_KINDS), max_size=8))
def test_events_never_go_back(events, kinds):
    found = [place for place in assigned(events, kinds) if place is not None]
    assert found == sorted(found)
    assert all(0 <= place < len(kinds) for place in found)


def test_each_operator_runs_once_and_after_what_it_needs(files):
    _, operators = files["residual"]
    order = execution_order(operators, {3, 7})
    assert sorted(order) == list(range(len(operators)))
    there = {n for o in operators for n in o.given} - {n for o in operators for n in o.made}
    for number in order:
        assert there.issuperset(operators[number].given)
        there.update(operators[number].made)


def test_a_process_of_the_profiler_is_read_without_its_outliers():
    answer = {"events": [["Softmax", -1], ["ADD", 1]], "us": [[2, 1]] * 3 + [[4, 1]] * 3 + [[900, 1], [0, 0]]}
    found = Profile.parsed(answer)
    assert found.events == (("Softmax", -1), ("ADD", 1))
    assert found.us.tolist() == pytest.approx([3.0, 1.0])


@_quickly
@given(st.one_of(st.none(), st.integers(), st.dictionaries(st.sampled_from(["events", "us"]), st.text())))
def test_what_is_no_profile_is_refused(answer):
    with pytest.raises(ProfilerError):
        Profile.parsed(answer)


def test_times_go_to_operators_and_the_rest_is_told(files):
    _, operators = files["sequential"]
    names = ["Convolution", "Max Pooling", "Convolution", "Nonesuch", "Fully Connected", "Fully Connected"]
    events = (*((name, -1) for name in names), ("FULLY_CONNECTED", 6))
    profile = Profile(events, np.arange(1.0, 8.0))
    times = collected(np.ones(2), [profile, profile], operators)
    assert times.operators[0].tolist() == pytest.approx([0.001, 0.002, 0.003, 0, 0.005, 0.006, 0.007])
    assert times.rest.tolist() == pytest.approx([0.004, 0.004])
    assert (times.builtin, times.merged) == ({6}, {3})


def test_int8_takes_a_byte_a_weight_and_four_a_bias():
    assert int8_bytes([(3, 3, 1, 8), (8,)]) == 72 + 32


def test_a_file_is_inspected_by_the_profiler_of_this_runtime():
    found = inspect(READY, how=Inspecting(processes=2))
    assert [layer.kind for layer in found.layers][:3] == ["CONV_2D", "CONV_2D", "MAX_POOL_2D"]
    assert found.parts_ms is not None and found.whole_ms is not None
    assert sum(layer.share for layer in found.layers) == pytest.approx(1, abs=0.2)
    assert {layer.runs for layer in found.layers} <= {"XNNPACK", "builtin", "merged"}
    assert sum(layer.file_bytes for layer in found.layers) < found.file_bytes
    assert Inspection.model_validate_json(found.model_dump_json()) == found


@pytest.fixture
def untimed(monkeypatch):
    """Without the processes of the profiler."""

    def refused(*_, **__):
        message = "it is not there"
        raise ProfilerError(message)

    monkeypatch.setattr(inspection, "times_of", refused)
    monkeypatch.setattr(inspection.environment, "doubts", lambda threads: [])


@pytest.mark.parametrize(
    "file",
    sorted(REAL.glob("*.tflite")) or [pytest.param(None, marks=pytest.mark.skip(f"{REAL} is not there"))],
    ids=str,
)
def test_real_files_are_inspected(file, untimed):
    found = inspect(file)
    assert sum(layer.macs for layer in found.layers) > 200_000
    assert 0.3 < sum(layer.file_bytes for layer in found.layers) / found.file_bytes < 1


@pytest.mark.usefixtures("untimed")
def test_without_a_profiler_all_but_the_times_is_told():
    found = inspect(NETWORKS["separable"](7))
    assert [layer.part_of for layer in found.layers if layer.name == "depthwise1_norm"] == ["depthwise1"]
    depthwise = next(layer for layer in found.layers if layer.name == "depthwise1")
    assert depthwise.techniques["tucker"].startswith("a depthwise convolution joins no channels")
    assert depthwise.techniques["int8"] == ""
    assert depthwise.ms is None and found.whole_ms is None
    assert any("not timed" in warning for warning in found.warnings)


def _planted():
    """A network of two like branches, of which one hardly counts in the sum, and its answers as targets."""
    import tf_keras
    from tf_keras import layers

    rng = np.random.default_rng(3)
    given_ = tf_keras.Input((12,), name="x")

    def branch(name, size):
        kernel = rng.normal(size=(12, 12)).astype(np.float32) * size
        return layers.Dense(
            12, use_bias=False, name=name, kernel_initializer=tf_keras.initializers.Constant(kernel)
        )

    summed = layers.Add()([branch("matters", 1.0)(given_), branch("hardly", 0.001)(given_)])
    ones = tf_keras.initializers.Constant(np.ones((12, 1), np.float32))
    network = tf_keras.Model(
        given_, layers.Dense(1, kernel_initializer=ones, name="y")(summed), name="planted"
    )
    samples = samples_for(network, 200, 5)
    answers = network.predict(next(iter(samples.encoded().values())), verbose=0)
    import dataclasses

    samples = dataclasses.replace(samples, targets=dict.fromkeys(samples.targets, answers))
    return network, Material(Regression(), samples, split(samples, "shuffled", 7))


def test_the_layer_that_matters_costs_most_where_it_alone_is_compressed():
    network, material = _planted()
    found = sensitivities_of(network, material, ["svd"], [2.0, 4.0], 100, 7, Silent())
    loss = {(row.layers[0], row.asked): row.loss for row in found.rows}
    assert found.baseline == pytest.approx(0, abs=1e-4)
    for ratio in (2.0, 4.0):
        assert loss["matters", ratio].low > 10 * loss["hardly", ratio].high >= 0
    assert found.samples <= len(material.validation)


@pytest.mark.parametrize(
    ("techniques", "ratios", "told"),
    [
        (["nonesuch"], [2.0], "nonesuch"),
        (["prune"], [2.0], "prune does not compress layers one by one"),
        (["svd"], [1.0], "ratio above 1"),
        (["svd"], [float("nan")], "ratio above 1"),
    ],
)
def test_techniques_and_ratios_without_sense_are_refused(techniques, ratios, told):
    network, material = _planted()
    with pytest.raises(UsageError, match=told):
        sensitivities_of(network, material, techniques, ratios, 10, 7, Silent())


@pytest.mark.usefixtures("untimed")
def test_the_command_prints_a_table_json_and_a_page(tmp_path):
    page = tmp_path / "layers.html"
    run = CliRunner(env={"COLUMNS": "80"}).invoke(cli, ["inspect", str(READY), "--out", str(page)])
    assert run.exit_code == 0, run.output
    table = run.stdout.partition("Report: ")[0]
    assert "conv2" in table and max(map(len, table.splitlines())) <= 80
    text = page.read_text(encoding="utf-8")
    assert "two_pool, operator by operator" in text and "data-chart" in text
    run = CliRunner().invoke(cli, ["inspect", str(READY), "--json"])
    assert json.loads(run.stdout)["source"] == "tflite"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Name one model"),
        ([str(READY), "--variant", "basic"], "Name one model"),
        (["missing.tflite"], "cannot be read"),
        (["--variant", "nonesuch"], "nonesuch"),
        ([str(READY), "--data", str(READY)], "needs the Keras network"),
        ([str(READY), "--out", "layers.nonesuch"], "nonesuch"),
    ],
)
def test_bad_input_is_named_before_anything_is_timed(arguments, told, monkeypatch):
    monkeypatch.setattr(inspection, "times_of", None)
    run = CliRunner().invoke(cli, ["inspect", *arguments])
    assert isinstance(run.exception, UsageError) and told in str(run.exception)


def test_a_page_of_a_hostile_name_runs_nothing_of_it(tmp_path, untimed):
    from mlbench.reports.html.inspection import render_inspection

    found = inspect(READY)
    bad = "</script><script>alert(1)</script>"
    layers = (found.layers[0].model_copy(update={"name": bad}), *found.layers[1:])
    text = render_inspection(found.model_copy(update={"model": bad, "layers": layers}))
    assert "<script>alert" not in text


def test_what_a_file_says_does_not_steer_a_terminal(tmp_path, untimed):
    (tmp_path / "bad.tflite").write_bytes(passing([1, 4]).replace(b"y\0", b"\x1b\0"))
    found = inspect(tmp_path / "bad.tflite")
    assert [layer.name for layer in found.layers] == ["\N{REPLACEMENT CHARACTER}"]


def test_a_file_of_several_samples_at_a_time_is_timed(tmp_path):
    (tmp_path / "eight.tflite").write_bytes(passing([8, 4]))
    found = inspect(tmp_path / "eight.tflite", how=Inspecting(processes=2))
    assert found.whole_ms is not None


def test_an_operator_that_gives_nothing_has_a_name():
    assign = Operator(3, "ASSIGN_VARIABLE", (0, 1), (), (None, None), (), ())
    assert (assign.name, assign.output, assign.macs) == ("assign_variable_3", (), 0)
