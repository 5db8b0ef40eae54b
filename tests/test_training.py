"""Training: it learns, it keeps the best, it resumes to the same weights, equal seeds agree."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mlbench.contracts import Encoding, Samples
from mlbench.errors import UsageError
from mlbench.faces.augmentation import Augmentation
from mlbench.faces.landmarks import IMAGE, POINTS, Landmarks
from mlbench.networks import building, storage
from mlbench.networks.ports import Ports, predict
from mlbench.records import Epoch
from mlbench.system.progress import Silent
from mlbench.tasks.classification import Classification
from mlbench.tasks.regression import Regression
from mlbench.training import baselines, loop
from mlbench.training.loop import fit
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.conftest import TINY
from tests.materials import material_of

_TASK = Landmarks()
_OPTIONS = TrainingOptions(epochs=4, batch=32, threads=1)


@pytest.fixture(scope="module")
def parts(sampled):
    material = material_of(sampled)
    return material.train, material.validation


def _network(train):
    network = building.build(TINY, _TASK, train, 7)
    building.start_from_prior(network, _TASK.prior(train))
    return network


def _answers(network, samples):
    return _TASK.answers(predict(network, samples))[POINTS]


def _trainer(network, teacher, samples, options, steps):
    from mlbench.training.step import Trainer

    return Trainer(network, teacher, Ports.of(network, samples), _TASK, options, steps)


def _fit(parts, folder, options=_OPTIONS, teacher=None):
    network = _network(parts[0])
    return network, fit(network, _TASK, *parts, options, folder, Silent(), title="", teacher=teacher)


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("how", [{}, {"optimizer": "muon", "loss": "absolute", "rate": 0.01}])
def test_training_lowers_the_validation_error(parts, tmp_path, how):
    options = TrainingOptions(
        **{"epochs": 30, "batch": 16, "rate": 3e-3, "augment": False, "threads": 1} | how
    )
    _, result = _fit(parts, tmp_path, options)
    assert result.history[0].epoch == 0
    assert min(e.validation["mae"] for e in result.history) < 0.8 * result.history[0].validation["mae"]
    assert result.history[-1].loss < 0.5 * result.history[1].loss


def test_the_weights_are_the_best_epochs(parts, tmp_path):
    network, result = _fit(parts, tmp_path)
    best = min(epoch.validation["mae"] for epoch in result.history)
    found = np.abs(_answers(network, parts[1]) - parts[1].targets[POINTS]).mean()
    assert found == pytest.approx(best, abs=1e-5)
    assert result.history[result.best_epoch].validation["mae"] == best


@pytest.mark.parametrize(
    ("stop_after", "how"), [(1, {}), (3, {}), (2, {"optimizer": "muon", "loss": "absolute"})]
)
def test_an_interrupted_training_ends_with_the_same_weights(parts, tmp_path, monkeypatch, stop_after, how):
    options = _OPTIONS.model_copy(update=how)
    whole, history = _fit(parts, tmp_path / "whole", options)
    real, done = loop._train_epoch, []

    def killed(*arguments):
        if len(done) == stop_after:
            raise _KilledError
        done.append(None)
        return real(*arguments)

    monkeypatch.setattr(loop, "_train_epoch", killed)
    with pytest.raises(_KilledError):
        _fit(parts, tmp_path / "killed", options)
    monkeypatch.setattr(loop, "_train_epoch", real)
    resumed, again = _fit(parts, tmp_path / "killed", options)
    assert all((a == b).all() for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True))
    assert [e.validation for e in history.history] == [e.validation for e in again.history]


def test_a_damaged_checkpoint_is_one_sentence(parts, tmp_path):
    (tmp_path / "checkpoint.npz").write_bytes(b"PK not a zip")
    with pytest.raises(UsageError, match="damaged"):
        _fit(parts, tmp_path)


def test_patience_stops_early(parts, tmp_path):
    options = TrainingOptions(epochs=40, batch=32, rate=1e-9, patience=3, threads=1)
    _, result = _fit(parts, tmp_path, options)
    assert len(result.history) < 12


def _epochs(*errors):
    return [
        Epoch(
            epoch=i,
            loss=None,
            validation={"mae": error, "rmse": error},
            learning_rate=0.1,
            samples_per_s=1.0,
            seconds=1.0,
        )
        for i, error in enumerate(errors)
    ]


def test_where_the_primary_metric_is_equal_the_next_decides():
    def epoch(number, top1, cross_entropy):
        found = {"top1": top1, "cross_entropy": cross_entropy, "macro_f1": 0.5}
        facts = {"loss": None, "learning_rate": 0.0, "samples_per_s": 0.0, "seconds": 0.0}
        return Epoch(epoch=number, validation=found, **facts)

    history = [epoch(0, 0.8, 0.1), epoch(1, 0.9, 0.5), epoch(2, 0.9, 0.3), epoch(3, 0.9, 0.4)]
    assert min(history, key=lambda one: loop.merit(Classification(), one)).epoch == 2


def test_patience_is_the_epochs_without_a_better_one():
    history = _epochs(3.0, 2.0, 2.5, 2.0)
    assert [loop._stalled(_TASK, history, patience) for patience in (1, 2, 3, 0)] == [
        True,
        True,
        False,
        False,
    ]
    assert not loop._stalled(_TASK, [], 1)


def test_an_epochs_errors_are_of_the_validation_samples(parts):
    moved = {POINTS: (parts[1].targets[POINTS] + np.float32([3, -4])).reshape(-1, 136)}
    trainer = SimpleNamespace(predict=lambda samples: moved, rate=0.1)
    epoch = loop._epoch(trainer, _TASK, parts[1], 2, 5.0, 4.0, 100)
    assert (epoch.epoch, epoch.loss, epoch.learning_rate) == (2, 5.0, 0.1)
    errors = epoch.validation["mae"], epoch.validation["rmse"], epoch.samples_per_s
    assert errors == pytest.approx((3.5, np.sqrt(12.5), 25.0), rel=1e-5)


def test_a_step_is_traced_once_though_the_last_batch_is_smaller(parts, tmp_path, monkeypatch):
    """Tracing takes most of the time of a short training."""
    asked, real = [], Landmarks.loss

    def loss(self, kind, network):
        computed = real(self, kind, network)
        return lambda outputs, targets: asked.append(None) or computed(outputs, targets)

    monkeypatch.setattr(Landmarks, "loss", loss)
    assert len(parts[0]) % _OPTIONS.batch and len(parts[0]) > _OPTIONS.batch
    _fit(parts, tmp_path, _OPTIONS.model_copy(update={"epochs": 2}))
    assert len(asked) == 1


def test_divergence_is_one_sentence(parts, tmp_path):
    broken = parts[0].take(np.arange(len(parts[0])))
    broken.targets[POINTS][0, 0, 0] = np.inf
    with pytest.raises(UsageError, match="smaller --rate"):
        fit(_network(parts[0]), _TASK, broken, parts[1], _OPTIONS, tmp_path, Silent(), title="")


def test_a_teacher_draws_the_student_to_its_answers(parts, tmp_path):
    teacher = _network(parts[0])
    building.start_from_prior(teacher, {POINTS: _TASK.prior(parts[0])[POINTS] + 10})
    options = _OPTIONS.model_copy(update={"epochs": 8, "rate": 0.01, "augment": False})
    alone = options.model_copy(update={"teacher_share": 1.0})
    student = _network(parts[0])
    before = np.abs(_answers(student, parts[1]) - _answers(teacher, parts[1])).mean()
    # Validation error rises as the student follows a wrong teacher, so the last weights are looked at, not the best.
    trainer = _trainer(student, teacher, parts[0], alone, 10)
    for epoch in range(8):
        for inputs, targets in loop.batches(parts[0], _TASK, alone, epoch):
            trainer.step(inputs, targets)
    after = np.abs(_answers(student, parts[1]) - _answers(teacher, parts[1])).mean()
    assert after < 0.5 * before


def _answering(train, offset=0.0):
    """A network that answers every face with the mean one, moved by `offset` px."""
    network = _network(train)
    network.layers[-1].kernel.assign(network.layers[-1].kernel * 0)
    building.start_from_prior(network, {POINTS: _TASK.prior(train)[POINTS] + offset})
    return network


def test_a_teachers_share_of_the_labels_is_as_asked(parts):
    train, options = parts[0].take(slice(0, 8)), _OPTIONS.model_copy(update={"teacher_share": 0.25})
    student, teacher = _answering(train), _answering(train, 4)
    answers = _answers(student, train)
    taught = 0.75 * train.targets[POINTS] + 0.25 * _answers(teacher, train)
    # A quarter of the way to the teacher, who is 4 px off: 1 px.
    for targets, expected in ((answers, 1.0), (train.targets[POINTS], np.square(answers - taught).mean())):
        trainer = _trainer(_answering(train), teacher, train, options, 1)
        assert float(trainer.step(train.inputs, {POINTS: targets})) == pytest.approx(expected, rel=1e-4)


def test_bfloat16_trains_the_float32_network(parts, tmp_path):
    changed = {"compute": "bfloat16", "rate": 0.01, "epochs": 8, "batch": 16, "augment": False}
    network, result = _fit(parts, tmp_path, _OPTIONS.model_copy(update=changed))
    assert all(weight.dtype == np.float32 for weight in network.get_weights())
    assert result.history[-1].loss < 0.8 * result.history[1].loss


def test_batches_cover_every_sample_once_and_follow_from_the_seed(parts):
    options = _OPTIONS.model_copy(update={"augment": False})
    rows = np.concatenate([targets[POINTS] for _, targets in loop.batches(parts[0], _TASK, options, 3)])
    assert sorted(rows[:, 0, 0]) == sorted(parts[0].targets[POINTS][:, 0, 0])
    first, again = (next(iter(loop.batches(parts[0], _TASK, _OPTIONS, 3)))[0][IMAGE] for _ in range(2))
    assert (first == again).all()
    other = next(iter(loop.batches(parts[0], _TASK, _OPTIONS, 4)))[0][IMAGE]
    assert (first != other).any()


def test_each_batch_is_augmented_by_chance_of_its_own(parts):
    alike = parts[0].take(np.zeros(4, int))
    one = _OPTIONS.model_copy(update={"batch": 1})
    given = [inputs[IMAGE] for inputs, _ in loop.batches(alike, _TASK, one, 3)]
    assert len({images.tobytes() for images in given}) == 4


def test_an_error_while_preparing_batches_reaches_the_training(parts, monkeypatch):
    def broken(*_):
        message = "no such augmentation"
        raise RuntimeError(message)

    monkeypatch.setattr(Augmentation, "apply", broken)
    with pytest.raises(RuntimeError, match="no such augmentation"):
        list(loop.batches(parts[0], _TASK, _OPTIONS, 0))


def test_a_baseline_is_trained_once(sampled, cache):
    material = material_of(sampled)
    first = baselines.train_baseline(TINY, material, _OPTIONS, Silent())
    again = baselines.train_baseline(TINY, material, _OPTIONS, Silent())
    assert (first.reused, again.reused) == (False, True)
    assert first.folder == again.folder
    assert not list(first.folder.glob("checkpoint*"))
    other = baselines.baseline_key(TINY, material, _OPTIONS.model_copy(update={"seed": 8}))
    assert other != first.key


@pytest.mark.parametrize("shape", [(40, 12), (12, 40), (16, 16)])
def test_an_orthogonalised_matrix_keeps_its_directions_and_evens_their_lengths(shape):
    from mlbench.training.muon import orthogonal

    matrix = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    rows, lengths, columns = np.linalg.svd(matrix, full_matrices=False)
    found = rows.T @ orthogonal(matrix).numpy() @ columns.T  # diagonal, if the directions are kept
    clear = lengths > 0.05 * np.linalg.norm(lengths)
    assert np.diag(found)[clear] == pytest.approx(1, abs=0.35)
    assert np.abs(found - np.diag(np.diag(found))).max() < 1e-3


def test_adam_moves_variables_as_that_of_keras_does_looked_up_rows_too():
    import tensorflow as tf
    import tf_keras

    from mlbench.training.adam import Adam

    def moved(optimizer):
        dense, table = tf.Variable(tf.ones((40, 3))), tf.Variable(tf.ones((5, 2)))
        for step in (1.0, 0.5, -2.0):
            gradient = tf.sin(step * tf.reshape(tf.range(1.0, 121), (40, 3)))
            rows = tf.IndexedSlices(tf.constant([[step, -1.0], [2.0, step]]), tf.constant([3, 1]), (5, 2))
            optimizer.apply_gradients([(gradient, dense), (rows, table)])
        return dense.numpy(), table.numpy()

    ours, keras = moved(Adam(0.01)), moved(tf_keras.optimizers.Adam(0.01))
    for mine, theirs in zip(ours, keras, strict=True):
        assert np.abs(theirs - 1).max() > 0.01
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "as_adam"),
    [((5,), 1), ((300, 300), 1), ((32768, 257), 0.25), ((300, 5), None), ((3, 3, 4, 8), None)],
)
def test_muon_leaves_vectors_and_large_matrices_to_adam_and_shortens_its_steps_by_inputs(shape, as_adam):
    import tensorflow as tf
    import tf_keras

    from mlbench.training.muon import Muon

    def moved(optimizer):
        variable = tf.Variable(tf.zeros(shape))
        for step in (1.0, 0.5):
            gradient = tf.sin(step * tf.reshape(tf.range(1.0, np.prod(shape) + 1), shape))
            optimizer.apply_gradients([(gradient, variable)])
        return variable.numpy()

    muon, adam = moved(Muon(0.01)), moved(tf_keras.optimizers.Adam(0.01))
    if as_adam is None:
        assert not np.allclose(muon, adam, rtol=0.1)
    else:
        assert np.allclose(muon, as_adam * adam, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("cosine", [1, (1 + np.sqrt(0.5)) / 2, 0.5, (1 - np.sqrt(0.5)) / 2]),  # 0.5 (1 + cos(π step / 4))
        ("constant", [1, 1, 1, 1]),
    ],
)
def test_the_rate_follows_the_schedule_over_all_steps(parts, schedule, shares):
    options = _OPTIONS.model_copy(update={"schedule": schedule, "epochs": 2, "rate": 0.01})
    trainer, few = _trainer(_network(parts[0]), None, parts[0], options, 2), parts[0].take(slice(0, 4))
    rates = []
    for _ in shares:
        trainer.step(few.inputs, few.targets)
        rates.append(trainer.rate)
    assert rates == pytest.approx([0.01 * share for share in shares], rel=1e-5)


_THREADS = """
import os
import sys
from pathlib import Path
import tensorflow as tf
from mlbench.compression.chain import parse_chain
from mlbench.compression.stages import ChainSetup, compress
from mlbench.data.sources import Source
from mlbench.faces.dataset import read_npz
from mlbench.faces.landmarks import Landmarks, samples_of
from mlbench.runs.plan import Making
from mlbench.system.progress import Silent
from mlbench.training.baselines import train_baseline
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.conftest import TINY
from tests.materials import material_of

path = Path(sys.argv[1])

def trained():
    material = material_of(samples_of(read_npz(path).take(slice(0, 60))))
    return material, train_baseline(TINY, material, TrainingOptions(epochs=1, batch=64, threads=3), Silent())

def tuned():
    material, baseline = trained()
    assert baseline.reused
    setup = ChainSetup(material, TuningOptions(epochs=1, batch=64, threads=5), Silent())
    compress(baseline, parse_chain("none"), setup)

def run():
    source = Source(Landmarks(), path, 0, None, 7)
    making = Making(source, TrainingOptions(threads=7), TuningOptions(threads=7))
    making.material(making.used(), Silent())
    TINY.build({"image": (96, 96, 1)}, {"points": (136,)}, 1)  # any network, as one of the cache that is looked at

for work in (trained, tuned, run):
    child = os.fork()  # with all imports
    if not child:
        work()
        print(work.__name__, tf.config.threading.get_intra_op_parallelism_threads(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_as_many_threads_are_used_as_asked(faces_file, cache):
    """Each in a process of its own: TensorFlow takes no number once it has computed."""
    command = [sys.executable, "-c", _THREADS, str(faces_file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.stdout.split() == ["trained", "3", "tuned", "5", "run", "7"], done.stderr


@pytest.mark.parametrize("shape", [(30, 5), (5, 30), (3, 3, 4, 8)])
def test_muon_moves_matrices_along_orthogonalised_nesterov_momentum(shape):
    import tensorflow as tf

    from mlbench.training.muon import Muon, orthogonal

    gradients = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    variable, optimizer = tf.Variable(tf.zeros(shape)), Muon(0.01)
    momentum, expected = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
        momentum = 0.95 * momentum + 0.05 * gradient
        ahead = (0.95 * momentum + 0.05 * gradient).reshape(-1, shape[-1])
        step = orthogonal(tf.constant(ahead)).numpy().reshape(shape)
        expected -= 0.01 * 0.2 * np.sqrt(max(ahead.shape)) * step
    np.testing.assert_allclose(variable.numpy(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("loss", "expected"), [("squared", 9.0), ("absolute", np.sqrt(9.25) - 0.5)])
def test_the_loss_is_of_the_kind_asked_for(parts, loss, expected):
    network, few = _answering(parts[0]), parts[0].take(slice(0, 8))
    answers = _answers(network, few)
    trainer = _trainer(network, None, few, _OPTIONS.model_copy(update={"loss": loss}), 1)
    assert float(trainer.step(few.inputs, {POINTS: answers + 3})) == pytest.approx(expected, rel=1e-4)


def test_every_option_but_what_computes_is_in_the_key(sampled):
    material = material_of(sampled)
    # Where images are not varied, keys are those of before there was the option.
    varied = _OPTIONS.model_copy(update={"vary": ("light",)})
    assert set(varied.deciding()) == set(TrainingOptions.model_fields) - {"threads", "accelerator"}
    assert set(_OPTIONS.deciding()) == set(varied.deciding()) - {"vary"}
    keys = {
        baselines.baseline_key(TINY, material, _OPTIONS.model_copy(update=changed))
        for changed in (
            {},
            {"optimizer": "muon"},
            {"loss": "absolute"},
            {"augment_strength": 0.5},
            {"vary": ("light",)},
        )
    }
    assert len(keys) == 5


def test_a_checkpoint_of_more_than_a_thousand_weights_is_restored_in_order(tmp_path):
    """As text, 1000 comes before 101."""
    import tf_keras

    from mlbench.training.step import Trainer

    class Many(tf_keras.layers.Layer):
        def build(self, shape):
            for number in range(1002):
                self.add_weight(name=f"w{number}", shape=(), initializer="zeros")

        def call(self, inputs):
            return inputs

    network = tf_keras.Sequential([tf_keras.Input((2,)), Many()])
    pairs, names = np.zeros((1, 2), np.float32), np.array(["a"])
    samples = Samples({"x": pairs}, {"y": pairs}, names, names, {"x": Encoding((2,))})
    trainer = Trainer(network, None, Ports.of(network, samples), Regression(), _OPTIONS, 1)
    network.set_weights([np.float32(number) for number in range(1002)])
    trainer.save(tmp_path / "checkpoint.npz", "history")
    network.set_weights([np.float32(0)] * 1002)
    assert trainer.restore(tmp_path / "checkpoint.npz") == "history"
    assert [float(value) for value in network.get_weights()] == list(range(1002))
    storage.save_arrays(dict(storage.enumerate_weights(network)), tmp_path / "weights.npz")
    network.set_weights([np.float32(0)] * 1002)
    storage.load_weights(network, tmp_path / "weights.npz")
    assert [float(value) for value in network.get_weights()] == list(range(1002))


def test_a_teacher_is_part_of_a_key_where_it_is_asked():
    usual = TuningOptions(threads=1)
    named = usual.model_copy(update={"teacher": "basic-0"})
    assert usual.deciding() != named.deciding() == usual.deciding() | {"teacher": "basic-0"}
    alone = {"teacher_share": 0.0}
    assert usual.model_copy(update=alone).deciding() == named.model_copy(update=alone).deciding()
