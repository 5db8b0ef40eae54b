"""Budgets: how they are written, and who keeps them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.errors import UsageError
from mlbench.evaluation.budgets import parse_budget, verdicts_of
from mlbench.records import (
    Artifact,
    BudgetVerdict,
    Failure,
    Interval,
    Measurement,
    Memory,
    MetricFacts,
    Scores,
    Timing,
)

METRICS = (
    MetricFacts(name="top1", title="top-1", unit="%", better="higher", scale=100, digits=2),
    MetricFacts(name="mae", title="MAE", unit="px"),
    MetricFacts(name="nme", title="NME", unit="%", scale=100),
    MetricFacts(name="r2", title="R²", unit="", better="higher"),
)


@pytest.mark.parametrize(
    ("text", "quantity", "limit", "against"),
    [
        ("size=68MB", "size", 68e6, ""),
        ("size=-50%", "size", -0.5, "share"),
        ("size = +10 KB", "size", 1e4, "difference"),
        ("memory<=12MiB", "memory", 12 * 2**20, ""),
        ("p50=10ms", "p50", 10, ""),
        ("p50=-1.5ms", "p50", -1.5, "difference"),
        ("nme=4%", "nme", 0.04, ""),
        ("nme=+0.2pp", "nme", 0.002, "difference"),
        ("mae<1.2px", "mae", 1.2, ""),
        ("mae=+0.1 px", "mae", 0.1, "difference"),
        ("mae=+0px", "mae", 0, "difference"),
        ("mae=+5%", "mae", 0.05, "share"),
        ("top1=98%", "top1", 0.98, ""),
        ("top1>=98%", "top1", 0.98, ""),
        ("top1=-1pp", "top1", -0.01, "difference"),
        ("r2=0.9", "r2", 0.9, ""),
        ("r2=-0.01", "r2", -0.01, "difference"),
    ],
)
def test_budgets_are_read(text, quantity, limit, against):
    budget = parse_budget(text, METRICS)
    assert (budget.quantity.name, budget.limit, budget.against) == (quantity, pytest.approx(limit), against)
    assert " " not in budget.name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("size", "is not a budget"),
        ("=3", "is not a budget"),
        ("sice=3MB", 'did you mean "size"'),
        ("top5=98%", 'did you mean "top1"'),
        ("p50=fast", "p50=fast is not a limit in ms"),
        ("p50=10px", "not a limit in ms: write a number above 0 with its unit, as p50=4ms"),
        ("size=1", "has no unit, and would be 1 bytes: write e.g. size=1MB"),
        ("p50=infms", "not a limit in ms"),
        ("size=0MB", "not a size"),
        (f"size={'9' * 400}MB", "not a size"),
        ("size=-5px", "not a size"),
        ("mae=nan", "not a limit in px: write a number above 0"),
        ("mae=0px", "not a limit in px: write a number above 0"),
        ("mae=+5", "which has px or %"),
        ("nme=4", "nme=4%"),
        ("nme=1e-323%", "above 0"),
        ("nme=+5%", "which has pp"),
        ("top1=-1%", "which has pp"),
        ("top1=98pp", "not a limit in %: write a number above 0"),
        ("top1<98%", "higher is better; write top1=98%"),
        ("mae>1px", "lower is better; write mae=1px"),
        ("mae=+1e999px", "not a change of mae"),
    ],
)
def test_what_is_no_budget_is_refused_with_what_it_may_be(text, said):
    with pytest.raises(UsageError) as refused:
        parse_budget(text, METRICS)
    assert said in str(refused.value)


def test_without_a_task_no_metric_can_be_limited():
    with pytest.raises(UsageError, match="there are: size, memory, p50"):
        parse_budget("mae=1px")


@given(st.text(max_size=16))
def test_any_text_is_a_budget_or_one_sentence(text):
    for start in ("", "mae=", "top1=-", "size=+"):
        try:
            parse_budget(start + text, METRICS)
        except UsageError as error:
            assert str(error)


BASE, OURS = (
    Artifact(
        id=f"tiny · {chain}",
        variant="tiny",
        chain=chain,
        path=f"{chain}.tflite",
        sha256="0" * 64,
        file_bytes=size,
        deflated_bytes=1,
        parameters=None,
        macs=None,
        precision="float32",
        export_error=None,
    )
    for chain, size in (("none", 4000), ("svd", 1000))
)


def _measured(artifact, device="host", memory=5000, p50=2.0):
    return Measurement(
        artifact=artifact.id,
        device=device,
        network=p50 and Timing.from_samples([p50], [1], 1.0),
        memory=None if memory is None else Memory(baseline_bytes=0, loaded_bytes=0, peak_bytes=memory),
    )


def _failed(artifact, device):
    return Measurement(
        artifact=artifact.id, device=device, failure=Failure(stage="load", reason="out of memory")
    )


def _scores(artifact, device="host", **values):
    metrics = {name: Interval(value=value, low=value, high=value) for name, value in values.items()}
    return Scores(
        artifact=artifact.id, device=device, test_set="test", samples=1, metrics=metrics, per_sample=(0.0,)
    )


def _verdict(text, measurements, scores=()):
    """Of the candidate."""
    return verdicts_of([parse_budget(text, METRICS)], [BASE, OURS], measurements, scores)[1]


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("top1=97%", True),
        ("top1=97.1%", False),
        ("top1=-1pp", True),  # 98 % to 97 %: on the limit, though 0.97 - 0.98 < -0.01
        ("top1=-0.9pp", False),
        ("top1=+0pp", False),
        ("mae=1px", True),
        ("mae=+0.1px", False),
        ("mae=+25%", True),
        ("mae=+24%", False),
        ("mae=-1px", False),
        ("r2=+5%", False),
        ("r2=-20%", True),  # -0.5 to -0.6
        ("r2=-19%", False),
        ("size=1KB", True),
        ("size=-75%", True),
        ("size=-76%", False),
        ("size=-3KB", True),
        ("p50=+0ms", True),
    ],
)
def test_limits_follow_the_direction_of_the_metric_and_its_baseline(text, fits):
    scores = [
        _scores(BASE, top1=0.98, mae=0.8, nme=0.04, r2=-0.5),
        _scores(OURS, top1=0.97, mae=1.0, nme=0.05, r2=-0.6),
    ]
    verdict = _verdict(text, [_measured(BASE), _measured(OURS)], scores)
    assert (verdict.fits, verdict.reason) == (fits, "")


def test_the_baseline_keeps_what_allows_no_change():
    budgets = [parse_budget(text, METRICS) for text in ("size=+0%", "p50=-1ms")]
    found = verdicts_of(budgets, [BASE], [_measured(BASE)], [])
    assert [(verdict.value, verdict.fits) for verdict in found] == [(0, True), (0, False)]


@pytest.mark.parametrize(
    ("host", "phone", "value", "fits", "reason"),
    [
        (1, 2, 2000, True, "on phone"),
        (1, 9, 9000, False, "on phone"),
        (9, 1, 9000, False, "on host"),
        (1, None, None, False, "on phone: out of memory"),
    ],
)
def test_a_budget_is_judged_by_the_worst_device_and_names_it(host, phone, value, fits, reason):
    rows = [
        _failed(OURS, device) if kilobytes is None else _measured(OURS, device, 1000 * kilobytes)
        for device, kilobytes in (("host", host), ("phone", phone))
    ]
    memory = _verdict("memory=5KB", rows)
    assert (memory.value, memory.fits, memory.reason) == (value, fits, reason)
    size = _verdict("size=1KB", rows)
    assert (size.value, size.fits, size.reason) == (1000, True, "")


def test_where_higher_is_better_the_worst_device_is_the_lowest():
    rows = [_measured(OURS, device) for device in ("host", "phone")]
    verdict = _verdict("top1=50%", rows, [_scores(OURS, "host", top1=0.4), _scores(OURS, "phone", top1=0.6)])
    assert (verdict.value, verdict.fits, verdict.reason) == (0.4, False, "on host")


def test_a_budget_on_the_only_device_does_not_name_it():
    verdict = _verdict("memory=5KB", [_measured(OURS)])
    assert (verdict.fits, verdict.reason) == (True, "")


@pytest.mark.parametrize(
    ("missing", "p50", "memory"), [("memory", 2.0, None), ("p50", None, 5000.0), ("", 2.0, 5000.0)]
)
def test_a_budget_is_judged_by_its_own_figure_whatever_else_is_missing(missing, p50, memory):
    row = _measured(OURS, **({missing: None} if missing else {}))
    found = [_verdict(text, [row]) for text in ("p50=2ms", "memory=5KB")]
    assert [verdict.value for verdict in found] == [p50, memory]
    assert [verdict.fits for verdict in found] == [p50 is not None, memory is not None]
    assert [verdict.reason for verdict in found] == [
        "" if value is not None else "not measured" for value in (p50, memory)
    ]


@pytest.mark.parametrize(
    ("text", "base", "reason"),
    [
        ("p50=-10%", _failed(BASE, "host"), "the baseline: out of memory"),
        ("mae=+1px", _measured(BASE), "the baseline: not measured"),
        ("memory=+5%", _measured(BASE, memory=0), "the baseline has 0, of which nothing is a share"),
    ],
)
def test_what_cannot_be_compared_with_the_baseline_does_not_fit_and_says_why(text, base, reason):
    verdict = _verdict(text, [base, _measured(OURS)], [_scores(OURS, mae=1.0)])
    assert (verdict.value, verdict.fits, verdict.reason) == (None, False, reason)


def test_a_limit_of_a_record_is_above_0_unless_it_is_a_change():
    fields = {"artifact": "a", "budget": "b", "quantity": "size", "value": 0, "fits": True}
    with pytest.raises(ValueError, match="greater than 0"):
        BudgetVerdict(**fields, limit=0)
    assert BudgetVerdict(**fields, limit=-1, against_baseline="share").limit == -1
