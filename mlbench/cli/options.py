"""Options that several commands share, and the values that they become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from mlbench.cli.experiment import from_experiment, naming, place_of, require_files, setting
from mlbench.errors import UsageError
from mlbench.system.cpu import computes_bfloat16, cpu_flags

FILE = click.Path(path_type=Path)


SEED = click.IntRange(0, 2**31 - 1)


SAMPLED = 4000


#: The task where none is given: the paper's.
USUAL_TASK = "landmarks"


#: Training: the paper's, section 4.2.
_PAPERS: dict[str, Any] = {"epochs": 300, "batch": 120, "rate": 1e-3, "augment": True}

#: A first look, on drawn samples, which differ enough as they are: small steps err as little in a third of the epochs.
_SHORT: dict[str, Any] = {"epochs": 3, "batch": 16, "rate": 7e-4, "augment": False}

_TUNING_EPOCHS = 10  # of networks that are not trained here
_SHORT_TUNING = 1


def _usually(option: str) -> str:
    return f"[default: {_PAPERS[option]}; {_SHORT[option]} without --data and --epochs]"


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


def detector_option(default: str) -> Callable[[Any], Any]:
    """`--detector`, of a command that finds faces."""
    return click.option(
        "--detector",
        default=default,
        show_default=True,
        shell_complete=complete("detectors"),
        help="Face detector; see `mlbench list detectors`.",
    )


def _names_file(model: str) -> bool:
    """Whether `--model` names a file, and no function."""
    from mlbench.networks.importing.functions import is_function

    return not is_function(model)


def model_option(key: str, **attributes: Any) -> Callable[[Any], Any]:
    """`--model`, beside `--variant`; its key is the parameter's name too."""
    return setting(
        key,
        "--model",
        key,
        metavar="FILE|MODULE:FUNCTION",
        holds_path=_names_file,
        help="A network of your own in place of a variant: a .keras or .h5 file, or a function that returns one; see "
        "docs/how-to/importing.md.",
        **attributes,
    )


network_options = _options(
    click.option(
        "--variant",
        default="two_pool",
        show_default=True,
        shell_complete=complete("variants"),
        help="Network by name: see `mlbench list variants`.",
    ),
    model_option("model"),
)


_OPTIMIZERS = click.Choice(["adam", "muon"])


#: How a file of samples is taken.
reading_options = _options(
    setting(
        "data.columns",
        "--column",
        "columns",
        multiple=True,
        metavar="WHAT=ARRAY",
        help="Array of the file to use as x, y, x.NAME, y.NAME, group, split or id: x=images. May be repeated.",
    ),
    setting(
        "data.scale",
        "--scale",
        multiple=True,
        metavar="[NAME=]NUMBERS",
        help="What inputs are divided by: a number (1: as stored), or one per channel (1,2,3); NAME= for one input of "
        "several. [default: as the file says, or 255 for uint8]",
    ),
    setting(
        "data.mean",
        "--mean",
        rare=True,
        multiple=True,
        metavar="[NAME=]NUMBERS",
        help="What is subtracted after --scale, likewise. [default: as the file says, or 0]",
    ),
    setting(
        "data.std",
        "--std",
        rare=True,
        multiple=True,
        metavar="[NAME=]NUMBERS",
        help="What is divided by after --mean, likewise. [default: as the file says, or 1]",
    ),
    setting(
        "data.image_size",
        "--image-size",
        rare=True,
        metavar="HxW",
        help="Height and width of images of a folder, as 120x160. [default: the first image's]",
    ),
    setting(
        "data.channels",
        "--channels",
        rare=True,
        type=click.Choice(["grey", "rgb"]),
        help="Channels of images of a folder. [default: as most have]",
    ),
)

#: Fields of how a file is taken by the parameters that set them.
READING = {
    "columns": "columns",
    "scale": "scale",
    "mean": "mean",
    "std": "std",
    "size": "image_size",
    "channels": "channels",
}


data_options = _options(
    setting(
        "task",
        "--task",
        shell_complete=complete("tasks"),
        help="What the network learns; see `mlbench list tasks`. "
        f"[default: inferred from the samples; {USUAL_TASK} without --data]",
    ),
    setting(
        "data.file",
        "--data",
        type=FILE,
        holds_path=True,
        help="Samples to train on: an .npz, or a folder with a folder of images per class. "
        "[default: sampled by the task]",
    ),
    reading_options,
    setting(
        "data.samples",
        "--samples",
        "--faces",
        "count",
        default=SAMPLED,
        show_default=True,
        type=click.IntRange(1),
        help="Number of samples to draw without --data.",
    ),
    setting(
        "data.split",
        "--split",
        type=click.Choice(["file-order", "shuffled", "stratified", "given"]),
        help="How validation samples are chosen: the last tenth in file order (as in the paper), a shuffled tenth, a "
        "tenth of each class (stratified), or as the file's array `split` or its folders say (given). "
        "[default: given if the file has a split, else file-order]",
    ),
    setting(
        "seed",
        "--seed",
        default=7,
        show_default=True,
        type=SEED,
        help="Seed of all random numbers: of data, training and compression.",
    ),
)


def _seen_by_tensorflow(_: click.Context, __: click.Parameter, accelerator: str) -> str:
    """Let TensorFlow see GPUs before a network of a user's own makes us import it."""
    from mlbench.system.quiet import see_accelerators

    if accelerator != "cpu":
        see_accelerators()
    return accelerator


training_options = _options(
    setting(
        "training.epochs",
        "--epochs",
        type=int,
        help="Number of training epochs. "
        f"[default: {_PAPERS['epochs']} with --data, {_SHORT['epochs']} without, 0 for a file given as --model]",
    ),
    setting("training.batch", "--batch", rare=True, type=int, help=f"Samples per step. {_usually('batch')}"),
    setting(
        "training.rate",
        "--rate",
        rare=True,
        type=float,
        help=f"Learning rate of training. {_usually('rate')}",
    ),
    setting(
        "training.schedule",
        "--schedule",
        rare=True,
        type=click.Choice(["cosine", "constant"]),
        default="cosine",
        help="Schedule of the learning rate: cosine decay, or constant.",
    ),
    setting(
        "training.optimizer",
        "--optimizer",
        rare=True,
        type=_OPTIMIZERS,
        default="adam",
        help="Optimizer; muon takes far fewer epochs to tune networks of small factors.",
    ),
    setting(
        "training.loss",
        "--loss",
        rare=True,
        default="",
        help="A loss of the task: see `mlbench list tasks`. [default: its first]",
    ),
    setting(
        "training.augment",
        "--augment/--no-augment",
        rare=True,
        default=None,
        help="Whether samples are augmented in training. [default: yes; no without --data and --epochs]",
    ),
    setting(
        "training.augment_strength",
        "--augment-strength",
        rare=True,
        default=1.0,
        help="Strength of augmentation, 0 to 2; 1 is the usual.",
    ),
    setting(
        "training.vary",
        "--vary",
        rare=True,
        multiple=True,
        type=click.Choice(["shift", "turn", "flip", "light"]),
        help="Random changes of images in training and tuning, in addition to the task's augmentation: name only "
        "those that leave the targets true. May be repeated.",
    ),
    setting(
        "training.patience",
        "--patience",
        rare=True,
        default=0,
        help="Early stopping: stop after this number of epochs without improvement; 0: never.",
    ),
    setting(
        "training.compute",
        "--compute",
        rare=True,
        type=click.Choice(["float32", "bfloat16", "auto"]),
        default="float32",
        help="Arithmetic of training and tuning; bfloat16 is faster on CPUs that have it, auto is bfloat16 there and "
        "float32 elsewhere.",
    ),
    setting(
        "training.accelerator",
        "--accelerator",
        rare=True,
        type=click.Choice(["auto", "cpu", "gpu"]),
        default="auto",
        callback=_seen_by_tensorflow,
        help="Device for training; auto: a GPU if TensorFlow sees one, else the CPU. Measuring always uses the CPU.",
    ),
    setting(
        "training.threads",
        "--train-threads",
        rare=True,
        default=0,
        help="Threads for training; 0: all cores.",
    ),
    setting(
        "training.start_from",
        "--start-from",
        rare=True,
        help="Start from a finished baseline of any variant, trained on the same samples: its name. "
        "[default: random initialisation]",
    ),
)


tuning_options = _options(
    setting(
        "tuning.epochs",
        "--tune-epochs",
        type=int,
        help="Number of tuning epochs after each compressor. "
        f"[default: a sixth of --epochs, at least 3; {_TUNING_EPOCHS} if --epochs is 0; "
        f"{_SHORT_TUNING} in a training without --data and --epochs]",
    ),
    setting("tuning.rate", "--tune-rate", default=3e-4, show_default=True, help="Learning rate of tuning."),
    setting(
        "tuning.patience",
        "--tune-patience",
        rare=True,
        type=int,
        help="Early stopping of tuning: as --patience. [default: as training.patience]",
    ),
    setting(
        "tuning.optimizer",
        "--tune-optimizer",
        rare=True,
        type=_OPTIMIZERS,
        help="Optimizer of tuning. [default: as training.optimizer]",
    ),
    setting("tuning.loss", "--tune-loss", rare=True, help="Loss of tuning. [default: as training.loss]"),
    setting(
        "tuning.augment_strength",
        "--tune-augment-strength",
        rare=True,
        type=float,
        help="Strength of augmentation in tuning. [default: as training.augment_strength]",
    ),
    setting(
        "tuning.samples",
        "--tune-samples",
        "--tune-faces",
        rare=True,
        default=0,
        help="Number of samples to draw from the task and tune on, in addition to the data.",
    ),
    setting(
        "tuning.teacher_share",
        "--teacher-share",
        rare=True,
        default=0.5,
        help="Weight of the teacher's outputs in the loss of tuning, 0 to 1.",
    ),
    setting(
        "tuning.teacher",
        "--teacher",
        rare=True,
        default="",
        help="Teacher of tuning: the name of a finished baseline of any variant, trained on the same samples. "
        "[default: the baseline that is compressed]",
    ),
)


#: Fields of tuning by the parameters that set them; one that is not given is as in training.
TUNING = {
    "tune_epochs": "epochs",
    "tune_rate": "rate",
    "tune_patience": "patience",
    "tune_optimizer": "optimizer",
    "tune_loss": "loss",
    "tune_augment_strength": "augment_strength",
    "tune_samples": "sampled",
    "teacher_share": "teacher_share",
    "teacher": "teacher",
}


_TRAINING = [
    "epochs",
    "batch",
    "rate",
    "schedule",
    "optimizer",
    "loss",
    "augment",
    "augment_strength",
    "vary",
    "patience",
    "compute",
    "train_threads",
    "accelerator",
]


measuring_options = _options(
    setting(
        "data.tests",
        "--test",
        "tests",
        multiple=True,
        holds_path=True,
        help="Further test samples: FILE, or FILE:ARRAY for other targets. May be repeated.",
    ),
    setting(
        "measuring.devices",
        "--device",
        "devices",
        multiple=True,
        default=["host"],
        show_default=True,
        shell_complete=complete("device_runners"),
        help="Where to measure: host, android (android:SERIAL for one of several phones), or arm64:cortex-a53, "
        "arm64:cortex-a76 or arm64:max, which compare outputs on the kernels of ARM CPUs. May be repeated.",
    ),
    setting(
        "measuring.threads",
        "--threads",
        default=1,
        show_default=True,
        type=click.IntRange(1, 256),
        help="Threads per inference.",
    ),
    setting(
        "measuring.min_count",
        "--min-count",
        rare=True,
        default=200,
        type=click.IntRange(20),
        help="Smallest number of latency samples per file.",
    ),
    setting(
        "measuring.min_seconds",
        "--min-seconds",
        rare=True,
        default=3.0,
        help="Shortest time of latency sampling per file, in seconds.",
    ),
    setting(
        "measuring.pipeline",
        "--pipeline/--no-pipeline",
        " /--no-detector",
        rare=True,
        default=True,
        help="Also measure the steps before the network, if the task has any: for landmarks, the face detector.",
    ),
    setting(
        "measuring.detector",
        "--detector",
        rare=True,
        default="",
        shell_complete=complete("detectors"),
        help="Detector for the steps before the network; see `mlbench list detectors`. "
        "[default: the task's own; for landmarks, haar]",
    ),
    setting(
        "measuring.arm_samples",
        "--arm-samples",
        rare=True,
        default=200,
        type=click.IntRange(1),
        help="Largest number of samples per test set on arm64 devices.",
    ),
    setting(
        "measuring.photos",
        "--photos",
        rare=True,
        type=FILE,
        holds_path=True,
        help="Folder of photographs for the pipeline's frames. [default: sampled faces]",
    ),
    setting(
        "measuring.gallery",
        "--gallery/--no-gallery",
        rare=True,
        default=True,
        help="Keep a few test samples in the record, for the report to show.",
    ),
    setting(
        "measuring.budgets",
        "--budget",
        "budgets",
        multiple=True,
        help="Limit for each file: size=68MB, memory=12MB, p50=10ms, or a metric of the task: mae=1.2px, top1=98%. "
        "May be repeated. [default of run: the variant's own limits, 68 MB and 100 MB of the paper's]",
    ),
)


engine_options = _options(
    setting(
        "engine.workers",
        "--workers",
        rare=True,
        default=1,
        type=click.IntRange(1, 1024),
        help="Number of processes on this machine that train and compress. They share its cores.",
    ),
    setting(
        "engine.scheduler",
        "--scheduler",
        rare=True,
        metavar="tcp://HOST:PORT",
        help="Train and compress on this Dask cluster instead of this machine; see docs/how-to/clusters.md.",
    ),
)


test_options = _options(
    click.option(
        "--task",
        shell_complete=complete("tasks"),
        help="Task of the test samples. [default: inferred from the samples; without --data, "
        f"{USUAL_TASK} if the files are networks for it]",
    ),
    click.option(
        "--data",
        "data",
        multiple=True,
        help="Test samples: FILE or FILE:ARRAY. [default: sampled by the task]",
    ),
    reading_options,
    click.option("--seed", default=7, show_default=True, type=SEED, help="Seed of all random numbers."),
)


MEASURING = [
    "devices",
    "threads",
    "min_count",
    "min_seconds",
    "pipeline",
    "detector",
    "photos",
    "arm_samples",
    "gallery",
    "budgets",
]


output_options = _options(
    setting(
        "output.folder",
        "--out",
        type=FILE,
        holds_path=True,
        default=Path("runs"),
        show_default=True,
        help="Folder for results.",
    ),
    setting(
        "output.json", "--json", "as_json", is_flag=True, help="Print records as JSON instead of tables."
    ),
)


def task_of(name: str) -> Any:
    """The task of a name."""
    from mlbench import plugins

    return plugins.load("tasks", name)()


def task_for(name: str | None, data: Path | None, how: Any) -> Any:
    """The task of a name; without one that which the data are plainly for, which is told."""
    if name or data is None:
        return task_of(name or USUAL_TASK)
    from mlbench.cli.output import progress_bars
    from mlbench.data.recognising import recognised

    found = recognised(data, how)
    if found and found != USUAL_TASK:
        progress_bars().say(f"Task: {found}, by what {data} holds; --task chooses another.")
    return task_of(found or USUAL_TASK)


def reading_of(options: dict[str, Any]) -> Any:
    """How files are taken, by the values of `reading_options`."""
    from mlbench.contracts import Reading
    from mlbench.data import reading

    parts: dict[str, Any] = {}
    for field, name in READING.items():
        with naming(name):
            parts[field] = getattr(reading.reading_of(**{field: options[name]}), field)
    return Reading(**parts)


def source_of(task: Any, data: Path | None, count: int, split: str | None, seed: int, how: Any) -> Any:
    """The samples of a run, from its options."""
    from mlbench.data.sources import Source

    return Source(task, data, count, split, seed, how)  # type: ignore[arg-type]  # click has checked the rule


def network_of(name: str) -> Any:
    """The network of a name, or a variant with other fields: `basic(filters=8-16-32)`."""
    from mlbench.networks.changed import network_named

    return network_named(name)


def model_of(text: str, epochs: int | None) -> Any:
    """The network that `--model` names: as it is, where no training is asked for or a file is given.

    Args:
        text: a file, or `package.module:function`.
        epochs: of `--epochs`; None: not given.
    """
    from mlbench.cli.output import progress_bars
    from mlbench.networks.importing import source_of as imported

    return imported(text, trained=True if epochs == 0 else None, say=progress_bars().say)


def chosen_network(variant: str, model: str | None, **options: Any) -> Any:
    """The network of a command that takes one: by `--model`, or by `--variant`."""
    if model is None:
        return network_of(variant)
    if given("variant"):
        raise UsageError(EITHER)
    require_data(**options)
    return model_of(model, options["epochs"])


EITHER = "--model and --variant both name a network: give one of them."


def given(name: str) -> bool:
    """Whether a flag gave a parameter."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def require_data(**options: Any) -> None:
    """Refuse a network of a user's own without samples, unless a task is asked for that draws its own.

    Raises:
        UsageError: there are none.
    """
    if options["data"] is None and not (given("task") or from_experiment("task")):
        message = (
            "--model needs samples: give --data, an .npz with arrays x and y or a folder of images per class."
        )
        raise UsageError(message)


def making_of(*networks: Any, **options: Any) -> Any:
    """How networks are made, from the options of data, training and tuning; takes those that it needs.

    Raises:
        UsageError: among others, no epochs for a network that is not trained yet.
    """
    from mlbench.runs.plan import Making

    data, seed, how = options["data"], options["seed"], reading_of(options)
    require_files(data=[data] if data else [])
    with naming("task"):
        task = task_for(options["task"], data, how)
    source = source_of(task, data, options["count"], options["split"], seed, how)
    first_look = options["epochs"] is None and data is None
    usual = _usual_training(first_look, networks)
    if options["vary"]:
        usual = usual | {"augment": True}
    chosen: dict[str, Any] = {
        name: usual.get(name) if options[name] is None else options[name] for name in _TRAINING
    }
    if untrained := [one.name for one in networks if not one.trained and chosen["epochs"] == 0]:
        message = (
            f"{told_value('epochs', 0)}: {untrained[0]} has no weights before it is trained; give 1 or more."
        )
        raise UsageError(message)
    training = training_of(seed, **chosen)
    tune = {name: options.get(name) for name in TUNING}
    if first_look and training.epochs and tune["tune_epochs"] is None:
        tune["tune_epochs"] = _SHORT_TUNING
    tuning = tuning_of(training, **tune)
    _require_losses(task, {"loss": training.loss, "tune_loss": tuning.loss})
    if wrong := [way for way in training.vary if way not in task.varying]:
        message = (
            f"{told_value('vary', wrong[0])}: it would change the targets of the task {task.name}; "
            f"there are: {', '.join(task.varying) or 'none'}."
        )
        raise UsageError(message)
    return Making(source, training, tuning, options["start_from"])


def _require_losses(task: Any, given: dict[str, str]) -> None:
    from mlbench.plugins import did_you_mean

    for name, loss in given.items():
        if loss and loss not in task.losses:
            hint = did_you_mean(loss, task.losses)
            message = f'{place_of(name)}: the task {task.name} has no loss "{loss}"{hint}'
            raise UsageError(message)


def _usual_training(first_look: bool, networks: Sequence[Any]) -> dict[str, Any]:
    """Options that are not given: a short training for a first look, none of networks that are trained."""
    usual = _SHORT if first_look else _PAPERS
    return usual | {"epochs": 0} if networks and all(network.trained for network in networks) else usual


def training_of(seed: int, train_threads: int, **options: Any) -> Any:
    """Options of training."""
    names = {"threads": "train_threads"}
    if options["vary"] and not options["augment"]:
        message = (
            f"{place_of('vary')} changes samples at random, --no-augment forbids it: leave out one of them."
        )
        raise UsageError(message)
    options["compute"] = _arithmetic(options["compute"])
    return _validated("TrainingOptions", names, seed=seed, threads=train_threads, **options)


def _arithmetic(compute: str) -> str:
    """What `auto` is on this CPU: the record holds that, since it decides the weights."""
    if compute != "auto":
        return compute
    return "bfloat16" if computes_bfloat16(cpu_flags()) else "float32"


def _validated(kind: str, names: dict[str, str], /, **options: Any) -> Any:
    """The options, validated; `names` are of the parameters that are not named as the fields that they set."""
    from pydantic import ValidationError

    from mlbench.training import options as kinds

    try:
        return getattr(kinds, kind)(**options)
    except ValidationError as error:
        fault = error.errors()[0]
        field = str(fault["loc"][0])
        message = f"{told_value(names.get(field, field), fault['input'])}: {fault['msg']}."
        raise UsageError(message) from error


def told_value(name: str, value: Any) -> str:
    """A parameter with its value, as it was given."""
    place = place_of(name)
    return f"{place}{' ' if place.startswith('--') else ' = '}{value}"


def tuning_of(training: Any, **tune: Any) -> Any:
    """Options of tuning; one that is not given is as in training."""
    given = {TUNING[name]: value for name, value in tune.items() if value is not None}
    usual = training.model_dump() | {
        "epochs": max(3, training.epochs // 6) if training.epochs else _TUNING_EPOCHS
    }
    names = {field: name for name, field in TUNING.items()}
    return _validated("TuningOptions", names, **usual | given)


def measuring_of(
    task: Any,
    devices: tuple[str, ...],
    budgets: tuple[str, ...],
    **options: Any,
) -> Any:
    """How artifacts are measured, from the options."""
    from mlbench import plugins
    from mlbench.evaluation.budgets import parse_budget
    from mlbench.runs.measuring import Measuring

    with naming("budgets"):
        given = tuple(parse_budget(text, task.metrics if task else ()) for text in budgets)
    with naming("devices"):
        for device in devices:
            plugins.load("device_runners", device.partition(":")[0])
    require_files(photos=[options["photos"]] if options.get("photos") else [])
    return Measuring(devices=tuple(dict.fromkeys(devices)), budgets=given, **options)
