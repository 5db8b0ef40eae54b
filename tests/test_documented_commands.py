"""Every command of README, CONTRIBUTING, docs and `--help` is understood; those that a test can afford are run.

A command is run as it stands, in a folder that holds what the documentation speaks of (`faces.npz`, `photos/`,
`old.tflite`, …), but for the values of `_SMALL` and `_REPLACED`, and for a network of 4.6 MB in place of those of 33 to
518 MB. Of all commands, and of the chains of a command, so few are run that each step and each option of any is in
one; steps after each other are in the contract of compressors. A command that is neither run nor named in
`_PARSED_ONLY` is a failure: so is one of a new page.
"""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import click
import cv2
import numpy as np
import pytest

from mlbench import plugins
from mlbench.cli import cli, main
from mlbench.cli.options import require_data
from mlbench.export import written
from mlbench.faces import appearance_fit
from mlbench.faces.dataset import Faces, write_npz
from tests.faces.drawn_faces import draw_face
from tests.faces.drawn_faces import write_faces as write_photographs
from tests.faces.test_video import write_video
from tests.small_files import classifying

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


#: Values in place of what takes hours; where a command has the option, it is given.
_SMALL = {
    "--epochs": "1",
    "--tune-epochs": "1",
    "--samples": "120",
    "--min-count": "20",
    "--min-seconds": "0.05",
    "--processes": "2",
    "--max-samples": "20",
}
#: Values in place of what the command gives, if it does.
_REPLACED = {"--count": "120", "--compute": "float32", "--workers": "1", "--jobs": "50"}

#: Why commands on the files of examples/ are not run here; the tutorials train their own.
TRAINED = "needs what examples/ trains in minutes"

#: What is not run, and why. It is parsed all the same.
_PARSED_ONLY = {
    r"mlbench android ": "needs Java, Maven or a phone",
    r"mlbench live --camera": "needs a camera",
    r"mlbench .*--detector (blazeface|dlib)": "needs an extra",
    r"python -m tests\.benchmarks\.(box_maps|live)": "minutes: the module is looked up",
    r"mlbench .*--device android": "needs a phone",
    r"mlbench .*--scheduler ": "needs a cluster",
    r"mlbench search ": "minutes: tests/search/test_command.py runs searches",
    r"mlbench arm64 |mlbench .*--device arm64": "needs QEMU, which is fetched",
    r"python -m tests\.benchmarks\.arm64_answers ": "minutes, and needs QEMU: the module is looked up",
    r"make ": "installs, or runs these tests: its target is looked up",
    r"(.venv/bin/)?pip ": "installs: the extra is looked up",
    r"apt ": "installs",
    r"(pipx|uv) ": "installs",
    r"mlbench .*--to mlflow": "needs MLflow",
    r"adb ": "needs a phone",
    r"pytest tests/benchmarks ": "minutes: its options are parsed",
    r"pytest-benchmark ": "compares what the line before it wrote",
    r"python -m tests\.benchmarks\.(compression_speed |architectures |search_)": "minutes: the module is looked up",
    r"python -m tests\.benchmarks\.sampled_faces ": "an hour: the module is looked up",
    r"python -m mlbench\.testing\.table": "minutes: the module is looked up",
    r"python -m tests\.benchmarks\.presence_figures": "needs a network of the command before it",
    r"mlbench (train|run) .*varied\.npz|python -m tests\.benchmarks\.revived .*--into": "needs others' output",
    r"python examples/": "minutes: the script is looked up",
    r"git ": "needs a repository of theirs",
    r"mlbench .*runs/(ages|digits)-\w+/|mlbench .*(ages|digits)\.keras": TRAINED,
    r"eval ": "is for a shell: its script is asked for below",
    r"source ": "is for a shell",
}

#: Files of faces, and how many each holds.
_FACES = {
    "faces": 120,
    "faces_train": 120,
    "mine": 60,
    "all": 60,
    "portraits": 120,
    "faces_dev": 20,
    "human_dev": 24,
    "human": 20,
    "other": 20,
    "yours": 20,
    "sampled": 120,
    "shippable": 120,
}

#: Which ready model stands for files of the documentation.
_FILES = {
    "basic": "old a net basic basic_330 basic_170 basic-none one_pool landmarks",
    "two_pool": "new b two_pool two_pool-none",
    "compact": "presence",
}

#: 4.6 MB: on the far side of what the writer of files handles differently, in a fraction of the time of `basic`.
_MIDDLE = """
from mlbench.contracts import Block, Variant

MIDDLE = Variant(
    "middle",
    "for tests of documented chains",
    blocks=(Block(8, 3, True), Block(8, 2, True), Block(16, 2, True)),
    dense=(560, 140),
)
"""


@dataclass(frozen=True)
class Command:
    """A line to paste: where it stands, and its words."""

    where: str
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        return shlex.join(self.words)

    @property
    def not_run(self) -> str | None:
        return next(
            (why for start, why in _PARSED_ONLY.items() if re.match(start, " ".join(self.words))), None
        )


def _fenced(page: Path) -> Iterator[tuple[int, str]]:
    """Lines of blocks without a language, those that go on by a backslash as one."""
    language, whole, first = None, "", 0
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.startswith("```"):
            language = line[3:] if language is None else None
        elif language == "":
            first = first if whole else number
            whole += line.removesuffix("\\")
            if not line.endswith("\\"):
                yield first, whole
                whole = ""


def of_page(page: Path) -> Iterator[Command]:
    """Commands of blocks, and those in running text that are whole."""
    known: dict[str, str] = {}

    def words(text: str) -> tuple[str, ...]:
        return tuple(shlex.split(_expanded(text, known), comments=True))

    for number, line in _fenced(page):
        if assigned := re.fullmatch(r'([A-Z]+)="(.*)"', line):
            known[assigned[1]] = _expanded(assigned[2], known)
        elif words(line):
            yield Command(f"{page.relative_to(ROOT)}:{number}", words(line))
    for number, code in _inline(page):
        whole = (
            code.startswith("mlbench ")
            and code.count(" ") > 3
            and not re.search(r"…|(?<!\$)\b[A-Z]{3,}\b", code)
        )
        if whole or re.match(r"(make|apt|pip|python -m) [^|]*$", code):
            yield Command(f"{page.relative_to(ROOT)}:{number}", words(code))


def _expanded(text: str, known: dict[str, str]) -> str:
    return re.sub(r"\$([A-Z]+)", lambda name: known[name[1]], text)


def _inline(page: Path) -> Iterator[tuple[int, str]]:
    """Code in running text, by the line where it begins."""
    text = re.sub(
        r"^```.*?^```$", lambda block: re.sub(r".", "", block[0]), page.read_text(), flags=re.M | re.S
    )
    for code in re.finditer(r"`([^`]+)`", text):
        yield text.count("\n", 0, code.start()) + 1, code[1].replace("\n", " ")


def _helps(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    yield name, group
    for child in group.list_commands(context):
        command = group.get_command(context, child)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _helps(command, f"{name} {child}")
        else:
            yield f"{name} {child}", command


def _of_help() -> Iterator[Command]:
    for name, command in _helps(cli, "mlbench"):
        for line in f"{command.help or ''}\n{command.epilog or ''}".splitlines():
            if re.match(r"\s*mlbench ", line):
                yield Command(f"{name} --help", tuple(shlex.split(line)))


EVERY = [*_of_help(), *(command for page in PAGES for command in of_page(page))]
#: Each once, where it stands first.
DOCUMENTED = list({command.words: command for command in reversed(EVERY)}.values())[::-1]


def _each(commands: list[Command]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "command", commands, ids=lambda command: f"{command.where} {command.words[1]}"
    )


def test_commands_are_found_on_each_page_and_in_each_help():
    found = {command.where.split(":")[0] for command in EVERY}
    assert found >= {str(page.relative_to(ROOT)) for page in PAGES if any(_fenced(page))}
    assert found >= {
        f"mlbench {name} --help" for name in ("run", "train", "compress", "measure", "faces join")
    }


def test_options_and_files_that_pages_mention_exist():
    options = {
        name
        for _, command in _helps(cli, "mlbench")
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    for page in PAGES:
        for number, code in _inline(page):
            code = "" if code.startswith(("python ", "… ")) else code
            asked = set(re.findall(r"(?<![\w-])--[a-z-]+", code)) - {"--help", "--version"}
            assert {name for name in asked if not name.startswith("--benchmark-")} <= options, (
                f"{page.name}:{number}"
            )
            if re.fullmatch(r"(mlbench|tests|docs|compressors|android_harness)/[\w/.-]+", code):
                assert (ROOT / code).exists(), f"{page.name}:{number}: {code}"
            if re.fullmatch(r"(mlbench|tests)(\.\w+)+", code) and code not in groups:
                assert pkgutil.resolve_name(code), f"{page.name}:{number}"
        if page.parent == ROOT:  # those within docs/ are checked by `make docs`
            for target in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text()):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def _understood(arguments: list[str]) -> click.Command:
    """The command that the arguments name, all of its arguments parsed and converted."""
    command, parent = cli, None
    while isinstance(command, click.Group):
        parent = click.Context(command, parent=parent)
        _, found, arguments = command.resolve_command(parent, arguments)
        assert found is not None
        command = found
    with (
        suppress(click.exceptions.Exit),  # of --schema, which prints and ends
        command.make_context("documented", arguments, parent=parent) as context,
    ):
        own = context.params.get("model") or context.params.get("models")
        if own and command.name in ("run", "train", "compress", "search"):
            require_data(**context.params)
    return command


def _write_experiment(folder: Path, variant: str) -> None:
    """The example of a run as a file, of another network."""
    page = (ROOT / "docs" / "how-to" / "experiment.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    (folder / "experiment.toml").write_text(example.replace('"basic"', f'"{variant}"'))


@_each(DOCUMENTED)
def test_it_is_understood(command, request, tmp_path, monkeypatch):
    _write_experiment(tmp_path, "basic")
    monkeypatch.chdir(tmp_path)
    program, *arguments = (word for word in command.words if word != "…")
    if program == "mlbench":
        _understood(arguments)
    elif program == "make":
        assert all(re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M) for target in arguments)
    elif program.endswith("pip"):
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set(re.findall(r"(?:mlbench|\.|whl)\[(\w+)\]", command.text)) <= set(extras)
    elif program == "python" and arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1])
    elif program == "python":
        assert (ROOT / arguments[0]).is_file()
    elif program == "pytest":
        own = (ROOT / "tests" / "benchmarks" / "conftest.py").read_text()
        for name in re.findall(r"--[a-z-]+", command.text):
            assert hasattr(request.config.option, name[2:].replace("-", "_")) or f'("{name}"' in own, name
    else:
        assert command.not_run, f"{command.where}: run {command.text!r}, or say in _PARSED_ONLY why not."


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with all that the documented commands speak of, beside a cache; a baseline's name."""
    folder = tmp_path_factory.mktemp("documented") / "here"
    plugin = folder.parent / "plugin"
    for each in (
        folder / "mlbench" / "faces",
        folder.parent / "shared" / "data",
        plugin / "middle-1.0.dist-info",
    ):
        each.mkdir(parents=True)
    (plugin / "middle.py").write_text(_MIDDLE)
    (plugin / "middle-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: middle\nVersion: 1.0\n"
    )
    (plugin / "middle-1.0.dist-info" / "entry_points.txt").write_text(
        "[mlbench.variants]\nmiddle = middle:MIDDLE\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(plugin)
        patch.chdir(folder)
        patch.setenv("MLBENCH_CACHE", str(folder.parent / "cache"))
        patch.setattr(written, "_SMALL", 2**30)  # converted here: a process per file takes seconds
        patch.setattr(appearance_fit, "fit", partial(appearance_fit.fit, shape_modes=6, texture_modes=8))
        plugins.forget()
        _fill(folder)
        yield folder, _records(folder, patch)
    plugins.forget()


def _fill(folder: Path) -> None:
    """Faces, photographs and files under the names of the documentation."""
    given = folder.parent / "given"
    given.mkdir()
    for seed, (name, count) in enumerate(_FACES.items(), 100):
        _write_faces(given / f"{name}.npz", count, seed)
    _write_experiment(given, "middle")
    _write_classes(given / "my.npz", "x", "y")
    _write_classes(given / "pictures.npz", "images", "labels")
    _write_network(given / "my.keras")
    shutil.copytree(given, folder, dirs_exist_ok=True)
    shutil.copy(given / "portraits.npz", folder.parent / "shared" / "data" / "faces_train.npz")
    for name in ("photos", "others"):
        write_photographs(folder / name, 3)
    for name in ("portrait.jpg", "group.png", "a.jpg", "b.png"):
        cv2.imwrite(str(folder / name), draw_face(320))
    write_video(folder / "clip.mp4", [cv2.cvtColor(draw_face(320), cv2.COLOR_GRAY2BGR)] * 5)
    for name in ("docs", "models"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("digits", "digits_int8"):
        (folder / f"{name}.tflite").write_bytes(classifying((32, 32, 1)))
    for model, names in _FILES.items():
        for name in names.split():
            shutil.copy(ROOT / "models" / f"{model}.tflite", folder / f"{name}.tflite")


def _write_faces(path: Path, count: int, seed: int) -> None:
    from mlbench.faces.appearance import AppearanceModel

    drawn = AppearanceModel.load().sample(count, seed=seed)
    names = np.array(
        [f"Person_{chr(97 + row // 26)}{chr(97 + row % 26)}_{seed}{row:04}.jpg" for row in range(count)]
    )
    source = np.where(np.arange(count) % 4, "congress_voteview", "congress")
    write_npz(Faces(drawn.images, drawn.points, names, {"source": source, "human": drawn.points + 0.5}), path)


def _write_classes(path: Path, inputs: str, targets: str) -> None:
    """Pictures of three classes, by their brightness."""
    classes = np.arange(90) % 3
    noise = np.random.default_rng(7).integers(0, 60, (90, 32, 32))
    np.savez(path, **{inputs: (noise + 90 * classes[:, None, None]).astype(np.uint8), targets: classes})


def _write_network(path: Path) -> None:
    """A classifier for these pictures."""
    import tf_keras

    layers = tf_keras.layers
    stack = [layers.Input((32, 32, 1)), layers.Conv2D(16, 3, activation="relu"), layers.MaxPool2D(2)]
    stack += [layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(3, activation="softmax")]
    tf_keras.Sequential(stack, name="my").save(path)


def _records(folder: Path, patch: pytest.MonkeyPatch) -> str:
    """A baseline and two runs of it, under the names of the documentation; what the baseline is called."""
    data = ["--data", "faces_train.npz", "--split", "shuffled", "--epochs", "1"]
    run = [
        "run",
        "--variant",
        "middle",
        *data,
        "--compress",
        "svd(rank=8)",
        "--tune-epochs",
        "1",
        "--out",
        "made",
    ]
    assert mlbench([*run, "--no-pipeline", "--min-count", "20", "--min-seconds", "0.1"], patch) == 0
    (made,) = (path.parent for path in (folder / "made").glob("*/record.json"))
    for name in ("two_pool-1a2b3c4d", "two_pool-5e6f7a8b", "matrix/basic-1a2b3c4d"):
        shutil.copytree(made, folder / "runs" / name)
        shutil.copy(folder / "two_pool.tflite", folder / "runs" / name / "two_pool-none.tflite")
    (baseline,) = (folder.parent / "cache" / "baselines").glob("middle-*[!.lock]")
    return baseline.name


def mlbench(arguments: list[str], patch: pytest.MonkeyPatch) -> int:
    patch.setattr(sys, "argv", ["mlbench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def small(command: Command, baseline: str) -> list[str]:
    """The arguments to run: few epochs and faces, a network of 33 or 5 MB, names that exist."""
    has = {name for parameter in _understood(list(command.words[1:])).params for name in parameter.opts}
    if command.words[1] == "compress" and command.words[2].endswith(".tflite"):
        has = set()  # a finished file is neither trained nor tuned
    values = {"--variant": "middle", "--start-from": baseline, "--teacher": baseline, **_REPLACED, **_SMALL}
    if "--fail-if" in command.words:  # a verdict takes eight rounds
        values["--min-count"] = "80"
    words = [values.get(before, word) for before, word in pairwise(command.words)]
    words = [path for word in words for path in _paths(re.sub(r"epochs=\d+", "epochs=1", word))]
    # Weights that have hardly learnt are all noise to VBMF: the next step may find nothing to gain.
    words = [word.replace("rank=vbmf", "energy=0.9") for word in words]
    added = [(name, values[name]) for name in _SMALL if name in has and name not in words]
    return [
        *words,
        *(word for pair in added for word in pair),
        *(["--no-pipeline"] if "--pipeline" in has else []),
    ]


def _paths(word: str) -> list[str]:
    """What the shell would make of a word: files of a pattern, and each of what stands in braces."""
    if braces := re.fullmatch(r"(.*)\{([^{}]*,[^{}]*)\}(.*)", word):
        return [f"{braces[1]}{one}{braces[3]}" for one in braces[2].split(",")]
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]


def _chains(words: tuple[str, ...]) -> list[str]:
    """What of a command is a chain."""
    return [word for option, word in pairwise(words) if option in ("--compress", "--chain")]


def _techniques(chain: str) -> set[str]:
    """Steps of a chain, each with each of its options."""
    steps = [step.rstrip(")").partition("(") for step in chain.split("+")]
    return {
        f"{name} {option.partition('=')[0] if '=' in option else ''}"
        for name, _, given in steps
        for option in given.split(",")
    }


def _options(command: Command) -> set[str]:
    """A command's name with each of its options, or with none."""
    name = " ".join(word for word in command.words[1:3] if word.isalpha())
    return {f"{name} {word}" for word in command.words if word.startswith("--")} or {name}


def _thinned(commands: list[Command]) -> list[Command]:
    """Few commands that have what all of them have: each time the one with most that is new."""
    seen: set[str] = set()
    kept: dict[int, Command] = {}

    def new(place: int) -> int:
        techniques = set().union(*map(_techniques, _chains(commands[place].words)))
        return len((_options(commands[place]) | techniques) - seen)

    def tells(chain: str) -> int:
        return len(_techniques(chain) - seen)

    while new(place := max(range(len(commands)), key=new)):
        telling, chains = [], _chains(commands[place].words)
        while chains and tells(chain := max(chains, key=tells)):
            telling.append(chain)
            seen |= _techniques(chain)
        seen |= _options(commands[place])
        kept[place] = _with_chains(commands[place], telling)
    return [kept[place] for place in sorted(kept)]


def _with_chains(command: Command, telling: list[str]) -> Command:
    """A command with some of its chains; with the first, where there are none."""
    chains = _chains(command.words)
    dropped = set(chains) - set(telling or chains[:1])
    pairs = pairwise([*command.words, ""])
    return Command(command.where, tuple(word for word, after in pairs if not {word, after} & dropped))


@pytest.mark.slow
@_each(
    _thinned([each for each in DOCUMENTED if not (each.not_run or each.where.startswith("docs/tutorials/"))])
)
def test_it_runs(command, place, monkeypatch, tmp_path, capsys):
    folder, baseline = place
    monkeypatch.chdir(folder)
    shutil.copytree(
        folder.parent / "given", folder, dirs_exist_ok=True
    )  # as before other commands wrote there
    if command.words[0] == "python":
        words = [_REPLACED.get(before, word) for before, word in pairwise(command.words)]
        arguments = [path for word in words for path in _paths(word)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return
    assert command.words[0] == "mlbench"
    if command.words[1] == "prepare":
        pytest.importorskip("dlib", reason="dlib is not installed: pip install -e '.[prepare]'")
    if "--clear" in command.words:
        monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))  # where completion is installed
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    may_find = {"--fail-if", "doctor"} & set(command.words)  # and then end with 1
    ended = mlbench(small(command, baseline), monkeypatch)
    shown = capsys.readouterr()
    assert ended == 0 or (may_find and ended == 1), shown.err
    # On samples so few, a rank that is chosen by the data can leave a later step nothing to gain.
    refused = [line for line in shown.err.splitlines() if "was not made" in line]
    assert all("would not make the network smaller" in line for line in refused), refused
