"""What the documentation site takes from the program itself, so that it cannot differ from it.

A page of each command; the options of compressors, the fields of a record and the list of commands in place of comments
such as `<!-- options of svd -->`; two reports; and the pages that `FOLDER/*` means in the navigation of `mkdocs.yml`.
"""

from __future__ import annotations

import ast
import fnmatch
import functools
import html
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from mlbench import plugins
from mlbench.cli import cli
from mlbench.contracts import Compressor, Tuned
from mlbench.records import schema
from mlbench.records.collection import RecordFiles

#: Records of the reports to look at.
GALLERY = {
    "two_pool": ["docs/records/two_pool.json"],
    "ready-models": [
        "models/basic.json",
        "models/two_pool.json",
        "models/one_pool.json",
        "models/compact.json",
    ],
}

# --- called by MkDocs ---------------------------------------------------------------------------------------------


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of commands and the reports, and write out the patterns of the navigation."""
    for name, command in commands(cli, "mlbench"):
        if not isinstance(command, click.Group):
            place = f"reference/commands/{name.removeprefix('mlbench ').replace(' ', '-')}.md"
            files.append(File.generated(config, place, content=command_page(name, command)))
    for name, records in GALLERY.items():
        files.append(File.generated(config, f"gallery/{name}.html", content=report_of(records)))
    pages = [file.src_uri for file in files.documentation_pages() if file.src_uri != "README.md"]
    named = set(_leaves(config.nav))
    config.nav = _expanded(config.nav, sorted(set(pages) - named))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Put tables in the place of their comments, and give wide tables the whole page.

    Lists and tables may follow a paragraph without a blank line, as everywhere but in MkDocs.
    """
    if page.file.src_uri.startswith("evidence/"):
        page.meta["hide"] = ["toc"]
    makers: dict[str, Callable[[str], str]] = {
        "commands": lambda _: command_table(),
        "compressors": lambda _: compressor_table(),
        "source": lambda name: f"*{compressors()[name].source}.*",
        "options": compressor_options,
        "fields": record_fields,
    }

    def made(comment: re.Match[str]) -> str:
        return makers[comment[1]](comment[2] or "")

    return spaced(re.sub(rf"<!-- ({'|'.join(makers)})(?: of ([\w]+))? -->", made, markdown))


def _leaves(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for each in nav.values() if isinstance(nav, dict) else nav:
            yield from _leaves(each)


def _expanded(nav: list[Any], free: list[str]) -> list[Any]:
    """The navigation with the pages of a folder, not of folders in it, in the place of its pattern."""
    found: list[Any] = []
    for entry in nav:
        if isinstance(entry, dict):
            found.append(
                {
                    title: inner if isinstance(inner, str) else _expanded(inner, free)
                    for title, inner in entry.items()
                }
            )
        elif "*" in entry:
            depth = entry.count("/")
            found += [page for page in free if fnmatch.fnmatch(page, entry) and page.count("/") == depth]
        else:
            found.append(entry)
    return found


# --- commands -----------------------------------------------------------------------------------------------------


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    """All commands below a group, groups too, by their full names."""
    context = click.Context(group, info_name=name)
    for child in group.list_commands(context):
        command = group.get_command(context, child)
        assert command is not None  # noqa: S101 - it has just been listed
        yield f"{name} {child}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {child}")


def command_table() -> str:
    """What each command does, with a link to its page."""
    rows = [
        [f"[`{name}`]({name.removeprefix('mlbench ').replace(' ', '-')}.md)", _sentence(command.help or "")]
        for name, command in commands(cli, "mlbench")
        if not isinstance(command, click.Group)
    ]
    return _table(["command", "does"], rows)


def command_page(name: str, command: click.Command) -> str:
    """Synopsis, options and examples of a command."""
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    common = [option for option in _options(command) if not option.hidden]
    rare = [option for option in _options(command) if option.hidden]
    parts = [f"# {name}", _prose(command.help or ""), "## Synopsis", f"```text\n{usage}\n```"]
    parts += ["## Options", _option_table(common, context)]
    if rare:
        parts += [
            "## Rarer options",
            "Flags that `--help` only names. They are keys of [a run as a file](../../how-to/experiment.md) too.",
            _option_table(rare, context),
        ]
    return "\n\n".join([*parts, *_epilog(command.epilog or "")])


def _options(command: click.Command) -> list[click.Option]:
    return [option for option in command.params if isinstance(option, click.Option)]


def _option_table(options: Iterable[click.Option], context: click.Context) -> str:
    rows = []
    for option in options:
        hidden, option.hidden = option.hidden, False  # click tells nothing of hidden ones
        names, told = option.get_help_record(context) or ("", "")
        option.hidden = hidden
        rows.append([_code(names), _sentence(told)])
    return _table(["option", "meaning"], rows)


def _epilog(text: str) -> Iterator[str]:
    """The examples of a command as a block to paste, and what else stands below its options."""
    for block in re.split(r"\n\s*\n", text.replace("\b\n", "")):
        title, *lines = block.strip().splitlines() or [""]
        if lines:
            yield f"## {title.removesuffix(':')}"
            yield "\n".join(["```bash", *(line.strip() for line in lines), "```"])
        elif title:
            yield _prose(title)


def _prose(text: str) -> str:
    return inspect.cleandoc(text).replace("\b\n", "")


# --- compressors --------------------------------------------------------------------------------------------------


def compressors() -> dict[str, type[Compressor]]:
    """The installed compressors by name."""
    return plugins.usable("compressors")[0]


def compressor_table() -> str:
    """What each compressor does, with a link to its page."""
    rows = [
        [f"[`{name}`]({name}.md)", technique.summary, technique.source]
        for name, technique in sorted(compressors().items())
    ]
    return _table(["compressor", "does", "source"], rows)


def compressor_options(name: str) -> str:
    """The fields of a compressor, which are its options in a chain."""
    technique = compressors()[name]
    tuning = Tuned.model_fields if issubclass(technique, Tuned) else {}
    rows = [
        [
            f"`{option}`",
            "" if field.default is None else f"`{field.default}`",
            _sentence(field.description or ""),
        ]
        for option, field in sorted(technique.model_fields.items(), key=lambda item: item[0] in tuning)
    ]
    return _table(["option", "default", "meaning"], rows) if rows else f"`{name}` has no options."


# --- records ------------------------------------------------------------------------------------------------------


@functools.cache
def _classes() -> tuple[list[str], dict[str, ast.ClassDef]]:
    source = inspect.getsource(schema)
    found = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    return source.splitlines(), found


def record_fields(name: str) -> str:
    """The fields of a class of the schema: types, and what the comments say."""
    lines, classes = _classes()
    rows = [
        [_code(field.target.id), _code(ast.unparse(field.annotation)), _comment(lines, field)]
        for field in classes[name].body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    ]
    return _table(["key", "type", "meaning"], rows)


def _comment(lines: list[str], field: ast.AnnAssign) -> str:
    found = re.search(
        r"#\s*(?!noqa)(.*)", lines[(field.end_lineno or field.lineno) - 1][field.end_col_offset or 0 :]
    )
    return _sentence(found[1]) if found else ""


# --- gallery ------------------------------------------------------------------------------------------------------


def report_of(records: list[str]) -> str:
    """The page that `mlbench report` writes of these records."""
    from mlbench.reports.html.digest import digest_of
    from mlbench.reports.html.page import render

    return render(digest_of(RecordFiles([Path(name) for name in records])))


# --- Markdown -----------------------------------------------------------------------------------------------------


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    cells = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def spaced(markdown: str) -> str:
    """Markdown with a blank line before each list, and around each table."""
    lines: list[str] = []
    fenced = listed = False
    for line in markdown.splitlines():
        before = lines[-1] if lines else ""
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            item = bool(re.match(r"\s*([-*]|\d+\.)\s", line))
            if before and ((item and not listed) or line.startswith("|") != before.startswith("|")):
                lines.append("")
            listed = item or (listed and bool(line.strip()))
        lines.append(line)
    return "\n".join(lines)


def _code(text: str) -> str:
    """Code in a cell, where a backslash would show."""
    return f"<code>{html.escape(text).replace('|', '&#124;')}</code>"


def _sentence(text: str) -> str:
    """The first paragraph on one line, as it stands: brackets are no links."""
    told = " ".join(inspect.cleandoc(text).split("\n\n")[0].split())
    return told.replace("<", "&lt;").replace("[", "\\[")
