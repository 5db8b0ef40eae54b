"""Records of both schemas: what they hold stays what it was, and what is no record is refused in one sentence."""

from __future__ import annotations

import copy
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from mlbench.errors import UsageError
from mlbench.records import Record, parse_record, read_record
from mlbench.reports.terminal import show

GOLDEN = Path(__file__).parent / "reports" / "golden"
FIRST = json.loads((GOLDEN / "record.json").read_text(encoding="utf-8"))
RECORD = read_record(GOLDEN / "record.json")


@pytest.mark.parametrize("name", ["record-2", "record-2-classes"])
def test_a_record_is_written_as_it_was_read(name: str) -> None:
    text = (GOLDEN / f"{name}.json").read_text(encoding="utf-8")
    assert json.loads(parse_record(text, name).model_dump_json()) == json.loads(text)


def test_figures_of_the_first_schema_are_kept() -> None:
    names = {"mae": "mae_px", "rmse": "rmse_px"}
    assert RECORD.task is not None
    for old, new in zip(FIRST["errors"], RECORD.scores, strict=True):
        assert [new.artifact, new.device, new.test_set] == [old["artifact"], old["device"], old["test_set"]]
        assert (new.samples, list(new.per_sample)) == (old["faces"], old["by_face_mae_px"])
        assert list(new.details["by_landmark_px"]) == old["by_landmark_px"]
        for metric in RECORD.task.metrics:
            assert new.metrics[metric.name].model_dump() == old[names.get(metric.name, metric.name)]
    for old, measured in zip(FIRST["measurements"], RECORD.measurements, strict=True):
        assert {name: timing.p50_ms for name, timing in measured.parts.items()} == {
            part: old[part]["p50_ms"] for part in ("detector", "both") if old.get(part)
        }
        assert (measured.found, measured.frames) == (old.get("faces_found"), old.get("frames"))
    for model, stages in FIRST["stages"].items():
        for old, stage in zip(stages, RECORD.stages[model], strict=True):
            assert stage.validation == old["validation_mae_px"]
            assert stage.validation_before_tuning == old["validation_mae_before_tuning_px"]
            assert [epoch.validation["rmse"] for epoch in stage.history] == [
                epoch["validation_rmse_px"] for epoch in old["history"]
            ]
    for old, face in zip(FIRST["gallery"]["chosen"], RECORD.gallery.chosen, strict=True):
        assert [list(point) for point in face.truth_points] == old["truth"]
        assert {k: [list(p) for p in v] for k, v in face.answer_points.items()} == old["predictions"]
    assert [row.quantity for row in RECORD.differences] == [
        row["quantity"].replace("mae_px", "mae") for row in FIRST["differences"]
    ]
    assert [verdict.value for verdict in RECORD.budgets] == [row["value"] for row in FIRST["budgets"]]


def test_what_was_migrated_is_read_again_as_it_is() -> None:
    assert parse_record(RECORD.model_dump_json(), "migrated") == RECORD


def test_persons_of_the_first_schema_are_groups() -> None:
    persons = list(range(FIRST["errors"][0]["faces"]))
    raw = FIRST | {"persons": {FIRST["errors"][0]["test_set"]: {"of_face": persons}}}
    (groups,) = parse_record(json.dumps(raw), "persons").groups.values()
    assert (groups.of_sample, groups.unit) == (tuple(persons), "person")


def test_a_newer_record_is_refused_with_its_version() -> None:
    for older in (FIRST, json.loads(RECORD.model_dump_json())):
        with pytest.raises(UsageError, match="schema version 3, this mlbench reads up to 2: update mlbench"):
            parse_record(json.dumps(older | {"schema_version": 3}), "newer")


def test_a_fault_of_an_old_record_names_the_schema_or_the_place() -> None:
    with pytest.raises(UsageError, match="does not hold what schema version 1 does"):
        parse_record(json.dumps(FIRST | {"errors": 5}), "old")
    without = FIRST | {"errors": [{k: v for k, v in FIRST["errors"][0].items() if k != "nme"}]}
    with pytest.raises(UsageError, match=r"scores\.0\.metrics\.nme"):
        parse_record(json.dumps(without), "old")


@pytest.mark.parametrize("part", ["measurements", "scores", "differences", "budgets"])
def test_a_row_about_what_the_record_does_not_hold_is_named(part: str) -> None:
    raw = json.loads(RECORD.model_dump_json())
    raw[part][0]["artifact"] = "another"
    with pytest.raises(UsageError, match='about "another", which is no artifact or device'):
        parse_record(json.dumps(raw), "odd")


def test_numbers_that_no_table_can_hold_are_refused() -> None:
    raw = json.loads(RECORD.model_dump_json())
    raw["artifacts"][0]["macs"] = 10**400
    with pytest.raises(UsageError, match=r"artifacts\.0\.macs"):
        parse_record(json.dumps(raw), "odd")


def _places(value: Any, way: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to every value in a JSON value; of long lists the first two."""
    inner: list[tuple[str | int, Any]] = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value[:2]))
        if isinstance(value, list)
        else []
    )
    return [(*way, key) for key, _ in inner] + [
        place for key, part in inner for place in _places(part, (*way, key))
    ]


def _small(record: dict[str, Any]) -> dict[str, Any]:
    """Without most of its pictures, which take most of the time."""
    small = copy.deepcopy(record)
    small["gallery"]["chosen"] = small["gallery"]["chosen"][:1]
    small["gallery"]["worst"] = {}
    return small


OLD = _small(FIRST)
NEW = json.loads(parse_record(json.dumps(OLD), "small").model_dump_json())
_JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.just([{}]),
    st.just([[1]]),
    st.just({"value": 1}),
    st.just(10**400),
)


def _changed(record: dict[str, Any], place: tuple[str | int, ...], value: Any) -> str:
    """The record's JSON with another value at a place; ... takes it out."""
    raw = copy.deepcopy(record)
    at: Any = raw
    for key in place[:-1]:
        at = at[key]
    if value is ...:
        del at[place[-1]]
    else:
        at[place[-1]] = value
    return json.dumps(raw)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([(OLD, place) for place in _places(OLD)] + [(NEW, place) for place in _places(NEW)]),
    st.one_of(st.just(...), _JUNK),
)
def test_a_damaged_record_is_a_record_that_can_be_shown_or_one_sentence(
    chosen: tuple[dict[str, Any], tuple[str | int, ...]], value: Any
) -> None:
    try:
        record = parse_record(_changed(*chosen, value), "damaged")
    except UsageError as error:
        assert len(str(error)) < 5000
        return
    assert isinstance(record, Record)
    show(record, Console(file=StringIO(), width=200))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{}", "null", '{"schema_version": 1}', '{"schema_version": [1]}', "1e999", '"1"']
)
def test_what_is_no_record_at_all_is_one_sentence(text: str) -> None:
    with pytest.raises(UsageError):
        parse_record(text, "odd")
