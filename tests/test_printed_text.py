"""What is told on the terminal stands there as it is: brackets in names, cells and remedies are no markup."""

from io import StringIO

import pytest
from rich.console import Console

from mlbench.cli import diagnosis, listing
from mlbench.system.progress import Bars

_BRACKETS = ["pip install -e '.[prepare]'", "line 3: [/x] is not a number"]


@pytest.mark.parametrize("text", _BRACKETS)
def test_progress_is_told_as_it_is(text):
    out = StringIO()
    Bars(Console(file=out, width=120)).say(text)
    assert out.getvalue() == f"{text}\n"


@pytest.mark.parametrize("text", _BRACKETS)
def test_bars_show_names_as_they_are(text):
    out = StringIO()
    bars = Bars(Console(file=out, width=200, force_terminal=True, color_system=None))
    with bars.task(text, 1, "faces") as advance:
        advance(1, text)
    assert out.getvalue().count(text) >= 2


@pytest.mark.parametrize("text", _BRACKETS)
def test_doctor_and_list_show_cells_as_they_are(text, capsys):
    diagnosis.show([diagnosis.Check("dlib", good=False, needed=False, found="-", remedy=text)])
    listing.show({"devices": [{"name": "host", "what": text}]})
    assert capsys.readouterr().out.count(text) == 2
