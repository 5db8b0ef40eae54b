"""`mlbench faces`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlbench.cli.options import FILE, SAMPLED, SEED
from mlbench.cli.output import progress_bars
from mlbench.errors import UsageError
from mlbench.system.files import require_writable

if TYPE_CHECKING:
    from mlbench.faces.dataset import Faces


@click.group()
def faces() -> None:
    """Sample faces from the bundled appearance model, vary and join faces, or fit another model."""


@faces.command("sample", epilog="\b\nExample:\n  mlbench faces sample --count 5000 --out faces.npz")
@click.option("--count", default=SAMPLED, show_default=True, type=click.IntRange(1), help="Number of faces.")
@click.option("--seed", default=7, show_default=True, type=SEED, help="Seed of all random numbers.")
@click.option("--model", type=FILE, help="An appearance model. [default: the bundled one]")
@click.option(
    "--margin",
    default=1.0,
    show_default=True,
    help="Side of the crop divided by the side of the face's box, 0.8 to 1.25.",
)
@click.option("--out", type=FILE, required=True, help="The file to write, .npz or .csv.")
def sample(count: int, seed: int, model: Path | None, margin: float, out: Path) -> None:
    """Write faces sampled from an appearance model."""
    from mlbench.faces.appearance import AppearanceModel
    from mlbench.faces.files import require_faces_suffix, write_faces

    require_faces_suffix(out)
    require_writable(out)
    write_faces(AppearanceModel.load(model).sample(count, seed=seed, margin=margin), out)
    click.echo(f"Wrote {count} sampled faces to {out}.")


@faces.command(
    "join",
    epilog="\b\nExamples:\n  mlbench faces join mine.npz yours.npz --out all.npz\n"
    "  mlbench faces join all.npz --source congress --out congress.npz",
)
@click.argument("inputs", nargs=-1, required=True, type=FILE)
@click.option("--source", help="Use only rows with this `source`.")
@click.option("--out", type=FILE, required=True, help="The file to write, .npz or .csv.")
def join(inputs: tuple[Path, ...], source: str | None, out: Path) -> None:
    """Join files of faces; with --source, keep only the faces of one source."""
    from mlbench.faces.dataset import joined
    from mlbench.faces.files import require_faces_suffix, write_faces

    require_faces_suffix(out)
    require_writable(out)
    found = joined([_of_source(path, source) for path in inputs])
    write_faces(found, out)
    click.echo(f"Wrote {len(found)} faces to {out}.")


def _of_source(path: Path, source: str | None) -> Faces:
    """The faces of a file, or those of one source."""
    from mlbench.faces.files import read_faces

    given = read_faces(path)
    if given.note:
        progress_bars().say(f"Note: {given.note}")
    if source is None:
        return given
    if "source" not in given.extra or not (given.extra["source"] == source).any():
        message = f'{path} has no face of the source "{source}": leave out --source to use all.'
        raise UsageError(message)
    return given.take(given.extra["source"] == source)


_STRENGTHS = {
    "shape": (0.7, "Other shapes: standard deviations of the appearance model's, to 3."),
    "turn": (0.7, "The same of its first mode, the turn of the head."),
    "expression": (0.4, "Chance of another mouth, of other eyes and of other brows, each."),
    "cover": (0.25, "Chance of glasses, hair or a hand."),
    "light": (0.7, "Chance of another light, background and camera."),
    "rotation": (0.0, "Heads turned as a 3-D shape: standard deviation of the angle, degrees, to 30."),
}


def _strengths(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option per field of `Variation`."""
    for name, (default, text) in reversed(_STRENGTHS.items()):
        command = click.option(f"--{name}", default=default, show_default=True, help=text)(command)
    return command


@faces.command(
    "vary",
    epilog="\b\nExamples:\n  mlbench faces vary portraits.npz --count 20000 --out varied.npz\n"
    "  mlbench faces vary portraits.npz --alone --expression 1 --cover 0 --light 0 --out expressive.npz",
)
@click.argument("data", type=FILE)
@click.option("--source", help="Use only rows with this `source`.")
@click.option(
    "--count", default=SAMPLED, show_default=True, type=click.IntRange(1), help="Number of variations."
)
@click.option("--seed", default=7, show_default=True, type=SEED, help="Seed of all random numbers.")
@_strengths
@click.option(
    "--alone", is_flag=True, help="Train on variations alone: leave out the faces that they are made from."
)
@click.option("--out", type=FILE, required=True, help="The .npz to write.")
def vary(
    data: Path, source: str | None, count: int, seed: int, alone: bool, out: Path, **strengths: float
) -> None:
    """Augment labelled faces: other shapes and expressions, partly covered, in other light.

    The file says by `split` which are for training, validation and test. Only the former are varied, so that errors
    on validation and test are those of faces of other persons as they were given. A strength of 0
    switches a change off.
    """
    from mlbench.data.split import split
    from mlbench.faces.files import write_faces
    from mlbench.faces.landmarks import samples_of
    from mlbench.faces.variation import Variation, extended
    from mlbench.system.files import require_suffix

    variation = Variation(**strengths)
    require_suffix(out, ".npz")
    require_writable(out)
    given = _of_source(data, source)
    parts = split(samples_of(given), "shuffled", seed)
    made = extended(given, parts, count, seed, variation, alone)
    write_faces(made, out)
    kept = f"{len(made) - count} faces and {count} variations of {'others' if alone else 'those'} to train on"
    click.echo(f"Wrote {kept} to {out}.")


@faces.command("fit", epilog="\b\nExample:\n  mlbench faces fit portraits.npz --out appearance.npz")
@click.argument("data", type=FILE)
@click.option("--source", help="Use only rows with this `source`.")
@click.option("--out", type=FILE, required=True, help="The model to write, .npz.")
def fit(data: Path, source: str | None, out: Path) -> None:
    """Fit an appearance model on labelled faces."""
    from mlbench.faces.appearance_fit import fit as fit_model
    from mlbench.system.files import require_suffix

    require_suffix(out, ".npz")
    require_writable(out)
    given = _of_source(data, source)
    fit_model(given).save(out)
    click.echo(f"Fitted on {len(given)} faces: {out} ({out.stat().st_size:,} bytes).")
