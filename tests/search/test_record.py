"""What a search leaves: its record, the one to ship, its tables and its page."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from mlbench.cli.search_view import SearchView, show_front
from mlbench.errors import UsageError
from mlbench.evaluation.budgets import parse_budget
from mlbench.records import FrontPoint, Interval, MetricFacts, SearchRecord, SearchTrial
from mlbench.reports.html import HtmlReport
from mlbench.reports.terminal import TerminalReport
from mlbench.search import finishing
from mlbench.search.searching import Found, Limits, Seen
from mlbench.search.space import Candidate
from mlbench.search.study import Row
from mlbench.search.work import Job, Outcome, WorkerState
from mlbench.system.progress import progress_on

MAE = MetricFacts(name="mae", title="MAE", unit="px")
HOSTILE = "svd</script><script>alert(1)</script>"


def _trial(number, value=None, size=None, state="complete", **more):
    more = {"chain": f"svd(rank={number})", "values": {"rank": f"{number}", "q": "int8"}} | more
    return SearchTrial(number=number, network="basic", state=state, value=value, file_bytes=size, **more)


def _record(**changes):
    trials = (
        _trial(0, 0.9, 100_000),
        _trial(1, 0.8, 200_000, deflated_bytes=150_000, parameters=50_000, macs=1_000_000, p50_ms=0.5),
        _trial(2, 1.9, 90_000, state="stopped", epochs=0),
        _trial(4, state="failed", failure=HOSTILE, chain=HOSTILE),
    )
    front = (
        FrontPoint(trial=0, command="mlbench run --compress 'svd(rank=0)'", file="basic/a.tflite"),
        FrontPoint(
            trial=1,
            command="mlbench run --compress 'svd(rank=1)'",
            tested=Interval(value=0.85, low=0.8, high=0.9),
            p50_ms=Interval(value=0.5, low=0.4, high=0.6),
        ),
    )
    fields = {
        "mlbench_version": "0.1.0",
        "created": "2026-01-01T00:00:00+00:00",
        "command": ("mlbench", "search"),
        "study": "abc",
        "metric": MAE,
        "budgets": ("size=300KB",),
        "sampler": "tpe",
        "baselines": {"basic": (0.7, 33_000_000)},
        "trials": trials,
        "front": front,
        "volumes": (0.1, 0.2),
    }
    return SearchRecord(**fields | changes)


def test_the_record_is_read_as_it_was_written(tmp_path):
    finishing.write(_record(), tmp_path)
    assert finishing.read(tmp_path) == _record()
    assert finishing.read(tmp_path / "search.json") == _record()


@pytest.mark.parametrize("text", [None, "", "{}", "[1", '{"schema_version": 2}', "\udcff"])
def test_what_is_no_record_of_a_search_is_one_sentence(tmp_path, text):
    if text is not None:
        (tmp_path / "search.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=r"search\.json"):
        finishing.read(tmp_path)


def test_the_newest_search_is_found_or_said_to_be_absent(tmp_path):
    with pytest.raises(UsageError, match="There is no search in"):
        finishing.newest(tmp_path)
    finishing.write(_record(), tmp_path / "search-one")
    assert finishing.newest(tmp_path) == tmp_path / "search-one"


@pytest.mark.parametrize(
    ("budgets", "best"),
    [
        (["size=1MB"], 1),
        (["size=150KB"], 0),
        (["size=-99.5%"], 0),
        (["mae=0.85px"], 1),
        (["mae=+0.1px"], 1),
        (["p50=1ms"], 1),
        (["size=150KB", "mae=0.85px"], None),
        (["size=95KB"], None),  # the smaller one was not carried out
    ],
)
def test_the_one_to_ship_keeps_the_budgets_and_errs_least(budgets, best):
    found = finishing.best_of(_record(), [parse_budget(text, [MAE]) for text in budgets])
    assert (None if found is None else found.number) == best


def test_where_higher_is_better_the_highest_is_shipped():
    top1 = MetricFacts(name="top1", title="top-1", unit="%", better="higher", scale=100)
    assert finishing.best_of(_record(metric=top1), [parse_budget("size=1MB")]).number == 0


def test_a_budget_of_what_a_search_does_not_know_is_refused():
    with pytest.raises(UsageError, match="a search measures only size, p50 and mae"):
        finishing.best_of(_record(), [parse_budget("memory=1MB")])


def test_the_page_shows_every_trial_the_front_and_how_to_make_it(tmp_path):
    text = HtmlReport().write_search(_record(), tmp_path / "search.html").read_text()
    for trial in _record().trials[:3]:
        assert trial.chain in text
    assert "mlbench run --compress &#39;svd(rank=1)&#39;" in text
    assert "0.850 px (0.800 px to 0.900 px)" in text
    assert "<script>alert" not in text
    specs = json.loads(re.search(r'id="data-charts">(.*?)</script>', text, re.S)[1])
    assert set(specs) == {"search-front", "search-options", "search-path"}


def test_a_search_without_figures_has_a_page_too(tmp_path):
    empty = _record(trials=(), front=(), volumes=(), baselines={})
    assert "0 trials" in HtmlReport().write_search(empty, tmp_path / "search.html").read_text()


def test_a_report_that_shows_no_searches_says_so(tmp_path):
    with pytest.raises(UsageError, match="cannot show searches"):
        TerminalReport().write_search(_record(), None)


def test_the_table_has_the_baseline_the_front_and_the_commands():
    """In 80 columns too: chains, which are long, stand below the table."""
    out, long = io.StringIO(), "+".join(f"slim(share=0.{part},layers=dense)" for part in range(1, 5))
    trials = (_trial(0, 0.9, 100_000), _trial(1, 0.8, 200_000, p50_ms=0.5, chain=long))
    show_front(_record(trials=trials), Console(file=out, width=80))
    for told in (
        "33 MB",
        "100 KB",
        f" {long}\n",
        "0.850 px (0.800 to 0.900)",
        "  mlbench run --compress 'svd(rank=0)'",
    ):
        assert told in out.getvalue()


def _seen(states):
    outcome = Outcome(Job("basic", "svd"), metrics={"mae": 0.9}, file_bytes=1000)
    rows = [
        Row(n, Candidate("basic", f"svd({n})"), state=state, outcomes=(outcome,))
        for n, state in enumerate(states)
    ]
    front = [row for row in rows if row.state == "complete"]
    found = Found(rows, {}, front, [0.25] * len(front))
    return Seen(found, Limits(10), 60.0, [WorkerState("one", "training")])


def _view(console: Console, *, quiet: bool = False) -> SearchView:
    return SearchView(console, MAE, progress_on(console, quiet=quiet))


def test_in_a_log_work_tells_how_far_it_is_in_lines():
    out = io.StringIO()
    with _view(Console(file=out, width=80)) as view, view.progress.task("Tuning", 10, "samples") as advance:
        advance(5, "loss 0.5", mark=True)
    begun, marked = out.getvalue().splitlines()
    assert begun == "Tuning: 0 of 10 samples"
    assert marked.startswith("Tuning: 5 of 10 samples (50%), ")
    assert marked.endswith("loss 0.5")


def test_a_quiet_search_tells_nothing_of_its_trials():
    out = io.StringIO()
    with _view(Console(file=out, width=120, force_terminal=True), quiet=True) as view:
        view(_seen(["complete", "failed"]))
    assert out.getvalue() == ""


def test_a_log_gets_a_line_when_the_front_changes_and_no_other():
    out = io.StringIO()
    with _view(Console(file=out, width=200)) as view:
        view(_seen(["complete", "running"]))
        view(_seen(["complete", "stopped"]))
        view(_seen(["complete", "stopped", "complete"]))
    lines = out.getvalue().splitlines()
    assert lines == [
        "trial 1 of 10, 1 complete, 1 on the front, hypervolume 0.250, about 9 min left",
        "trial 3 of 10, 2 complete, 1 stopped, 2 on the front, hypervolume 0.250, about 2 min left",
    ]


def test_a_trial_that_fails_is_told_once_with_its_reason():
    out = io.StringIO()
    failed = Row(0, Candidate("basic", "svd"), state="failed", failure="It would not be smaller.")
    seen = Seen(Found([failed], {}, [], []), Limits(10), 60.0, [])
    with _view(Console(file=out, width=200)) as view:
        view(seen)
        view(seen)
    assert out.getvalue().count("Trial 0 failed, basic · svd: It would not be smaller.") == 1


def test_a_terminal_shows_the_front_and_what_workers_do():
    out = io.StringIO()
    with _view(Console(file=out, width=120, force_terminal=True)) as view:
        view(_seen(["complete", "failed"]))
    for told in ("svd(0)", "0.900 px", "one: training", "1 failed"):
        assert told in out.getvalue()
