"""The HTML page: what it says, what it escapes, how large it gets."""

from __future__ import annotations

import functools
import json
import operator
import re
import subprocess
import sys
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from mlbench.cli import cli
from mlbench.errors import UsageError
from mlbench.records import Failure, Interval, Record, parse_record, write_record
from mlbench.records.collection import RecordFiles
from mlbench.reports.html import HtmlReport
from mlbench.reports.html.curves import curve_charts
from mlbench.reports.html.digest import digest_of
from mlbench.reports.html.layers import folded
from mlbench.reports.html.samples import dots
from mlbench.reports.html.selection import pareto
from mlbench.reports.html.verdict import headline
from mlbench.reports.terminal import MarkdownReport, show
from tests.reports.example_records import HOST, PHONE, example, of_classes, with_failure

HOSTILE = "</script><script>document.title='owned'</script>\"'`&<img src=x onerror=alert(1)>\u202e\u2067rtl"


def page_of(records: list[Record], folder: Path) -> str:
    path = HtmlReport().write(records, folder / "report.html")
    assert path is not None
    return path.read_text(encoding="utf-8")


class _Page(HTMLParser):
    """Counts elements and collects what a browser would run or load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.handlers: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def parsed(text: str) -> _Page:
    page = _Page()
    page.feed(text)
    return page


def test_the_verdict_names_the_smallest_candidate_that_keeps_its_error(tmp_path: Path) -> None:
    record = example("basic")
    told = headline(digest_of([record]))
    assert told.startswith("basic · svd is 1.7× smaller"), "svd+int8 is smaller, but its error is worse"
    assert told.endswith("it fits all budgets.")
    svd = next(s for s in record.scores if s.artifact == "basic · svd")
    assert f"MAE {svd.metrics['mae'].value:.2f} ± " in told
    assert "(test, 12 samples of 9 persons)" in told
    assert told in page_of([record], tmp_path)


def test_the_verdict_names_a_device_where_the_candidate_failed() -> None:
    record = example("basic", devices=(HOST, PHONE))
    failure = Failure(stage="load", reason="out of memory")
    rows = [
        m.model_copy(update={"failure": failure, "network": None, "memory": None})
        if (m.artifact, m.device) == ("basic · svd", PHONE.id)
        else m
        for m in record.measurements
    ]
    told = headline(digest_of([record.model_copy(update={"measurements": tuple(rows)})]))
    assert told.endswith(
        "it fits all budgets, but it failed on Some phone (emulator-5554), 2 threads (load: out of memory)."
    )


def test_the_verdict_names_a_long_chain_by_its_steps() -> None:
    chain = "slim(epochs=1,rate=0.0001,share=0.25,layers=conv)+" * 5 + "svd"
    text = example("basic").model_dump_json().replace('basic · svd"', f'basic · {chain}"')
    text = text.replace('"chain":"svd"', f'"chain":"{chain}"')
    told = headline(digest_of([parse_record(text, "long chain")]))
    assert told.startswith("basic · slim+slim+slim+slim+slim+svd is 1.7× smaller")
    assert told.endswith("it fits all budgets.")


def test_runs_on_one_page_give_different_chains_different_names() -> None:
    runs = []
    for epochs in (4, 9):
        chain = f"slim(share=0.25,layers=conv)+svd(epochs={epochs},rate=0.003)"
        text = example("basic").model_dump_json().replace('basic · svd"', f'basic · {chain}"')
        runs.append(parse_record(text.replace('"chain":"svd"', f'"chain":"{chain}"'), "long chain"))
    names = {row.chain: row.name for row in digest_of(runs).rows if row.chain.startswith("slim")}
    assert list(names.values()) == ["basic · slim+svd(epochs=4)", "basic · slim+svd(epochs=9)"]


def test_metrics_and_the_loss_are_drawn_by_epoch() -> None:
    ids = [chart.id for chart in curve_charts(digest_of([example("basic")]))]
    assert ids == ["curve-mae", "curve-rmse", "curve-loss"]


def test_factors_are_one_layer() -> None:
    factors = ["dense1_a", "dense1_core", "dense1_by_row", "dense1_buckets", "conv2_in", "conv2", "out"]
    assert list(folded([(name, 1, 1) for name in factors])) == ["dense1", "conv2", "out"]


def test_the_name_of_the_file_says_which_report(tmp_path: Path) -> None:
    run = write_record(example(), tmp_path / "record.json") or tmp_path
    for end, told in (("md", "| file, raw bytes"), ("html", "<!doctype html>"), ("HTM", "<!doctype html>")):
        target = tmp_path / f"page.{end}"
        assert CliRunner().invoke(cli, ["report", str(run), "-o", str(target)]).exit_code == 0
        assert told in target.read_text().lower()
    refused = CliRunner().invoke(cli, ["report", str(run), "-o", str(tmp_path / "page.xml")])
    assert isinstance(refused.exception, UsageError)
    assert not (tmp_path / "page.xml").exists()


def _with_changes(record: Record, changes: dict[str, tuple[str, float, float, float]]) -> Record:
    """The record with these verdicts on errors: what is said, and the change with its interval, by model."""
    rows = [
        row.model_copy(
            update={
                "verdict": changes[row.artifact][0],
                "change": Interval(
                    **dict(zip(("value", "low", "high"), changes[row.artifact][1:], strict=True))
                ),
            }
        )
        if row.quantity in ("mae", "top1")
        else row
        for row in record.differences
    ]
    return record.model_copy(update={"differences": tuple(rows)})


@pytest.mark.parametrize(
    ("svd", "smaller", "winner"),
    [
        (("same", 0.0, -0.01, 0.01), ("cannot tell", 0.5, -0.1, 1.1), "svd"),
        (("same", 0.0, -0.01, 0.01), ("same", 0.01, 0.0, 0.02), "svd+int8"),
        (("better", -0.5, -0.6, -0.4), ("same", 0.01, 0.0, 0.02), "svd+int8"),
        (("better", -0.5, -0.6, -0.4), ("worse", 0.03, 0.01, 0.05), "svd"),
        (("worse", 0.03, 0.01, 0.05), ("cannot tell", 0.5, -0.1, 1.1), "svd"),
        (("worse", 0.9, 0.8, 1.0), ("worse", 0.03, 0.01, 0.05), "svd+int8"),
    ],
)
def test_the_verdict_names_what_may_err_least_more(
    svd: tuple[str, float, float, float], smaller: tuple[str, float, float, float], winner: str
) -> None:
    record = _with_changes(example("basic"), {"basic · svd": svd, "basic · svd+int8": smaller})
    told = headline(digest_of([record]))
    assert told.startswith(f"basic · {winner} is ")
    assert f": {(svd if winner == 'svd' else smaller)[0]} (" in told


@pytest.mark.parametrize(
    ("svd", "smaller", "winner"),
    [
        (("same", 0.0, -0.001, 0.001), ("worse", -0.3, -0.5, -0.1), "svd"),
        (("worse", -0.3, -0.5, -0.1), ("better", 0.3, 0.1, 0.5), "svd+int8"),
        (("cannot tell", 0.0, -0.1, 0.5), ("cannot tell", 0.0, -0.2, 0.1), "svd"),
    ],
)
def test_the_verdict_follows_the_direction_of_the_metric(
    svd: tuple[str, float, float, float], smaller: tuple[str, float, float, float], winner: str
) -> None:
    record = _with_changes(
        of_classes().model_copy(update={"budgets": ()}), {"tiny · svd": svd, "tiny · svd+int8": smaller}
    )
    assert headline(digest_of([record])).startswith(f"tiny · {winner} is ")


def test_the_pareto_front_follows_the_direction_of_the_metric() -> None:
    digest = digest_of([of_classes()])
    told = {digest.rows[row].name for row in digest.selection.front["file_bytes"]}
    assert told == {"tiny · svd", "tiny · svd+int8"}, "the baseline is larger and no better than svd"


def test_axes_follow_the_direction_of_the_metric(tmp_path: Path) -> None:
    specs = json.loads(_data(page_of([of_classes(), example("basic")], tmp_path), "data-charts"))
    turned = {
        metric: specs[f"tradeoff-file_bytes-{metric}"]["layer"][2]["encoding"]["y"]["scale"]["reverse"]
        for metric in ("top1", "mae")
    }
    assert turned == {"top1": True, "mae": False}
    points = specs["tradeoff-file_bytes-top1"]["data"]["values"]
    assert max(point["y"] for point in points) == pytest.approx(83.333, abs=0.01)


@pytest.mark.parametrize("variant", ["tiny", "basic"])
def test_nothing_speaks_of_faces_where_none_were_learnt(variant: str, tmp_path: Path) -> None:
    record = of_classes(variant)
    terminal = StringIO()
    show(record, Console(file=terminal, width=200))
    MarkdownReport().write([record], tmp_path / "report.md")
    page = page_of([record], tmp_path)
    texts = (terminal.getvalue(), (tmp_path / "report.md").read_text(), _without_library(page))
    for text in texts:
        assert "macro F1, %" in text
        assert not re.findall(
            r"(?i).{0,40}\b(?:faces?|landmarks?|crops?|persons?|eyes?|pixels?|px|68|96|paper)\b.{0,40}", text
        )


def _without_library(page: str) -> str:
    """What a page says: without style, scripts and the policy."""
    return re.sub(r"(?s)<style>.*?</style>|<script>.*?</script>|<meta http-equiv[^>]*>", "", page)


def test_answers_in_words_stand_beside_the_truth(tmp_path: Path) -> None:
    page = page_of([of_classes()], tmp_path)
    assert "sample 1: class 1<br>→ class 1" in page
    assert "No error of points" not in page
    assert 'id="points"' not in page


def _renamed(record: Record) -> Record:
    """The same, as if of another task whose primary metric has the same name and another unit and direction."""
    text = record.model_dump_json().replace('"top1"', '"mae"').replace('"classification"', '"other"')
    return parse_record(text, "other task")


def test_metrics_of_one_name_of_two_tasks_are_told_apart(tmp_path: Path) -> None:
    classes, landmarks = _renamed(of_classes("basic")), example("basic")
    page = page_of([classes, landmarks], tmp_path)
    specs = json.loads(_data(page, "data-charts"))
    assert {"tradeoff-file_bytes-mae", "tradeoff-file_bytes-mae_2", "curve-mae", "curve-mae_2"} <= set(specs)
    rows = json.loads(_data(page, "data-rows"))
    assert [(row["mae"] is None, row["mae_2"] is None) for row in rows] == [(False, True)] * 3 + [
        (True, False)
    ] * 3
    assert "at least 70.00 %" in page
    assert page.count('<section id="paper"') == 1, "of the landmarks alone"
    assert headline(digest_of([classes, landmarks])).startswith("basic · svd is")
    assert digest_of([landmarks, classes]).selection.winner.task == landmarks.task


def test_what_fits_its_budgets_goes_before_what_errs_less() -> None:
    told = headline(digest_of([example("two_pool")]))
    assert told.startswith("two_pool · svd+int8 is 6.7× smaller"), "svd alone is above 68 MB"


def test_a_record_that_tells_no_groups_says_so() -> None:
    told = headline(digest_of([example("basic").model_copy(update={"groups": {}})]))
    assert "(test, 12 samples, groups unknown)" in told


def test_groups_of_other_samples_than_the_scores_are_no_record() -> None:
    raw = json.loads(example("basic").model_dump_json())
    raw["groups"]["test"]["of_sample"].pop()
    with pytest.raises(UsageError, match="groups of other samples"):
        parse_record(json.dumps(raw), "cut")


def test_every_section_is_there_in_order(tmp_path: Path) -> None:
    text = page_of([example()], tmp_path)
    order = re.findall(r'<section id="(\w+)"', text)
    assert order == [
        "verdict",
        "tradeoff",
        "everything",
        "paper",
        "samples",
        "speed",
        "layers",
        "training",
        "how",
    ]


def test_the_page_loads_nothing_and_runs_only_what_its_policy_names(tmp_path: Path) -> None:
    text = page_of([example()], tmp_path)
    page = parsed(text)
    assert all(link.startswith(("#", "data:image/webp;base64,")) for link in page.links)
    assert page.handlers == []
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src &#39;none&#39;")
    assert policy[1].count("sha256-") == 2


def test_figures_in_the_table_are_those_of_the_record(tmp_path: Path) -> None:
    record = example("basic")
    rows = json.loads(_data(page_of([record], tmp_path), "data-rows"))
    for row, measured, scores in zip(rows, record.measurements, record.scores, strict=True):
        assert row["p50_ms"] == measured.network.p50_ms
        assert row["mae"] == scores.metrics["mae"].value
        assert row["samples"] == len(measured.network.samples_ms)


def _data(text: str, name: str) -> str:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return found[1]


def test_nothing_of_a_record_gets_out_of_its_place(tmp_path: Path) -> None:
    plain, hostile = example("basic"), _hostile(example("basic"))
    usual_text, text = page_of([plain], tmp_path), page_of([hostile], tmp_path)
    usual, attacked = parsed(usual_text), parsed(text)
    assert attacked.tags == usual.tags
    assert attacked.handlers == []
    assert "<img src=x" not in text
    assert len(text) < 1.3 * len(usual_text)  # 10,000 characters are cut


def _hostile(record: Record) -> Record:
    """The record with its texts replaced, ids alike everywhere."""
    long = HOSTILE + "A" * 10_000
    raw = record.model_dump_json()
    for word in ("2000 sampled faces", "last rows", "Some CPU", "svd+int8", "face 1", "dense1"):
        raw = raw.replace(json.dumps(word)[1:-1], json.dumps(HOSTILE)[1:-1])
    changed = json.loads(raw)
    changed["warnings"] = [long]
    changed["command"] = ["mlbench", long]
    changed["configuration"] = {HOSTILE: long}
    return Record.model_validate(json.loads(json.dumps(changed)))


def test_a_picture_that_is_none_is_left_out(tmp_path: Path) -> None:
    record = example("basic")
    face = record.gallery.chosen[0].model_copy(update={"png_base64": "PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+"})
    gallery = record.gallery.model_copy(update={"chosen": (face,)})
    text = page_of([record.model_copy(update={"gallery": gallery})], tmp_path)
    assert "PHN2ZyBvbmxvYWQ9YWxlcnQoMSk" not in text
    assert 'class="nothing"' in text


@pytest.mark.parametrize(
    "missing",
    [
        {"gallery": None},
        {"layers": {}, "stages": {}},
        {"scores": (), "differences": ()},
        {"measurements": (), "differences": ()},
        {"budgets": ()},
        {"data": None, "warnings": ()},
        {"test_sets": {}},
    ],
    ids=lambda missing: "+".join(missing),
)
def test_a_record_without_optional_parts_gives_a_page(missing: dict[str, object], tmp_path: Path) -> None:
    text = page_of([example().model_copy(update=missing)], tmp_path)
    assert text.count("<section") == 9


def test_a_model_that_does_not_run_stands_in_the_table_with_its_reason(tmp_path: Path) -> None:
    text = page_of([with_failure(example())], tmp_path)
    assert "load: out of memory" in text


def test_two_devices_can_be_chosen_between(tmp_path: Path) -> None:
    specs = json.loads(_data(page_of([example(devices=(HOST, PHONE))], tmp_path), "data-charts"))
    params = specs["tradeoff-file_bytes-mae"]["params"]
    options = next(p["bind"]["options"] for p in params if p["name"] == "chosen_device")
    assert options == ["Some CPU, 1 thread", "Some phone (emulator-5554), 2 threads"]


def test_the_pareto_front_holds_what_nothing_beats_in_both() -> None:
    points = {1: (1, 5), 2: (2, 4), 3: (3, 4), 4: (4, 1), 5: (5, 2), 6: (1, 6)}
    assert pareto(points, points.__getitem__) == {1, 2, 4}


def test_dots_stay_near_the_picture() -> None:
    assert dots([(1.25, 2.0), (-900.0, 1e9)], 200, 96) == "M1.2 2h0M-8 104h0"


def test_without_records_or_target_it_says_what_is_missing() -> None:
    with pytest.raises(UsageError, match=r"-o report\.html"):
        HtmlReport().write([example()], None)
    with pytest.raises(UsageError, match="no record"):
        digest_of([])


def test_golden_record_of_the_first_schema_still_gives_its_page(tmp_path: Path) -> None:
    golden = Path(__file__).with_name("golden")
    text = page_of(list(RecordFiles([golden])), tmp_path)
    assert "basic · none" in text
    assert text.count("<section") == 9


def test_fifty_runs_fit_in_three_megabytes(tmp_path: Path) -> None:
    records = [example(variant, seed) for seed in range(17) for variant in ("basic", "two_pool", "one_pool")]
    text = page_of(records[:50], tmp_path)
    assert len(text.encode()) <= 3_000_000
    assert "24 of 150 models are drawn" in text


_MANY = """
import sys
from pathlib import Path
from mlbench.records.collection import RecordFiles
from mlbench.reports.html import HtmlReport
HtmlReport().write(RecordFiles([Path(sys.argv[1])]), Path(sys.argv[2]))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) * 1024)
"""


def test_five_hundred_records_stay_in_500_megabytes(tmp_path: Path) -> None:
    text = example("two_pool", bursts=20).model_dump_json()
    for number in range(500):
        folder = tmp_path / "runs" / f"run-{number:03}"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", _MANY, str(tmp_path / "runs"), str(tmp_path / "r.html")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) <= 500e6


def test_the_command_writes_the_page_and_says_where(tmp_path: Path) -> None:
    write_record(example(), tmp_path / "runs" / "one" / "record.json")
    target = tmp_path / "out.html"
    done = CliRunner().invoke(
        cli, ["report", str(tmp_path / "runs"), "-o", str(target)], catch_exceptions=False
    )
    assert done.output.strip() == f"Report: {target}"
    assert target.stat().st_size > 100_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ('{"schema_version": 1, "mlbench_ver', "truncated"),
        ('{"schema_version": 99}', "update mlbench"),
        ("[1, 2]", "not a record"),
        ('{"schema_version": 1, "artifacts": NaN}', "not"),
    ],
)
def test_what_is_not_a_record_is_refused_in_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(UsageError, match=said):
        page_of(list(RecordFiles([tmp_path])), tmp_path)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("measurements", 0, "network", "samples_ms"), [], "measurements.0.network.samples_ms"),
        (("budgets", 0, "limit"), 0, "budgets.0.limit"),
    ],
)
def test_figures_that_no_page_can_be_made_of_are_named(
    place: tuple[str | int, ...], value: object, said: str
) -> None:
    raw = json.loads(example().model_dump_json())
    *way, last = place
    functools.reduce(operator.getitem, way, raw)[last] = value
    with pytest.raises(UsageError, match=re.escape(said)):
        parse_record(json.dumps(raw), "record.json")


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no record"):
        RecordFiles([tmp_path])
