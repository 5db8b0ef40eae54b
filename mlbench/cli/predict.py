"""`mlbench predict`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mlbench.cli.options import FILE, detector_option


@click.command(
    epilog="\b\nExamples:\n  mlbench predict portrait.jpg\n"
    "  mlbench predict portrait.jpg --model runs/two_pool-1a2b3c4d/two_pool-none.tflite\n"
    "  mlbench predict group.png --model net.tflite --detector dlib --out points.png --json"
)
@click.argument("image", type=FILE)
@click.option(
    "--model",
    default="two_pool",
    show_default=True,
    help="A .tflite of mlbench, or the name of one that `mlbench list models` shows.",
)
@detector_option("haar")
@click.option("--out", type=FILE, help="Picture with the 68 points. [default: IMAGE-points.png]")
@click.option("--json", "as_json", is_flag=True, help="Print the box and the points as JSON.")
def predict(image: Path, model: str, detector: str, out: Path | None, as_json: bool) -> None:
    """Find the largest face of a photograph and draw its 68 landmarks."""
    from mlbench.export import ready_models
    from mlbench.faces import prediction
    from mlbench.system.files import require_suffix, require_writable

    target = out or image.with_name(f"{image.stem}-points.png")
    require_suffix(target, ".png")
    require_writable(target)
    found = prediction.predict_photograph(image, ready_models.file_named(model), detector)
    if found.note:
        click.echo(f"Note: {image}: {found.note}.", err=True)
    prediction.draw(found, target)
    box = found.box
    told = f"Wrote {target}: a face at x {box.left}, y {box.top}, {box.width}×{box.height} px."
    click.echo(json.dumps(found.as_json()) if as_json else told)
