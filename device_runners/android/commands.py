"""`mlbench android build` and `mlbench android install`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mlbench.contracts import Progress


@click.group(
    epilog="\b\nExamples:\n"
    "  mlbench android build\n"
    "  mlbench android install\n"
    "  mlbench run --variant two_pool --compress svd --device host --device android\n"
)
def android() -> None:
    """Build and install the app that measures on phones."""


@android.command()
@click.option(
    "--abi",
    "abis",
    multiple=True,
    default=("arm64-v8a",),
    show_default=True,
    help="Processor architecture: arm64-v8a, armeabi-v7a or x86_64. May be repeated.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The APK to write. [default: where mlbench looks for it]"
)
@click.option("--keystore", type=click.Path(path_type=Path), help="Your signing key. [default: a debug key]")
@click.option("--key-alias", default="mlbench", show_default=True, help="Name of the key in --keystore.")
def build(abis: tuple[str, ...], out: Path | None, keystore: Path | None, key_alias: str) -> None:
    """Build the signed, aligned and checked APK from this checkout.

    The password of --keystore is read from the environment variable MLBENCH_KEYSTORE_PASSWORD.
    """
    from mlbench.device_runners.android import build as building
    from mlbench.device_runners.android import signing

    key = signing.users_keystore(keystore, key_alias) if keystore else None
    built = building.build(tuple(dict.fromkeys(abis)), out or building.default_apk(), _progress(), key)
    report = built.report
    click.echo(f"{built.path}: {report.bytes / 1e6:.1f} MB for {', '.join(report.abis)}")
    click.echo(
        f"  signed by {', '.join(report.signature_schemes)}; Android API level {report.minimum_sdk} and up"
    )
    click.echo(f"  unsigned sha256 {built.unsigned_sha256}: the same for everybody who builds this source")
    for library, alignment in sorted(report.page_alignment.items()):
        click.echo(f"  {library}: pages of {alignment // 1024} KB")
    for warning in report.warnings:
        click.echo(f"  Note: {warning}")


@android.command()
@click.option("--serial", help="Serial number of the phone. [default: the only one that is connected]")
@click.option(
    "--live",
    "models",
    multiple=True,
    help="A .tflite file, or a name of `mlbench list models`, for the live screen of the app; repeat for several.",
)
@click.option(
    "--smooth", is_flag=True, help="Smooth the landmarks that the live screen draws (One Euro filter)."
)
def install(serial: str | None, models: tuple[str, ...], smooth: bool) -> None:
    """Install the app, with the networks that its live screen offers."""
    from mlbench.device_runners.android import installation, live, phone
    from mlbench.device_runners.android.runner import apk_to_install
    from mlbench.export import ready_models
    from mlbench.faces.tracking import Rules

    files = tuple(ready_models.file_named(model) for model in models)
    live.check(files)
    target, progress = phone.connect(serial), _progress()
    new = installation.install(target, apk_to_install(), progress)
    click.echo(f"{target.serial}: {'installed' if new else 'the same app is installed already'}")
    if files:
        live.push(target, files, Rules(smooth=smooth), progress)
        click.echo(
            f"{target.serial}: {len(files)} networks for the live screen; start `mlbench` on the phone"
        )


def _progress() -> Progress:
    from rich.console import Console

    from mlbench.system.progress import progress_on

    return progress_on(Console(stderr=True))
