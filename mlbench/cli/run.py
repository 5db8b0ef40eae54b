"""`mlbench run`."""

from __future__ import annotations

import sys
from typing import Any

import click

from mlbench.cli.options import (
    TUNING,
    complete,
    data_options,
    measuring_of,
    measuring_options,
    output_options,
    source_of,
    training_of,
    training_options,
    tuning_of,
    tuning_options,
)
from mlbench.cli.output import progress_bars, show, write_page


@click.command(
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
    shell_complete=complete("variants", "all"),
    help="May be repeated; `all` for every one.",
)
@click.option(
    "--compress",
    "chains",
    multiple=True,
    default=["svd"],
    show_default=True,
    shell_complete=complete("compressors", "none"),
    help="A chain of compressors; may be repeated; `none` measures the baseline alone.",
)
@data_options
@training_options
@tuning_options
@measuring_options
@output_options
@click.option("--pb", is_flag=True, help="Write the paper's frozen .pb graph too.")
def run(variants: tuple[str, ...], chains: tuple[str, ...], **options: Any) -> None:
    """The main job: train or reuse the baseline, compress, tune, export, measure, record, show.

    An interrupted run goes on where it was when the same command is given again.
    """
    from mlbench.runs import pipeline

    plan = _plan(variants, chains, **options)
    finished = pipeline.run(plan, progress_bars())
    page = write_page([done.record for done in finished], plan.out / "report.html")
    show([done.record for done in finished], options["as_json"])
    for done in finished:
        click.echo(f"Record: {done.folder / 'record.json'}", err=options["as_json"])
    click.echo(f"Report: {page}", err=options["as_json"])


def _plan(variants: tuple[str, ...], chains: tuple[str, ...], **options: Any) -> Any:
    from mlbench import plugins
    from mlbench.compression.chain import parse_chain
    from mlbench.faces.sources import TestSet
    from mlbench.runs.pipeline import Plan

    def some(*names: str) -> dict[str, Any]:
        return {name: options[name] for name in names}

    data, seed = options["data"], options["seed"]
    known, faults = plugins.usable("variants") if "all" in variants else ({}, [])
    for fault in faults:
        click.echo(f"Note: {fault}", err=True)
    training = training_of(
        data,
        seed,
        **some("epochs", "batch", "rate", "schedule", "optimizer", "loss"),
        **some("augment", "augment_strength", "patience", "compute", "train_threads"),
    )
    return Plan(
        variants=tuple(known or dict.fromkeys(variants)),
        chains=tuple(parse_chain(text) for text in chains),
        source=source_of(data, seed=seed, **some("faces", "split")),
        tests=tuple(TestSet.parse(text) for text in options["tests"]),
        training=training,
        tuning=tuning_of(training, **some(*TUNING)),
        measuring=measuring_of(
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
