"""What long work tells: lines in a log, bars on a terminal, warnings alone where it is to be quiet."""

from io import StringIO

import pytest
from rich.console import Console

from mlbench.cli import cli
from mlbench.compression.chain import parse_chain
from mlbench.compression.stages import ChainSetup
from mlbench.data.split import split
from mlbench.faces.landmarks import Landmarks
from mlbench.records import Epoch
from mlbench.runs import estimate
from mlbench.system.durations import format_duration, format_rate
from mlbench.system.progress import Bars, Lines, Quiet, Silent, progress_on
from mlbench.training.baselines import Material
from mlbench.training.loop import history_to_json
from mlbench.training.options import TrainingOptions, TuningOptions
from tests.conftest import TINY


class _Clock:
    """Seconds that a test sets."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def _lines(work, between=30.0):
    """What a log holds after work, which is called with a task's advance and the clock."""
    out, clock = StringIO(), _Clock()
    with Lines(Console(file=out, width=300), between, clock).task("Training", 1000, "samples") as advance:
        work(advance, clock)
    return out.getvalue().splitlines()


def test_a_log_gets_a_line_at_the_start_and_about_every_half_minute():
    def work(advance, clock):
        for _ in range(80):
            clock.now += 1
            advance(10, "epoch 1")

    start, *rest = _lines(work)
    assert start == "Training: 0 of 1,000 samples"
    assert rest == [
        "Training: 300 of 1,000 samples (30%), 10 per second, about 70 s left, epoch 1",
        "Training: 600 of 1,000 samples (60%), 10 per second, about 40 s left, epoch 1",
    ]


def test_a_mark_is_a_line_at_once():
    def work(advance, clock):
        clock.now += 2
        advance(500, None)
        advance(0, "epoch 1 of 2", mark=True)

    assert _lines(work)[1:] == [
        "Training: 500 of 1,000 samples (50%), 250 per second, about 2 s left, epoch 1 of 2"
    ]


def test_what_an_earlier_command_did_is_no_part_of_the_rate():
    out, clock = StringIO(), _Clock()
    with Lines(Console(file=out, width=300), 30.0, clock).task("Training", 1000, "samples", 900) as advance:
        clock.now += 10
        advance(50, None, mark=True)
    start, line = out.getvalue().splitlines()
    assert start == "Training: 900 of 1,000 samples (90%)"
    assert "5 per second, about 10 s left" in line


def test_the_rate_is_of_the_last_minute():
    def work(advance, clock):
        clock.now += 1000  # a slow start
        advance(1, None)
        for _ in range(40):
            clock.now += 2
            advance(20, None)
        advance(0, None, mark=True)

    assert "10 per second" in _lines(work)[-1]


def test_the_start_up_is_no_part_of_the_rate():
    def work(advance, clock):
        clock.now += 20  # compiling
        for _ in range(11):
            clock.now += 1
            advance(10, None)
        advance(0, None, mark=True)

    assert "10 per second, about 89 s left" in _lines(work)[-1]


def test_bars_tell_marks_only_where_they_are_to_be_verbose():
    for verbose in (False, True):
        out = StringIO()
        console = Console(file=out, width=120, force_terminal=True, color_system=None)
        with Bars(console, verbose=verbose).task("Training", 2, "samples") as advance:
            advance(1, "step")
            advance(0, "epoch 1 of 2", mark=True)
        assert ("Training: epoch 1 of 2" in out.getvalue()) == verbose


def test_what_shows_progress_follows_the_console_and_the_wish():
    terminal, file = Console(file=StringIO(), force_terminal=True), Console(file=StringIO())
    assert isinstance(progress_on(terminal), Bars)
    assert isinstance(progress_on(file, verbose=True), Lines)
    assert isinstance(progress_on(terminal, quiet=True), Quiet)


def _shown_of(total, steps, kind):
    """What is shown of a task of so many steps, of which so many are done."""
    out, clock = StringIO(), _Clock()
    console = Console(file=out, width=120, force_terminal=kind is Bars, color_system=None)
    progress = Bars(console) if kind is Bars else Lines(console, 30.0, clock)
    with progress.task("Watching", total, "frames") as advance:
        for _ in range(steps):
            clock.now += 40
            advance(20, None)
    return out.getvalue()


@pytest.mark.parametrize("kind", [Bars, Lines])
def test_a_task_without_steps_is_not_shown_and_one_of_unknown_length_is(kind):
    assert "Watching" not in _shown_of(0, 0, kind)
    assert "Watching" in _shown_of(100, 0, kind)
    assert "Watching" in _shown_of(0, 3, kind)
    assert "of 0" not in _shown_of(0, 3, kind)


def test_quiet_keeps_warnings():
    out = StringIO()
    quiet = Quiet(Console(file=out))
    quiet.say("working")
    quiet.warn("the disk is full")
    assert out.getvalue() == "Warning: the disk is full\n"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (99, "99 s"), (100, "2 min"), (3599, "1 h"), (4800, "1 h 20 min"), (259_200, "3 days")],
)
def test_durations_are_told_in_two_units_at_most(seconds, told):
    assert format_duration(seconds) == told


def test_rates_are_told_without_powers_of_ten():
    assert [format_rate(rate) for rate in (1234.5, 12, 0.254)] == [
        "1,234 per second",
        "12 per second",
        "0.25 per second",
    ]


LONG = ["run", "train", "compress", "measure", "compare", "inspect", "prepare"]


@pytest.mark.parametrize("name", LONG)
def test_commands_of_long_work_may_be_quiet_or_verbose(name):
    flags = {flag for option in cli.commands[name].params for flag in option.opts}
    assert {"--quiet", "-q", "--verbose", "-v"} <= flags


def test_quiet_and_verbose_exclude_each_other(command_line):
    code, _, told = command_line("train", "--quiet", "--verbose")
    assert (code, told) == (2, "Error: --quiet and --verbose cannot be combined: give one of them.\n")


@pytest.mark.slow
def test_a_run_says_where_results_will_be_and_how_long_it_will_take_before_it_works(
    plugin, cache, tmp_path, command_line
):
    small = [
        "--samples",
        "120",
        "--tune-epochs",
        "1",
        "--min-count",
        "20",
        "--min-seconds",
        "0.05",
        "--no-pipeline",
    ]
    run = ["run", "--variant", "tiny", "--compress", "svd(rank=4)", "--out", tmp_path, *small]
    code, _, first = command_line(*run, "--epochs", "1")
    assert code == 0, first
    lines = first.splitlines()
    place = next(n for n, line in enumerate(lines) if "results will be in" in line)
    start = next(n for n, line in enumerate(lines) if line.startswith("Training tiny: 0 of"))
    epoch = next(n for n, line in enumerate(lines) if "epoch 1 of 1, loss" in line and "validation" in line)
    tuning = next(n for n, line in enumerate(lines) if line.startswith("Tuning will take about"))
    assert place < start < epoch < tuning
    assert not any(line.startswith("Training and tuning will take") for line in lines)  # no rate was known
    folder = lines[place].split("results will be in ")[1].split(",")[0]
    assert (tmp_path / folder / "record.json").exists()

    code, _, again = command_line("train", *run[1:3], *small[:2], "--epochs", "2", "--quiet")
    assert code == 0
    assert not [line for line in again.splitlines() if not line.startswith(("Warning: ", "Note: "))]


def _known(samples, **training):
    """Material, options and set-up of a network that two chains are to be made of."""
    material = Material(Landmarks(), samples, split(samples, "shuffled", 7))
    setup = ChainSetup(material, TuningOptions(epochs=2, **training), Silent())
    return material, TrainingOptions(epochs=10, **training), setup, len(material.split.train)


def _expected(samples, chains=(), **training):
    material, options, setup, _ = _known(samples, **training)
    return estimate.before_training(
        TINY, material, options, None, [parse_chain(text) for text in chains], setup
    )


@pytest.fixture
def earlier(cache):
    """A finished training of a network of the same name, at 100 samples per second."""
    before, after = (
        Epoch(
            epoch=n,
            loss=1.0,
            validation={"mae": 5.0},
            learning_rate=1.0,
            samples_per_s=100.0 * n,
            seconds=9.0 * n,
        )
        for n in (0, 1)
    )
    folder = cache / "baselines" / "tiny-1a2b"
    folder.mkdir(parents=True)
    (folder / "history.json").write_text(history_to_json([before, after]))


def test_the_time_follows_the_rate_of_earlier_trainings(earlier, sampled):
    train = _known(sampled)[3]
    told = _expected(sampled)
    assert told == (
        f"Training will take about {format_duration(train / 10)}: {10 * train:,} samples at the 100 per second of "
        "earlier trainings of tiny."
    )
    assert _expected(sampled, patience=3).startswith("Training will take at most about")


def test_chains_that_begin_alike_tune_their_stages_once(earlier, sampled):
    train = _known(sampled)[3]
    one, two, other = (
        _expected(sampled, chains)
        for chains in (["svd(rank=4)"], ["svd(rank=4)", "svd(rank=4)+int8"], ["svd(rank=4)", "svd(rank=8)"])
    )
    assert one == two
    assert one.startswith("Training and tuning will take about")
    assert f"{12 * train:,} samples" in one
    assert f"{14 * train:,} samples" in other


def test_nothing_is_said_of_time_that_is_not_known(cache, sampled):
    assert _expected(sampled) == ""
