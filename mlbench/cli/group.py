"""The command `mlbench` itself: sub-commands, those of plug-ins too, and how errors end."""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import entry_points

import click

from mlbench import __version__
from mlbench.cli import streams
from mlbench.errors import UsageError


class _Commands(click.Group):
    """Takes in the commands of plug-ins, and says what was meant when a command is not known."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *entry_points(group="mlbench.commands").names})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        plugged = entry_points(group="mlbench.commands", name=cmd_name)
        if found is not None or not plugged:
            return found
        from mlbench.plugins import loaded

        command = loaded(next(iter(plugged)), "command")
        if not isinstance(command, click.Command):
            message = f'The plug-in of the command "{cmd_name}" is not a click command: remove its package.'
            raise UsageError(message)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            from mlbench.plugins import did_you_mean

            message = f'There is no command "{args[0]}"{did_you_mean(args[0], self.list_commands(ctx))}'
            raise UsageError(message)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  mlbench run --variant two_pool --compress svd
  mlbench run --variant all --compress svd --compress svd+int8 --data faces.npz
  mlbench list compressors
  mlbench doctor

\b
Tab completion in bash, zsh and fish:
  mlbench completion --install
""",
)
@click.version_option(__version__, prog_name="mlbench")
def cli() -> None:
    """Which form of this network fits this device, and what does it cost in accuracy?

    Trains a network, or takes yours, compresses it, and measures the very file that would ship:
    bytes, memory, error, frames per second.
    """


def main() -> None:
    """Run the command line; bad input ends in one sentence and exit code 2.

    Where standard output cannot be written, the work goes on to its end: a closed pipe ends it in silence and
    exit code 141, anything else in a sentence and exit code 2.
    """
    warnings.formatwarning = lambda message, *_, **__: f"Note: {message}\n"  # no line of code for users
    streams.guard()
    code = _code_of_command()
    error = streams.failure()
    if isinstance(error, BrokenPipeError):
        sys.exit(code or streams.CLOSED_PIPE)
    if error is not None:
        why = error.strerror or error
        click.echo(f"Error: the output cannot be written: {why}; files named in it are complete.", err=True)
        sys.exit(2)
    sys.exit(code)


def _code_of_command() -> int:
    """Run the command and say how it ended."""
    try:
        return cli.main(standalone_mode=False) or 0
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except UsageError as error:
        click.echo(f"Error: {error}", err=True)
    except click.ClickException as error:
        error.show()
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped. The same command continues from here.", err=True)
        return 130
    except MemoryError:
        click.echo("Error: not enough memory; close other programs or choose a smaller variant.", err=True)
    return 2
