"""Options that several commands share, and the values that they become."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mlbench.errors import UsageError

FILE = click.Path(path_type=Path)


SEED = click.IntRange(0, 2**31 - 1)


SAMPLED_FACES = 4000


_SAMPLED_EPOCHS = 10


def _options(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def complete(kind: Any, *more: str) -> Callable[..., list[str]]:
    """Completion by the names of plug-ins, and more words."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from mlbench.plugins import names

        return [name for name in (*names(kind), *more) if name.startswith(incomplete)]

    return complete


_OPTIMIZERS = click.Choice(["adam", "muon"])


_LOSSES = click.Choice(["squared", "absolute"])


data_options = _options(
    click.option("--data", type=FILE, help="Faces to train on (.npz or .csv). [default: sampled faces]"),
    click.option(
        "--faces",
        default=SAMPLED_FACES,
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
        "--seed", default=7, show_default=True, type=SEED, help="Fixes everything that is not hardware."
    ),
)


training_options = _options(
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


tuning_options = _options(
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


#: Options of training that are not named as the fields that they set.
_TRAINING_FLAGS = {"threads": "train-threads"}


TUNING = tuple(flag.replace("-", "_") for flag in _TUNING_FLAGS.values())


measuring_options = _options(
    click.option(
        "--test", "tests", multiple=True, help="Further test faces: FILE, or FILE:ARRAY for other labels."
    ),
    click.option(
        "--device",
        "devices",
        multiple=True,
        default=["host"],
        show_default=True,
        shell_complete=complete("device_runners"),
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
        "--photos", type=FILE, help="Folder of photographs for the frames. [default: sampled faces]"
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


output_options = _options(
    click.option("--out", type=FILE, default=Path("runs"), show_default=True, help="Folder for results."),
    click.option("--json", "as_json", is_flag=True, help="Print records as JSON instead of tables."),
)


def source_of(data: Path | None, faces: int, split: str, seed: int) -> Any:
    """The faces of a run, from its options."""
    from mlbench.faces.sources import Source

    return Source(data, faces, split == "shuffled", seed)


def training_of(data: Path | None, seed: int, epochs: int | None, train_threads: int, **options: Any) -> Any:
    """Options of training; fewer epochs by default on sampled faces."""
    default = _SAMPLED_EPOCHS if data is None else 300
    return _validated(
        epochs=default if epochs is None else epochs, seed=seed, threads=train_threads, **options
    )


def _validated(kind: str = "TrainingOptions", /, **options: Any) -> Any:
    from pydantic import ValidationError

    from mlbench.training import options as kinds

    try:
        return getattr(kinds, kind)(**options)
    except ValidationError as error:
        fault = error.errors()[0]
        name = str(fault["loc"][0])
        flags = _TUNING_FLAGS if kind == "TuningOptions" else _TRAINING_FLAGS
        message = f"--{flags.get(name, name.replace('_', '-'))} {fault['input']}: {fault['msg']}."
        raise UsageError(message) from error


def tuning_of(training: Any, **tune: Any) -> Any:
    """Options of tuning; one that is not given is as in training."""
    asked = {field: tune[name] for field, name in zip(_TUNING_FLAGS, TUNING, strict=True)}
    given = {field: value for field, value in asked.items() if value is not None}
    usual = training.model_dump() | {"epochs": max(3, training.epochs // 6)}
    return _validated("TuningOptions", **usual | given)


def measuring_of(devices: tuple[str, ...], budgets: tuple[str, ...], **options: Any) -> Any:
    """How artifacts are measured, from the options."""
    from mlbench.evaluation.budgets import PAPER_BUDGETS, parse_budget
    from mlbench.runs.measuring import Measuring

    chosen = tuple(parse_budget(text) for text in budgets) or PAPER_BUDGETS
    return Measuring(devices=tuple(dict.fromkeys(devices)), budgets=chosen, **options)
