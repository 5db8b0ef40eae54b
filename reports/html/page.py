"""The page: sections in order, one script of the charting library, a policy that lets nothing else run or load."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from mlbench import __version__
from mlbench.records import Record, facts_told
from mlbench.reports.html import layers, paper, samples, verdict
from mlbench.reports.html.charts import Chart
from mlbench.reports.html.curves import curve_charts
from mlbench.reports.html.digest import Digest
from mlbench.reports.html.rows import Column, Row, change_told, columns_of
from mlbench.reports.html.speed import speed_charts
from mlbench.reports.html.tradeoff import tradeoff_charts
from mlbench.reports.paper_results import PAPER_DETECTOR_FPS
from mlbench.system.sizes import format_size

#: A string of a record that is longer is cut where it is shown; the record keeps it whole.
_LONGEST = 300


def render(digest: Digest) -> str:
    """The whole page as text."""
    charts = {
        "tradeoffs": tradeoff_charts(digest),
        "points": samples.point_chart(digest),
        "speed": speed_charts(digest),
        "layers": layers.layer_charts(digest),
        "curves": curve_charts(digest),
    }
    columns = columns_of(digest.rows, digest.metrics)
    return filled(
        "page.html.j2",
        [chart for group in charts.values() for chart in group],
        [_plain(row, columns) for row in digest.rows],
        digest=digest,
        selection=digest.selection,
        charts=charts,
        headline=verdict.headline(digest),
        badges=verdict.badges(digest),
        columns=columns,
        hidden=[not column.starts_shown(digest.rows) for column in columns],
        table=[_cells(row, columns) for row in digest.rows],
        paper=paper.paper_rows(digest),
        detector_fps=PAPER_DETECTOR_FPS,
        metric=_metric,
        told=change_told,
        changes=layers.layer_changes(digest),
        runs=[_provenance(record) for record in digest.runs],
        sampled=any(record.data is not None and record.data.sampled for record in digest.runs),
    )


def filled(template: str, drawn: Sequence[Chart], rows: Sequence[Any], **told: Any) -> str:
    """A page from its template, with what every page has: style, scripts that draw, and the policy.

    Args:
        template: a file beside this one.
        drawn: all charts of the page.
        rows: of its table, as JSON values, for scripts of a user's own.
        told: what this page alone tells.
    """
    scripts = [_charting_library(), _file("page.js")]
    return (
        _environment()
        .get_template(template)
        .render(
            version=__version__,
            style=Markup(_file("page.css")),  # noqa: S704 (our own file)
            scripts=[Markup(script) for script in scripts],  # noqa: S704 (our own file and the library's)
            policy=_policy_of(scripts),
            specs=_safe_json({chart.id: chart.spec for chart in drawn}),
            rows=_safe_json(rows),
            **told,
        )
    )


@lru_cache
def _charting_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, as vl-convert carries them."""
    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    if "</script" in script.lower():
        message = (
            "vl-convert's script holds a closing script tag and would break the page: pin another version."
        )
        raise RuntimeError(message)
    return script


def _environment() -> jinja2.Environment:
    """What renders the pages' templates."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_file),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"size": format_size, "cut": _cut, "facts": facts_told, "dots": samples.dots}
    return environment


def _file(name: str) -> str:
    return resources.files("mlbench.reports.html").joinpath(name).read_text(encoding="utf-8")


def _policy_of(scripts: list[str]) -> str:
    """Content security policy: only these very scripts run (by hash), and nothing is requested from anywhere.

    Vega compiles its expressions, hence unsafe-eval; no text of a record becomes an expression.
    """
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed} 'unsafe-eval'"


def _safe_json(value: Any) -> Markup:
    """JSON that may stand inside a script element: nothing in it can close the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 (escaped above)


def _cut(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"


def _metric(row: Row, name: str) -> float | None:
    found = row.metrics.get(name)
    return None if found is None else found.value


def _plain(row: Row, columns: list[Column]) -> dict[str, Any]:
    values = {"created": row.created, "model": row.model} | {c.name: c.value(row) for c in columns}
    return {name: _cut(value) if isinstance(value, str) else value for name, value in values.items()}


def _cells(row: Row, columns: list[Column]) -> list[tuple[Column, Any, str]]:
    """Column, value, and the value as text, of one row of the table."""
    cells = []
    for column in columns:
        value = column.value(row)
        text = "–" if value in (None, "") else _cut(value) if isinstance(value, str) else column.write(value)
        cells.append((column, value, text))
    return cells


def _provenance(record: Record) -> dict[str, Any]:
    """What section 9 shows of a run."""
    return {
        "record": record,
        "command": shlex.join(record.command),
        "configuration": json.dumps(record.configuration, indent=1, ensure_ascii=False, default=str),
        "title": f"{record.artifacts[0].variant}, {record.created}" if record.artifacts else record.created,
    }
