"""`mlbench run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from mlbench.cli.experiment import (
    Command,
    experiment_options,
    from_experiment,
    naming,
    require_files,
    setting,
    settings,
)
from mlbench.cli.options import (
    EITHER,
    MEASURING,
    complete,
    data_options,
    engine_options,
    given,
    making_of,
    measuring_of,
    measuring_options,
    model_of,
    model_option,
    network_of,
    output_options,
    require_data,
    training_options,
    tuning_options,
)
from mlbench.cli.output import progress_bars, show, telling, write_page
from mlbench.errors import UsageError


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  mlbench run --variant two_pool --compress svd
  mlbench run --variant basic --compress "svd(energy=0.999)" --compress "svd(rank=32)+int8"
  mlbench run --variant all --compress svd --data faces.npz --test human.npz:human --epochs 120
  mlbench run --variant two_pool --compress none --budget size=68MB --json
  mlbench run --model my.keras --data my.npz --task classification --compress tucker+int8
  mlbench run --variant basic --save-config experiment.toml
  mlbench run --config experiment.toml --set training.optimizer=muon --compress tucker
  mlbench run --model my.keras --data pictures.npz --column x=images --column y=labels --scale 1
  mlbench list options
""",
)
@experiment_options
@setting(
    "networks",
    "--variant",
    "variants",
    multiple=True,
    default=["two_pool"],
    show_default=True,
    shell_complete=complete("variants", "all"),
    help="Network to compress; `all` for every one. May be repeated.",
)
@model_option("models", multiple=True)
@setting(
    "chains",
    "--compress",
    "chains",
    multiple=True,
    default=["svd"],
    show_default=True,
    shell_complete=complete("compressors", "none"),
    help="Chain of compressors; `none` measures the baseline alone. May be repeated.",
)
@data_options
@training_options
@tuning_options
@measuring_options
@engine_options
@output_options
@telling
@setting(
    "output.frozen_graph", "--pb", rare=True, is_flag=True, help="Also write the paper's frozen .pb graph."
)
def run(chains: tuple[str, ...], save_config: str | None, **options: Any) -> None:
    """Train or reuse the baseline, compress, tune, export, measure, and show the results.

    The same command continues a run that was interrupted.
    """
    plan = plan_of(chains, **options)
    if save_config is not None:
        _save(plan, options["as_json"], save_config)
        return
    from mlbench.search.engine import filling

    finished = filling.run(plan, progress_bars())
    page = write_page([done.record for done in finished], plan.out / "report.html")
    show([done.record for done in finished], options["as_json"])
    for done in finished:
        click.echo(f"Record: {done.folder / 'record.json'}", err=options["as_json"])
    click.echo(f"Report: {page}", err=options["as_json"])


def _save(plan: Any, as_json: bool, where: str) -> None:
    """Write the plan as a file, its paths relative to the file's folder; `-` prints it."""
    from mlbench.runs.experiment import flat, folder_of, toml_of
    from mlbench.system.files import require_suffix, write_atomically

    path, known = Path("experiment.toml" if where == "-" else where), settings(run)
    values = flat(plan.experiment()) | {"output.json": as_json}
    placed = {key: known[key].moved(value, Path.cwd(), folder_of(path)) for key, value in values.items()}
    text = toml_of(placed, {key: option.told for key, option in known.items()})
    if where == "-":
        click.echo(text, nl=False)
        return
    require_suffix(path, ".toml")
    with write_atomically(path) as part:
        part.write_text(text, encoding="utf-8")
    click.echo(f"Written: {path}")


def models_of(variants: tuple[str, ...], models: tuple[str, ...]) -> tuple[str, ...]:
    """The networks of a user's own that are meant; none: variants. A flag of one kind beats the other kind in a file.

    Raises:
        UsageError: both kinds are given.
    """
    if variants and models and (given("variants") or from_experiment("variants")):
        if given("variants") == given("models"):
            raise UsageError(EITHER)
        return models if given("models") else ()
    return models


def _networks_of(variants: tuple[str, ...], models: tuple[str, ...], **options: Any) -> tuple[Any, ...]:
    """The networks of a run: variants, or a user's own.

    Raises:
        UsageError: both kinds are given, or there is none of a name.
    """
    from mlbench import plugins

    models = models_of(variants, models)
    if models:
        require_data(**options)
        with naming("models"):
            return tuple(model_of(text, options["epochs"]) for text in dict.fromkeys(models))
    with naming("variants"):
        names = list(plugins.usable("variants")[0]) if "all" in variants else list(dict.fromkeys(variants))
        return tuple(network_of(name) for name in names)


def plan_of(chains: tuple[str, ...], networks: tuple[Any, ...] = (), **options: Any) -> Any:
    """The plan of the options of `mlbench run`, for networks in memory where some are given."""
    from mlbench.compression.chain import parse_chain
    from mlbench.data.sources import TestSet
    from mlbench.runs.plan import Plan

    networks = networks or _networks_of(**options)
    making = making_of(*networks, **options)
    with naming("chains"):
        steps = tuple(parse_chain(text) for text in chains)
    tests = tuple(TestSet.parse(text, making.source.how) for text in options["tests"])
    require_files(tests=[test.path for test in tests])
    measuring = {name: options[name] for name in MEASURING}
    return Plan(
        networks=networks,
        chains=steps,
        making=making,
        tests=tests,
        measuring=measuring_of(making.source.task, seed=options["seed"], **measuring),
        frozen_graph=options["pb"],
        workers=options["workers"],
        scheduler=options["scheduler"],
        out=options["out"],
        command=("mlbench", *sys.argv[1:]),
    )
