"""What the documentation takes from the program, and the words in which it is written; `make docs` checks its links."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import click
import pytest

from mlbench import plugins
from mlbench.cli import cli
from tests.test_documented_commands import PAGES

ROOT = Path(__file__).parents[1]

pytest.importorskip("mkdocs", reason="MkDocs is not installed: pip install -e '.[docs]'")

#: "per" is meant: a scale per channel, seconds per epoch.
_PER = re.compile(
    r"\b(one|rows?|columns?|entry|entries|hashes|scales?|values|bytes|bits|weights|images|samples|seconds|epochs) an? "
    r"(channel|class|layer|mode|unit|row|column|sample|face|image|byte|weight|second|epoch|step|round|core|file|hash)\b"
)
_OTHERS = re.compile(r"from chance|an artifact and device|foot-gun", re.IGNORECASE)


@pytest.fixture(scope="module")
def generated():
    """`docs/generated.py`, which MkDocs loads as a hook."""
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs" / "generated.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_compressor_has_a_page_with_its_options(generated):
    for name, technique in plugins.usable("compressors")[0].items():
        page = (ROOT / "docs" / "reference" / "compressors" / f"{name}.md").read_text()
        assert f"<!-- options of {name} -->" in page
        table = generated.compressor_options(name)
        assert all(f"| `{option}` |" in table for option in technique.model_fields)
        for heading in ("When to use it", "Options", "How it works", "Measured", "Pitfalls"):
            assert f"\n## {heading}\n" in page, f"{name}: {heading}"


def test_a_page_of_a_command_has_synopsis_options_and_examples(generated):
    found = dict(generated.commands(cli, "mlbench"))
    assert {"mlbench run", "mlbench faces sample", "mlbench data check"} <= set(found)
    page = generated.command_page("mlbench run", found["mlbench run"])
    assert "mlbench run [OPTIONS]" in page
    options = [option for option in found["mlbench run"].params if isinstance(option, click.Option)]
    assert all(option.opts[0] in page for option in options)  # rare ones too, which --help only names
    assert "\nmlbench run --variant two_pool --compress svd\n" in page.split("## Examples")[1]


def test_fields_of_a_record_come_with_their_comments(generated):
    table = generated.record_fields("MetricFacts")
    assert "| <code>scale</code> | <code>float</code> | shown value / stored value |" in table


def test_a_pattern_in_the_navigation_takes_the_pages_that_are_not_named(generated):
    nav = [{"Home": "index.md"}, {"Guides": ["guides/first.md", "guides/*", "*"]}]
    pages = ["guides/deep/c.md", "guides/b.md", "new.md"]
    assert generated._expanded(nav, pages)[1] == {"Guides": ["guides/first.md", "guides/b.md", "new.md"]}


def test_lists_and_tables_may_follow_a_paragraph_at_once(generated):
    page = "So:\n- a\n  b\n- c\n\nAnd:\n| x |\n|---|\nEnd.\n```\nmake\n- not a list\n```\n1. d"
    assert generated.spaced(page) == (
        "So:\n\n- a\n  b\n- c\n\nAnd:\n\n| x |\n|---|\n\nEnd.\n```\nmake\n- not a list\n```\n\n1. d"
    )


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_the_fields_own_words_are_used():
    sources = [
        path
        for folder in (
            "mlbench",
            "compressors",
            "device_runners",
            "reports",
            "variants",
            "android_harness/src",
        )
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".j2", ".java"}
    ]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in (*PAGES, *sources)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if _PER.search(line) or _OTHERS.search(line)
    ]
    assert not found, "\n".join(found)
