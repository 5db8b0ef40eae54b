"""`mlbench arm64 install` and `mlbench arm64 remove`."""

from __future__ import annotations

from pathlib import Path

import click


@click.group(
    epilog="\b\nExamples:\n"
    "  mlbench arm64 install\n"
    "  mlbench run --variant basic --compress dynamic --device host --device arm64:cortex-a76\n"
)
def arm64() -> None:
    """Install or remove the emulated ARM system, which runs files on the kernels of ARM CPUs."""


@arm64.command()
@click.option("--mirror", help="Address of a Debian mirror or snapshot. [default: this machine's own]")
@click.option(
    "--packages",
    "given",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with the packages and wheels, for machines without apt or network.",
)
def install(mirror: str | None, given: Path | None) -> None:
    """Install QEMU, and Python and LiteRT for ARM, into the cache folder. No root rights are needed.

    Every package has a pinned SHA-256.
    After an interruption, the same command goes on with the packages that it has.
    """
    from rich.console import Console

    from mlbench.device_runners.arm64 import home, installation
    from mlbench.system.progress import Bars

    new = installation.install(mirror, given, Bars(Console(stderr=True)))
    click.echo(f"{home.home().folder}: {'installed' if new else 'already installed'}")


@arm64.command()
def remove() -> None:
    """Remove the emulated ARM system and the answers in the cache."""
    from mlbench.device_runners.arm64 import home
    from mlbench.system.sizes import format_size

    click.echo(f"Removed {format_size(home.remove())}")
