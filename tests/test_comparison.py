"""Comparing records: what is said, what is refused, what fails a build."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mlbench.cli import cli
from mlbench.cli.comparison_table import show
from mlbench.errors import UsageError
from mlbench.evaluation.between_runs import Comparison, Line, compare, compare_within, parse_condition
from mlbench.evaluation.within_run import differences_of
from mlbench.records import Device, Groups, Interval, Memory, Record, Timing, write_record
from tests.latency_noise import CALM, measured
from tests.reports.example_records import HOST, PHONE, example, of_classes, with_failure

RECORD = example("basic", bursts=20)
LANDMARKS = RECORD.task.metrics
MAE = LANDMARKS[0]
CLASSES = of_classes()
TOP1 = CLASSES.task.metrics


def with_latencies(record: Record, ratios: dict[str, float], seed: int = 0) -> Record:
    """The record with calm latencies; each model takes its ratio of 2 ms, all rounds interleaved."""
    rng = np.random.default_rng(seed)

    def timing(model: str) -> Timing:
        return measured(CALM, ratios.get(model, 1.0), rng)[0]

    changed = tuple(m.model_copy(update={"network": timing(m.artifact)}) for m in record.measurements)
    return record.model_copy(update={"measurements": changed})


def with_other_file(record: Record, model: str) -> Record:
    """The record, but with another file for one model."""
    changed = tuple(
        a.model_copy(update={"sha256": "9" * 64}) if a.id == model else a for a in record.artifacts
    )
    return record.model_copy(update={"artifacts": changed})


def on_machine(record: Record, cores: str) -> Record:
    device = HOST.model_copy(update={"details": HOST.details | {"cores": cores}})
    return record.model_copy(update={"devices": (device,)})


def line(found: Comparison, model: str, quantity: str) -> Line:
    return next(row for row in found.lines if (row.model, row.quantity) == (model, quantity))


def test_a_record_against_itself_is_the_same_in_all() -> None:
    copy = RECORD.model_copy()
    assert {row.said for row in compare(RECORD, copy).lines} == {"same"}


def test_interleaved_files_of_one_record_are_told_apart() -> None:
    found = compare_within(with_latencies(RECORD, {"basic · svd": 0.8}), 0, 1)
    told = line(found, "basic · none → basic · svd", "p50")
    assert told.said == "faster"
    assert told.change.low < -0.2 + 0.04 < told.change.high + 0.08
    assert told.confidence == 0.99


def test_a_slower_file_of_a_later_run_is_found_relative_to_the_file_that_both_hold() -> None:
    before = with_latencies(RECORD, {}, seed=1)
    # The machine of the later run is half as fast throughout; the new svd is a fifth slower besides.
    after = with_latencies(
        RECORD, dict.fromkeys((a.id for a in RECORD.artifacts), 2.0) | {"basic · svd": 2.4}, seed=2
    )
    found = compare(before, with_other_file(after, "basic · svd"))
    told = line(found, "basic · svd", "p50")
    assert told.said == "slower"
    assert told.change.low < 0.2 < told.change.high
    assert any("relative to basic · none" in note for note in found.notes)


def test_the_same_file_is_never_called_slower_for_the_machines_sake() -> None:
    slower = with_latencies(RECORD, dict.fromkeys((a.id for a in RECORD.artifacts), 3.0))
    found = compare(with_latencies(RECORD, {}), slower)
    assert line(found, "basic · svd", "p50").said == "same"
    assert any("is the machine's" in note for note in found.notes)


def _all_other_files(record: Record) -> Record:
    changed = tuple(a.model_copy(update={"sha256": f"{i:064}"}) for i, a in enumerate(record.artifacts))
    return record.model_copy(update={"artifacts": changed})


def test_latencies_of_other_times_without_a_common_file_are_refused_unless_asked_for() -> None:
    other = _all_other_files(RECORD)
    found = compare(RECORD, other)
    assert "--measure" in found.refusals["p50"]
    assert not [row for row in found.lines if row.quantity == "p50"]
    asked = compare(RECORD, other, anyway=True)
    assert [row for row in asked.lines if row.quantity == "p50"]
    assert any("different times" in note for note in asked.notes)


def test_other_machines_are_refused_with_the_reason_unless_asked_for() -> None:
    other = on_machine(RECORD, "64")
    found = compare(RECORD, other)
    assert "cores 2 and 64" in found.refusals["p50"]
    assert [row for row in found.lines if row.quantity == "mae"], "metrics do not depend on the machine"
    assert any("different machines" in note for note in compare(RECORD, other, anyway=True).notes)


def test_a_reason_that_holds_for_all_models_is_given_once() -> None:
    device = HOST.model_copy(update={"threads": 4, "details": HOST.details | {"cores": "64"}})
    told = compare(RECORD, RECORD.model_copy(update={"devices": (device,)})).refusals["p50"]
    assert told.count("cores 2 and 64") == told.count("threads 1 and 4") == 1


def test_metrics_on_other_samples_are_refused() -> None:
    other = RECORD.model_copy(update={"test_sets": {"test": "ef" * 32}})
    assert "differ" in compare(RECORD, other).refusals["mae"]


def test_metrics_are_compared_sample_by_sample() -> None:
    found = compare_within(RECORD, 0, 2)
    assert line(found, "basic · none → basic · svd+int8", "mae").said == "worse"


def _by_person(record: Record, *, told: bool) -> Record:
    """The record with an svd that is 0.1 px better on six samples of one person, the same on six other persons."""
    base = np.ones(12)
    svd = base - 0.1 * np.array([1] * 6 + [0] * 6)
    changed = tuple(
        s.model_copy(update={"per_sample": tuple(svd if s.artifact == "basic · svd" else base)})
        for s in record.scores
    )
    groups = Groups(of_sample=(0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6), unit="person")
    return record.model_copy(update={"scores": changed, "groups": {"test": groups} if told else {}})


def test_metrics_of_two_records_resample_the_persons_that_either_tells() -> None:
    old, new = _by_person(RECORD, told=False), _by_person(RECORD, told=True)
    before = old.model_copy(
        update={
            "scores": tuple(s.model_copy(update={"per_sample": (1.0,) * 12}) for s in old.scores),
        }
    )
    by_sample = line(compare(before, old), "basic · svd", "mae")
    assert (by_sample.said, by_sample.over) == ("better", "12 samples, groups unknown")
    for left, right in ((before, new), (before.model_copy(update={"groups": new.groups}), old)):
        by_person = line(compare(left, right), "basic · svd", "mae")
        assert (by_person.said, by_person.over) == ("cannot tell", "7 persons")
        assert by_person.change.value == pytest.approx(by_sample.change.value)


def test_metrics_of_one_record_resample_persons() -> None:
    found = compare_within(_by_person(RECORD, told=True), 0, 1)
    assert line(found, "basic · none → basic · svd", "mae").said == "cannot tell"
    record = _by_person(RECORD, told=True)
    said = {
        row.artifact: row.verdict
        for row in differences_of("basic · none", MAE, [], record.scores, record.groups, 7)
    }
    assert said["basic · svd"] == "cannot tell"
    by_sample = differences_of("basic · none", MAE, [], record.scores, {}, 7)
    assert {row.artifact: row.verdict for row in by_sample}["basic · svd"] == "better"


def test_the_table_says_what_an_interval_resamples() -> None:
    out = StringIO()
    show(compare(RECORD, RECORD.model_copy()), Console(file=out, width=300))
    assert "95 % over 9 persons" in out.getvalue()


def test_records_without_a_common_model_are_refused() -> None:
    with pytest.raises(UsageError, match="share no model"):
        compare(RECORD, example("two_pool"))


@pytest.mark.parametrize(
    ("text", "quantity", "limit"),
    [
        ("p50 > 5%", "p50", 0.05),
        (" size>0% ", "size", 0.0),
        ("mae > 0.05px", "mae", 0.05),
        ("memory > -1.5%", "memory", -0.015),
    ],
)
def test_conditions_are_read(text: str, quantity: str, limit: float) -> None:
    condition = parse_condition(text, LANDMARKS)
    assert (condition.quantity.name, condition.limit) == (quantity, limit)


@pytest.mark.parametrize(
    "text", ["", "p50", "p50 > five%", "p50 > 5ms", "p51 > 5%", "size > 5px", "p50 < 5%", "p50 > 5% or so"]
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_condition(text, LANDMARKS)


_CHANGES = st.floats(-0.9, 0.9).map(lambda value: round(value, 3))


@given(
    _CHANGES,
    _CHANGES,
    st.floats(0, 0.5),
    st.sampled_from([("p50", "%"), ("size", "%"), ("mae", "px"), ("mae", "%")]),
)
def test_a_condition_is_broken_by_a_shown_change_above_its_limit(
    limit: float, value: float, half: float, what: tuple[str, str]
) -> None:
    quantity, unit = what
    base, metric = 2.0, MAE if quantity == "mae" else None
    number = 100 * limit if unit == "%" else limit
    condition = parse_condition(f"{quantity} > {number:.6f} {unit}", LANDMARKS)
    change = value * base if what == ("mae", "%") else value
    interval = Interval(value=change, low=change - half, high=change + half)
    found = Comparison(
        [Line("a", quantity, "host", base, base, interval, 0.95, "cannot tell", metric=metric)]
    )
    above = round(value - limit, 3) > 0
    shown = change - half > 0
    if round(value - limit, 3) == 0:
        return  # on the limit, rounding decides
    assert bool(condition.broken_by(found)) == (above and (shown or limit < 0))


@pytest.mark.parametrize(("limit", "code"), [("-10%", 0), ("-30%", 1)])
def test_an_improvement_can_be_demanded(limit: str, code: int, tmp_path: Path) -> None:
    """The new file is a fifth faster, no less and no more."""
    write_record(with_latencies(RECORD, {}, seed=1), tmp_path / "a" / "record.json")
    after = with_other_file(with_latencies(RECORD, {"basic · svd": 0.8}, seed=2), "basic · svd")
    write_record(after, tmp_path / "b" / "record.json")
    arguments = ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--fail-if", f"p50 > {limit}"]
    done = CliRunner().invoke(cli, arguments)
    broken = [text for text in done.stderr.splitlines() if "basic · svd changed by -" in text]
    assert len(broken) == code


def test_metrics_of_a_perfect_baseline_are_no_division_by_zero() -> None:
    nothing = Interval(value=0.0, low=0.0, high=0.0)
    more = Interval(value=0.1, low=0.05, high=0.15)
    for change, broken in ((nothing, False), (more, True)):
        found = Comparison([Line("a", "mae", "test", 0.0, change.value, change, 0.95, "same", metric=MAE)])
        assert bool(parse_condition("mae > 5%", LANDMARKS).broken_by(found)) == broken


def test_memory_above_nothing_is_refused_not_the_same() -> None:
    def with_peak(record: Record, peak: int) -> Record:
        memory = Memory(baseline_bytes=10, loaded_bytes=10, peak_bytes=peak)
        rows = tuple(m.model_copy(update={"memory": memory}) for m in record.measurements)
        return record.model_copy(update={"measurements": rows})

    found = compare(with_peak(RECORD, 10), with_peak(RECORD, 5000))
    assert "took none" in found.refusals["memory"]
    assert {row.said for row in compare(with_peak(RECORD, 10), with_peak(RECORD, 10)).lines} == {"same"}


def test_too_few_rounds_are_a_refusal_that_says_how_many_are_needed() -> None:
    few = example("basic", bursts=5)
    assert "5 rounds are too few for an interval (8 are needed)" in compare_within(few, 0, 1).refusals["p50"]


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("top1 > 1pp", True),  # a third of the answers became wrong
        ("top1 > 40pp", False),
        ("top1 > -1pp", True),
        ("top1 > 0pp", True),
    ],
)
def test_where_higher_is_better_a_loss_is_what_breaks_a_condition(text: str, broken: bool) -> None:
    found = compare_within(CLASSES, 0, 2)
    assert line(found, "tiny · none → tiny · svd+int8", "top1").said == "worse"
    assert bool(parse_condition(text, TOP1).broken_by(found)) == broken
    back = compare_within(CLASSES, 2, 0)
    assert line(back, "tiny · svd+int8 → tiny · none", "top1").said == "better"
    assert not parse_condition(text, TOP1).broken_by(back)


def test_a_table_tells_a_metric_in_its_unit() -> None:
    out = StringIO()
    show(compare_within(CLASSES, 0, 2), Console(file=out, width=300))
    assert "83.33 %" in out.getvalue()
    assert "-33.33 pp (-70.00 to -7.69, 95 % over 9 recordings)" in out.getvalue()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("top1 > 1%", "which has pp"),
        ("top1 > 1", "which has pp"),
        ("macro_f1 > 1pp", "only top1 is compared"),
        ("top2 > 1pp", 'did you mean "top1"'),
        ("mae > 1px", "there are: top1, size, memory, p50"),
        ("top1 < 1pp", 'write e.g. "p50 > 5%", "size > 0%" or "top1 > 1pp"'),
        ("size > +1KB", "size changes by %"),
    ],
)
def test_a_condition_of_another_unit_or_metric_says_what_it_may_be(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_condition(text, TOP1)
    assert said in str(refused.value)


def test_metrics_of_different_tasks_are_refused() -> None:
    other = RECORD.task.model_copy(update={"name": "other"})
    found = compare(RECORD, RECORD.model_copy(update={"task": other}))
    assert "the tasks differ (landmarks by mae, and other by mae)" in found.refusals["mae"]
    assert {row.quantity for row in found.lines} == {"size", "memory", "p50"}
    assert "and none" in compare(RECORD, RECORD.model_copy(update={"task": None})).refusals["mae"]


def test_records_of_nothing_tested_are_compared_in_what_they_have() -> None:
    bare = RECORD.model_copy(update={"task": None, "scores": (), "differences": ()})
    found = compare(bare, bare.model_copy())
    assert not found.refusals
    assert {row.quantity for row in found.lines} == {"size", "memory", "p50"}


def test_a_condition_about_what_was_refused_is_an_error_not_a_pass() -> None:
    found = compare(RECORD, on_machine(RECORD, "64"))
    with pytest.raises(UsageError, match="machines differ"):
        parse_condition("p50 > 5%", LANDMARKS).broken_by(found)


def without(record: Record, model: str) -> Record:
    """The record, as if this model's chain had been refused."""
    kept: dict[str, object] = {"artifacts": tuple(a for a in record.artifacts if a.id != model)}
    for part in ("measurements", "scores"):
        kept[part] = tuple(row for row in getattr(record, part) if row.artifact != model)
    return record.model_copy(update=kept)


@pytest.mark.parametrize("condition", ["p50 > 5%", "memory > 10%", "mae > 0.05px"])
def test_a_candidate_that_does_not_run_fails_no_condition_and_passes_none(condition: str) -> None:
    found = compare(RECORD, with_failure(RECORD))
    assert [row for row in found.lines if row.quantity == parse_condition(condition, LANDMARKS).quantity.name]
    with pytest.raises(UsageError, match=r"basic · none did not run on host \(out of memory\)\.$"):
        parse_condition(condition, LANDMARKS).broken_by(found)
    parse_condition("size > 0%", LANDMARKS).broken_by(found)


@pytest.mark.parametrize("condition", ["size > 0%", "p50 > 5%", "memory > 10%", "mae > 0.05px"])
def test_a_model_that_the_candidate_lacks_is_an_error_not_a_pass(condition: str) -> None:
    found = compare(RECORD, without(RECORD, "basic · svd"))
    with pytest.raises(UsageError, match="basic · svd is missing from the candidate"):
        parse_condition(condition, LANDMARKS).broken_by(found)


def test_what_the_baseline_lacks_or_could_not_run_is_no_refusal() -> None:
    assert not compare(without(RECORD, "basic · svd"), RECORD).refusals
    assert not compare(with_failure(RECORD), RECORD).refusals


def test_a_device_or_test_set_that_the_candidate_lacks_is_an_error_not_a_pass() -> None:
    found = compare(example("basic", devices=(HOST, PHONE)), example("basic"))
    assert "basic · svd was not measured on emulator-5554" in found.refusals["p50"]
    more = RECORD.scores[0].model_copy(update={"test_set": "others"})
    found = compare(RECORD.model_copy(update={"scores": (*RECORD.scores, more)}), RECORD)
    assert 'basic · none was not tested on "others"' in found.refusals["mae"]
    with pytest.raises(UsageError, match="not tested"):
        parse_condition("mae > 0.05px", LANDMARKS).broken_by(found)


def test_one_set_of_other_samples_is_an_error_though_another_is_equal() -> None:
    more = tuple(scores.model_copy(update={"test_set": "others"}) for scores in RECORD.scores)
    both = RECORD.model_copy(update={"scores": (*RECORD.scores, *more)})
    prints = {"test": "cd" * 32, "others": "12" * 32}
    found = compare(
        both.model_copy(update={"test_sets": prints}),
        both.model_copy(update={"test_sets": prints | {"test": "ef" * 32}}),
    )
    assert [row for row in found.lines if row.quantity == "mae"]
    with pytest.raises(UsageError, match='samples of "test" differ'):
        parse_condition("mae > 0.05px", LANDMARKS).broken_by(found)


@pytest.mark.parametrize(("limit", "code"), [("5%", 1), ("60%", 0)])
def test_the_exit_code_says_whether_a_condition_was_broken(limit: str, code: int, tmp_path: Path) -> None:
    before = with_latencies(RECORD, {}, seed=1)
    after = with_other_file(with_latencies(RECORD, {"basic · svd": 1.4}, seed=2), "basic · svd")
    write_record(before, tmp_path / "a" / "record.json")
    write_record(after, tmp_path / "b" / "record.json")
    done = CliRunner().invoke(
        cli, ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--fail-if", f"p50 > {limit}", "--json"]
    )
    assert done.exit_code == code
    lines = json.loads(done.stdout)["lines"]
    told = next(row for row in lines if (row["model"], row["quantity"]) == ("basic · svd", "p50"))
    assert told["said"] == "slower"


def test_networks_are_not_records(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["compare", str(tmp_path / "a.tflite"), str(tmp_path / "b.tflite")])
    assert isinstance(done.exception, UsageError)
    assert "--measure" in str(done.exception)


def test_devices_without_details_differ_by_name_alone() -> None:
    device = Device(id="host", runner="host", name="A", threads=1)
    one = RECORD.model_copy(update={"devices": (device,)})
    two = RECORD.model_copy(update={"devices": (device.model_copy(update={"name": "B"}),)})
    assert "device A and B" in compare(one, two).refusals["p50"]
