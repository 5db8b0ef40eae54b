"""The page in a browser: no complaint, no request, and everything on it works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlbench.records import Record, read_record
from mlbench.reports.html import HtmlReport
from tests.reports.browser import Visit, photograph, started, visit
from tests.reports.example_records import HOST, PHONE, example
from tests.reports.test_html import _hostile

RECORDS = Path(__file__).parents[2] / "docs" / "records"
#: Pictures of every section, for people to look at; ignored by git.
PICTURES = Path(__file__).parents[2] / "runs" / "report-pictures"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def report(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = [example("basic", 1, (HOST, PHONE)), example("two_pool", 2, (HOST, PHONE))]
    path = tmp_path_factory.mktemp("report") / "report.html"
    HtmlReport().write(records, path)
    return path


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of all records of the documentation."""
    path = tmp_path_factory.mktemp("many") / "report.html"
    HtmlReport().write([read_record(record) for record in sorted(RECORDS.glob("*.json"))], path)
    return path


@pytest.fixture(scope="module")
def seen(browser: Any, report: Path) -> Iterator[Visit]:
    with visit(browser, report) as opened:
        yield opened


def test_no_complaint_and_no_request(seen: Visit, report: Path) -> None:
    assert seen.complaints == []
    assert [url for url in seen.requests if not url.startswith("data:")] == [report.resolve().as_uri()]


_CUT_LEGENDS = """() => [...document.querySelectorAll("[data-chart] svg")].flatMap(svg => {
  const frame = svg.getBoundingClientRect();
  return [...svg.querySelectorAll(".role-legend-label text")]
    .filter(text => text.getBoundingClientRect().bottom > frame.bottom + 1)
    .map(text => text.textContent);
})"""


@pytest.mark.parametrize("widths", [(390,), (1200, 700)])
def test_legends_of_many_models_are_whole(browser: Any, many: Path, widths: tuple[int, ...]) -> None:
    with visit(browser, many, widths[0]) as opened:
        assert opened.page.evaluate(_CUT_LEGENDS) == []
        for width in widths[1:]:
            opened.page.set_viewport_size({"width": width, "height": 900})
            opened.page.wait_for_timeout(2000)
            assert opened.page.evaluate(_CUT_LEGENDS) == []


def test_every_chart_is_drawn_and_has_words(seen: Visit) -> None:
    charts = seen.page.query_selector_all("[data-chart]")
    assert len(charts) >= 11
    for chart in charts:
        assert chart.query_selector("svg") is not None, chart.get_attribute("id")
        marks = chart.query_selector_all(
            "[role='graphics-symbol'] path, .mark-symbol path, .mark-rect path, .mark-line path"
        )
        assert any(len(mark.get_attribute("d") or "") > 4 for mark in marks), chart.get_attribute("id")
        words = chart.evaluate(
            "e => e.closest('[aria-label]')?.ariaLabel || e.querySelector('[aria-label]')?.ariaLabel"
        )
        assert len(words) > 20


def test_text_comes_before_the_charts(seen: Visit) -> None:
    paint = seen.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    drawn = seen.page.evaluate("performance.now()")
    assert 0 < paint < drawn


def test_headings_sort_by_number_and_by_word(seen: Visit) -> None:
    page = seen.page
    page.click("#rows th:has-text('file, bytes') button")
    values = _column(seen, "file, bytes")
    assert values == sorted(values, key=float)
    page.click("#rows th:has-text('file, bytes') button")
    assert _column(seen, "file, bytes") == values[::-1]
    assert page.get_attribute("#rows th:has-text('file, bytes')", "aria-sort") == "descending"


_COLUMN = """heading => {
  const headings = [...document.querySelectorAll('#rows thead th')];
  const index = headings.findIndex(th => th.innerText.startsWith(heading));
  const rows = [...document.querySelectorAll('#rows tbody tr:not([hidden])')];
  return rows.map(row => row.cells[index].dataset.value);
}"""


def _column(seen: Visit, heading: str) -> list[str]:
    return seen.page.evaluate(_COLUMN, heading)


def test_the_filter_keeps_rows_with_all_words(seen: Visit) -> None:
    seen.page.fill("#filter", "basic int8 phone")
    shown = seen.page.query_selector_all("#rows tbody tr:not([hidden])")
    assert len(shown) == 1
    assert seen.page.inner_text("#count") == "1 of 12 rows"
    seen.page.fill("#filter", "")
    assert len(seen.page.query_selector_all("#rows tbody tr:not([hidden])")) == 12


def test_what_is_copied_holds_the_figures_in_full(seen: Visit) -> None:
    page = seen.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.fill("#filter", "basic svd phone")
    page.click("[data-copy=json]")
    page.wait_for_function("document.getElementById('count').innerText.startsWith('Copied')")
    rows = json.loads(page.evaluate("navigator.clipboard.readText()"))
    page.fill("#filter", "")
    record = example("basic", 1, (HOST, PHONE))
    expected = [m.network.p50_ms for m in record.measurements if "svd" in m.artifact and m.device == PHONE.id]
    assert sorted(row["p50_ms"] for row in rows) == sorted(expected)


def test_hovering_a_point_shows_its_row(seen: Visit) -> None:
    point = seen.page.query_selector("#tradeoff-file_bytes-mae .mark-symbol.role-mark path")
    point.scroll_into_view_if_needed()
    point.hover(force=True)
    seen.page.wait_for_selector("#vg-tooltip-element.visible")
    told = seen.page.inner_text("#vg-tooltip-element")
    assert "MAE, px" in told
    assert "file, bytes" in told


def test_choosing_a_device_changes_the_points(seen: Visit) -> None:
    before = seen.page.inner_html("#tradeoff-p50_ms-mae svg")
    seen.page.select_option(
        "#tradeoff-p50_ms-mae select[name=chosen_device]", label="Some phone (emulator-5554), 2 threads"
    )
    seen.page.wait_for_function(
        "old => document.querySelector('#tradeoff-p50_ms-mae svg').innerHTML !== old", arg=before
    )


def test_the_keyboard_reaches_headings_filter_and_buttons(seen: Visit) -> None:
    seen.page.focus("#filter")
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate("document.activeElement.dataset.copy") == "csv"
    seen.page.focus("#rows th button")
    seen.page.keyboard.press("Enter")
    assert seen.page.get_attribute("#rows th", "aria-sort") == "ascending"


def test_print_opens_what_is_closed_and_hides_tools(seen: Visit) -> None:
    seen.page.emulate_media(media="print")
    seen.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert seen.page.query_selector("details:not([open])") is None
    assert not seen.page.is_visible(".tools")
    assert len(seen.page.pdf(format="A4")) > 50_000
    seen.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    seen.page.emulate_media(media="screen")


def test_a_page_that_is_never_idle_is_drawn(browser: Any, report: Path) -> None:
    page = browser.new_page()
    page.add_init_script(
        "window.requestIdleCallback = (work, asked) => asked?.timeout && setTimeout(work, asked.timeout);"
    )
    page.goto(report.resolve().as_uri())
    page.wait_for_function("document.documentElement.dataset.charts === 'done'", timeout=120_000)
    assert page.evaluate("[...document.querySelectorAll('[data-chart]')].every(e => e.querySelector('svg'))")
    page.close()


def test_printing_waits_for_all_charts(browser: Any, report: Path) -> None:
    page = browser.new_page()
    page.add_init_script(
        "window.requestIdleCallback = () => 0;"
        "window.print = () => { window.drawn ="
        " [...document.querySelectorAll('[data-chart]')].every(e => e.querySelector('svg')); };"
    )
    page.goto(report.resolve().as_uri())
    assert page.query_selector("[data-chart] svg") is None
    page.click("#print")
    page.wait_for_function("window.drawn !== undefined", timeout=120_000)
    assert page.evaluate("window.drawn") is True
    page.close()


_SIDEWAYS = "document.querySelector('#rows').parentElement.scrollWidth"
_CLEAR = "document.querySelector('#rows').parentElement.clientWidth"


def test_the_table_fits_until_more_columns_are_chosen(browser: Any, many: Path, report: Path) -> None:
    for path in (many, report):
        with visit(browser, path) as opened:
            page = opened.page
            assert page.evaluate(f"{_SIDEWAYS} <= {_CLEAR}")
            assert not page.is_visible("#rows th:has-text('p99, ms')")
            page.click(".chooser summary")
            page.check("#columns label:has-text('p99, ms') input")
            assert page.is_visible("#rows th:has-text('p99, ms')")
            page.uncheck("#columns label:has-text('file, bytes') input")
            assert not page.is_visible("#rows th:has-text('file, bytes')")


def test_every_figure_leads_to_how_it_was_measured(seen: Visit) -> None:
    page = seen.page
    figures = page.query_selector_all("figure:has([data-chart])")
    assert all(figure.query_selector("figcaption a[href^='#how-']") for figure in figures)
    targets = set(
        page.evaluate("[...document.querySelectorAll('a[href^=\"#how-\"]')].map(e => e.getAttribute('href'))")
    )
    assert targets >= {"#how-latency", "#how-metrics", "#how-memory", "#how-size"}
    assert all(page.query_selector(f"dl.means {target}") for target in targets)
    assert page.query_selector("#rows th:has-text('p50, ms') a[href='#how-latency']")


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (360, "light")])
def test_nothing_runs_off_the_side_and_colours_follow_the_scheme(
    width: int, scheme: str, browser: Any, report: Path
) -> None:
    with visit(browser, report, width, scheme) as opened:
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        paper = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(20, 23, 26)" if scheme == "dark" else "rgb(255, 255, 255)")
        for picture in photograph(opened.page, PICTURES / f"{scheme}-{width}"):
            assert picture.stat().st_size > 3000
        assert opened.complaints == []


def test_a_hostile_record_is_text_and_nothing_else(browser: Any, tmp_path: Path) -> None:
    record: Record = _hostile(example("basic"))
    HtmlReport().write([record], tmp_path / "report.html")
    with visit(browser, tmp_path / "report.html") as opened:
        assert opened.page.title().startswith("mlbench: ")
        assert opened.complaints == []
        assert opened.page.query_selector("img") is None
        assert len(opened.page.query_selector_all("section")) == 9


def test_without_javascript_every_figure_is_in_the_tables(browser: Any, report: Path) -> None:
    with visit(browser, report, script=False) as opened:
        assert len(opened.page.query_selector_all("#rows tbody tr")) == 12
        assert opened.page.is_visible("noscript")
