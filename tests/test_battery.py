"""Every registered compressor and task passes the checks that strangers' plug-ins are given."""

from dataclasses import replace
from pathlib import Path

from mlbench import plugins
from mlbench.testing import parametrize_with_checks
from mlbench.testing.table import notes
from tests.conftest import TINY


def _registered(kind):
    return [plugins.load(kind, name) for name in plugins.names(kind)]


#: The tiny variant for images of any size.
_OPEN = replace(TINY, shape=None, outputs=None)


@parametrize_with_checks([*_registered("compressors"), *_registered("tasks"), _OPEN])
def test_contract(plugin, check):
    check(plugin)


def test_the_page_tells_what_compressors_leave():
    page = (
        (Path(__file__).parents[1] / "docs" / "how-to" / "plugins.md")
        .read_text(encoding="utf-8")
        .splitlines()
    )
    assert [line for line in notes(_registered("compressors")) if line not in page] == []
