"""Options that have a key in the file of an experiment: `--config FILE`, `--set key=value`, `--save-config`.

The options of a command are the one source of keys, defaults, types and ranges: a file's values become click's
defaults, so that a flag beats `--set`, which beats the file, which beats what the option says.
"""

from __future__ import annotations

import difflib
import os
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from mlbench.errors import UsageError

_SPACE = "search."  # keys of a file's table that are no options are of what a search may choose from

# In a context: those keys' values, where they come from, and where values that are no flags come from, by parameter.
_ENTRIES = "mlbench.entries"
_ENTRY_PLACES = "mlbench.entry_places"
_PLACES = "mlbench.places"

_KINDS: list[tuple[type, tuple[type, ...], str]] = [
    (type(click.BOOL), (bool,), "true or false"),
    (type(click.INT), (int,), "a whole number"),
    (type(click.FLOAT), (int, float), "a number"),
]
_TEXT: tuple[tuple[type, ...], str] = (str,), "text"

_COLUMN_GAPS = 4  # characters before the first column of a help's section and between both


class Setting(click.Option):
    """An option with a key.

    Attributes:
        key: as in the file: `training.rate`.
        holds_path: whether a value names a file, or one with an array (`FILE:ARRAY`); a function says so of values
            that may name something else.
        rare: whether the help names it below, without explaining it.
    """

    def __init__(
        self,
        *arguments: Any,
        key: str,
        holds_path: bool | Callable[[str], bool] = False,
        rare: bool = False,
        **attributes: Any,
    ) -> None:
        super().__init__(*arguments, **attributes)
        self.key, self.rare = key, rare
        self._holds_path = holds_path

    @property
    def told(self) -> str:
        """What it is, in one line, with its choices."""
        choices = self.type.choices if isinstance(self.type, click.Choice) else ()
        return " ".join(filter(None, [self.help, f"One of {', '.join(choices)}." if choices else ""]))

    def moved(self, value: Any, old: Path, new: Path) -> Any:
        """A value whose paths are relative to one folder, with paths relative to another; absolute ones stay."""
        if isinstance(value, list):
            return [self.moved(each, old, new) for each in value]
        if value is None or Path(str(value)).is_absolute() or not self._names_file(value):
            return value
        return os.path.relpath(old / value, new)

    def _names_file(self, value: Any) -> bool:
        return self._holds_path if isinstance(self._holds_path, bool) else self._holds_path(value)


def setting(
    key: str, *declarations: str, rare: bool = False, unused: bool = False, **attributes: Any
) -> Callable[[Any], Any]:
    """An option with a key.

    Args:
        key: as in the file.
        declarations: as of click.
        rare: whether the help only names it.
        unused: whether the command takes it because a file may hold it, and does nothing with it.
        attributes: as of click.
    """
    return click.option(*declarations, cls=Setting, key=key, rare=rare, hidden=rare or unused, **attributes)


class Command(click.Command):
    """A command whose help names its rare options, by the tables of the file of an experiment."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See `click.Command`."""
        super().format_options(ctx, formatter)
        tables: dict[str, list[str]] = {}
        for key, option in settings(self).items():
            if option.rare:
                flags = "/".join([option.opts[0], *option.secondary_opts[:1]])
                tables.setdefault(key.partition(".")[0], []).append(flags)
        if not tables:
            return
        width = formatter.width - max(map(len, tables)) - _COLUMN_GAPS
        rows = [
            (table, "\b\n" + textwrap.fill(", ".join(flags), width, break_on_hyphens=False))
            for table, flags in tables.items()
        ]
        with formatter.section("Further options, explained by `mlbench list options`"):
            formatter.write_dl(rows)


def settings(command: click.Command) -> dict[str, Setting]:
    """The options of a command that have a key, by key."""
    return {option.key: option for option in command.params if isinstance(option, Setting)}


def experiment_options(function: Any) -> Any:
    """`--config`, `--set` and `--save-config`, of a command whose options are settings."""
    return click.option(
        "--save-config",
        is_flag=False,
        flag_value="-",
        metavar="[FILE]",
        help="Write the run as a file for --config, and do nothing else. Without FILE: print it.",
    )(config_options(function))


def config_options(function: Any) -> Any:
    """`--config` and `--set`, of a command whose options are settings."""
    for option in (
        click.option(
            "--set",
            multiple=True,
            is_eager=True,
            expose_value=False,
            callback=_take_assignments,
            metavar="KEY=VALUE",
            help="Set one key, as --set tuning.rate=1e-3. Overrides the file. May be repeated.",
        ),
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            is_eager=True,
            expose_value=False,
            callback=_take_file,
            help="Read the run from a TOML file, or from the record.json of a run. Flags and --set override it.",
        ),
    ):
        function = option(function)
    return function


def place_of(name: str) -> str:
    """Where the value of a parameter comes from, for people: its flag, or the file with the key."""
    context = click.get_current_context(silent=True)
    if context and from_experiment(name):
        return str(context.meta[_PLACES][name])
    options = context.command.params if context else ()
    return next((one.opts[0] for one in options if one.name == name), f"--{name.replace('_', '-')}")


def placed(context: click.Context, places: Mapping[str, str]) -> None:
    """Say where values that are no flags come from, by parameter."""
    context.meta.setdefault(_PLACES, {}).update(places)


def from_experiment(name: str) -> bool:
    """Whether a parameter of the command that runs has its value from the file or from `--set`."""
    context = click.get_current_context(silent=True)
    source = context.get_parameter_source(name) if context else None
    return source is click.core.ParameterSource.DEFAULT_MAP


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Say of errors by a value that no flag gave which file and key it comes from."""
    try:
        yield
    except UsageError as error:
        if not from_experiment(name):
            raise
        message = f"{place_of(name)}: {error}"
        raise UsageError(message) from error


def require_files(**paths: Iterable[Path]) -> None:
    """Check that files which a file of an experiment names exist; those of flags are told by who reads them.

    Raises:
        UsageError: which is absent, and the file and key that name it.
    """
    for name, each in paths.items():
        for path in each:
            if from_experiment(name) and not path.exists():
                message = f"{place_of(name)}: {path} does not exist."
                raise UsageError(message)


def _take_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    from mlbench.runs.experiment import folder_of, read_experiment

    known = settings(context.command)
    for key, value in read_experiment(path).items():
        place = f"{path}: {key}"
        if _of_space(key, known):
            _take_of_space(context, key, value, f"{path}: ", beats=False)
            continue
        found = _setting_of(known, key, f"{path}: ")
        checked = _checked(found, value, place, context)
        moved = found.moved(checked, folder_of(path), Path.cwd())
        _take(context, found, moved, place, beats=False)


def _take_assignments(context: click.Context, _: click.Parameter, texts: tuple[str, ...]) -> None:
    known = settings(context.command)
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            message = f"--set {text}: write a key and a value, as --set training.rate=1e-3."
            raise UsageError(message)
        if _of_space(key, known) and any(one.startswith(_SPACE) for one in known):
            _take_of_space(context, key, _toml(value), "--set ", beats=True)
            continue
        found, place = _setting_of(known, key, "--set: "), f"--set {key}"
        _take(context, found, _checked(found, _read(found, value), place, context), place, beats=True)


def _read(found: Setting, text: str) -> Any:
    """A value as TOML; what is none, and anything but text and lists where text is asked, is text as it stands."""
    value = _toml(text)
    return text if _kind(found) == _TEXT and not isinstance(value, (str, list)) else value


def _toml(text: str) -> Any:
    """A value as TOML; what is none is text as it stands."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return text if len(table) > 1 else table["value"]


def _of_space(key: str, known: Mapping[str, Setting]) -> bool:
    """Whether a key is of what a search may choose from, and no option of the command."""
    return key.startswith(_SPACE) and key not in known


def _take_of_space(context: click.Context, key: str, value: Any, where: str, beats: bool) -> None:
    """Keep an entry of the space, `search.t.low` as part of `t`."""
    name, _, part = key.removeprefix(_SPACE).partition(".")
    entries, places = context.meta.setdefault(_ENTRIES, ({}, {})), context.meta.setdefault(_ENTRY_PLACES, {})
    before = entries[beats].get(name)
    entries[beats][name] = {**(before if isinstance(before, dict) else {}), part: value} if part else value
    if beats or name not in places:
        places[name] = f"{where}{_SPACE}{name}"


def entries_of_space() -> tuple[dict[str, Any], Callable[[str], str]]:
    """What a file or `--set` says of what a search may choose from, and the place of each entry, for people.

    Of a range `--set` may change one end.
    """
    meta = click.get_current_context().meta
    file, given = meta.get(_ENTRIES, ({}, {}))
    places = meta.get(_ENTRY_PLACES, {})
    merged = {name: _over(file.get(name), value) for name, value in given.items()}
    return {**file, **merged}, lambda name: places.get(name, f"{_SPACE}{name}")


def _over(before: Any, value: Any) -> Any:
    return {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value


def _take(context: click.Context, found: Setting, value: Any, place: str, beats: bool) -> None:
    """Make a value the default of an option; the callbacks of `--config` and `--set` come in either order."""
    name = str(found.name)
    context.default_map = context.default_map or {}
    if beats or name not in context.default_map:
        context.default_map[name] = value
        placed(context, {name: place})


def _setting_of(known: Mapping[str, Setting], key: str, where: str) -> Setting:
    """The option of a key; a near one, one of another section, or a flag's name, is what was meant."""
    if key in known:
        return known[key]
    names = {str(option.name): key for key, option in known.items()}
    lasts = {key.rpartition(".")[2]: key for key in reversed(list(known))}
    meant = {**names, **lasts, **{key: key for key in known}}
    near = difflib.get_close_matches(key.replace("-", "_"), meant, n=1, cutoff=0.6)
    hint = f'did you mean "{meant[near[0]]}"?' if near else "`mlbench list options` shows what there is."
    message = f'{where}there is no key "{key}"; {hint}'
    raise UsageError(message)


def _kind(found: Setting) -> tuple[tuple[type, ...], str]:
    """Types of TOML that an option takes, and what they are called."""
    return next(((types, told) for kind, types, told in _KINDS if isinstance(found.type, kind)), _TEXT)


def _is_of(value: Any, types: tuple[type, ...]) -> bool:
    """Whether a value is of one of the types; a truth value is no number, and no text holds a NUL."""
    return isinstance(value, types) and isinstance(value, bool) == (bool in types) and "\0" not in str(value)


def _checked(found: Setting, value: Any, place: str, context: click.Context) -> Any:
    """The value, if it is of the option's type and within its range; of options that may be repeated, a list."""
    types, told = _kind(found)
    each = value if found.multiple and isinstance(value, list) else [value]
    if not all(_is_of(one, types) for one in each):
        message = f"{place} = {value!r} must be {told}{', or a list of such' if found.multiple else ''}."
        raise UsageError(message)
    given = each if found.multiple else value
    try:
        "".join(one for one in each if isinstance(one, str)).encode()
        found.type_cast_value(context, given)
    except (click.BadParameter, ValueError, OverflowError) as error:  # too large, not UTF-8, or with a NUL
        message = f"{place} = {value!r}: {getattr(error, 'message', str(error)).rstrip('.')}."
        raise UsageError(message) from error
    return given
