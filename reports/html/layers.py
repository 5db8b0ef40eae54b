"""Section 7: where the parameters and the arithmetic are, before and after."""

from __future__ import annotations

import re
from dataclasses import dataclass

import altair as alt

from mlbench.records import LayerChange
from mlbench.reports.html.charts import Chart, Values, chosen, colour, finish, inline, log_axis, picker
from mlbench.reports.html.digest import Digest

_FACTOR = re.compile(r"(_[a-z]+\d*)+$")  # dense1_a, dense1_core and dense1_buckets are what dense1 became
_BEFORE, _AFTER = "baseline", "this model"


@dataclass(frozen=True)
class Change:
    """One line of the table: what a step did to a layer of a model."""

    model: str
    step: str
    change: LayerChange


def layer_changes(digest: Digest) -> list[Change]:
    """What each compressor did, layer by layer, for the models shown in full."""
    return [
        Change(digest.selection.label(key), stage.name, change)
        for key in digest.selection.shown
        if key in digest.layers
        for stage in digest.layers[key].stages
        for change in stage.changes
    ]


def layer_charts(digest: Digest) -> list[Chart]:
    """Parameters and multiply-accumulates a layer; the reader picks the model."""
    values = _values(digest)
    if not values:
        return []
    return [
        _chart(values, "parameters", "Parameters, layer by layer", "layer-parameters"),
        _chart(values, "macs", "Multiply-accumulates, layer by layer", "layer-macs"),
    ]


def _values(digest: Digest) -> Values:
    values: Values = []
    keys = [key for key in digest.selection.shown if digest.layers.get(key) and digest.layers[key].after]
    winner = digest.selection.winner
    keys.sort(key=lambda key: winner is None or key != (winner.run, winner.model))
    for key in keys:
        table = digest.layers[key]
        for which, layers in ((_BEFORE, table.before), (_AFTER, table.after)):
            for layer, (parameters, macs) in folded(layers).items():
                row = {"model": digest.selection.label(key), "which": which, "layer": layer}
                values.append(row | {"parameters": parameters, "macs": macs})
    return values


def folded(layers: list[tuple[str, int, int]]) -> dict[str, tuple[int, int]]:
    """Factors of one layer added up under its name, so that before and after meet on one line."""
    sums: dict[str, tuple[int, int]] = {}
    for name, parameters, macs in layers:
        whole = _FACTOR.sub("", name)
        had = sums.get(whole, (0, 0))
        sums[whole] = (had[0] + parameters, had[1] + macs)
    return sums


def _chart(values: Values, field: str, title: str, name: str) -> Chart:
    known = [value for value in values if value[field]]
    models = list(dict.fromkeys(value["model"] for value in known))
    layers = list(dict.fromkeys(value["layer"] for value in known))
    x = log_axis(alt.X, field, title.split(",")[0].lower(), "~s", padding=16)
    base = (
        alt.Chart(inline(known))
        .add_params(picker("model", "Model ", models))
        .transform_filter(chosen("model"))
    )
    y = alt.Y("layer:N", title=None, sort=layers)
    tips = [alt.Tooltip("layer:N"), alt.Tooltip("which:N", title="of"), alt.Tooltip(f"{field}:Q", format=",")]
    line = base.mark_line(color="var(--muted)", aria=False).encode(x=x, y=y, detail="layer:N")
    dots = base.mark_point(size=110, filled=True, opacity=1).encode(
        x=x,
        y=y,
        color=colour("which", [_BEFORE, _AFTER], "of"),
        shape=alt.Shape(
            "which:N", title="of", scale=alt.Scale(domain=[_BEFORE, _AFTER], range=["circle", "diamond"])
        ),
        tooltip=tips,
    )
    first = [value for value in known if value["model"] == models[0]]
    sums = {which: sum(v[field] for v in first if v["which"] == which) for which in (_BEFORE, _AFTER)}
    text = f"{models[0]}: {sums[_BEFORE]:,} before, {sums[_AFTER]:,} after. Factors of a layer are added up."
    return finish(alt.layer(line, dots), name, title, text, height=28 * len(layers) + 20)
