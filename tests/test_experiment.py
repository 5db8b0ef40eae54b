"""The run as a file: what is saved makes the same run again, and each mistake is told with its file and key."""

import contextlib
import json
import re
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlbench.cli import cli
from mlbench.cli.experiment import Setting
from mlbench.cli.experiment import settings as keys_of
from mlbench.cli.run import plan_of, run
from mlbench.runs.experiment import flat, read_experiment
from tests.conftest import TINY

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "experiment.md"
KEYS = keys_of(run)
_FILES = ["faces.npz", "deep/faces.npz"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The current folder, with the files that experiments name."""
    folder = tmp_path_factory.mktemp("experiments")
    for name in _FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    with contextlib.chdir(folder):
        yield folder


@pytest.fixture
def mlbench(folder, command_line):
    return command_line


def _plan(*arguments, networks=()):
    with run.make_context("run", [str(argument) for argument in arguments]) as context:
        options = dict(context.params)
        del options["save_config"]
        return plan_of(networks=networks, **options)


def _saved(path, *arguments):
    cli.main(["run", *map(str, arguments), "--save-config", str(path)], standalone_mode=False)
    return path


def _all_of(plan):
    """Everything that a plan says, but for the command that asked for it."""
    making = plan.making
    return plan.experiment(), plan.deciding(), making.training, making.tuning, plan.measuring, plan.out


def _values_of(option):
    """Values that an option takes, as flags give them."""
    special = {
        "networks": st.sampled_from(["basic", "two_pool", "one_pool"]),
        "chains": st.sampled_from(
            ["none", "svd", "svd(energy=0.99)+int8", "tucker(rank=vbmf)", "prune(0.8,block=4x1)"]
        ),
        "task": st.sampled_from(["landmarks"]),
        "data.file": st.sampled_from(_FILES),
        "data.columns": st.sampled_from(["x=images", "y.age=age", "group=person"]),
        "data.scale": st.sampled_from(["255", "1.5,2,3", "image=0.1"]),
        "data.mean": st.sampled_from(["0", "-0.5,0.25,1e-3"]),
        "data.std": st.sampled_from(["1", "0.5,0.25,1e3"]),
        "data.image_size": st.sampled_from(["96x128"]),
        "data.tests": st.sampled_from([*_FILES, "deep/faces.npz:human"]),
        "training.loss": st.sampled_from(["", "squared", "absolute"]),
        "tuning.loss": st.sampled_from(["", "squared", "absolute"]),
        "training.start_from": st.sampled_from(["basic-1a2b", '"quoted" \\ name', "7"]),
        "tuning.teacher": st.sampled_from(["", "basic-1a2b", "true"]),
        "measuring.devices": st.sampled_from(["host", "android:SERIAL"]),
        "measuring.budgets": st.sampled_from(["size=68MB", "size<=2MB", "p50=10ms", "size=-50%"]),
        "measuring.photos": st.just("deep"),
        "measuring.detector": st.sampled_from(["", "haar"]),
        "engine.scheduler": st.sampled_from(["tcp://host:8786", "tls://10.0.0.1:8786"]),
        "output.folder": st.sampled_from(["runs", "deep/runs", "/absolute", "../ünï côdé"]),
        "training.augment_strength": st.floats(0, 2),
        "tuning.augment_strength": st.floats(0, 2),
    }
    if option.key in special:
        return special[option.key]
    if isinstance(option.type, click.Choice):
        return st.sampled_from(option.type.choices)
    if isinstance(option.type, type(click.BOOL)):
        return st.booleans()
    if isinstance(option.type, type(click.INT)):
        least = getattr(option.type, "min", None)
        return st.integers(1 if least is None else least, getattr(option.type, "max", None) or 4096)
    assert isinstance(option.type, type(click.FLOAT)), f"give {option.key} values here"
    return st.floats(1e-9, 1)


@st.composite
def _given(draw):
    """Values by key: of some options, some of several values."""
    others = {"models", "training.vary"}  # what these may be depends on files, the task and other options
    chosen = draw(st.lists(st.sampled_from(sorted(KEYS.keys() - others)), unique=True))
    values = {key: _values_of(KEYS[key]) for key in chosen}
    return {
        key: draw(st.lists(each, min_size=1, max_size=3) if KEYS[key].multiple else each)
        for key, each in values.items()
    }


def _flags(values):
    """The values as flags."""
    flags = []
    for key, value in values.items():
        option = KEYS[key]
        if isinstance(value, bool):
            flags += [option.opts[0]] if value else option.secondary_opts[:1]
        else:
            for each in value if isinstance(value, list) else [value]:
                flags += [option.opts[0], str(each)]
    return flags


_PROPERTY = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@_PROPERTY
@given(values=_given(), place=st.sampled_from(["experiment.toml", "deep/further/e.toml"]))
def test_a_saved_experiment_is_the_same_run(folder, values, place):
    plan = _plan(*_flags(values))
    again = _plan("--config", _saved(folder / place, *_flags(values)))
    assert _all_of(again) == _all_of(plan)


@_PROPERTY
@given(values=_given())
def test_keys_that_are_set_do_what_flags_do(folder, values):
    assignments = [f"--set={key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    assert _all_of(_plan(*assignments)) == _all_of(_plan(*_flags(values)))


def test_the_record_of_a_run_is_an_experiment_too(folder):
    plan = _plan("--variant", "basic", "--data", "faces.npz", "--set", "tuning.optimizer=muon")
    (folder / "deep" / "record.json").write_text(json.dumps({"configuration": plan.configuration()}))
    assert _all_of(_plan("--config", "deep/record.json")) == _all_of(plan)


def test_every_option_of_run_has_a_key_and_is_in_the_saved_file(folder):
    own = {"config", "set", "save_config", "quiet", "verbose", "help"}  # of the call, not of the run
    without = [
        option.name for option in run.params if not isinstance(option, Setting) and option.name not in own
    ]
    assert without == []
    assert {*flat(_plan().experiment()), "output.json"} == set(KEYS)
    names = re.findall(r"^(?:# )?(\w+)(?:: | =)", _saved(folder / "all.toml").read_text(), re.M)
    assert {key.rpartition(".")[2] for key in KEYS} <= set(names)


def test_few_options_are_flags_of_the_help_and_all_are_listed(mlbench):
    shown = [option.opts[0] for option in run.params if not option.hidden]
    assert len(shown) <= 24
    help_text = mlbench("run", "--help")[1]
    assert all(f" {flag}" in help_text for flag in shown)
    explained, named = help_text.split("Further options, explained by `mlbench list options`:")
    assert "--tune-loss" not in explained
    assert {"--tune-loss", "--mean", "--workers"} <= set(re.findall(r"--[\w-]+", named))
    listed = json.loads(mlbench("list", "options", "--json")[1])["options"]
    assert [row["key"] for row in listed] == list(KEYS)
    rows = {row["key"]: row for row in listed}
    assert rows["tuning.rate"]["default"] == 3e-4
    assert rows["data.file"]["default"] is None
    assert all(row["what"] for row in listed)


def _with_settings(group, name=()):
    for word, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _with_settings(command, (*name, word))
        elif keys_of(command):
            yield (*name, word), command


@pytest.mark.parametrize(("name", "command"), list(_with_settings(cli)))
def test_every_help_names_every_option_that_the_command_uses(mlbench, name, command):
    help_text = mlbench(*name, "--help")[1]
    named = set(re.findall(r"--[\w-]+", help_text))
    unused = {"--compress", "--pb"} if name == ("search",) else set()
    assert {flag for option in command.params for flag in option.opts if flag.startswith("--")} <= {
        *named,
        *unused,
        *(flag for option in command.params for flag in option.opts[1:]),
    }


def test_a_flag_beats_set_beats_the_file_beats_the_default(folder):
    (folder / "e.toml").write_text("[training]\nepochs = 3\nbatch = 5\nrate = 0.25\n[tuning]\nepochs = 9\n")
    given = ["--set", "training.epochs=4", "--epochs", "6", "--config", "e.toml", "--set", "training.batch=7"]
    making = _plan(*given).making
    assert (making.training.epochs, making.training.batch) == (6, 7)
    assert (making.training.rate, making.tuning.epochs, making.training.patience) == (0.25, 9, 0)
    assert _plan("--set", "seed=1", "--set", "seed=2").making.source.seed == 2


def test_a_flag_of_several_values_replaces_those_of_the_file(folder):
    (folder / "e.toml").write_text('chains = ["svd", "tucker"]\nnetworks = "basic"\n')
    plan = _plan("--config", "e.toml", "--compress", "none")
    assert [str(chain) for chain in plan.chains] == ["none"]
    assert [network.name for network in plan.networks] == ["basic"]


def test_relative_paths_are_relative_to_the_file(folder):
    (folder / "deep" / "e.toml").write_text(
        '[data]\nfile = "faces.npz"\ntests = ["../faces.npz:human"]\n[output]\nfolder = "out"\n'
    )
    plan = _plan("--config", folder / "deep" / "e.toml")
    assert plan.making.source.path == Path("deep/faces.npz")
    assert [test.text for test in plan.tests] == ["faces.npz:human"]
    assert plan.out == Path("deep/out")
    assert _plan("--set", "data.file=deep/faces.npz").making.source.path == Path("deep/faces.npz")


def test_a_file_beside_the_runs_own_moved_elsewhere_is_the_same_run(folder):
    one, other = (_plan("--test", name) for name in _FILES)
    assert one.deciding() == other.deciding()
    assert one.experiment() != other.experiment()


def test_what_would_be_done_is_printed_or_written_and_not_done(mlbench, folder):
    code, printed, _ = mlbench("run", "--variant", "basic", "--save-config")
    assert code == 0
    assert tomllib.loads(printed)["networks"] == ["basic"]
    code, out, _ = mlbench("run", "--variant", "basic", "--save-config", "saved.toml")
    assert (code, out, (folder / "saved.toml").read_text()) == (0, "Written: saved.toml\n", printed)
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[training]\nepochz = 3", r'there is no key "training.epochz"; did you mean "training.epochs"'),
        ("tune-rate = 3", r'there is no key "tune-rate"; did you mean "tuning.rate"'),
        ("[data]\noptimizer = 'muon'", 'did you mean "training.optimizer"'),
        ("zzz = 1", "mlbench list options"),
        ("[training]\nepochs = '3'", "training.epochs = '3' must be a whole number"),
        ("[training]\nepochs = 1.5", "training.epochs = 1.5 must be a whole number"),
        ("[training]\nepochs = true", "training.epochs = True must be a whole number"),
        ("[training]\naugment = 1", "training.augment = 1 must be true or false"),
        ("[tuning]\nrate = []", r"tuning.rate = \[\] must be a number"),
        ("seed = 2026-01-01", "seed = .* must be a whole number"),
        ("networks = [1]", r"networks = \[1\] must be text, or a list of such"),
        ("[training]\nepochs = 0", "training.epochs = 0: "),
        ("[training]\nrate = nan", "training.rate = nan: "),
        ("[tuning]\nsamples = -1", "tuning.samples = -1: "),
        ("[data]\nsamples = 0", "data.samples = 0: "),
        ("[data]\nsplit = 'by-hand'", "data.split = 'by-hand': "),
        ("[data]\nfile = 'absent.npz'", "data.file: absent.npz does not exist"),
        ("[data]\ntests = ['absent.npz:human']", "data.tests: absent.npz does not exist"),
        ("[measuring]\nphotos = 'absent'", "measuring.photos: absent does not exist"),
        ("networks = 'basik'", 'networks: There is no variant "basik"; did you mean "basic"'),
        ("chains = 'sdv'", 'chains: There is no compressor "sdv"; did you mean "svd"'),
        ("task = 'landmark'", 'task: There is no task "landmark"; did you mean "landmarks"'),
        ("[training]\nloss = 'squarred'", 'training.loss: .* did you mean "squared"'),
        ("[measuring]\ndevices = 'hots'", 'measuring.devices: .*did you mean "host"'),
        ("[measuring]\nbudgets = 'sice=3MB'", 'measuring.budgets: .*did you mean "size"'),
        ("[training]\nrate = 1" + "0" * 400, "training.rate = 10*: int too large"),
        ("seed = 1" + "0" * 5000, "is not TOML: "),
        (r"[output]" "\n" r'folder = "a\u0000"', "output.folder = .* must be text"),
        ("seed 7", "is not TOML: "),
        ("\udcff", "is not TOML: "),
        ("x = " + "[" * 5000, "is not TOML: "),
        ("#" * (1 << 20) + "\n", "is larger than"),
    ],
)
def test_bad_input_is_one_sentence_with_the_file_and_the_key(mlbench, folder, text, sentence):
    (folder / "bad.toml").write_text(text, encoding="utf-8", errors="surrogateescape")
    code, out, err = mlbench("run", "--config", "bad.toml", "--save-config")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.search(f"^Error: bad.toml.*{sentence}", err), err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--config", "absent.toml"], "absent.toml cannot be read"),
        (["--config", "deep"], "deep cannot be read"),
        (["--config", "old.json"], "old.json holds no experiment"),
        (["--set", "training.rate"], "--set training.rate: write a key and a value"),
        (["--set", "training.rate=fast"], "--set training.rate = 'fast' must be a number"),
        (["--set", "ratte=1"], '--set: there is no key "ratte"; did you mean "training.rate"'),
        (["--set", "seed=1" + "0" * 5000], "seed = .* must be a whole number"),
        (["--data", "not-\udcff.npz", "--task", "landmarks", "--save-config"], "is not UTF-8"),
        (["--save-config", "deep"], "deep is a folder"),
        (["--save-config", "experiment.json"], r"ends in \.json"),
        (["--save-config", "/proc/nowhere/e.toml"], "cannot be written"),
    ],
)
def test_a_bad_option_is_one_sentence(mlbench, folder, arguments, sentence):
    (folder / "old.json").write_text('{"configuration": {"variants": []}}')
    code, out, err = mlbench("run", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.search(sentence, err), err


def test_what_a_flag_replaces_need_not_exist(folder):
    (folder / "e.toml").write_text('[data]\nfile = "absent.npz"\n')
    assert _plan("--config", "e.toml", "--data", "faces.npz").making.source.path == Path("faces.npz")


@pytest.mark.parametrize(
    ("arguments", "networks", "limits"),
    [
        (["--variant", "basic"], (), {"asset file": 68e6, "store package": 100e6}),
        (["--variant", "basic", "--budget", "size=1MB"], (), {"size=1MB": 1e6}),
        (["--variant", "basic(filters=8-8-8)"], (), {"asset file": 68e6, "store package": 100e6}),
        ([], (TINY,), {}),
        ([], (replace(TINY, limits={"flash": 1e5}),), {"flash": 1e5}),
    ],
)
def test_limits_are_the_networks_own_and_a_budget_replaces_them(folder, arguments, networks, limits):
    plan = _plan(*arguments, networks=networks)
    measuring = plan.measuring.limited(plan.networks[0].limits)
    assert {one.name: one.limit for one in measuring.budgets} == limits
    assert "limits" not in plan.networks[0].key()  # the weights do not depend on them


def test_limits_of_one_network_do_not_judge_another(folder):
    plan = _plan(networks=(TINY, replace(TINY, name="other", limits={"flash": 1e5})))
    assert plan.measuring.budgets == (), "of all networks"
    assert [len(plan.measuring.limited(one.limits).budgets) for one in plan.networks] == [0, 1]


def test_defaults_of_options_are_those_of_the_values_that_they_set(folder):
    from mlbench.runs.measuring import Measuring
    from mlbench.training.options import TrainingOptions

    plan = _plan("--data", "faces.npz")
    assert plan.making.training == TrainingOptions()
    assert plan.measuring == Measuring()


@pytest.mark.parametrize(
    ("arguments", "epochs"),
    [
        ([], 1),
        (["--epochs", "3"], 3),
        (["--epochs", "30"], 5),
        (["--data", "faces.npz"], 50),
        (["--tune-epochs", "4"], 4),
    ],
)
def test_epochs_of_tuning_follow_those_of_training(folder, arguments, epochs):
    assert _plan("--variant", "basic", *arguments).making.tuning.epochs == epochs


def test_the_example_of_the_documentation_is_what_is_written(folder):
    command, example = re.findall(r"```(?:toml)?\n(.*?)```", PAGE.read_text(), re.S)[:2]
    (folder / "faces.npz").touch()
    first = command.splitlines()[0]
    saved = shlex.split(first)[-1]
    cli.main(shlex.split(first)[1:], standalone_mode=False)
    assert Path(saved).read_text() == example
    assert set(read_experiment(Path(saved))) <= set(KEYS)
