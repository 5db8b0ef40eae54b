"""Plug-ins that are broken: each is named, and the others work on."""

import json
import sys

import pytest

from mlbench import plugins
from mlbench.cli import diagnosis, listing
from mlbench.errors import UsageError

_CODE = """
from mlbench.contracts import Block, Compressor, Variant
EMPTY = Variant("empty", "", blocks=())
NEGATIVE = Variant("negative", "", blocks=(Block(-1, 3, True),))
TINY_MAP = Variant("vanishing", "", blocks=(Block(4, 3, True),) * 8, shape=(96, 96, 1))
OTHER = Variant("other_name", "", blocks=(Block(4, 3, True),))
GOOD = Variant("good", "", blocks=(Block(4, 3, True),), dense=())
class Bare(Compressor):
    name = "bare"
    summary = ""
class Unordered(Compressor):
    name, summary, source, needs_tuning = "unordered", "", "", False
    def compress(self, form, context):
        return form
"""

_FAULTS = {
    ("variants", "empty"): "has no blocks",
    ("variants", "negative"): "no whole number above 0",
    ("variants", "vanishing"): "feature map that vanishes",
    ("variants", "wrong_name"): 'calls itself "other_name"',
    ("variants", "raises"): "RuntimeError: at import",
    ("variants", "syntax"): "SyntaxError",
    ("variants", "leaves"): "SystemExit",
    ("variants", "svd_class"): "is no Variant",
    ("compressors", "bare"): "does not implement compress",
    ("compressors", "unordered"): "class variable order",
    ("device_runners", "empty"): "is no class of DeviceRunner",
    ("models", "empty"): "is no Path of a folder",
}


@pytest.fixture
def broken(tmp_path, monkeypatch):
    (tmp_path / "bad_plugin.py").write_text(_CODE)
    (tmp_path / "bad_raises.py").write_text("raise RuntimeError('at import')")
    (tmp_path / "bad_syntax.py").write_text("def")
    (tmp_path / "bad_leaves.py").write_text("raise SystemExit(0)")
    points = """
[mlbench.variants]
empty = bad_plugin:EMPTY
negative = bad_plugin:NEGATIVE
vanishing = bad_plugin:TINY_MAP
wrong_name = bad_plugin:OTHER
raises = bad_raises:X
syntax = bad_syntax:X
leaves = bad_leaves:X
svd_class = mlbench.compressors.svd:Svd
good = bad_plugin:GOOD
[mlbench.compressors]
bare = bad_plugin:Bare
unordered = bad_plugin:Unordered
[mlbench.device_runners]
empty = bad_plugin:EMPTY
[mlbench.models]
empty = bad_plugin:EMPTY
"""
    for name, text in (("first", points), ("second", "[mlbench.variants]\ngood = bad_plugin:GOOD\n")):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    plugins.forget()
    yield
    plugins.forget()
    for module in ("bad_plugin", "bad_raises", "bad_syntax", "bad_leaves"):
        sys.modules.pop(module, None)


@pytest.mark.parametrize(
    "kind", ["tasks", "variants", "compressors", "precisions", "device_runners", "reports", "models"]
)
def test_what_comes_along_is_good(kind):
    assert plugins.usable(kind)[1] == []
    assert set(plugins.usable(kind)[0]) == set(plugins.names(kind))


def test_each_bad_one_is_named(broken):
    for (kind, name), fault in _FAULTS.items():
        with pytest.raises(UsageError) as caught:
            plugins.load(kind, name)
        assert f'"{name}" of the package first' in str(caught.value)
        assert fault in str(caught.value)


def test_two_of_one_name_name_both_packages(broken):
    with pytest.raises(UsageError, match='"good" comes from the package first and the package second'):
        plugins.load("variants", "good")


def test_the_others_are_listed_and_the_bad_named(broken):
    listed = {row["name"] for row in listing.tables("variants")["variants"]}
    assert listed - {"tiny"} == {
        "basic",
        "two_pool",
        "one_pool",
    }  # tiny is of other tests, whose folder stays
    assert len(listing.faults()) == len(_FAULTS) + 1
    assert json.dumps(listing.tables())
    named = [check for check in diagnosis.checks() if check.name == "plug-in"]
    assert len(named) == len(_FAULTS) + 1
    assert not any(check.needed for check in named)
