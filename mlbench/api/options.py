"""Options of a command by name: its defaults, types, ranges and errors are Python's too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from mlbench.cli.experiment import placed
from mlbench.cli.output import QUIET, SILENT, TELLING, VERBOSE
from mlbench.errors import UsageError
from mlbench.plugins import did_you_mean

#: Flags that Python needs not: it has `progress`, and the models of `mlbench.records`.
_ELSEWHERE = (QUIET, VERBOSE, "schema")


@contextmanager
def parameters(
    command: click.Command,
    options: Mapping[str, Any],
    arguments: Sequence[str] = (),
    *,
    quiet: bool = True,
) -> Iterator[dict[str, Any]]:
    """The values of all parameters of a command; within the block, errors name options as Python does.

    Args:
        command: of the command line.
        options: values by the name of the flag: `tune_epochs` of `--tune-epochs`; None: the default.
        arguments: of the command, such as files.
        quiet: whether nothing is told on standard error within the block.

    Raises:
        UsageError: an option is not known, or a value not of its type or out of its range.
    """
    known = _flags(command)
    values: dict[str, Any] = {}
    for name, value in options.items():
        if name not in known:
            message = f'mlbench.{command.name} has no option "{name}"{did_you_mean(name, known)}'
            raise UsageError(message)
        if value is not None:
            option, opposite = known[name]
            values[str(option.name)] = _as_flag(option, not value if opposite else value)
    places = {str(known[name][0].name): name for name in options}
    try:
        context = command.make_context(
            f"mlbench.{command.name}", ["--", *arguments], default_map=values, allow_interspersed_args=False
        )
    except click.ClickException as error:
        raise UsageError(error.format_message()) from error
    placed(context, places)
    if quiet:
        context.meta[TELLING] = SILENT
    with context.scope():
        yield dict(context.params)


def _flags(command: click.Command) -> dict[str, tuple[click.Option, bool]]:
    """Options by the names of their flags, with whether it is the flag of the opposite, as `no_gallery`."""
    found: dict[str, tuple[click.Option, bool]] = {}
    for option in command.params:
        if isinstance(option, click.Option) and option.name not in _ELSEWHERE:
            for opposite, flags in ((False, option.opts), (True, option.secondary_opts)):
                found |= {flag.removeprefix("--").replace("-", "_"): (option, opposite) for flag in flags}
    return found


def _as_flag(option: click.Option, value: Any) -> Any:
    """A value as the command line gives it: a list, of options that may be repeated."""
    return [value] if option.multiple and isinstance(value, (str, Path, int, float)) else value
