"""`mlbench live`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlbench.cli.options import FILE, complete
from mlbench.cli.output import progress_bars, telling
from mlbench.errors import UsageError
from mlbench.system.installing import install_extra

if TYPE_CHECKING:
    from mlbench.contracts import Detector
    from mlbench.faces.face_network import FaceNetwork
    from mlbench.faces.live import Watched
    from mlbench.faces.video import Source


@click.command(
    epilog="\b\nExamples:\n  mlbench live --video clip.mp4 --out annotated.mp4\n"
    "  mlbench live --video clip.mp4 --model basic --detector haar --no-track --json\n"
    "  mlbench live --camera 0 --frames 300 --smooth"
)
@click.option("--video", type=FILE, help="A video file.")
@click.option("--camera", type=click.IntRange(0), help="Number of a camera. [default: 0, without --video]")
@click.option(
    "--model",
    default="compact",
    show_default=True,
    help="A .tflite of mlbench, or the name of one that `mlbench list models` shows.",
)
@click.option(
    "--detector",
    default="",
    shell_complete=complete("detectors"),
    help="What finds faces; `mlbench list detectors` shows all. [default: blazeface if installed, else haar]",
)
@click.option("--out", type=FILE, help="Write the video with boxes and landmarks, an .mp4.")
@click.option(
    "--track/--no-track",
    default=True,
    show_default=True,
    help="Follow faces by their landmarks, or detect in every frame.",
)
@click.option(
    "--every",
    default=15,
    show_default=True,
    type=click.IntRange(1),
    help="Frames between two searches for new faces.",
)
@click.option(
    "--most",
    default=4,
    show_default=True,
    type=click.IntRange(1),
    help="Largest number of faces to follow at once.",
)
@click.option("--smooth", is_flag=True, help="Smooth the landmarks (One Euro filter).")
@click.option(
    "--min-presence",
    type=click.FloatRange(0, 1),
    help="Lowest probability of a face at which it is kept, for models that output one. "
    "[default: from the file, else 0.5]",
)
@click.option(
    "--min-size",
    default=80,
    show_default=True,
    type=click.IntRange(20),
    help="Side of the smallest face, in pixels.",
)
@click.option("--frames", type=click.IntRange(1), help="Stop after this many frames. [default: all]")
@telling
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def live(
    video: Path | None,
    camera: int | None,
    model: str,
    detector: str,
    out: Path | None,
    min_size: int,
    frames: int | None,
    as_json: bool,
    **rules: Any,
) -> None:
    """Find and follow the faces of a video or a camera, and print frames per second of each part.

    No screen is needed. Ctrl-C ends a camera, and the figures so far are printed.
    """
    from mlbench.export import ready_models
    from mlbench.faces import live as faces
    from mlbench.faces.face_network import FaceNetwork
    from mlbench.faces.tracking import Rules
    from mlbench.faces.video import written
    from mlbench.system.files import require_suffix, require_writable

    if out:
        require_suffix(out, ".mp4")
        require_writable(out)
    finder, network = faces.detector_for(detector, min_size), FaceNetwork.of(ready_models.file_named(model))
    source, watched, track = _source(video, camera), faces.Watched(), rules.pop("track")
    follower = faces.follower(finder, network, Rules(**rules), watched.clock, track)
    progress, total = progress_bars(), frames or source.total
    with written(out, source.fps) as writer, progress.task("Watching", total, "frames") as advance:
        faces.watch(source, follower, watched, min_size, writer, frames, advance)
    if not detector and finder.name != faces.BEST:
        watched.notes.append(f"The detector is haar; a better one comes by {install_extra('blazeface')}.")
    if not network.answers_presence:
        by = "geometry and by the detector" if track else "the detector"
        watched.notes.append(f"The model has no presence output: faces are refused by {by} alone.")
    _tell(source, watched, finder, network, as_json)
    if out:
        click.echo(f"Wrote {out}.", err=as_json)


def _source(video: Path | None, camera: int | None) -> Source:
    from mlbench.faces.video import Camera, VideoFile

    if video is not None and camera is not None:
        message = "--video and --camera cannot be combined: give one of them."
        raise UsageError(message)
    return VideoFile(video) if video is not None else Camera(camera or 0)


def _tell(source: Source, watched: Watched, detector: Detector, network: FaceNetwork, as_json: bool) -> None:
    facts = {"source": source.name, "detector": detector.name, "presence": network.answers_presence}
    if as_json:
        click.echo(json.dumps(facts | watched.as_json()))
        return
    sizes = ", ".join(f"{width}×{height}" for width, height in watched.sizes)
    click.echo(
        f"{source.name}: {watched.frames:,} frames of {sizes} px, {watched.with_face:,} with a face; "
        f"{len(watched.faces)} faces followed, {watched.lost} of them lost"
    )
    click.echo(f"{'part':10} {'frames':>8} {'p50, ms':>9} {'p90, ms':>9} {'p99, ms':>9}")
    for part, figures in watched.clock.figures().items():
        count, *times = figures.values()
        click.echo(f"{part:10} {count:8,} " + " ".join(f"{value:9.2f}" for value in times))
    click.echo(f"Detecting, cropping and the network ({detector.name}): {watched.fps:,.0f} frames/s")
    for note in watched.notes:
        click.echo(f"Note: {note}", err=True)
