"""What every compressor owes, asked of every registered one: a new entry point is tested with no line here."""

import re
import tracemalloc
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from mlbench import plugins
from mlbench.compression.chain import parse_chain
from mlbench.compression.stages import ChainSetup, compress
from mlbench.contracts import Compressor, Context, ExportOptions, Form, Order
from mlbench.data.split import split
from mlbench.errors import RefusedCompressionError, UsageError
from mlbench.export import convert
from mlbench.export import written as export_written
from mlbench.export.convert import allowed_error, spread_of
from mlbench.export.written import file_of, written
from mlbench.faces.landmarks import POINTS, Landmarks
from mlbench.networks import building, storage
from mlbench.networks.storage import enumerate_weights
from mlbench.system.progress import Silent
from mlbench.training import baselines, loop
from mlbench.training.baselines import Material
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.conftest import TINY
from tests.fitted import fitted, points_in, points_of

NAMES = plugins.names("compressors")
TUNED = [name for name in NAMES if plugins.load("compressors", name).needs_tuning]
EXACT = [name for name in NAMES if plugins.load("compressors", name).exact is not None]

_TRAINING = TrainingOptions(epochs=2, batch=64, threads=1)
_TUNING = TuningOptions(epochs=2, batch=64, rate=3e-4, threads=1)

#: With convolutions of which there is something to save.
_WIDER = replace(TINY, blocks=(TINY.blocks[0], replace(TINY.blocks[1], filters=16), TINY.blocks[2]))

#: On both sides of every threshold of the code and of the quantizers: matrices of 1,024 weights (smaller ones stay in
#: float), files of 256 KiB (ai-edge-quantizer lays weights behind the flatbuffer) and of 4 MB (trimmed up to there).
SIZES = {
    "matrices of under 1,024 weights": replace(
        TINY, blocks=(*TINY.blocks[:2], replace(TINY.blocks[2], filters=2)), dense=(4, 7)
    ),
    "over 256 KiB at 4 bits, over 4 MB in float32": replace(TINY, dense=(1100, 24)),
    "over 4 MB at 8 bits": replace(TINY, dense=(4400, 24)),
}
_SMALLEST, _MIDDLE, _LARGEST = SIZES

#: As in README and docs, but for what must be tuned for long to make sense, and with small layers pruned.
DOCUMENTED = (
    "svd+int8",
    "svd(rank=32)+int8",
    "svd+dynamic",
    "tucker+int8",
    "tucker(rank=vbmf)+svd(energy=0.98)+prune(0.8,block=4x1,smallest=0)+int8",
    "cp(rank=3)+dynamic",
    "tt(rank=8)+int8",
    "slim+int8",
    "hashing+dynamic",
    "cluster+int8",
)


def _require_close(found, network, precision):
    """A file's answers are its network's, as far as the precision allows."""
    assert _tells_apart(network, precision), "a file that answers every face alike would pass"
    assert np.abs(found - network).mean() < allowed_error(plugins.load("precisions", precision), network)


def _floor(precision, outputs):
    """What outputs in a precision may always differ by, px."""
    return plugins.load("precisions", precision).floor * float(np.abs(outputs).mean())


def _tells_apart(network, precision):
    """Whether a network's outputs spread by more than what a file's may always differ by."""
    return spread_of(network) > _floor(precision, network)


def _chain(name, options):
    return f"{name}({','.join(f'{key}={value}' for key, value in options.items())})" if options else name


def _example(name):
    return parse_chain(_chain(name, plugins.load("compressors", name).example))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("MLBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def setup(sampled):
    return ChainSetup(Material(Landmarks(), sampled, split(sampled, "file-order", 7)), _TUNING, Silent())


@pytest.fixture(scope="module")
def baseline(cache, setup):
    trained = baselines.train_baseline(_WIDER, setup.material, _TRAINING, Silent())
    storage.save(fitted(_WIDER, setup.material.train), trained.folder)
    return trained


@pytest.fixture(scope="module")
def compressed(baseline, setup):
    """The example of each compressor carried out, tuned and written, or the reason of its refusal."""
    outcomes = {}

    def carry_out(name):
        if name not in outcomes:
            outcomes[name] = compress(baseline, _example(name), setup)
        return outcomes[name]

    return carry_out


@pytest.fixture
def context(setup):
    return Context(setup.calibration(), 7, Silent())


def _redundant(samples):
    """A network in which every kernel is of rank 1 in all modes, and the latter half of all units is dead."""
    network = building.build(_WIDER, Landmarks(), samples, 7)
    rng = np.random.default_rng(3)
    for layer in network.layers:
        weights = layer.get_weights()
        if not weights:
            continue
        kernel, bias = weights
        shape = (11, 11, 8, 32) if layer.name == "dense1" else kernel.shape
        tensor = np.full(shape, 1.0 / np.sqrt(kernel[..., 0].size), np.float32)
        for mode, size in enumerate(shape):
            signs = rng.choice([-1.0, 1.0], size).astype(np.float32)
            if mode == len(shape) - 1 and layer.name != "dense3":
                signs[size // 2 :] = 0
            tensor *= signs.reshape([-1 if m == mode else 1 for m in range(len(shape))])
        if layer.name == "dense3":  # half of its entries too
            tensor = tensor * (np.arange(136) < 68)
        layer.set_weights([tensor.reshape(kernel.shape), bias + 0.1])
    return network


@pytest.mark.parametrize("name", NAMES)
def test_it_describes_itself(name):
    technique = plugins.load("compressors", name)
    assert technique.name == name
    assert technique.summary
    assert technique.source
    assert isinstance(technique.order, Order)
    assert all(field.description for field in technique.model_fields.values())
    assert technique.positional is None or technique.positional in technique.model_fields
    chain = _example(name)
    assert parse_chain(str(chain)) == chain


@pytest.mark.parametrize("name", NAMES)
def test_the_result_is_smaller_with_the_same_input_and_output(name, compressed, baseline, setup):
    result = compressed(name)
    before, after = result.stages
    plain = written(baseline.folder, ExportOptions(), setup.calibration())
    assert after.file_bytes < plain.file_bytes or after.deflated_bytes < 0.9 * plain.deflated_bytes
    assert after.parameters <= before.parameters
    if plugins.load("compressors", name).order == Order.QUANTISE:
        assert after.parameters == before.parameters
    network = result.network()
    assert network.input_shape == (None, 96, 96, 1)
    assert network.output_shape == (None, 136)
    assert after.history == () or plugins.load("compressors", name).needs_tuning


@pytest.mark.parametrize("name", NAMES)
def test_the_file_answers_like_the_loaded_network_and_the_stage_tells_the_files_error(
    name, compressed, setup
):
    result = compressed(name)
    validation = setup.material.validation
    found = points_in(file_of(result.folder, result.export), validation)
    _require_close(found, points_of(result.network(), validation), result.export.precision)
    truth = validation.targets[POINTS].reshape(found.shape)
    assert result.stages[-1].validation == pytest.approx(np.abs(found - truth).mean())


@pytest.fixture(scope="module")
def sized(sampled):
    """The fitted network of each size, made once: compressors leave the network that they are given alone."""
    return lru_cache(lambda size: fitted(SIZES[size], sampled))


def _written_at(network, text, samples, folder):
    """How the network of a chain without tuning is written, and the answers of its file and itself."""
    form, context = Form(network), Context(samples, 7, Silent())
    for step in parse_chain(text).compressors:
        form = step.finish(step.compress(form, context))
    storage.save(form.network, folder)
    written(folder, form.export, samples)
    some = samples.take(slice(0, 40))
    return form.export, points_in(file_of(folder, form.export), some), points_of(form.network, some)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *((str(_example(name)), size) for name in NAMES for size in (_SMALLEST, _MIDDLE)),
        *((chain, _MIDDLE) for chain in DOCUMENTED),
    ],
)
def test_it_is_written_at_sizes_on_both_sides_of_every_threshold(
    text, size, sized, sampled, tmp_path, monkeypatch
):
    monkeypatch.setattr(export_written, "_SMALL", 1 << 30)  # in this process, which is faster
    try:
        made, found, network = _written_at(sized(size), text, sampled, tmp_path)
    except UsageError as refused:
        assert size == _SMALLEST, refused
        assert isinstance(refused, RefusedCompressionError) or "above the rank" in str(refused), refused
        return
    if _tells_apart(network, made.precision):  # what is left of some before tuning hardly does
        _require_close(found, network, made.precision)


@pytest.mark.parametrize("text", ["float16", "dynamic", "int8(last=int8)", "int4"])
def test_it_is_written_at_the_largest_size(text, sized, sampled, tmp_path, monkeypatch):
    monkeypatch.setattr(export_written, "_SMALL", 1 << 30)
    made, found, network = _written_at(sized(_LARGEST), text, sampled, tmp_path)
    _require_close(found, network, made.precision)


def test_it_is_written_in_a_process_of_its_own(sized, sampled, tmp_path, monkeypatch):
    """The precision that is told most: samples, ranges and the output's type."""
    monkeypatch.setattr(convert, "convert", None)  # here it would fail
    made, found, network = _written_at(sized(_LARGEST), "int8", sampled, tmp_path)
    _require_close(found, network, made.precision)


@pytest.mark.parametrize("name", EXACT)
def test_nothing_is_lost_where_the_network_is_redundant_enough(name, context):
    network = _redundant(context.calibration)
    technique = plugins.load("compressors", name)
    [step] = parse_chain(_chain(name, technique.exact)).compressors
    form = step.finish(step.compress(Form(network), context))
    some = context.calibration.take(slice(0, 50))
    expected = points_of(network, some)
    assert np.abs(points_of(form.network, some) - expected).max() < 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("name", NAMES)
def test_bad_options_are_one_sentence(name):
    technique = plugins.load("compressors", name)
    with pytest.raises(UsageError, match="no option"):
        parse_chain(f"{name}(nonsense=1)")
    for field in technique.model_fields:
        with pytest.raises(UsageError, match="^" + re.escape(f"{name}({field}=?): ")):
            parse_chain(f"{name}({field}=?)")


@pytest.mark.parametrize("name", NAMES)
def test_its_memory_is_bounded(name, baseline, context):
    network = baseline.network()
    [step] = _example(name).compressors
    tracemalloc.start()
    try:
        step.compress(Form(network), context)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The network has 0.15 MB, and what is imported counts; 270 faces' convolution inputs kept at once are hundreds.
    assert peak < 96 * 2**20


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("name", TUNED)
def test_its_tuning_goes_on_where_it_was(name, compressed, baseline, setup, monkeypatch, tmp_path):
    whole = compressed(name)
    real, epochs = loop._train_epoch, []

    def killed(*arguments):
        if epochs:
            raise _KilledError
        epochs.append(None)
        return real(*arguments)

    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(loop, "_train_epoch", killed)
    with pytest.raises(_KilledError):
        compress(baseline, _example(name), setup)
    monkeypatch.setattr(loop, "_train_epoch", real)
    resumed = compress(baseline, _example(name), setup)
    assert [e.epoch for e in resumed.stages[-1].history] == [0, 1, 2]
    for (_, a), (_, b) in zip(
        enumerate_weights(whole.network()), enumerate_weights(resumed.network()), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", TUNED)
def test_the_best_settled_weights_are_kept(name, compressed, setup):
    result = compressed(name)
    [step] = _example(name).compressors
    stage = result.stages[-1]
    settled = [e.validation["mae"] for e in stage.history][step.first_settled_epoch(_TUNING.epochs) :]
    allowed = _floor(result.export.precision, setup.material.samples.targets[POINTS])
    assert stage.validation == pytest.approx(min(settled), abs=allowed)


def test_a_step_is_tuned_for_its_own_epochs_at_its_own_rate(baseline, setup):
    constant = TuningOptions(**_TUNING.model_dump() | {"schedule": "constant"})
    chain = parse_chain("slim(epochs=1,rate=1e-4)+svd(rank=4)")
    first, second = compress(baseline, chain, replace(setup, tuning=constant)).stages[1:]
    assert [stage.history[-1].epoch for stage in (first, second)] == [1, _TUNING.epochs]
    assert [stage.history[-1].learning_rate for stage in (first, second)] == pytest.approx([1e-4, 3e-4])


def test_a_step_learns_from_the_teacher_that_is_named(baseline, setup):
    other = TuningOptions(**_TUNING.model_dump() | {"teacher": baseline.folder.name, "teacher_share": 0.0})
    named = replace(setup, tuning=other)
    alone, taught = parse_chain("svd(rank=4)+svd(rank=3,teacher_share=1,augment_strength=0.5)").compressors
    assert named.tuning_as(alone).teacher(None) is None
    assert named.tuning_as(taught).tuning.augment_strength == 0.5
    some = setup.material.samples.take(slice(0, 2))
    told = points_of(named.tuning_as(taught).teacher(None), some)
    np.testing.assert_array_equal(told, points_of(baseline.network(), some))


def test_what_would_be_larger_is_refused_with_the_numbers(baseline, setup):
    class Doubling(Compressor):
        name = "doubling"
        summary = "twice the last layer"
        source = "here"
        order = Order.REPLACE
        needs_tuning = False

        def compress(self, form, context):
            import tf_keras

            from mlbench.networks import graph

            last = form.network.layers[-1]
            extra = (tf_keras.layers.Dense(136, name="more"), [np.eye(136, dtype=np.float32), np.zeros(136)])
            return Form(
                graph.rebuild(
                    form.network, lambda layer: [*graph.kept(layer), extra] if layer is last else None
                )
            )

    from mlbench.compression.chain import Chain

    with pytest.raises(RefusedCompressionError, match=r"larger \([\d,]+ to [\d,]+ parameters\)"):
        compress(baseline, Chain((Doubling(),)), setup)
